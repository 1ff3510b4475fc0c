"""Two kernels, people and EC2 itself do what they like to the same machines, and answers get lost: what always holds.

More than CI runs: ``RUNCTL_EXAMPLES=300 pytest tests/sandbox/control/test_life_properties.py``.
"""

from __future__ import annotations

import base64
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from runctl_jupyter.orchestration import Instance, Runctl
from runctl_jupyter.orchestration.errors import InstanceProtected, InvalidRequest, RunctlError
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.control.ec2 import machines
from runctl_jupyter.sandbox.faults_client import FaultRefusedError
from tests.sandbox.conftest import client
from tests.sandbox.paper import Paper, on_paper

pytestmark = pytest.mark.machineless

EXAMPLES = int(os.environ.get("RUNCTL_EXAMPLES", "0"))
NAMES, KERNELS = st.sampled_from("aab"), st.integers(0, 1)
TROUBLES = st.sampled_from([None, "lost-answer", "lost-answer", "throttle", "cut"])
"""On the way of a call, or of its answer."""
SETTLED = ("running", "stopped", "terminated")
TAGS = ("Name", "runctl:managed", "runctl:owner", "runctl:ttl", "runctl:launch")


class World:
    """The account as its administrator sees it, and two kernels."""

    def __init__(self, paper: Paper) -> None:
        self.paper, self.kernels = paper, [paper.engine(), paper.engine()]
        env = faults_client.admin_env(paper.connection)
        self.ec2 = client(
            paper.connection,
            "ec2",
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )
        image = next(each for each in self.ec2.describe_images()["Images"] if each["Architecture"] == "x86_64")
        planted = self.ec2.run_instances(
            ImageId=image["ImageId"], InstanceType="m5.large", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "a"}]}],
        )  # fmt: skip
        self.foreign = str(planted["Instances"][0]["InstanceId"])
        self.settle()
        self.examples = itertools.count()
        self.inspected: set[str] = set()

    def described(self) -> dict[str, Any]:
        pages = self.ec2.get_paginator("describe_instances").paginate()
        found = [each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]]
        return {each["InstanceId"]: each for each in found}

    def settle(self) -> dict[str, Any]:
        """Wait until nothing is on its way to another state; return what EC2 describes then."""
        end = time.monotonic() + 20
        while True:
            found = self.described()
            if all(each["State"]["Name"] in SETTLED for each in found.values()):
                return found
            assert time.monotonic() < end, found
            time.sleep(0.005)


def tags_of(described: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}


