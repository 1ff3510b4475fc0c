"""The policy of `setup` is enough for every verb, and no word of it is too much.

One pass runs every verb as a user who has that policy and nothing else, and the sandbox notes which words of the
policy the requests have used. Then each statement is taken away, and the verb that needs it says so.
"""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from runctl_jupyter.commands import Choice, Launched, LogView, Request, Story, Watched, invoke, runctl
from runctl_jupyter.commands.known import KnownNames
from runctl_jupyter.commands.place import place_of
from runctl_jupyter.orchestration import Job, Runctl
from runctl_jupyter.orchestration.account.policies import SPOT_ROLE, trust_policy, user_policy
from runctl_jupyter.orchestration.aws.failures import aws_errors
from runctl_jupyter.orchestration.errors import InstanceNotFound, PermissionDenied, RunctlError
from runctl_jupyter.run_record import JobState, now
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.account.acting import as_user
from tests.sandbox.control.planting import Garden, ours
from tests.sandbox.paper import Paper

# One kind of machines will do: what may be asked of AWS does not depend on it.
pytestmark = pytest.mark.machineless

BUCKET, ROLE = "policy-bucket", "policy-role"
DENIED = "PermissionDenied"

FIT = """
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
for step in (1, 2):
    (folder / f"step-{step}.json").write_text(json.dumps({"step": step}))
print("fitted")
"""
HOLD = """
import os, pathlib, signal, sys
if os.environ.get("RUNCTL_RESUME_FROM"):
    sys.exit(0)
pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"], "held.json").write_text("{}")
print("holding", flush=True)
signal.pause()
"""

ASK_NOBODY = {
    "use", "help", "demo", "panel", "sandbox start", "sandbox stop", "sandbox status", "sandbox interrupt",
    "sandbox fault add", "sandbox fault quota", "sandbox fault list", "sandbox fault clear", "sandbox fault power-off",
    "sandbox fault kill-agent", "sandbox fault fill-disk",
}  # fmt: skip
"""Verbs that ask nothing of AWS themselves: of this computer, of the sandbox's own door, or by the verbs below."""

FOR_LATER = {
    "ec2:CreateVolume": "ebs create",
    "ec2:CreateSnapshot": "ebs snapshot",
    "ec2:AttachVolume": "ebs attach",
    "ec2:DetachVolume": "ebs detach",
    "ec2:ModifyInstanceAttribute": "ebs attach: DeleteOnTermination of what is attached",
    "ec2:GetConsoleOutput": "drill: why a machine never reported",
    "ec2:GetSpotPlacementScores": "sweep: where many machines fit",
    "ecr:GetAuthorizationToken": "docker push",
    "ssm:StartSession": "sessions: ports of a machine",
    "ssm:GetConnectionStatus": "sessions: ports of a machine",
    "ssm:ListCommandInvocations": "sessions: commands of a machine",
    "ssm:ListCommands": "sessions: commands of a machine",
    "ssm:CancelCommand": "sessions: commands of a machine",
    "servicequotas:ListServiceQuotas": "sweep: quotas of many types at once",
    "cloudwatch:GetMetricStatistics": "cost: what AWS has billed",
}
"""Actions of the policy that a later issue needs, and which."""

NEVER_IN_THE_SANDBOX = {
    "s3:GetObjectTagging": "CopyObject takes the tags of an object along (S3 API reference, CopyObject)",
    "s3:PutObjectTagging": "CopyObject takes the tags of an object along (S3 API reference, CopyObject)",
    "servicequotas:GetAWSDefaultServiceQuota": "a quota that was never changed may have no value of its own",
    "ec2:DeleteFleets": "an instant fleet is gone from the sandbox with its machine; AWS keeps it for a while",
}
"""Actions that are needed in an account on AWS only, and why."""

BY_HAND = {
    "Parameters": "who keeps secrets in Parameter Store puts them there with the AWS CLI",
    "Secrets": "who keeps secrets in Secrets Manager puts them there with the AWS CLI",
}
"""Statements for what people do themselves beside runctl."""


