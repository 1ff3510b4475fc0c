"""Which quota an instance type counts to, and how long what has ended still counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES

from runctl_jupyter.sandbox.control.ec2.machines import Machine, Machines
from runctl_jupyter.sandbox.control.ec2.quotas import Quotas, quota_of
from runctl_jupyter.sandbox.control.faults.faults import Faults
from runctl_jupyter.sandbox.control.settings import Settings

Count = Callable[[], list[Machine]]


@pytest.mark.parametrize(
    ("instance_type", "on_demand", "spot"),
    [
        ("g5.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("g4dn.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("vt1.3xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p4d.24xlarge", "L-417A185B", "L-7212CCBC"),
        ("p5.48xlarge", "L-417A185B", "L-C4BD4855"),
        ("m5.large", "L-1216C47A", "L-34B43A08"),
        ("t3.micro", "L-1216C47A", "L-34B43A08"),
        ("i4i.large", "L-1216C47A", "L-34B43A08"),
        ("inf2.xlarge", "L-1945791B", "L-B5D1601B"),
        ("trn1.2xlarge", "L-2C3B7624", "L-6B0D517C"),
    ],
)
def test_families_count_to_their_quota(instance_type: str, on_demand: str, spot: str) -> None:
    assert instance_type in INSTANCE_TYPES
    for market, code in (("on-demand", on_demand), ("spot", spot)):
        quota = quota_of(instance_type, market)
        assert quota is not None
        assert quota.code == code


def _machine(state: str, ended_s_ago: float | None = None, instance_type: str = "p4d.24xlarge") -> Machine:
    instance: Any = SimpleNamespace(
        id=f"i-{state}-{ended_s_ago}", instance_type=instance_type, lifecycle=None, _state=SimpleNamespace(name=state)
    )
    ended = None if ended_s_ago is None else datetime.now(UTC) - timedelta(seconds=ended_s_ago)
    host: Any = None
    return Machine(instance, host, ended_at=ended)


def test_what_ended_a_moment_ago_still_counts() -> None:
    settings = Settings(home=Path("nowhere"), pace=10.0)
    machines = Machines(settings, lambda _: None, lambda _: None)
    counted = [_machine("pending"), _machine("running"), _machine("shutting-down"), _machine("terminated", 1.0)]
    long_gone = settings.quota_release_s + 1
    for machine in (*counted, _machine("stopped"), _machine("stopping"), _machine("terminated", long_gone)):
        machines.add(machine)
    assert machines.counted() == counted


def test_the_room_that_is_left_is_of_the_family_and_market() -> None:
    quotas = Quotas(Faults(), lambda: [_machine("running"), _machine("running", instance_type="m5.large")])
    assert quotas.room("p4d.24xlarge", "on-demand") == (768 - 96) // 96
    assert quotas.room("p4d.24xlarge", "spot") == 768 // 96
    quotas.check("p4d.24xlarge", "on-demand", 7)
    with pytest.raises(EC2ClientError, match="your current vCPU limit of 768 allows"):
        quotas.check("p4d.24xlarge", "on-demand", 8)
