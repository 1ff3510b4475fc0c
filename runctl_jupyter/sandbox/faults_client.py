"""Faults of a running sandbox, for tests and the verbs: requests that fail, machines that lose power.

Everything here calls the sandbox's own control API, which no fault can hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from runctl_jupyter.sandbox.connection import Connection, call_control
from runctl_jupyter.sandbox.service import SandboxError

LAUNCH_KINDS = ("no-capacity", "slow-boot")


class FaultRefusedError(SandboxError):
    """The sandbox does not do what was asked for. Two lines: what failed, what to do."""


@dataclass(frozen=True)
class FaultState:
    """A fault, what it is about, and how often it was hit."""

    id: str
    kind: str
    service: str
    operation: str | None
    key: str | None
    origin: str | None
    machine: str | None
    status: int | None
    code: str | None
    latency_s: float
    rate: float
    count: int | None
    for_s: float | None
    hits: int
    active: bool
    left_s: float | None
    instance_type: str | None = None
    zone: str | None = None
    market: str | None = None
    late: bool = False
    value: float | None = None

    def describe(self) -> str:
        """Say it in a line."""
        where = [self.service, self.operation or "", f"key {self.key}" if self.key else ""]
        whose = self.machine or (f"every {self.origin}" if self.origin else "everybody")
        if self.kind in LAUNCH_KINDS:
            where, whose = [f"every launch in {self.zone or 'any zone'}"], self.instance_type or "every type"
        facts = [
            f"{self.status or ''} {self.code or ''}".strip(),
            f"is {self.value:g}" if self.value is not None else "",
            f"{self.market} only" if self.market else "",
            "seen late" if self.late else "",
            f"after {self.latency_s:g} s" if self.latency_s else "",
            f"{self.rate:.0%} of them" if self.rate < 1 else "",
            f"at most {self.count} times" if self.count else "",
            f"{self.left_s:g} s left" if self.active and self.left_s is not None else "",
            f"hit {self.hits} times" if self.hits != 1 else "hit once",
            "" if self.active else "over",
        ]
        head = f"{self.id}: {self.kind} for {whose} at {' '.join(filter(None, where))}"
        return ", ".join([head, *filter(None, facts)])


def add(
    connection: Connection,
    kind: str,
    *,
    service: str = "*",
    operation: str | None = None,
    key: str | None = None,
    origin: str | None = None,
    machine: str | None = None,
    status: int | None = None,
    code: str | None = None,
    latency_s: float = 0.0,
    rate: float = 1.0,
    count: int | None = None,
    for_s: float | None = None,
    instance_type: str | None = None,
    zone: str | None = None,
    market: str | None = None,
    late: bool = False,
) -> FaultState:
    """Put a fault in the way of AWS clients, from the next request on.

    Parameters
    ----------
    connection
        The sandbox.
    kind
        ``error throttle denied latency cut lost-answer half-answer timeout expired-credentials offline no-capacity
        slow-boot``.
    service, operation, key
        Which requests: of a service, an API operation of it, S3 objects whose key matches a glob.
    origin
        ``machine``: only requests of instances; ``client``: only others.
    machine
        Only requests of this instance, by its id or name.
    status, code
        What an ``error`` answers with; 500 and the service's own code by default.
    latency_s
        Delay before anything else happens.
    rate
        Share of these requests that is hit. Which ones is the same at every run.
    count, for_s
        Hits and seconds after which it ends by itself.
    instance_type, zone, market
        Which launches ``no-capacity`` and ``slow-boot`` hit: types that match a glob, in a zone, ``spot`` or
        ``on-demand``.
    late
        ``no-capacity`` shows only after the launch has been accepted.

    Raises
    ------
    FaultRefusedError
        There is no such fault or machine.
    SandboxError
        The sandbox does not answer.
    """
    rule = {
        "kind": kind, "service": service, "operation": operation, "key": key, "origin": origin, "machine": machine,
        "status": status, "code": code, "latency_s": latency_s, "rate": rate, "count": count, "for_s": for_s,
        "instance_type": instance_type, "zone": zone, "market": market, "late": late,
    }  # fmt: skip
    return FaultState(**_call(connection, "POST", "faults", rule))


def set_quota(connection: Connection, code: str, vcpus: float) -> FaultState:
    """Give a quota of EC2 another value, until the fault is cleared.

    Raises
    ------
    FaultRefusedError
        There is no such quota.
    """
    return FaultState(**_call(connection, "POST", "faults", {"kind": "quota", "code": code, "value": vcpus}))


def list(connection: Connection) -> Sequence[FaultState]:  # noqa: A001 - read as ``faults_client.list``
    """Give all faults with their hits, also those that have ended by themselves."""
    return [FaultState(**one) for one in _call(connection, "GET", "faults")["faults"]]


def clear(connection: Connection, fault_id: str | None = None) -> Sequence[str]:
    """End one fault, or all, and let go of every request they hold; gives the ids of those that are gone."""
    cleared: Sequence[str] = _call(connection, "DELETE", f"faults/{quote(fault_id or '')}")["cleared"]
    return cleared


def power_off(connection: Connection, instance_id: str) -> None:
    """Cut the power of a running machine: returns when no process is left. EC2 will say ``stopped``.

    Its disk stays. A Spot Instance is terminated instead: it could not be started again.
    """
    _call(connection, "POST", f"power-off/{quote(instance_id)}")


def kill_agent(connection: Connection, instance_id: str) -> FaultState:
    """Kill the SSM agent of a running machine; it is back after about a second.

    Until then no command starts and no result arrives; scripts that run go on.
    """
    return FaultState(**_call(connection, "POST", f"kill-agent/{quote(instance_id)}"))


def fill_disk(connection: Connection, instance_id: str) -> int:
    """Leave no free block on the disk of a running isolated machine; gives the bytes that took.

    That ends with `free_disk`, and when the machine boots.
    """
    return int(_call(connection, "POST", f"fill-disk/{quote(instance_id)}")["bytes"])


def free_disk(connection: Connection, instance_id: str) -> None:
    """Undo `fill_disk`."""
    _call(connection, "DELETE", f"fill-disk/{quote(instance_id)}")


@dataclass(frozen=True)
class Interruption:
    """What will happen to a Spot Instance."""

    action: str
    """``terminate``, or ``stop`` when its request says so."""
    time: str


def interrupt(connection: Connection, instance_id: str, notice_s: float | None = None) -> str:
    """Reclaim a Spot Instance; gives the time of its end, `notice_s` from now (default: as the sandbox's pace says)."""
    return reclaim(connection, instance_id, notice_s).time


def reclaim(connection: Connection, instance_id: str, notice_s: float | None = None) -> Interruption:
    """Reclaim a Spot Instance, as `interrupt`, and tell what that means for it."""
    notice = "" if notice_s is None else f"?notice={notice_s:g}"
    said = _call(connection, "POST", f"interrupt/{quote(instance_id)}{notice}")
    return Interruption(said["action"], said["time"])


def admin_env(connection: Connection) -> dict[str, str]:
    """Environment of an AWS client that acts as the account's administrator (policy AdministratorAccess)."""
    return _env(connection, "users/admin", {})


def plain_env(connection: Connection, *policies: Mapping[str, Any]) -> dict[str, str]:
    """Environment of an AWS client that acts as a new user whose rights are these policy documents, and no others.

    Raises
    ------
    FaultRefusedError
        A policy is malformed.
    """
    return _env(connection, "users", {"policies": [*policies]})


def used_permissions(connection: Connection, arn: str) -> Sequence[Mapping[str, str]]:
    """Which words of its policies a user or role session has used so far: ``sid``, ``action`` and ``resource``."""
    used: Sequence[Mapping[str, str]] = _call(connection, "GET", f"permissions?arn={quote(arn, safe='')}")["used"]
    return used


def denied_permissions(connection: Connection, arn: str) -> Sequence[Mapping[str, str]]:
    """Return what a user or role session has asked for and was not allowed: ``action`` and ``resource``."""
    denied: Sequence[Mapping[str, str]] = _call(connection, "GET", f"permissions?arn={quote(arn, safe='')}")["denied"]
    return denied


def _env(connection: Connection, path: str, document: dict[str, Any]) -> dict[str, str]:
    key = _call(connection, "POST", path, document)
    return {
        **connection.env,
        "AWS_ACCESS_KEY_ID": str(key["access_key_id"]),
        "AWS_SECRET_ACCESS_KEY": str(key["secret_access_key"]),
    }


def _call(connection: Connection, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        status, answer = call_control(connection, method, f"/_sandbox/{path}", document)
    except (OSError, ValueError) as error:
        raise SandboxError(
            f"The sandbox at {connection.endpoint_url} does not answer: {error}.\nLook with `runctl sandbox status`."
        ) from error
    if status == 200:
        return answer
    hint = {
        400: "See `runctl sandbox fault add --help`.",
        403: "Its token has changed: `runctl sandbox status` reads the new one.",
        404: "`runctl sandbox fault list` and `runctl list` show what there is.",
    }.get(status, "`runctl list` shows the state of each machine, `runctl sandbox status` what its mode cannot do.")
    said = str(answer.get("error", status))
    raise FaultRefusedError(f"{said[:1].upper()}{said[1:]}.\n{hint}")