RESOURCES_FOR_LATER = {
    "snapshot/*": "ebs restore: launches and snapshots",
    "capacity-reservation/*": "sweep: launches into capacity that is reserved",
    "key-pair/*": "sessions: ssh",
    "placement-group/*": "train --nodes: machines that are near each other",
    "document/AWS-StartPortForwardingSession": "sessions: ports of a machine",
}
"""Resources of the policy that a later issue needs, and which."""


@dataclass
class Terminal:
    """A door whose engine is the same for every line."""

    rc: Runctl
    kind: Any = "terminal"
    prompt: str = "runctl"
    known: KnownNames = field(default_factory=KnownNames)
    launching: list[Job] = field(default_factory=list)

    def runctl(self, choice: Choice) -> Runctl:
        return self.rc

    def use(self, choice: Choice) -> Any:
        return place_of(self.rc)

    def progress(self, what: str) -> Any:
        return nullcontext()

    def run(self, line: Sequence[str]) -> Any:
        """Do a line to its end, and return what it is about."""
        value = invoke(line, Request(cast(Any, self))).value
        if isinstance(value, Launched):
            value.job.launched(120)
            return finished(value.job) if value.wait else value.job
        if isinstance(value, Watched):
            return finished(value.job) if value.wait else b"".join(LogView(value.job).log())
        if isinstance(value, LogView):
            return b"".join(value.log())
        return list(value) if isinstance(value, Story) else value


def finished(job: Job) -> Job:
    job.wait(timeout=120)
    assert job.state in (JobState.SUCCEEDED, JobState.CANCELLED), b"".join(LogView(job).log())
    return job


@dataclass
class User:
    """A person with a policy, in a project."""

    sandbox: Connection
    folder: Path
    patch: pytest.MonkeyPatch

    def door(self, *policies: dict[str, Any]) -> tuple[Terminal, dict[str, str]]:
        """Return a terminal of a new user with these policies, and that user's keys."""
        env = faults_client.plain_env(self.sandbox, *policies)
        for name, value in env.items():
            if name.startswith("AWS_"):
                self.patch.setenv(name, value)
        rc = Runctl(target="aws", cwd=self.folder, bucket=BUCKET)
        rc._session.check()  # with the keys that are in the environment now
        return Terminal(rc), env


@pytest.fixture(scope="module")
def garden(sandbox: Connection) -> Garden:
    return Garden(cast(Paper, SimpleNamespace(connection=sandbox)))


