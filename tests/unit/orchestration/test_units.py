"""Numbers with their units."""

from __future__ import annotations

import pytest

from runctl_jupyter.orchestration.units import money_text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (0.0004, "$0.0004"),
        (0.0321, "$0.032"),
        (0.0994, "$0.099"),
        (0.0996, "$0.10"),
        (0.44, "$0.44"),
        (0.999, "$1.00"),
        (5, "$5.00"),
        (999.999, "$1,000.00"),
        (12_500, "$12,500.00"),
        (1_234_567.891, "$1,234,567.89"),
    ],
)
def test_money_is_written_as_the_views_write_it(usd: float | None, text: str) -> None:
    """The same cases as in ``labextension/tests/format.test.ts``: all doors write one amount alike."""
    assert money_text(usd) == text
