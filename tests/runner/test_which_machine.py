"""Which of the machines on offer this is: its own price holds for its limits and its cost."""

from __future__ import annotations

from typing import cast

import pytest

from runctl_jupyter.run_record import JobSpec, MachineOffer
from runctl_jupyter.runner.imds import Imds, ImdsError
from runctl_jupyter.runner.opening import this_machine

OFFERS = [
    MachineOffer("g5.xlarge", "us-east-1a", True, 0.5),
    MachineOffer("g5.xlarge", "us-east-1b", True, 0.3),
    MachineOffer("g5.xlarge", None, False, 1.0),
]


class Metadata:
    def __init__(self, kind: str, zone: str, *, spot: bool, fails: bool = False) -> None:
        self._kind, self._zone, self._spot, self._fails = kind, zone, spot, fails

    def instance_type(self) -> str:
        if self._fails:
            raise ImdsError("no answer")
        return self._kind

    def zone(self) -> str:
        return self._zone

    def is_spot(self) -> bool:
        return self._spot


def spec(offers: list[MachineOffer]) -> JobSpec:
    return JobSpec(
        "j", "n", "2026-01-02T03:04:05Z", "me", "aws", "t.py", instance_type="g5.xlarge", spot=True,
        price_per_hour=0.5, offers=offers,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "price"),
    [
        (Metadata("g5.xlarge", "us-east-1b", spot=True), 0.3),
        (Metadata("g5.xlarge", "us-east-1b", spot=False), 1.0),
        (Metadata("g5.xlarge", "us-east-1c", spot=True), None),
        (Metadata("g6.xlarge", "us-east-1a", spot=True), None),
        (Metadata("g5.xlarge", "us-east-1a", spot=True, fails=True), None),
        (None, None),
    ],
)
def test_a_machine_finds_itself(metadata: Metadata | None, price: float | None) -> None:
    got = this_machine(spec(OFFERS), cast(Imds, metadata) if metadata else None)
    assert (None if got is None else got.price_per_hour) == price
    if got is not None:
        assert got.availability_zone == "us-east-1b"
        assert got.applied_to(spec(OFFERS)).price_per_hour == price


def test_a_job_without_offers_is_as_its_spec_says() -> None:
    assert this_machine(spec([]), cast(Imds, Metadata("g5.xlarge", "us-east-1a", spot=True))) is None
