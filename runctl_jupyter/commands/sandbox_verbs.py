"""AWS in a box: `sandbox start`, `stop` and `status`, and what goes wrong in it: `interrupt` and `fault`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runctl_jupyter.commands.parameters import DURATION, INSTANCE, json_option
from runctl_jupyter.commands.results import Text
from runctl_jupyter.orchestration.errors import InvalidRequest, TargetUnavailable

if TYPE_CHECKING:
    from runctl_jupyter.sandbox.connection import Connection

R = TypeVar("R")
SERVICES = (
    "s3", "ec2", "ssm", "sts", "iam", "secretsmanager", "pricing", "servicequotas", "scheduler", "logs", "ecr", "*",
)  # fmt: skip
KINDS = (
    "error",
    "throttle",
    "denied",
    "latency",
    "cut",
    "lost-answer",
    "half-answer",
    "timeout",
    "expired-credentials",
    "offline",
    "no-capacity",
    "slow-boot",
)


@click.group()
def sandbox() -> None:
    """AWS in a box: same calls, real processes, no account."""


def _told(call: Callable[[], R]) -> R:
    """Run `call`; what the sandbox says went wrong is said the way this package says it."""
    from runctl_jupyter.sandbox.faults_client import FaultRefusedError
    from runctl_jupyter.sandbox.service import SandboxError

    try:
        return call()
    except FaultRefusedError as error:
        raise InvalidRequest(*str(error).split("\n", 1)) from error
    except SandboxError as error:
        what, _, advice = str(error).partition("\n")
        raise TargetUnavailable(what, advice or "See: runctl sandbox status") from error


@sandbox.command()
@click.option("--mode", type=click.Choice(["plain", "isolated"]), help="How machines are made; isolated needs root.")
@json_option
def start(mode: str | None) -> Text:
    """Start it, or find the one that runs."""
    from runctl_jupyter.sandbox import service

    _told(lambda: service.start(mode=mode))
    return _report()


@sandbox.command()
@json_option
def stop() -> Text:
    """End it: machines lose power, disks and objects stay."""
    from runctl_jupyter.sandbox import service

    was_running = _told(service.stop)
    said = "The sandbox has ended; disks and objects stay." if was_running else "No sandbox was running."
    return Text(said, {"running": False, "was_running": was_running})


@sandbox.command()
@json_option
def status() -> Text:
    """Say whether it runs, in which mode, and what that cannot do."""
    return _report()


def _report() -> Text:
    from runctl_jupyter.sandbox import service

    found = _told(service.status)
    connection, health = found.connection, found.health
    if connection is None or health is None:
        return Text("No sandbox runs; runctl sandbox start starts one.", {"running": False})
    # Without the token: it lets one cut power in the sandbox, and notebooks are passed on.
    public = {key: value for key, value in connection.to_dict().items() if key != "control_token"}
    document: dict[str, Any] = {
        **public,
        "running": True,
        "instances": health.instances,
        "lost_at_restart": list(health.lost_at_restart),
    }
    lines = [
        f"sandbox running in {connection.mode} mode at {connection.endpoint_url} (pid {connection.pid})",
        f"instances: {health.instances}",
        *(f"cannot: {limit}" for limit in connection.cannot),
        *(f"lost at restart: {loss}" for loss in health.lost_at_restart),
    ]
    return Text("\n".join(lines), document)


def _running() -> Connection:
    """Give the sandbox that runs; a fault is nothing that should start one."""
    from runctl_jupyter.sandbox import service

    found = _told(service.status)
    if found.connection is None or not found.running:
        raise TargetUnavailable("No sandbox runs.", "Start one: runctl sandbox start")
    return found.connection


@sandbox.command()
@click.argument("instance", type=INSTANCE, metavar="ID")
@click.option("--notice", type=DURATION, metavar="D", help="Time between the notice and the end (2m on AWS).")
@json_option
def interrupt(instance: str, notice: float | None) -> Text:
    """Take a Spot machine back: notice in its metadata, then its end."""
    from runctl_jupyter.sandbox import faults_client

    said = _told(lambda: faults_client.reclaim(_running(), instance, notice))
    ends = "stopped" if said.action == "stop" else "terminated"
    return Text(
        f"{instance} will be {ends} at {said.time}.",
        {"instance_id": instance, "action": said.action, "time": said.time},
    )


@sandbox.group()
def fault() -> None:
    """Let requests fail, and machines and networks break, to see what becomes of a job.

    Faults hit what AWS clients see, never the sandbox's own calls. They are gone when the sandbox ends.
    """


_ADD_EPILOG = """\b
Kinds:
  error                an error answer (--status, --code)
  throttle             too many requests, in the words of each service
  denied               nobody has the permission (--service, --operation)
  latency              a delay before the request is carried out (--latency)
  cut                  the connection is closed, the request is not carried out
  lost-answer          it is carried out, but the connection is closed without the answer
  half-answer          the headers and half of the body arrive (S3: GET only)
  timeout              no answer until the client gives up
  expired-credentials  keys issued before now have expired; a machine's metadata hands out new ones
  offline              connections are reset; on a machine its SSM agent is unreachable, too
  no-capacity          launches find no machine (--type, --zone, --market, --late)
  slow-boot            machines are longer pending (--latency, --type, --zone, --market)
