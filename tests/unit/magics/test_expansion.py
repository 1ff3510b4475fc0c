"""What happens to braces and dollars on the magic's line."""

from __future__ import annotations

import pytest

from runctl_jupyter.magics.expansion import expand
from runctl_jupyter.orchestration.errors import InvalidRequest

NAMES = {"lr": 0.25, "name": "dev", "d": {"k": [1, 2]}, "a": 1}


@pytest.mark.parametrize(
    ("line", "expanded"),
    [
        ("train x.py --param lr={lr}", "train x.py --param lr=0.25"),
        ("--on $name --name {name.upper()}", "--on dev --name DEV"),
        ("{d['k'][1]} {lr:.3f} {name!r}", "2 0.250 'dev'"),
        ('{"a": 1}', '{"a": 1}'),
        ('--param cfg={"lr": [1, {"a": 2}]} --on $name', '--param cfg={"lr": [1, {"a": 2}]} --on dev'),
        ("{} {no python here}", "{} {no python here}"),
        ("{{lr}} $$name", "{lr} $name"),
        ("$HOME/x ${nothing", "$HOME/x ${nothing"),
        ("no braces", "no braces"),
        ("open {lr", "open {lr"),
    ],
)
def test_expand(line: str, expanded: str) -> None:
    assert expand(line, NAMES) == expanded


@pytest.mark.parametrize("line", ["{nowhere}", "{1/0}", "{d['missing']}"])
def test_a_failing_expression_is_an_error(line: str) -> None:
    with pytest.raises(InvalidRequest):
        expand(line, NAMES)