@pytest.fixture(scope="module")
def user(sandbox: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Somebody who works in an account that an administrator has set up."""
    home = tmp_path_factory.mktemp("user")
    folder = home / "project"
    (folder / "out").mkdir(parents=True)
    (folder / "fit.py").write_text(FIT)
    (folder / "hold.py").write_text(HOLD)
    (folder / "out" / "a.json").write_text("{}")
    (folder / ".runctl.toml").write_text(f'[launch]\ninstance_profile = "{ROLE}"\n')
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(home / name.lower()))
        for name in [name for name in os.environ if name.startswith(("RUNCTL_", "AWS_"))]:
            if name != "RUNCTL_TEST_MODE":
                patch.delenv(name)
        for name, value in faults_client.admin_env(sandbox).items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        Runctl(target="aws", cwd=folder, bucket=BUCKET).setup()
        yield User(sandbox, folder, patch)


@dataclass
class Pass:
    """What one pass through all verbs has led to."""

    policy: dict[str, Any]
    used: set[tuple[str, str]] = field(default_factory=set)
    """Statement and action."""
    resources: set[tuple[str, str]] = field(default_factory=set)
    """Statement and resource."""
    verbs: set[str] = field(default_factory=set)
    machine: str = ""
    foreign: str = ""
    cleaned: set[str] = field(default_factory=set)
    denied: list[RunctlError] = field(default_factory=list)


def plant(garden: Garden, job: str) -> None:
    """Leave of everything one behind that `resources cleanup` finds: of a job that has ended."""
    left = ours(getpass.getuser(), job=job)
    machine = garden.machine(ours("somebody-else"))
    volume = garden.volume(left)
    garden.snapshot(left, volume)
    garden.image(left, machine, "left-behind")
    garden.template(left, "runctl-left-behind")
    trust = trust_policy()
    trust["Statement"][0]["Principal"] = {"Service": "scheduler.amazonaws.com"}
    garden.client("iam").create_role(RoleName="ends-machines", AssumeRolePolicyDocument=json.dumps(trust))
    garden.schedule(left, "runctl-left", "ttl-i-0123456789abcdef0")
    garden.client("ec2").terminate_instances(InstanceIds=[machine])


def forget_spot(garden: Garden) -> None:
    """Make the account one that has never used spot."""
    iam = garden.client("iam")
    if any(role["RoleName"] == SPOT_ROLE for role in iam.list_roles(PathPrefix="/aws-service-role/")["Roles"]):
        iam.delete_service_linked_role(RoleName=SPOT_ROLE)


@pytest.fixture(scope="module")
def done(user: User, garden: Garden, sandbox: Connection) -> Pass:
    """Run every verb once, as a user with the policy and nothing else."""
    policy = user_policy(BUCKET, role=ROLE)
    terminal, env = user.door(policy)
    told = Pass(policy)
    told.foreign = garden.machine({})

    def run(line: str) -> Any:
        words = line.split()
        import time

        print(f"{time.monotonic():.1f}", line, flush=True)  # XXX
        told.verbs.add(verb_of(words))
        return terminal.run(words)

    report = run("doctor --instance-type m5.large --timeout 30s")
    assert report.well, report
    assert {step.deed for step in run("setup").steps} == {"found"}
    run("setup --print")
    told.machine = run("create m5.large --name dev --wait").id
    run("create g5.xlarge --spot --dry-run")
    run("status")
    run("list")
    run("show dev")
    run("wait dev")
    run("processes dev")
    run("train fit.py --on dev --name fit --wait")
    run("train hold.py --on dev --name hold")
    holding(terminal.rc.jobs.get("hold"))
    run("cancel hold")
    terminal.rc.jobs.get("hold").wait(timeout=60)
    run("resume hold --on dev --wait")
    forget_spot(garden)
    run("train fit.py --instance-type m5.large --spot --name own --wait")
    for line in ("jobs", "logs fit", "attach fit", "wait fit", "show fit", "cost", "checkpoints list fit"):
        run(line)
    saved = terminal.rc.jobs.get("fit").checkpoints()
    run(f"checkpoints download {saved[0].uri} {user.folder / 'back'}")
    for verb, line in (("info", saved[0].uri), ("diff", f"{saved[0].uri} {saved[1].uri}")):
        with pytest.raises(RunctlError) as unreadable:  # they are no tensors; who may not read would hear otherwise
            run(f"checkpoints {verb} {line}")
        assert type(unreadable.value).__name__ != DENIED
    run("checkpoints prune fit --keep-last 1 --yes")
    home = f"s3://{BUCKET}/mine"
    run(f"s3 upload {user.folder / 'out' / 'a.json'} {home}/a.json")
    run(f"s3 upload {user.folder / 'fit.py'} {home}/b.py")
    run(f"s3 list {home}/ --recursive")
    run(f"s3 download {home}/a.json {user.folder / 'a.json'}")
    run(f"s3 sync {user.folder / 'out'} {home}/out --delete")
    run(f"s3 cleanup {home}/ --keep-last 1 --dry-run")
    watch = terminal.rc.storage.watch(f"{home}/", interval=0.1)  # what the verb tells for ever
    run(f"s3 upload {user.folder / 'hold.py'} {home}/c.py")
    assert next(watch).key.endswith("c.py")
    told.verbs.add("s3 watch")
    run("stop dev --wait")
    run("start dev")
    plant(garden, terminal.rc.jobs.get("fit").id)
    run("protect dev")
    run("resources list --region us-east-1")
    run("resources summary")
    job = terminal.rc.jobs.get("fit").id
    begun = {"Bucket": BUCKET, "Key": f"runctl/jobs/{job}/checkpoints/1-00009/w.pt"}
    part = garden.client("s3").create_multipart_upload(**begun)["UploadId"]
    garden.client("s3").upload_part(**begun, UploadId=part, PartNumber=1, Body=b"x")
    terminal.rc.resources.clock = lambda: now() + timedelta(days=8)  # nothing that was left is young any more
    cleaned = run("resources cleanup --yes")
    assert not cleaned.failed
    assert {resource.kind for resource in cleaned.remove} >= {
        "volume", "snapshot", "image", "launch-template", "schedule", "upload"}  # fmt: skip
    told.cleaned = {resource.kind for resource in cleaned.remove}
    run("protect dev --off")
    lasting = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
    market = {"MarketType": "spot", "SpotOptions": lasting}
    spot = garden.machine(ours(), "spot-instances-request", InstanceMarketOptions=market)
    run(f"terminate {spot} --wait --force")
    told.denied.append(refused(lambda: terminal.run(["terminate", told.foreign])))
    told.denied.append(refused(lambda: end_past_the_engine(terminal.rc, told.foreign)))
    me = as_user(env, "sts").get_caller_identity()["Arn"]
    used = faults_client.used_permissions(sandbox, me)
    told.used = {(word["sid"], word["action"]) for word in used}
    told.resources = {(word["sid"], word["resource"]) for word in used}
    return told


def holding(job: Job) -> None:
    for piece in LogView(job, follow=True).log():
        if b"holding" in piece:
            return
    raise AssertionError("the job ended before it held")


def end_past_the_engine(rc: Runctl, machine: str) -> None:
    """Ask EC2 itself: what it says of a refusal is encoded."""
    with aws_errors(f"terminate {machine}"):
        rc._session.ec2.terminate_instances(InstanceIds=[machine])


def refused(call: Any) -> RunctlError:
    with pytest.raises(RunctlError) as caught:
        call()
    return caught.value


def verb_of(words: Sequence[str]) -> str:
    command: click.Command = runctl
    names = []
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.commands[word]
        names.append(word)
    return " ".join(names)


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, (*path, name))
    else:
        yield " ".join(path)


def test_every_verb_works_under_the_policy(done: Pass) -> None:
    assert set(leaves(runctl)) - ASK_NOBODY == done.verbs


def test_no_action_of_the_policy_is_never_needed(done: Pass) -> None:
    granted = {(s["Sid"], action) for s in done.policy["Statement"] for action in s["Action"]}
    unused = {(sid, action) for sid, action in granted - done.used if sid not in BY_HAND}
    unknown = sorted(each for each in unused if each[1] not in {*FOR_LATER, *NEVER_IN_THE_SANDBOX})
    assert unknown == []
    used_after_all = {action for _, action in done.used} & {*FOR_LATER, *NEVER_IN_THE_SANDBOX}
    assert used_after_all == set(), "take these off the list"


def test_no_resource_of_the_policy_is_never_needed(done: Pass) -> None:
    granted = {
        (s["Sid"], resource)
        for s in done.policy["Statement"]
        for resource in ([s["Resource"]] if isinstance(s["Resource"], str) else s["Resource"])
    }
    unused = {(sid, resource) for sid, resource in granted - done.resources if sid not in BY_HAND}
    assert {resource.rpartition(":")[2] for _, resource in unused} == set(RESOURCES_FOR_LATER)


@dataclass
class Removed:
    """A statement that is taken away, and a line that then fails."""

    sid: str
    line: str
    says: str
    """In the error or in what the line returns."""


REMOVED = [
    Removed("Read", "list", "ec2:DescribeInstances"),
    Removed("ReadSetup", "setup", "iam:GetRole"),
    Removed("PublicAmi", "create m5.large --dry-run", "ssm:GetParameter"),
    Removed("LaunchNew", "create m5.large", "ec2:CreateLaunchTemplate|ec2:CreateFleet|ec2:RunInstances"),
    Removed("LaunchUse", "create m5.large", "ec2:CreateFleet|ec2:RunInstances"),
    Removed("TagOnCreate", "create m5.large", "ec2:CreateTags"),
    Removed("PassRole", "create m5.large", "iam:PassRole"),
    Removed("SpotRole", "create m5.large --spot", "service-linked role"),
    Removed("Own", "terminate dev", "ec2:TerminateInstances"),
    Removed("Protect", "protect dev", "ec2:CreateTags"),
    Removed("SendDocument", "processes dev", "ssm:SendCommand"),
    Removed("SendInstance", "processes dev", "ssm:SendCommand"),
    Removed("BucketObjects", f"s3 upload PROJECT/fit.py s3://{BUCKET}/x", "s3:PutObject"),
    Removed("BucketItself", f"s3 list s3://{BUCKET}/ --recursive", "s3:ListBucket"),
]


@pytest.mark.parametrize("removed", REMOVED, ids=[each.sid for each in REMOVED])
def test_without_a_statement_the_verb_that_needs_it_names_it(
    done: Pass, user: User, garden: Garden, removed: Removed
) -> None:
    if removed.sid == "SpotRole":
        forget_spot(garden)
    left = [s for s in done.policy["Statement"] if s["Sid"] != removed.sid]
    terminal, _ = user.door({**done.policy, "Statement": left})
    before = len(machines(garden))
    error = refused(lambda: terminal.run(removed.line.replace("PROJECT", str(user.folder)).split()))
    assert isinstance(error, PermissionDenied), error
    assert re.search(removed.says, str(error)), error
    assert len(machines(garden)) == before


def test_without_the_statements_about_schedules_the_report_names_them(done: Pass, user: User, garden: Garden) -> None:
    """Resources that cannot be asked for or removed are named beside those that can."""
    garden.schedule(ours(), "runctl-left", "ttl-i-0123456789abcdef1")
    statements = done.policy["Statement"]
    terminal, _ = user.door({**done.policy, "Statement": [s for s in statements if s["Sid"] != "ListSchedules"]})
    listed = terminal.run(["resources", "list", "--kind", "schedule"])
    assert any("scheduler:List" in note for note in listed.notes)
    terminal, _ = user.door({**done.policy, "Statement": [s for s in statements if s["Sid"] != "OwnSchedules"]})
    terminal.rc.resources.clock = lambda: now() + timedelta(days=8)
    report = terminal.run(["resources", "cleanup", "--kind", "schedule", "--yes"])
    assert [("scheduler:DeleteSchedule" in failure.what) for failure in report.failed] == [True]


def test_every_statement_is_taken_away_once(done: Pass) -> None:
    by_people = {*BY_HAND}
    of_schedules = {"ListSchedules", "OwnSchedules"}
    statements = {statement["Sid"] for statement in done.policy["Statement"]}
    assert statements == {each.sid for each in REMOVED} | of_schedules | by_people


def machines(garden: Garden) -> list[str]:
    found = garden.client("ec2").describe_instances()["Reservations"]
    states = ("pending", "running")
    return [i["InstanceId"] for each in found for i in each["Instances"] if i["State"]["Name"] in states]


def test_what_is_not_ours_is_out_of_reach(done: Pass, user: User, garden: Garden) -> None:
    assert type(done.denied[0]) is InstanceNotFound
    assert type(done.denied[1]) is PermissionDenied
    assert f"ec2:TerminateInstances on arn:aws:ec2:us-east-1:*:instance/{done.foreign}" in done.denied[1].what
    _, env = user.door(done.policy)
    ec2, s3 = as_user(env, "ec2"), as_user(env, "s3")
    tag = {"Key": "runctl:managed", "Value": "true"}
    volume = garden.volume({})
    for call in (
        lambda: ec2.terminate_instances(InstanceIds=[done.foreign]),
        lambda: ec2.stop_instances(InstanceIds=[done.foreign]),
        lambda: ec2.create_tags(Resources=[done.foreign], Tags=[tag]),
        lambda: ec2.create_tags(Resources=[done.foreign], Tags=[{"Key": "runctl:protected", "Value": "true"}]),
        lambda: ec2.delete_volume(VolumeId=volume),
        lambda: s3.get_object(Bucket="runctl-sandbox", Key="x"),
        lambda: s3.list_objects_v2(Bucket="runctl-sandbox"),
        lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
        lambda: as_user(env, "ssm").get_parameter(Name="/somebody/elses"),
        lambda: as_user(env, "iam").create_user(UserName="more"),
    ):
        with pytest.raises(Exception, match=r"UnauthorizedOperation|AccessDenied"):
            call()
    assert garden.client("ec2").describe_instances(InstanceIds=[done.foreign])["Reservations"]
