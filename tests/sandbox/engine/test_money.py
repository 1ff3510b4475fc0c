"""What things cost, asked of an account over HTTP: sources and their order, machines, disks, reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from runctl_jupyter.orchestration import Instance, Runctl
from runctl_jupyter.orchestration.costs.price import PRICE_LIST, SHIPPED_TABLE, SPOT_HISTORY
from runctl_jupyter.orchestration.costs.rates import gp3_per_hour
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto, client
from tests.sandbox.engine.conftest import Engine

pytestmark = pytest.mark.machineless
PATIENT_S = 30.0
"""For what is about the answer, however busy the machine is."""
OURS = [{"Key": "runctl:managed", "Value": "true"}]


@pytest.fixture
def rc(engine: Engine) -> Runctl:
    return engine({"t.py": "print('hello')\n"})


@pytest.fixture
def faulty(sandbox: Connection) -> Iterator[Connection]:
    """The sandbox, for faults that end with the test."""
    yield sandbox
    faults_client.clear(sandbox)


def test_the_price_list_comes_first_and_then_the_table(rc: Runctl, faulty: Connection, engine: Engine) -> None:
    price = rc._prices.on_demand("g5.xlarge", patience_s=PATIENT_S)
    assert price is not None
    assert (price.per_hour, price.source) == (1.006, PRICE_LIST)
    assert price.as_of is not None
    assert datetime.now(UTC) - price.as_of < timedelta(minutes=1)
    faults_client.add(faulty, "denied", service="pricing")
    kept = rc._prices.on_demand("g5.xlarge", patience_s=PATIENT_S)
    assert kept is not None
    assert kept.source == PRICE_LIST, "what was told is not asked again"
    refused = engine({})._prices.on_demand("g5.xlarge", patience_s=PATIENT_S)
    assert refused is not None
    assert (refused.source.startswith(SHIPPED_TABLE), refused.as_of) == (True, None)


def test_a_price_list_that_is_slow_is_not_waited_for(engine: Engine, faulty: Connection) -> None:
    faults_client.add(faulty, "latency", service="pricing", latency_s=20)
    prices = engine({})._prices
    begin = time.monotonic()
    found = [prices.on_demand(name) for name in ("g5.xlarge", "g5.2xlarge", "m5.large", "m5.xlarge")]
    assert time.monotonic() - begin < 10
    assert all(price is not None and price.source.startswith(SHIPPED_TABLE) for price in found)


def test_spot_is_asked_of_ec2_alone(rc: Runctl, boto: Boto, faulty: Connection, engine: Engine) -> None:
    told = boto("ec2").describe_spot_price_history(
        InstanceTypes=["g5.xlarge"], ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(UTC)
    )["SpotPriceHistory"]
    zones = {each["AvailabilityZone"]: float(each["SpotPrice"]) for each in told}
    cheapest = rc._prices.spot("g5.xlarge", patience_s=PATIENT_S)
    assert cheapest is not None
    assert (cheapest.per_hour, cheapest.source) == (min(zones.values()), SPOT_HISTORY)
    for zone, per_hour in zones.items():
        price = rc._prices.spot("g5.xlarge", zone, patience_s=PATIENT_S)
        assert price is not None
        assert (price.per_hour, price.zone) == (per_hour, zone)
    assert rc._prices.spot("x9.huge", patience_s=PATIENT_S) is None
    assert rc._prices.spot("m5.large", patience_s=PATIENT_S) is not None, (
        "a type that EC2 does not know silences nothing"
    )
    faults_client.add(faulty, "denied", service="ec2", operation="DescribeSpotPriceHistory")
    assert engine({})._prices.spot("g5.xlarge", patience_s=PATIENT_S) is None


def test_a_machine_its_disk_and_what_is_left_over(rc: Runctl, sandbox: Connection) -> None:
    admin = faults_client.admin_env(sandbox)
    ec2 = client(
        sandbox,
        "ec2",
        aws_access_key_id=admin["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=admin["AWS_SECRET_ACCESS_KEY"],
    )
    left = ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=40, VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": OURS}],
    )["VolumeId"]  # fmt: skip
    foreign = ec2.create_volume(AvailabilityZone="us-east-1a", Size=40, VolumeType="gp3")["VolumeId"]
    created = rc.instances.create("m5.large", spot=True, name="money", volume_size=50)
    assert isinstance(created, Instance)
    try:
        (machine,) = [each for each in rc.instances.list() if each.id == created.id]
        spot = rc._prices.spot("m5.large", machine.availability_zone)
        assert spot is not None
        assert (machine.spot, machine.price_per_hour) == (True, spot.per_hour)
        assert machine.price_source == spot.source_text
        disk = gp3_per_hour(50, "us-east-1")
        assert disk is not None
        assert machine.beside_per_hour["disk"] == pytest.approx(disk)
        said = machine.to_dict()["cost_parts"]
        assert said["machine"] == pytest.approx(spot.per_hour / 60, rel=0.5), "a minute at least"
        assert said["disk"] == pytest.approx(disk / 60, rel=0.5)
        assert rc.status().cost_parts["total"] >= said["total"]
        report = rc.cost("instance")
        rows = {row.key: row for row in report.rows}
        assert rows[created.id].live
        assert rows[created.id].cost.usd.keys() >= {"machine", "disk"}
        assert (rows[left].kind, rows[left].live) == ("disk", True)
        assert foreign not in rows
        assert report.price_per_hour is not None
        assert report.price_per_hour >= spot.per_hour
        assert rc.cost("job").total.usd["machine"] == pytest.approx(report.total.usd["machine"], rel=0.2)
    finally:
        rc.instances.terminate(created.id, force=True)
        for volume in (left, foreign):
            ec2.delete_volume(VolumeId=volume)


def test_disks_that_cannot_be_listed_are_unknown(engine: Engine, faulty: Connection) -> None:
    faults_client.add(faulty, "denied", service="ec2", operation="DescribeVolumes")
    report = engine({}).cost("day")
    assert "disk" in report.total.unknown
    assert any("disk" in note for note in report.notes)