\b
Examples:
  runctl sandbox fault add error --service s3 --operation PutObject --code SlowDown --rate 0.5
  runctl sandbox fault add offline --machine i-0123456789abcdef0 --for 60s
  runctl sandbox fault add no-capacity --type 'g5.*' --zone us-east-1a --market spot
"""


@fault.command("add", epilog=_ADD_EPILOG)
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--service", type=click.Choice(SERVICES), default="*", help="Only requests to one service.")
@click.option("--operation", metavar="NAME", help="Only one API operation of it, e.g. PutObject.")
@click.option("--key", metavar="GLOB", help="Only S3 objects whose key matches.")
@click.option("--from", "origin", type=click.Choice(["machine", "client"]), help="Only machines, or only others.")
@click.option("--machine", type=INSTANCE, metavar="ID", help="Only one machine.")
@click.option("--status", type=int, metavar="N", help="HTTP status of an error [default: 500].")
@click.option("--code", metavar="CODE", help="AWS code of an error [default: the service's own for the status].")
@click.option("--latency", type=DURATION, metavar="D", default=0.0, help="Delay before anything else happens.")
@click.option("--rate", type=float, metavar="R", default=1.0, help="Share of these requests that is hit [default: 1].")
@click.option("--count", type=int, metavar="N", help="End after so many hits.")
@click.option("--for", "for_s", type=DURATION, metavar="D", help="End after this time.")
@click.option("--type", "instance_type", metavar="GLOB", help="Only launches of these instance types.")
@click.option("--zone", metavar="ZONE", help="Only launches in one zone.")
@click.option("--market", type=click.Choice(["spot", "on-demand"]), help="Only launches in one market.")
@click.option("--late", is_flag=True, help="No capacity shows after the launch: pending, then terminated.")
@json_option
def add_fault(kind: str, latency: float, **rule: Any) -> Text:
    """Put a fault of a KIND in the way of AWS clients, from the next request on."""
    from runctl_jupyter.sandbox import faults_client

    added = _told(lambda: faults_client.add(_running(), kind, latency_s=latency, **rule))
    return Text(added.describe(), dataclasses.asdict(added))


@fault.command("quota")
@click.argument("code", metavar="CODE")
@click.argument("value", type=click.FloatRange(min=0), metavar="VCPUS")
@json_option
def set_quota(code: str, value: float) -> Text:
    """Give a quota of EC2 another value, e.g. L-DB2E81BA 0: no GPU on demand."""
    from runctl_jupyter.sandbox import faults_client

    added = _told(lambda: faults_client.set_quota(_running(), code, value))
    return Text(added.describe(), dataclasses.asdict(added))


@fault.command("list")
@json_option
def list_faults() -> Text:
    """List faults and how often each was hit, also those that are over."""
    from runctl_jupyter.sandbox import faults_client

    found = _told(lambda: faults_client.list(_running()))
    said = "\n".join(one.describe() for one in found) or "No faults; runctl sandbox fault add KIND adds one."
    return Text(said, {"faults": [dataclasses.asdict(one) for one in found]})


@fault.command("clear")
@click.argument("fault_id", metavar="[FAULT]", required=False)
@json_option
def clear_faults(fault_id: str | None) -> Text:
    """End one fault, e.g. f1, or all, and forget them."""
    from runctl_jupyter.sandbox import faults_client

    gone = _told(lambda: faults_client.clear(_running(), fault_id))
    return Text(f"Cleared {', '.join(gone)}." if gone else "There were no faults.", {"cleared": [*gone]})


@fault.command("power-off")
@click.argument("instance", type=INSTANCE, metavar="ID")
@json_option
def power_off(instance: str) -> Text:
    """Cut a machine's power: every process ends at once, its disk stays."""
    from runctl_jupyter.sandbox import faults_client

    _told(lambda: faults_client.power_off(_running(), instance))
    return Text(f"{instance} has lost power; its disk stays.", {"instance_id": instance})


@fault.command("kill-agent")
@click.argument("instance", type=INSTANCE, metavar="ID")
@json_option
def kill_agent(instance: str) -> Text:
    """Kill a machine's SSM agent; it is back after a second."""
    from runctl_jupyter.sandbox import faults_client

    down = _told(lambda: faults_client.kill_agent(_running(), instance))
    return Text(f"The SSM agent of {instance} is down for {down.left_s:g} s.", dataclasses.asdict(down))


@fault.command("fill-disk")
@click.argument("instance", type=INSTANCE, metavar="ID")
@click.option("--free", is_flag=True, help="Give the space back.")
@json_option
def fill_disk(instance: str, free: bool) -> Text:
    """Fill a machine's disk to the last block (isolated mode)."""
    from runctl_jupyter.sandbox import faults_client

    if free:
        _told(lambda: faults_client.free_disk(_running(), instance))
        return Text(f"The disk of {instance} has room again.", {"instance_id": instance, "bytes": 0})
    taken = _told(lambda: faults_client.fill_disk(_running(), instance))
    return Text(f"The disk of {instance} is full: {taken:,} bytes taken.", {"instance_id": instance, "bytes": taken})
