"""How checks run side by side: none holds up another, and one cause is told once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from runctl_jupyter.orchestration.account.checkup import Answer, DoctorReport, run_checks
from runctl_jupyter.orchestration.errors import AwsUnreachable, CredentialsMissing, PermissionDenied

GONE = CredentialsMissing("The sign-in has expired.", "Sign in again.")


@pytest.fixture
def hole() -> Iterator[threading.Event]:
    """Answers nobody until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def soon(seconds: float = 0.3) -> float:
    return time.monotonic() + seconds


def fine() -> Answer:
    return "ok", "fine"


def expired() -> Answer:
    raise GONE


def test_one_that_never_answers_holds_up_no_other(hole: threading.Event) -> None:
    def swallowed() -> Answer:
        hole.wait()
        return "ok", "late"

    begun = time.monotonic()
    found = run_checks({"a": fine, "hole": swallowed, "b": fine}, deadline=soon())
    assert time.monotonic() - begun < 5
    assert [(check.name, check.state) for check in found] == [("a", "ok"), ("b", "ok"), ("no answer", "warning")]
    assert "hole" in found[-1].what
    assert "--timeout" in found[-1].fix


def test_when_all_have_answered_nobody_waits_for_the_deadline() -> None:
    begun = time.monotonic()
    assert len(run_checks({"a": fine, "b": fine}, deadline=soon(60))) == 2
    assert time.monotonic() - begun < 30


def test_what_all_hangs_on_blocks_when_it_is_late(hole: threading.Event) -> None:
    def swallowed() -> Answer:
        hole.wait()
        return fine()

    found = run_checks({"identity": swallowed, "b": fine}, deadline=soon(), needed=("identity",))
    assert not DoctorReport("aws", "m5.large", found, 0.3).well


def test_one_cause_is_told_once_and_the_rest_is_named() -> None:
    found = run_checks(
        {"identity": expired, "b": expired, "c": fine, "d": expired}, deadline=soon(10), needed=("identity",)
    )
    assert [check.name for check in found] == ["identity", "c", "not known"]
    assert (found[0].state, found[0].fix) == ("blocked", "Sign in again.")
    assert found[-1].what == "b, d"


def test_another_cause_is_told_too() -> None:
    def denied() -> Answer:
        raise PermissionDenied("You may not look.", "Let an administrator add a statement.")

    def unreachable() -> Answer:
        raise AwsUnreachable("No way.", "Check the network.")

    checks = {"identity": fine, "b": denied, "c": unreachable}
    found = run_checks(checks, deadline=soon(10), needed=("identity",))
    assert [check.state for check in found] == ["ok", "warning", "warning"]
    assert found[1].what == "Not known. You may not look."


def test_only_what_is_needed_blocks_by_failing() -> None:
    report = DoctorReport("aws", "m5.large", run_checks({"b": expired}, deadline=soon(10)), 0.1)
    assert report.well
    blocked = run_checks({"b": lambda: ("blocked", "no bucket", "runctl setup")}, deadline=soon(10))
    assert not DoctorReport("aws", "m5.large", blocked, 0.1).well


def test_who_is_late_while_aws_cannot_be_reached_is_not_told_twice(hole: threading.Event) -> None:
    def swallowed() -> Answer:
        hole.wait()
        return fine()

    def unreachable() -> Answer:
        raise AwsUnreachable("No way.", "Check the network.")

    found = run_checks({"identity": unreachable, "b": swallowed}, deadline=soon(), needed=("identity",))
    assert [(check.name, check.state) for check in found] == [("identity", "blocked"), ("not known", "warning")]
