"""The policy of `setup` is enough for every verb, and no word of it is too much.

One pass runs every verb as a user who has that policy and nothing else, and the sandbox notes which words of the
policy the requests have used and what was denied. Then each statement is taken away, and the verb that needs it says
so; and each condition, and what it kept out of reach is within it. The account is the module's own: what is planted
and left behind here would be found by tests that clean up.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.commands import Choice, Launched, LogView, Request, Story, Watched, invoke, runctl
from runctl_jupyter.commands.known import KnownNames
from runctl_jupyter.commands.place import place_of
from runctl_jupyter.orchestration import Instance, Job, Runctl
from runctl_jupyter.orchestration.account.policies import SPOT_ROLE, trust_policy, user_policy
from runctl_jupyter.orchestration.aws.failures import aws_errors
from runctl_jupyter.orchestration.errors import InstanceNotFound, PermissionDenied, RunctlError
from runctl_jupyter.run_record import JobState, now
from runctl_jupyter.sandbox import faults_client, service
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.account.acting import as_user
from tests.sandbox.conftest import sandbox_mode
from tests.sandbox.control.planting import Garden, ours
from tests.sandbox.paper import Paper

# One kind of machines will do: what may be asked of AWS does not depend on it.
pytestmark = pytest.mark.machineless

BUCKET, ROLE = "policy-bucket", "policy-role"
POLICY = user_policy(BUCKET, role=ROLE)
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
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """An account of this module's own."""
    home = tmp_path_factory.mktemp("policy")
    try:
        yield service.start(home, sandbox_mode(), service.StartOptions(pace=0.0, max_instances=8))
    finally:
        service.stop(home)


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


@pytest.fixture(scope="module")
def foreign(garden: Garden) -> str:
    """A machine of somebody who knows nothing of runctl."""
    return garden.machine({})


@dataclass
class Pass:
    """What one pass through all verbs has led to."""

    policy: dict[str, Any]
    used: set[tuple[str, str]] = field(default_factory=set)
    """Statement and action."""
    resources: set[tuple[str, str]] = field(default_factory=set)
    """Statement and resource."""
    verbs: set[str] = field(default_factory=set)
    denied: set[tuple[str, str]] = field(default_factory=set)
    """Action and resource."""


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


def passed(user: User, garden: Garden, sandbox: Connection, foreign: str) -> Pass:
    """Run every verb once, as a user with the policy and nothing else; one call is past the engine, and refused."""
    terminal, env = user.door(POLICY)
    told = Pass(POLICY)

    def run(line: str) -> Any:
        words = line.split()
        told.verbs.add(verb_of(words))
        return terminal.run(words)

    report = run("doctor --instance-type m5.large --timeout 30s")
    assert report.well, report
    assert {step.deed for step in run("setup").steps} == {"found"}
    run("setup --print")
    run("create m5.large --name dev --wait")
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
    run("protect dev --off")
    lasting = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
    market = {"MarketType": "spot", "SpotOptions": lasting}
    spot = garden.machine(ours(), "spot-instances-request", InstanceMarketOptions=market)
    run(f"terminate {spot} --wait --force")
    refused(lambda: end_past_the_engine(terminal.rc, foreign))  # whose reason the engine asks to be decoded
    me = as_user(env, "sts").get_caller_identity()["Arn"]
    used = faults_client.used_permissions(sandbox, me)
    told.used = {(word["sid"], word["action"]) for word in used}
    told.resources = {(word["sid"], word["resource"]) for word in used}
    told.denied = {(one["action"], one["resource"]) for one in faults_client.denied_permissions(sandbox, me)}
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


@pytest.mark.timeout(400)
def test_every_verb_works_under_the_policy_and_needs_all_of_it(
    user: User, garden: Garden, sandbox: Connection, foreign: str
) -> None:
    """One test, since what it looks at takes a minute to come about."""
    done = passed(user, garden, sandbox, foreign)
    assert set(leaves(runctl)) - ASK_NOBODY == done.verbs
    deliberate = ("ec2:TerminateInstances", f"arn:aws:ec2:us-east-1:123456789012:instance/{foreign}")
    assert done.denied == {deliberate}, "a verb went on without what it was denied"
    no_action_is_never_needed(done)
    no_resource_is_never_needed(done)


def no_action_is_never_needed(done: Pass) -> None:
    granted = {(s["Sid"], action) for s in done.policy["Statement"] for action in s["Action"]}
    unused = {(sid, action) for sid, action in granted - done.used if sid not in BY_HAND}
    unknown = sorted(each for each in unused if each[1] not in {*FOR_LATER, *NEVER_IN_THE_SANDBOX})
    assert unknown == []
    used_after_all = {action for _, action in done.used} & {*FOR_LATER, *NEVER_IN_THE_SANDBOX}
    assert used_after_all == set(), "take these off the list"


