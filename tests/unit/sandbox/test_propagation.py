"""Changes of instance profiles on their way from IAM to EC2."""

from __future__ import annotations

from runctl_jupyter.sandbox.control.iam.propagation import Propagation


def test_a_change_arrives_after_its_time_and_each_change_anew() -> None:
    now = [100.0]
    propagation = Propagation(10.0, clock=lambda: now[0])
    assert propagation.arrived("old")
    propagation.note("new")
    assert not propagation.arrived("new")
    now[0] += 6
    propagation.note("new")  # a role is added
    now[0] += 6
    assert not propagation.arrived("new")
    assert propagation.arrived("old")
    now[0] += 4
    assert propagation.arrived("new")
