"""A thousand machines in the account: what a list, a summary and a plan of a cleanup cost, in calls and seconds.

    python tests/bench/resources.py [MACHINES]

The control plane is the sandbox's, in a process of its own, with machines on paper. Beside it: the same answers as a
loop of plain boto3 calls gets them, and what the server itself takes to describe the machines.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.sandboxed import load, show

REPEATS = 3
BATCH = 100
OURS = {"runctl:managed": "true", "runctl:owner": getpass.getuser(), "runctl:ttl": "3600"}
_UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"


class Measured(NamedTuple):
    """Calls, seconds until the answer, seconds of CPU in this process; the rest is the server."""

    calls: int
    seconds: float
    cpu_s: float


class Calls:
    """Counts the requests of a boto3 session."""

    def __init__(self, session: Any) -> None:
        self.made: Counter[str] = Counter()
        session.events.register("before-send", self._count)

    def _count(self, event_name: str, **_: Any) -> None:
        self.made[event_name.rpartition(".")[2]] += 1

    def timed(self, action: Callable[[], object]) -> Measured:
        """Return what an action takes."""
        self.made.clear()
        began, used = time.monotonic(), time.process_time()
        action()
        return Measured(self.made.total(), time.monotonic() - began, time.process_time() - used)


@contextmanager
def served(machines: int) -> Iterator[Path]:
    """Run a control plane on paper in another process; yield its home."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "sandbox")
        serving = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(home), str(machines + 10)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert serving.stdout is not None
            serving.stdout.readline()
            for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
                os.environ[name] = str(Path(folder, name.lower()))
            os.environ["RUNCTL_SANDBOX_HOME"] = str(home)
            yield home
        finally:
            serving.communicate()  # it ends with its input


def serve(home: Path, machines: int) -> None:
    """Be that control plane until the input ends."""
    from tests.paper_hosts import paper_sandbox

    with paper_sandbox(home, max_instances=machines):
        print("ready", flush=True)
        sys.stdin.read()


def plant(session: Any, machines: int) -> None:
    """Fill the account: a machine with its disk each, and for ten of them something that is left over."""
    ec2, ssm = (session.client(name, **_at()) for name in ("ec2", "ssm"))
    image = ssm.get_parameter(Name=_UBUNTU)["Parameter"]["Value"]
    tags = [{"Key": key, "Value": value} for key, value in OURS.items()]

    def tagged(*kinds: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tags} for kind in kinds]

    for _ in range(machines // BATCH):
        ec2.run_instances(
            ImageId=image, InstanceType="m5.large", MinCount=BATCH, MaxCount=BATCH,
            TagSpecifications=tagged("instance", "volume"),
        )  # fmt: skip
    for number in range(machines // 10):
        volume = ec2.create_volume(
            AvailabilityZone="us-east-1a", Size=100, VolumeType="gp3", TagSpecifications=tagged("volume")
        )["VolumeId"]
        ec2.create_snapshot(VolumeId=volume, TagSpecifications=tagged("snapshot"))
        ec2.create_launch_template(
            LaunchTemplateName=f"runctl-{number}", LaunchTemplateData={"InstanceType": "m5.large"},
            TagSpecifications=tagged("launch-template"),
        )  # fmt: skip


def _at() -> dict[str, Any]:
    env = _engine().connection.env
    return {"endpoint_url": env["AWS_ENDPOINT_URL"]}


def _engine() -> Any:
    from runctl_jupyter.orchestration import Runctl

    return Runctl(target="sandbox")


def _session() -> Any:
    import boto3

    env = _engine().connection.env
    return boto3.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name=env["AWS_REGION"])


def each_by_its_id(ec2: Any) -> int:
    """Look at everything one by one, as code does that has a list of ids: machine, its disks, what it is tagged."""
    ids = [i["InstanceId"] for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    for instance_id in ids:
        ec2.describe_instances(InstanceIds=[instance_id])
        ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}])
        ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance_id]}])
    return len(ids)


def whole_lists(ec2: Any) -> None:
    """Ask for whole lists without filter and page, one after the other, and look for the tag here."""
    machines = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    rows = [*machines, *ec2.describe_volumes()["Volumes"], *ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"],
            *ec2.describe_images(Owners=["self"])["Images"],
            *ec2.describe_launch_templates()["LaunchTemplates"],
            *ec2.describe_spot_instance_requests()["SpotInstanceRequests"]]  # fmt: skip
    mine = [row for row in rows if {"Key": "runctl:managed", "Value": "true"} in row.get("Tags", [])]
    assert mine


def machines_alone(ec2: Any) -> None:
    """Describe the machines in pages of a thousand and do nothing with them."""
    filters = [{"Name": "tag:runctl:managed", "Values": ["true"]}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters, PaginationConfig={"PageSize": 1000})
    assert sum(len(r["Instances"]) for page in pages for r in page["Reservations"])


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), int(sys.argv[3]))
        return
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with served(machines):
        session = _session()
        plant(session, machines)
        rc, moment = _engine(), timedelta(hours=2)
        resources = rc.resources
        plain_clock = resources.clock
        resources.clock = lambda: plain_clock() + moment  # now the limits have passed, and nothing is young
        ours, theirs = Calls(rc._session.boto3_session), Calls(session)
        ec2 = session.client("ec2", **_at())
        things = len(resources.list())
        planned = resources.cleanup()
        everywhere: dict[str, Any] = {"all_regions": True}
        rows = [
            ("resources list", ours, resources.list),
            ("resources summary", ours, resources.summary),
            (f"resources cleanup: {len(planned.remove):,} of {things:,} would go", ours, resources.cleanup),
            ("resources list --all-regions (17)", ours, lambda: resources.list(**everywhere)),
            ("plain boto3: whole lists, no filter, no pages", theirs, lambda: whole_lists(ec2)),
            ("limit: DescribeInstances alone, in pages", theirs, lambda: machines_alone(ec2)),
            ("plain boto3: three calls for each machine", theirs, lambda: each_by_its_id(ec2)),
        ]
        told = []
        for name, calls, action in rows:
            repeats = 1 if action is rows[-1][2] else REPEATS
            measured = [calls.timed(action) for _ in range(repeats)]
            seconds = sorted(each.seconds for each in measured)
            middle = seconds[len(seconds) // 2]
            cpu = min(each.cpu_s for each in measured)
            took = f"{seconds[0]:.2f} / {middle:.2f} / {seconds[-1]:.2f}"
            told.append((name, f"{measured[-1].calls:,}", took, f"{cpu:.2f}"))
        columns = ["what", "calls", "s min / median / max", "CPU s here"]
        show(f"{machines:,} machines, {things:,} things of ours, load {load()}", columns, told)


if __name__ == "__main__":
    main()