def no_resource_is_never_needed(done: Pass) -> None:
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
    Removed("ReadSetup", "setup", "iam:GetInstanceProfile"),
    Removed("PublicAmi", "create m5.large --dry-run", "ssm:GetParameter"),
    Removed("LaunchNew", "create m5.large", "ec2:RunInstances on arn:aws:ec2:us-east-1:*:instance/*"),
    Removed("LaunchUse", "create m5.large", "ec2:RunInstances on arn:aws:ec2:us-east-1::image/"),
    Removed("TagOnCreate", "create m5.large", "ec2:CreateTags"),
    Removed("PassRole", "create m5.large", "iam:PassRole"),
    Removed("SpotRole", "create m5.large --spot", "service-linked role"),
    Removed("Own", "terminate MACHINE", "ec2:TerminateInstances"),
    Removed("Protect", "protect MACHINE", "ec2:CreateTags"),
    Removed("SendDocument", "processes MACHINE", "ssm:SendCommand"),
    Removed("SendInstance", "processes MACHINE", "ssm:SendCommand"),
    Removed("BucketObjects", f"s3 upload PROJECT/fit.py s3://{BUCKET}/x", "s3:PutObject"),
    Removed("BucketItself", f"s3 list s3://{BUCKET}/ --recursive", "s3:ListBucket"),
]


@pytest.fixture(scope="module")
def kept(user: User) -> str:
    """Make a machine of ours, for lines that name one, and return its name."""
    terminal, _ = user.door(POLICY)
    made = terminal.rc.instances.create("m5.large", name="kept", wait=True)
    assert isinstance(made, Instance)
    return "kept"


@pytest.mark.parametrize("removed", REMOVED, ids=[each.sid for each in REMOVED])
def test_without_a_statement_the_verb_that_needs_it_names_it(
    user: User, kept: str, garden: Garden, removed: Removed
) -> None:
    if removed.sid == "SpotRole":
        forget_spot(garden)
    left = [s for s in POLICY["Statement"] if s["Sid"] != removed.sid]
    terminal, _ = user.door({**POLICY, "Statement": left})
    before = len(machines(garden))
    line = removed.line.replace("PROJECT", str(user.folder)).replace("MACHINE", kept)
    error = refused(lambda: terminal.run(line.split()))
    assert isinstance(error, PermissionDenied), error
    assert removed.says in str(error), error
    assert len(machines(garden)) == before


def test_without_the_statements_about_schedules_the_report_names_them(user: User, garden: Garden) -> None:
    """Resources that cannot be asked for or removed are named beside those that can."""
    garden.schedule(ours(), "runctl-left", "ttl-i-0123456789abcdef1")
    statements = POLICY["Statement"]
    terminal, _ = user.door({**POLICY, "Statement": [s for s in statements if s["Sid"] != "ListSchedules"]})
    listed = terminal.run(["resources", "list", "--kind", "schedule"])
    assert any("scheduler:List" in note for note in listed.notes)
    terminal, _ = user.door({**POLICY, "Statement": [s for s in statements if s["Sid"] != "OwnSchedules"]})
    terminal.rc.resources.clock = lambda: now() + timedelta(days=8)
    report = terminal.run(["resources", "cleanup", "--kind", "schedule", "--yes"])
    assert [("scheduler:DeleteSchedule" in failure.what) for failure in report.failed] == [True]


def test_every_statement_is_taken_away_once() -> None:
    by_people = {*BY_HAND}
    of_schedules = {"ListSchedules", "OwnSchedules"}
    statements = {statement["Sid"] for statement in POLICY["Statement"]}
    assert statements == {each.sid for each in REMOVED} | of_schedules | by_people


def machines(garden: Garden) -> list[str]:
    found = garden.client("ec2").describe_instances()["Reservations"]
    states = ("pending", "running")
    return [i["InstanceId"] for each in found for i in each["Instances"] if i["State"]["Name"] in states]


def test_what_is_not_ours_is_out_of_reach(user: User, garden: Garden, foreign: str) -> None:
    terminal, env = user.door(POLICY)
    assert type(refused(lambda: terminal.run(["terminate", foreign]))) is InstanceNotFound
    past_the_engine = refused(lambda: end_past_the_engine(terminal.rc, foreign))
    assert type(past_the_engine) is PermissionDenied
    assert f"ec2:TerminateInstances on arn:aws:ec2:us-east-1:*:instance/{foreign}" in past_the_engine.what
    ec2, s3 = as_user(env, "ec2"), as_user(env, "s3")
    tag = {"Key": "runctl:managed", "Value": "true"}
    volume = garden.volume({})
    for call in (
        lambda: ec2.terminate_instances(InstanceIds=[foreign]),
        lambda: ec2.stop_instances(InstanceIds=[foreign]),
        lambda: ec2.create_tags(Resources=[foreign], Tags=[tag]),
        lambda: ec2.create_tags(Resources=[foreign], Tags=[{"Key": "runctl:protected", "Value": "true"}]),
        lambda: ec2.delete_volume(VolumeId=volume),
        lambda: s3.get_object(Bucket="runctl-sandbox", Key="x"),
        lambda: s3.list_objects_v2(Bucket="runctl-sandbox"),
        lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
        lambda: as_user(env, "ssm").get_parameter(Name="/somebody/elses"),
        lambda: as_user(env, "iam").create_user(UserName="more"),
    ):
        with pytest.raises(ClientError, match=r"UnauthorizedOperation|AccessDenied"):
            call()
    assert garden.client("ec2").describe_instances(InstanceIds=[foreign])["Reservations"]


