"""The verbs that break the sandbox: what they accept, and what they say when there is none."""

from __future__ import annotations

import pytest

from runctl_jupyter.cli import main
from runctl_jupyter.commands import sandbox_verbs
from runctl_jupyter.sandbox.control.faults import faults


@pytest.mark.parametrize(
    "line",
    [
        "interrupt i-0123456789abcdef0",
        "fault add error --service s3 --operation PutObject --status 503 --rate 0.5 --for 1m",
        "fault list",
        "fault clear f1",
        "fault power-off dev",
        "fault kill-agent dev",
        "fault fill-disk dev --free",
    ],
)
def test_without_a_sandbox_nothing_is_started_to_be_broken(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", *line.split()]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip().splitlines()[-2:] == ["No sandbox runs.", "Start one: runctl sandbox start"]


@pytest.mark.parametrize("line", ["fault add flood", "fault add cut --service s4", "fault add latency --latency soon"])
def test_what_no_sandbox_would_take_is_refused_at_once(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", *line.split()]) == 2
    assert "No sandbox runs" not in capsys.readouterr().err


def test_the_verbs_know_what_the_sandbox_knows() -> None:
    assert set(sandbox_verbs.SERVICES) == set(faults.SERVICES)
    verbs_of_their_own = {faults.AGENT_DOWN, faults.QUOTA}
    assert {*sandbox_verbs.KINDS} | verbs_of_their_own == set(faults.KINDS)
