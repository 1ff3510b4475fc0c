"""What `logs` is asked for: how the line is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runctl_jupyter.cli import TerminalDoor, main
from runctl_jupyter.commands import LogView, Outcome, invoke
from runctl_jupyter.commands.request import Request
from runctl_jupyter.orchestration.errors import InvalidRequest


def view_of(line: str) -> LogView:
    outcome: Outcome = invoke(line.split(), Request(TerminalDoor()))
    assert isinstance(outcome.value, LogView)
    return outcome.value


def test_where_to_begin(write_job: Any) -> None:
    write_job()
    view = view_of("logs digits --start -100 --attempt 2")
    assert (view.start, view.attempt, view.since, view.follow, view.raw) == (-100, 2, None, False, False)
    assert view_of("logs digits --start 100").start == 100
    since = view_of("logs digits --since 10m").since
    assert since is not None
    assert abs(datetime.now(UTC) - timedelta(minutes=10) - since) < timedelta(minutes=1)
    assert view_of("logs digits --since 2026-11-24T10:00:00Z").since == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert view_of("logs digits --since 2026-11-24T10:00").since == datetime(2026, 11, 24, 10).astimezone()


@pytest.mark.parametrize("since", ["yesterday", "10", "10x", "-5m", "99999999999d", "2026-13-01"])
def test_a_moment_that_is_none(write_job: Any, since: str) -> None:
    write_job()
    with pytest.raises(InvalidRequest, match="neither a duration nor a time"):
        view_of(f"logs digits --since {since}")


def test_an_attempt_that_is_not_there(write_job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write_job()
    assert main(["logs", "digits", "--attempt", "2"]) == 2
    assert capsys.readouterr().err.splitlines()[0].endswith("has no attempt 2.")