@dataclass(frozen=True)
class Reach:
    """Something that a condition keeps out of reach, and what comes of it without the condition."""

    statement: str
    key: str
    """Of the condition, as ``OPERATOR KEY``."""
    call: Callable[[Mapping[str, str], Garden, str], Any]
    """Gets the user's keys, the account and a foreign machine."""
    without: str = ""
    """Code of the service's own refusal when IAM allows the call; empty when it is done."""


MANAGED = "StringEquals aws:ResourceTag/runctl:managed"
REACH = [
    Reach("LaunchNew", "StringEquals aws:RequestTag/runctl:managed", lambda env, _garden, _foreign:
          as_user(env, "ec2").create_volume(AvailabilityZone="us-east-1a", Size=1)),  # without a tag of ours
    Reach("TagOnCreate", "StringEquals ec2:CreateAction", lambda env, _garden, foreign:
          as_user(env, "ec2").create_tags(Resources=[foreign], Tags=[{"Key": "runctl:managed", "Value": "no"}])),
    Reach("Own", MANAGED, lambda env, garden, _foreign:
          as_user(env, "ec2").delete_volume(VolumeId=garden.volume({}))),
    Reach("Protect", MANAGED, lambda env, _garden, foreign:
          as_user(env, "ec2").create_tags(Resources=[foreign], Tags=[{"Key": "runctl:protected", "Value": "true"}])),
    Reach("Protect", "Null aws:TagKeys", lambda env, garden, _foreign:  # takes off all tags
          as_user(env, "ec2").delete_tags(Resources=[unbooted(garden)])),
    Reach("Protect", "ForAllValues:StringEquals aws:TagKeys", lambda env, garden, _foreign:
          as_user(env, "ec2").create_tags(
              Resources=[unbooted(garden)], Tags=[{"Key": "runctl:owner", "Value": "somebody-else"}])),
    Reach("SendInstance", "StringEquals ssm:resourceTag/runctl:managed", lambda env, _garden, foreign:
          as_user(env, "ssm").send_command(
              InstanceIds=[foreign], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}),
          "InvalidInstanceId"),  # it has no agent
    Reach("PassRole", "StringEquals iam:PassedToService", lambda env, garden, _foreign:
          schedule_with_our_role(env, garden),
          "ValidationException"),  # the role does not trust the scheduler
    Reach("SpotRole", "StringEquals iam:AWSServiceName", lambda env, _garden, _foreign:
          as_user(env, "iam").create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com"),
          "InvalidAction"),  # the sandbox has no other such role to make
]  # fmt: skip
SCHEDULES = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "scheduler:CreateSchedule", "Resource": "*"}]}  # fmt: skip
"""What else somebody would have to be allowed so that a role could be passed to another service than EC2."""


def unbooted(garden: Garden) -> str:
    """Return a machine of ours that need not run."""
    machine = garden.machine(ours())
    garden.client("ec2").terminate_instances(InstanceIds=[machine])
    return machine


def schedule_with_our_role(env: Mapping[str, str], garden: Garden) -> Any:
    role = garden.client("iam").get_role(RoleName=ROLE)["Role"]["Arn"]
    return as_user(env, "scheduler").create_schedule(
        Name="passed", ScheduleExpression="at(2036-11-24T10:00:00)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", "RoleArn": role, "Input": "{}"},
    )  # fmt: skip


def without_condition(statement: str, key: str) -> dict[str, Any]:
    """Return the policy less one key of one statement's condition."""
    policy: dict[str, Any] = json.loads(json.dumps(POLICY))
    (changed,) = [each for each in policy["Statement"] if each["Sid"] == statement]
    operator, _, name = key.partition(" ")
    del changed["Condition"][operator][name]
    return policy


def code(call: Callable[[], Any]) -> str:
    """Return the code of a refusal, empty when there is none."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.parametrize("reach", REACH, ids=[f"{each.statement} {each.key}" for each in REACH])
def test_each_condition_keeps_something_out_of_reach(user: User, garden: Garden, foreign: str, reach: Reach) -> None:
    _, env = user.door(POLICY, SCHEDULES)
    kept_out = code(lambda: reach.call(env, garden, foreign))
    assert kept_out in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
    _, env = user.door(without_condition(reach.statement, reach.key), SCHEDULES)
    assert code(lambda: reach.call(env, garden, foreign)) == reach.without


def test_each_condition_is_taken_away_once() -> None:
    conditions = [
        (statement["Sid"], f"{operator} {key}")
        for statement in POLICY["Statement"]
        for operator, keys in statement.get("Condition", {}).items()
        for key in keys
    ]
    assert sorted(conditions) == sorted((each.statement, each.key) for each in REACH)
