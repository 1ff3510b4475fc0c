"""Launching through refusals: the next zone, the next type, on-demand where allowed; and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runctl_jupyter.orchestration import Instance, Job, LaunchPlan, Runctl
from runctl_jupyter.orchestration.errors import CapacityUnavailable, LaunchRefused, RunctlError
from runctl_jupyter.orchestration.instances.wish import Wish
from runctl_jupyter.orchestration.waiting import wait_until
from runctl_jupyter.run_record import MachineAsked
from runctl_jupyter.sandbox import faults_client as faults
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto, client
from tests.sandbox.engine.conftest import Engine

A, B, C = "us-east-1a", "us-east-1b", "us-east-1c"
ENDED = ("shutting-down", "terminated")


class World:
    """An engine, and what its launches leave in the account."""

    def __init__(self, rc: Runctl, boto: Boto, sandbox: Connection) -> None:
        self.rc, self.ec2, self.sandbox = rc, boto("ec2"), sandbox
        self.before = {each["InstanceId"] for each in self.machines()}

    def create(self, *words: Any, **facts: Any) -> Instance:
        made = self.rc.instances.create(*words, **facts)
        assert isinstance(made, Instance)
        return made

    def machines(self) -> list[dict[str, Any]]:
        found = self.ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": ["runctl:launch"]}])
        return [i for r in found["Reservations"] for i in r["Instances"]]

    def new(self) -> list[dict[str, Any]]:
        """Machines since the test began, that live or have lived."""
        return [each for each in self.machines() if each["InstanceId"] not in self.before]

    def templates(self) -> list[Any]:
        templates: list[Any] = self.ec2.describe_launch_templates()["LaunchTemplates"]
        return templates

    def end(self) -> None:
        faults.clear(self.sandbox)
        for each in self.new():
            if each["State"]["Name"] not in ENDED:
                self.rc.instances.terminate(each["InstanceId"], force=True)
        for each in self.new():
            self.rc.instances.wait(each["InstanceId"], until="terminated")


@pytest.fixture
def world(engine: Engine, boto: Boto, sandbox: Connection) -> Iterator[World]:
    made = World(engine({"t.py": "print('here')"}), boto, sandbox)
    yield made
    made.end()
    # A job of a test before may just be launched.
    wait_until(made.templates, lambda left: left == [], timeout=20, what="A launch template is left.", to_resolve="")


@pytest.mark.machineless
def test_the_next_zone_then_the_next_type(world: World) -> None:
    for zone in (A, B, C):
        faults.add(world.sandbox, "no-capacity", zone=zone)
    made = world.create("m5.large,m5.xlarge")
    assert (made.instance_type, made.availability_zone > C) == ("m5.large", True)
    faults.add(world.sandbox, "no-capacity", instance_type="m5.large")
    assert world.create("m5.large,m5.xlarge").instance_type == "m5.xlarge"
    assert len(world.new()) == 2


@pytest.mark.machineless
def test_what_was_tried_is_told(world: World) -> None:
    faults.add(world.sandbox, "no-capacity")
    with pytest.raises(CapacityUnavailable) as raised:
        world.create("m5.large,m5.xlarge", spot=True)
    error = raised.value
    assert {(each.instance_type, each.spot) for each in error.tried} == {("m5.large", True), ("m5.xlarge", True)}
    assert {A, B, C} <= {each.zone for each in error.tried}
    for words in (f"m5.large spot in {A}, {B}", "InsufficientInstanceCapacity", "--fallback on-demand"):
        assert words in str(error)
    assert len(str(error).splitlines()) == 2
    assert world.new() == []


@pytest.mark.machineless
def test_on_demand_only_where_it_is_allowed(world: World) -> None:
    faults.add(world.sandbox, "no-capacity", market="spot")
    with pytest.raises(CapacityUnavailable):
        world.create("m5.large", spot=True)
    made = world.create("m5.large", spot=True, fallback="on-demand")
    assert (made.spot, len(world.new())) == (False, 1)


@pytest.mark.machineless
def test_capacity_that_ends_after_the_launch(world: World) -> None:
    faults.add(world.sandbox, "no-capacity", instance_type="m5.large", late=True)
    made = world.create("m5.large,m5.xlarge", wait=True)
    assert (made.instance_type, made.state) == ("m5.xlarge", "running")
    assert {each["State"]["Name"] for each in world.new() if each["InstanceId"] != made.id} <= set(ENDED)


@pytest.mark.machineless
def test_a_lost_answer_is_no_second_machine(world: World) -> None:
    for operation in ("CreateFleet", "CreateLaunchTemplate", "DeleteLaunchTemplate"):
        faults.add(world.sandbox, "lost-answer", service="ec2", operation=operation, count=2)
    made = world.create("m5.large")
    assert [each["InstanceId"] for each in world.new()] == [made.id]
    assert [each.hits for each in faults.list(world.sandbox)] == [2, 2, 2]


@pytest.mark.machineless
def test_a_launch_that_is_made_again_finds_its_machine(world: World) -> None:
    launcher = world.rc.instances.launcher
    wish = Wish(MachineAsked(["m5.large"]), "twice", 3600.0, job_id="261130-120000-abcd")
    first = launcher.launch(wish, launcher.prepare(wish.asked))
    again = launcher.launch(wish, launcher.prepare(wish.asked))
    assert (again.instance_id, again.offer) == (first.instance_id, first.offer)
    assert len(world.new()) == 1


@pytest.mark.machineless
def test_without_templates_or_fleets_each_zone_is_asked(world: World) -> None:
    faults.add(world.sandbox, "no-capacity", zone=A)
    faults.add(world.sandbox, "denied", service="ec2", operation="CreateFleet", count=1)
    faults.add(world.sandbox, "lost-answer", service="ec2", operation="RunInstances", count=1)
    assert world.create("m5.large").availability_zone == B
    faults.add(world.sandbox, "denied", service="ec2", operation="CreateLaunchTemplate", count=1)
    made = world.create("m5.large", spot=True)
    assert (made.spot, made.availability_zone != A, len(world.new())) == (True, True, 2)
    assert [each.hits for each in faults.list(world.sandbox)][1:] == [1, 1, 1]


@pytest.mark.machineless
def test_a_quota_of_nothing(world: World) -> None:
    faults.set_quota(world.sandbox, "L-34B43A08", 0)  # spot, of standard types
    with pytest.raises(LaunchRefused, match="MaxSpotInstanceCountExceeded"):
        world.create("m5.large", spot=True)
    planned = world.rc.instances.create("m5.large", spot=True, dry_run=True)
    assert isinstance(planned, LaunchPlan)
    assert planned.quota is not None
    assert (planned.quota.left, planned.quota.needed, planned.quota.code) == (0, 2, "L-34B43A08")
    assert world.create("m5.large", spot=True, fallback="on-demand").spot is False
    assert len(world.new()) == 1


@pytest.mark.machineless
def test_a_machine_as_it_must_be(world: World) -> None:
    made = world.create("m5.large", name="as-it-must-be", spot=True, ttl=3600)
    (seen,) = world.new()
    tags = {tag["Key"]: tag["Value"] for tag in seen["Tags"]}
    assert {"Name": "as-it-must-be", "runctl:managed": "true", "runctl:ttl": "3600"}.items() <= tags.items()
    options = seen["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    (disk,) = seen["BlockDeviceMappings"]
    assert disk["Ebs"]["DeleteOnTermination"] is True
    volume = world.ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"][0]
    request = world.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[seen["SpotInstanceRequestId"]])
    for tagged in (volume, request["SpotInstanceRequests"][0]):
        assert {tag["Key"]: tag["Value"] for tag in tagged["Tags"]}["runctl:managed"] == "true"
    behaviour = world.ec2.describe_instance_attribute(InstanceId=made.id, Attribute="instanceInitiatedShutdownBehavior")
    assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"


@pytest.fixture
def public_subnet(sandbox: Connection) -> Iterator[str]:
    """A subnet as an administrator makes one: behind an internet gateway, and without addresses by itself."""
    env = faults.admin_env(sandbox)
    ec2 = client(
        sandbox,
        "ec2",
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/24", AvailabilityZone=B)["Subnet"]["SubnetId"]
    gateways = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [vpc]}])
    made = None if gateways["InternetGateways"] else ec2.create_internet_gateway()["InternetGateway"]
    gateway = (made or gateways["InternetGateways"][0])["InternetGatewayId"]
    if made:
        ec2.attach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    yield subnet
    ec2.disassociate_route_table(AssociationId=association)
    ec2.delete_route_table(RouteTableId=table)
    if made:
        ec2.detach_internet_gateway(VpcId=vpc, InternetGatewayId=gateway)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_subnet(SubnetId=subnet)


@pytest.mark.machineless
def test_a_public_address_is_asked_for_where_the_subnet_gives_none(
    public_subnet: str, engine: Engine, boto: Boto, sandbox: Connection
) -> None:
    settings = f'[launch]\nsubnet = ["{public_subnet}"]\n'
    world = World(engine({".runctl.toml": settings}), boto, sandbox)
    try:
        world.create("m5.large", spot=True)
        (seen,) = world.new()
        (interface,) = seen["NetworkInterfaces"]
        assert (seen["SubnetId"], interface["SubnetId"]) == (public_subnet, public_subnet)
        # The sandbox gives no public addresses; an interface that ends with its machine is what a launch asked for.
        assert interface["Attachment"]["DeleteOnTermination"] is True
        assert seen["InstanceLifecycle"] == "spot"
    finally:
        world.end()


def test_a_job_is_priced_as_what_it_got_and_resumed_as_it_was_asked(world: World) -> None:
    faults.add(world.sandbox, "no-capacity", market="spot")
    faults.add(world.sandbox, "no-capacity", instance_type="m5.large")
    job = world.rc.jobs.train("t.py", instance_type="m5.large,m5.xlarge", spot=True, fallback="on-demand", max_cost=2)
    assert isinstance(job, Job)
    job.launched(60).wait(60)
    assert str(job.state) == "succeeded", job.cause
    assert (job.spec.instance_type, job.spec.spot, job.price_per_hour) == ("m5.xlarge", False, 0.192)
    got = job.status.got
    assert got is not None
    assert got.availability_zone is not None
    assert world.rc.jobs.get(job.id).to_dict()["price_per_hour"] == 0.192
    faults.clear(world.sandbox)
    again = job.resume().launched(60).wait(60)
    assert (again.attempt, again.spec.instance_type, again.spec.spot) == (2, "m5.large", True)
    assert again.spec.asked == job.spec.asked


@pytest.mark.machineless
def test_a_job_without_a_machine_says_what_was_tried(world: World) -> None:
    faults.add(world.sandbox, "no-capacity")
    job = world.rc.jobs.train("t.py", instance_type="m5.large")
    assert isinstance(job, Job)
    with pytest.raises(CapacityUnavailable):
        job.launched(60)
    seen = world.rc.jobs.get(job.id)
    assert seen.cause is not None
    assert (str(seen.state), seen.cause.kind, A in seen.cause.message) == ("failed", "launch", True)
    assert world.new() == []


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("words", "facts", "said"),
    [
        (["g5.xlarge"], {"gpu": "A10G"}, "both asked for"),
        ([], {"gpu": "a10"}, "Did you mean A10G"),
        ([], {"gpu": "L4:3"}, "There are: L4:1, L4:4, L4:8"),
        ([], {"gpu": "999GB"}, "largest"),
        (["m5.large,g5.xlarge"], {}, "different machine images"),
        (["m5.large"], {"fallback": "on-demand"}, "--spot"),
        (["m5.large"], {"spot": True, "fallback": "later"}, "never, on-demand"),
        (["m5.larg"], {}, "Did you mean m5.large"),
        (["m5.large"], {"volume_size": 4}, "volume-size"),
    ],
)
def test_what_cannot_be_asked_for(world: World, words: list[str], facts: dict[str, Any], said: str) -> None:
    with pytest.raises(RunctlError, match=said) as raised:
        world.create(*words, **facts)
    assert len(str(raised.value).splitlines()) == 2
    assert world.new() == []


@pytest.mark.machineless
def test_a_plan_of_a_gpu(world: World) -> None:
    plan = world.rc.instances.create(gpu="A10G:1", spot=True, fallback="on-demand", ttl=7200, dry_run=True)
    assert isinstance(plan, LaunchPlan)
    assert [each.instance_type for each in plan.candidates][:2] == ["g5.xlarge", "g5.2xlarge"]
    assert (plan.spot, plan.fallback, plan.instance_type) == (True, "on-demand", "g5.xlarge")
    assert "public parameter /aws/service/deeplearning" in plan.image_found_by
    assert {A, B} <= set(plan.availability_zones)
    assert plan.quota is not None
    assert plan.quota.code == "L-3819A6DF"
    assert plan.price_as_of is not None
    dearest = 1.624  # g5.4xlarge on-demand: what it comes to at most
    assert plan.total_at_ttl_usd is not None
    assert plan.total_at_ttl_usd >= dearest * 2
    assert world.new() == []