class Life(RuleBasedStateMachine):
    """One life of an account; the names of its machines are its own."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"x{next(self.world.examples)}-"
        self.creations: Counter[str] = Counter()

    def teardown(self) -> None:
        faults_client.clear(self.world.paper.connection)
        ours = [key for key in self.world.described() if key != self.world.foreign]
        if ours:
            self.world.ec2.terminate_instances(InstanceIds=ours)
        self.world.settle()
        with pytest.MonkeyPatch.context() as patch:
            # An hour later: else each life would look at all before it.
            patch.setattr(machines, "DESCRIBABLE_AFTER_END", timedelta(0))
            assert list(self.world.described()) == [self.world.foreign]

    def attempt(
        self, kernel: int, act: Callable[[Runctl], object], trouble: str | None = None, operation: str | None = None
    ) -> RunctlError | None:
        """Let a kernel do something; what it cannot do, it says in two lines.

        Parameters
        ----------
        trouble, operation
            What happens to the first two calls.
        """
        failure = None
        if trouble is not None:
            faults_client.add(self.world.paper.connection, trouble, service="ec2", operation=operation, count=2)
        try:
            act(self.world.kernels[kernel])
        except RunctlError as error:
            failure = error
        if trouble is not None:
            faults_client.clear(self.world.paper.connection)
        assert failure is None or len(str(failure).splitlines()) == 2, str(failure)
        return failure

    def mine(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.world.described().values() if tags_of(each).get("Name") == self.prefix + name]

    @initialize(spot=st.booleans())
    def begin(self, spot: bool) -> None:
        """Most of what can be done needs a machine."""
        self.create(0, "a", spot)

    def living(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.mine(name) if each["State"]["Name"] in ("running", "stopped")]

    @rule(kernel=KERNELS, name=NAMES, spot=st.booleans(), trouble=TROUBLES)
    def create(self, kernel: int, name: str, spot: bool, trouble: str | None = None) -> None:
        self.creations[name] += 1
        before = {each["InstanceId"] for each in self.mine(name)}
        error = self.attempt(
            kernel,
            lambda rc: rc.instances.create("m5.large", name=self.prefix + name, spot=spot, ttl=3600),
            trouble,
            "CreateFleet",
        )
        new = [each for each in self.mine(name) if each["InstanceId"] not in before]
        assert len(new) == (0 if error else 1), (error, new)

    @rule(name=NAMES)
    def create_at_once(self, name: str) -> None:
        self.creations[name] += 2
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(
                lambda kernel: self.attempt(
                    kernel, lambda rc: rc.instances.create("m5.large", name=self.prefix + name, ttl=3600)
                ),
                (0, 1),
            ))  # fmt: skip

    @rule(kernel=KERNELS, name=NAMES, force=st.booleans(), trouble=TROUBLES)
    def stop(self, kernel: int, name: str, force: bool, trouble: str | None) -> None:
        before = self.living(name)
        error = self.attempt(
            kernel,
            lambda rc: rc.instances.stop(self.prefix + name, force=force, wait=True),
            trouble,
            "StopInstances",
        )
        if len(before) == 1:
            spot, state = before[0].get("InstanceLifecycle") == "spot", self.state(before[0])
            assert isinstance(error, InvalidRequest) if spot else error is None, error
            assert state == ("running" if spot else "stopped")

    @rule(kernel=KERNELS, name=NAMES, trouble=TROUBLES)
    def start(self, kernel: int, name: str, trouble: str | None) -> None:
        before = self.living(name)
        error = self.attempt(kernel, lambda rc: rc.instances.start(self.prefix + name), trouble, "StartInstances")
        if len(before) == 1:
            assert (error, self.state(before[0])) == (None, "running")

    @rule(kernel=KERNELS, name=NAMES, force=st.booleans(), protected=st.booleans(), trouble=TROUBLES)
    def terminate(self, kernel: int, name: str, force: bool, protected: bool, trouble: str | None) -> None:
        if protected:
            self.protect(1 - kernel, name, off=False)
        before = self.living(name)
        error = self.attempt(
            kernel,
            lambda rc: rc.instances.terminate(self.prefix + name, force=force, wait=True),
            trouble,
            "TerminateInstances",
        )
        if len(before) == 1:
            protected = tags_of(before[0]).get("runctl:protected") == "true"
            assert isinstance(error, InstanceProtected) if protected else error is None, error
            assert (self.state(before[0]) == "terminated") is not protected

    @rule(kernel=KERNELS, name=NAMES, off=st.booleans())
    def protect(self, kernel: int, name: str, off: bool) -> None:
        before = self.living(name)
        error = self.attempt(kernel, lambda rc: rc.instances.protect(self.prefix + name, off=off))
        if len(before) == 1:
            assert error is None
            (after,) = (each for each in self.mine(name) if each["InstanceId"] == before[0]["InstanceId"])
            assert (tags_of(after).get("runctl:protected") == "true") is not off

    @rule(kernel=KERNELS)
    def touch_what_is_not_ours(self, kernel: int) -> None:
        for verb in ("start", "stop", "terminate", "protect"):
            assert self.attempt(kernel, lambda rc, verb=verb: getattr(rc.instances, verb)(self.world.foreign))

    @rule(name=NAMES)
    def power_off_from_inside(self, name: str) -> None:
        for each in self.living(name):
            if each["State"]["Name"] == "running":
                self.world.paper.host(each["InstanceId"]).shut_down()
        self.world.settle()

    @rule(name=NAMES)
    def take_spot_back(self, name: str) -> None:
        for each in self.living(name):
            if each.get("InstanceLifecycle") == "spot":
                try:
                    faults_client.interrupt(self.world.paper.connection, each["InstanceId"], notice_s=0.0)
                except FaultRefusedError:
                    assert self.state(each) != "running"
        self.world.settle()

    @rule(market=st.sampled_from(["spot", "on-demand"]), zone=st.sampled_from(["us-east-1a", "us-east-1b"]))
    def run_out(self, market: str, zone: str) -> None:
        faults_client.add(self.world.paper.connection, "no-capacity", market=market, zone=zone, count=1)

    def state(self, described: dict[str, Any]) -> str:
        return str(self.world.settle()[described["InstanceId"]]["State"]["Name"])

    @invariant()
    def holds(self) -> None:
        seen = self.world.settle()
        foreign = seen.pop(self.world.foreign)
        # What is not ours is as it was.
        assert (foreign["State"]["Name"], tags_of(foreign)) == ("running", {"Name": "a"})
        # One machine a request.
        launches = Counter(tags_of(each).get("runctl:launch") for each in seen.values())
        assert all(count == 1 for count in launches.values()), launches
        names = Counter(tags_of(each).get("Name") for each in seen.values())
        assert all(names[self.prefix + name] <= self.creations[name] for name in "ab"), names
        for key, each in seen.items():
            self.check_limits(key, each)
        # What is told is so, in every kernel.
        truth = {
            key: (each["State"]["Name"], tags_of(each).get("Name"), tags_of(each).get("runctl:protected") == "true")
            for key, each in seen.items()
        }
        for rc in self.world.kernels:
            told: dict[str, Instance] = {each.id: each for each in rc.instances.list(all=True)}
            assert {key: (each.state, each.name, each.protected) for key, each in told.items()} == truth
            assert all(each.state_reason for each in told.values() if each.state in ("stopped", "terminated"))

    def check_limits(self, key: str, described: dict[str, Any]) -> None:
        """See that a machine has our tags and ends itself, whatever becomes of us."""
        if key in self.world.inspected or described["State"]["Name"] == "terminated":
            return
        assert all(tags_of(described).get(name) for name in TAGS), described
        attribute = self.world.ec2.describe_instance_attribute
        script = attribute(InstanceId=key, Attribute="userData")["UserData"]["Value"]
        assert "ends_in 3600\n" in base64.b64decode(script).decode()
        behaviour = attribute(InstanceId=key, Attribute="instanceInitiatedShutdownBehavior")
        assert behaviour["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
        self.world.inspected.add(key)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    real_sleep = time.sleep
    with on_paper(tmp_path_factory.mktemp("properties")) as paper, pytest.MonkeyPatch.context() as patch:
        # Machines on paper take no time: neither do pauses between looks at them, and between tries.
        patch.setattr("tenacity.nap.time.sleep", lambda seconds: real_sleep(min(seconds, 0.005)))
        yield World(paper)


def test_whatever_happens(world: World) -> None:
    Life.world = world
    bounds = settings(
        max_examples=EXAMPLES or 10,
        stateful_step_count=10,
        deadline=None,
        # In CI the same each time, and told at once when it fails: looking for a shorter story takes minutes.
        derandomize=not EXAMPLES,
        phases=list(Phase) if EXAMPLES else [Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        database=None,
    )
    run_state_machine_as_test(Life, settings=bounds)
