"""Faults that the sandbox has been told to put in the way of AWS clients: which there are, and what they hit.

They live in this process only, so they end with it. What a fault does to a request that it hits is in
`fault_effects`.
"""

from __future__ import annotations

import fnmatch
import itertools
import random
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from runctl_jupyter.sandbox.control.access.s3_permissions import bucket_and_key
from runctl_jupyter.sandbox.control.requests.operations import operations_of
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from runctl_jupyter.sandbox.control.requests.services import SERVICES as VOUCHED_FOR
from runctl_jupyter.sandbox.control.requests.services import operation_names

ERROR, LATENCY, CUT, TIMEOUT = "error", "latency", "cut", "timeout"
LOST_ANSWER, HALF_ANSWER = "lost-answer", "half-answer"
EXPIRED_CREDENTIALS, OFFLINE, AGENT_DOWN = "expired-credentials", "offline", "agent-down"
THROTTLE, DENIED = "throttle", "denied"
NO_CAPACITY, SLOW_BOOT, QUOTA = "no-capacity", "slow-boot", "quota"
REQUEST_KINDS = (ERROR, THROTTLE, DENIED, LATENCY, CUT, LOST_ANSWER, HALF_ANSWER, TIMEOUT, EXPIRED_CREDENTIALS)
LAUNCH_KINDS = (NO_CAPACITY, SLOW_BOOT)
"""What happens to launches."""
KINDS = (*REQUEST_KINDS, OFFLINE, AGENT_DOWN, *LAUNCH_KINDS, QUOTA)
ANY = "*"
SERVICES = (ANY, *VOUCHED_FOR)
MACHINE, CLIENT = "machine", "client"
STATUSES_WITH_A_CODE = (500, 503)
"""For these `fault_effects` knows which code each service answers with."""


class InvalidFaultError(ValueError):
    """What was asked for is no fault; one line."""


@dataclass(frozen=True)
class Caller:
    """Who makes a request, as far as faults tell callers apart."""

    machine: str | None = None
    """Id of the instance it comes from: by its role's credentials or by the address of its gateway."""
    issued_at: float | None = None
    """When its temporary credentials were issued (`time.monotonic`); None for a user's lasting key."""


@dataclass(frozen=True)
class FaultRule:
    """What was asked for. None and ``*`` match everything."""

    kind: str
    service: str = ANY
    operation: str | None = None
    key: str | None = None
    """Glob for the keys of S3 objects; a request without a key does not match."""
    origin: str | None = None
    """``machine`` or ``client``."""
    machine: str | None = None
    status: int | None = None
    code: str | None = None
    latency_s: float = 0.0
    rate: float = 1.0
    """Share of the requests that match which are hit."""
    count: int | None = None
    """Hits after which the fault ends."""
    for_s: float | None = None
    """Seconds after which it ends."""
    instance_type: str | None = None
    """Glob for the types whose launches are hit."""
    zone: str | None = None
    market: str | None = None
    """``spot`` or ``on-demand``."""
    late: bool = False
    """No capacity shows only after the launch: ``pending``, then ``terminated``."""
    value: float | None = None
    """Of a quota whose `code` this is: vCPUs."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FaultRule:
        """Build a rule from JSON values.

        Raises
        ------
        InvalidFaultError
            A value is missing, unknown or does not fit the others.
        """
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InvalidFaultError(f"a fault has no {', '.join(unknown)}")
        if values.get("kind") not in KINDS:
            raise InvalidFaultError(f"the kind is one of {', '.join(KINDS)}, not {values.get('kind')!r}")
        for name in ("service", "operation", "key", "origin", "machine", "code", "instance_type", "zone", "market"):
            if values.get(name) is not None and not isinstance(values[name], str):
                raise InvalidFaultError(f"{name} is a text, not {values[name]!r}")
        rule = cls(**values)
        rule._check_numbers()
        rule._check_place()
        rule._check_kind()
        rule._check_launch()
        return rule

    def _check_numbers(self) -> None:
        limits: tuple[tuple[str, Any, float, float, type], ...] = (
            ("status", self.status, 400, 599, int),
            ("latency", self.latency_s, 0, 3600, float),
            ("rate", self.rate, 0, 1, float),
            ("count", self.count, 1, 10**9, int),
            ("for", self.for_s, 0, 10**9, float),
            ("value", self.value, 0, 10**9, float),
        )
        for name, value, least, most, kind in limits:
            number = isinstance(value, int | kind) and not isinstance(value, bool)
            if value is not None and not (number and least <= value <= most):
                raise InvalidFaultError(f"{name} is a number from {least} to {most}, not {value!r}")
        if self.rate == 0:
            raise InvalidFaultError("rate is above 0: a fault that hits nothing is none")
        if self.kind in (LATENCY, SLOW_BOOT) and not self.latency_s:
            raise InvalidFaultError(f"{self.kind} needs a time: latency")
        if self.kind not in (ERROR, QUOTA) and (self.status is not None or self.code is not None):
            raise InvalidFaultError(f"status and code belong to {ERROR}, not to {self.kind}")
        if self.status is not None and self.code is None and self.status not in STATUSES_WITH_A_CODE:
            raise InvalidFaultError(f"status {self.status} needs a code: services answer it with many")

    def _check_place(self) -> None:
        if self.service not in SERVICES:
            raise InvalidFaultError(f"the service is one of {', '.join(SERVICES)}, not {self.service!r}")
        if self.origin not in (None, MACHINE, CLIENT):
            raise InvalidFaultError(f"requests come from {MACHINE} or {CLIENT}, not from {self.origin!r}")
        if self.machine is not None and self.origin == CLIENT:
            raise InvalidFaultError("a machine's requests do not come from a client")
        if self.key is not None and self.service not in (ANY, "s3"):
            raise InvalidFaultError(f"keys are S3's: {self.service} has none")
        if self.operation is not None:
            if self.service == ANY:
                raise InvalidFaultError("an operation needs its service")
            if self.operation not in operation_names(self.service):
                raise InvalidFaultError(f"{self.service} has no operation {self.operation!r}")

    def _check_kind(self) -> None:
        if self.kind == DENIED and self.service == ANY:
            raise InvalidFaultError("say which service denies; its operation can be named, too")
        everything = (self.service, self.operation, self.key) == (ANY, None, None)
        if self.kind == OFFLINE:
            if not everything:
                raise InvalidFaultError("who is offline reaches no service at all: no service, operation or key")
            if self.origin is None and self.machine is None:
                raise InvalidFaultError("say who is offline: one machine, all machines or the client")
        if self.kind == AGENT_DOWN and not (everything and self.machine):
            raise InvalidFaultError("an agent is down on one machine, and that is all to say")

    def _check_launch(self) -> None:
        outside = self.kind in (*LAUNCH_KINDS, QUOTA)
        requests = (self.service, self.operation, self.key, self.origin, self.machine)
        if outside and requests != (ANY, None, None, None, None):
            raise InvalidFaultError(f"{self.kind} hits launches: no service, operation, key, caller or machine")
        if self.kind not in LAUNCH_KINDS and (self.instance_type, self.zone, self.market) != (None, None, None):
            raise InvalidFaultError(f"type, zone and market belong to {' and '.join(LAUNCH_KINDS)}")
        if self.market not in (None, "spot", "on-demand"):
            raise InvalidFaultError(f"the market is spot or on-demand, not {self.market!r}")
        if not isinstance(self.late, bool) or (self.late and self.kind != NO_CAPACITY):
            raise InvalidFaultError(f"late belongs to {NO_CAPACITY}")
        if (self.kind == QUOTA) != (self.value is not None):
            raise InvalidFaultError("a quota has a code and a value, and nothing else has a value")
        if self.kind == QUOTA and self.code is None:
            raise InvalidFaultError("a quota needs its code")

    def covers_launch(self, instance_type: str, zone: str, market: str) -> bool:
        """Whether the rule is about launches of a type in a zone and market."""
        return (
            (self.instance_type is None or fnmatch.fnmatchcase(instance_type, self.instance_type))
            and self.zone in (None, zone)
            and self.market in (None, market)
        )

    def covers(self, call: ServiceCall, caller: Caller) -> bool:
        """Whether a request is of the sort that the rule is about."""
        if (
            self.kind in (AGENT_DOWN, *LAUNCH_KINDS, QUOTA)
            or self.service not in (ANY, call.service)
            or not self.covers_caller(caller)
        ):
            return False
        if self.kind == HALF_ANSWER and call.service == "s3" and call.method != "GET":
            return False  # no other answer of S3 is worth cutting: most are empty
        if self.key is not None and not any(fnmatch.fnmatchcase(key, self.key) for key in _keys(call)):
            return False
        return self.operation is None or self.operation in operations_of(call)

    def covers_caller(self, caller: Caller) -> bool:
        """Whether the rule is about requests of this caller."""
        if self.machine is not None:
            return caller.machine == self.machine
        return self.origin is None or (self.origin == MACHINE) == (caller.machine is not None)


def _keys(call: ServiceCall) -> Sequence[str]:
    """Keys of S3 objects that a request is about."""
    if call.service != "s3":
        return ()
    _, key = bucket_and_key(call.path)
    return [key] if key else [name.decode("utf-8", "replace") for name in re.findall(rb"<Key>(.*?)</Key>", call.body)]


@dataclass(eq=False)
class Fault:
    """A rule in force, and how often it was hit."""

    id: str
    rule: FaultRule
    added_at: float = field(default_factory=time.monotonic)
    hits: int = 0
    over: bool = False
    """It hits nothing any more. Requests that it has hit before are still in its hands."""

    def __post_init__(self) -> None:
        # Its number is its seed: the same requests in the same order have the same fate.
        self._dice = random.Random(self.id)  # noqa: S311 - no secret hangs on it
        # Closing one end wakes everybody who waits on the other, however many they are.
        self._waited, self._held = socket.socketpair()

    def __del__(self) -> None:
        # When nobody waits in it any more.
        self._waited.close()
        self._held.close()

    def to_dict(self) -> dict[str, Any]:
        """Give rule and state as JSON values."""
        left = self.left_s()
        return {"id": self.id, **asdict(self.rule), "hits": self.hits, "active": not self.over,
                "left_s": None if left is None else round(left, 1)}  # fmt: skip

    def left_s(self) -> float | None:
        """Seconds until its time is over; None when only hits or somebody end it."""
        if self.rule.for_s is None:
            return None
        return max(0.0, self.added_at + self.rule.for_s - time.monotonic())

    def takes(self) -> bool:
        """Decide on one request that the rule covers, and count it when it is hit."""
        if self.over or (self.rule.rate < 1 and self._dice.random() >= self.rule.rate):
            return False
        self.hits += 1
        if self.hits == self.rule.count:
            self.over = True
        return True

    def release(self) -> None:
        """Hit nothing any more, and let go of every request that waits."""
        self.over = True
        self._held.close()

    def wait(self, seconds: float | None = None, peer: socket.socket | None = None) -> None:
        """Wait for `seconds`, the end of the fault's time, its release, or until `peer` is readable."""
        times = [one for one in (seconds, self.left_s()) if one is not None]
        with selectors.DefaultSelector() as selector:
            selector.register(self._waited, selectors.EVENT_READ)
            if peer is not None:
                selector.register(peer, selectors.EVENT_READ)
            selector.select(min(times) if times else None)


class Faults:
    """All faults of a sandbox. Those that have ended stay listed, with their hits, until they are cleared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._faults: tuple[Fault, ...] = ()
        self.active: tuple[Fault, ...] = ()
        """Those that can hit something. Empty nearly always: then a request costs one look at it."""

    def add(self, rule: FaultRule) -> Fault:
        """Put a fault in force."""
        with self._lock:
            fault = Fault(f"f{next(self._numbers)}", rule)
            self._faults += (fault,)
            self.active += (fault,)
        return fault

    def all(self) -> list[Fault]:
        """Give all faults, first added first."""
        with self._lock:
            self._drop_ended()
            return list(self._faults)

    def clear(self, fault_id: str | None = None) -> list[str]:
        """End one fault or all of them and forget them; gives their ids."""
        with self._lock:
            gone = [one for one in self._faults if fault_id in (None, one.id)]
            self._faults = tuple(one for one in self._faults if one not in gone)
            for fault in gone:
                fault.release()
            self._drop_ended()
        return [one.id for one in gone]

    def strike(self, call: ServiceCall, caller: Caller) -> list[Fault]:
        """Give the faults that hit a request: every latency, and of the others the first."""
        struck: list[Fault] = []
        decided = False
        with self._lock:
            self._drop_ended()
            for fault in self.active:
                delays = fault.rule.kind == LATENCY
                if (decided and not delays) or not fault.rule.covers(call, caller) or _is_fresh(fault, caller):
                    continue
                if fault.takes():
                    struck.append(fault)
                    decided = decided or not delays
            self._drop_ended()
        return sorted(struck, key=lambda fault: fault.rule.kind != LATENCY)

    def unplugged(self, machine: str) -> bool:
        """Whether a machine that wants to open a connection is offline; counts as a hit."""
        if not self.active:
            return False
        with self._lock:
            self._drop_ended()
            offline = [one for one in self.active if one.rule.kind == OFFLINE]
            hit = any(one.rule.covers_caller(Caller(machine)) and one.takes() for one in offline)
            self._drop_ended()
        return hit

    def rules(self, kind: str) -> list[FaultRule]:
        """Give the rules of one kind that are in force, first added first."""
        if not self.active:
            return []
        with self._lock:
            self._drop_ended()
            return [one.rule for one in self.active if one.rule.kind == kind]

    def take(self, kind: str, covers: Callable[[FaultRule], bool]) -> FaultRule | None:
        """Give the first rule of a kind that covers something and hits it."""
        if not self.active:
            return None
        with self._lock:
            self._drop_ended()
            hits = (one.rule for one in self.active if one.rule.kind == kind and covers(one.rule) and one.takes())
            hit = next(hits, None)
            self._drop_ended()
        return hit

    def await_agent(self, machine: str) -> bool:
        """Wait until the SSM agent of a machine is up and can reach AWS; gives whether that took waiting."""
        waited = False
        while (fault := self._holding_agent(machine)) is not None:
            if not waited:
                with self._lock:
                    fault.takes()
            waited = True
            fault.wait()
        return waited

    def _holding_agent(self, machine: str) -> Fault | None:
        if not self.active:
            return None
        with self._lock:
            self._drop_ended()
            holding = [one for one in self.active if one.rule.kind in (OFFLINE, AGENT_DOWN)]
            return next((one for one in holding if one.rule.covers_caller(Caller(machine))), None)

    def _drop_ended(self) -> None:
        for fault in self.active:
            fault.over = fault.over or fault.left_s() == 0
        self.active = tuple(one for one in self.active if not one.over)


def _is_fresh(fault: Fault, caller: Caller) -> bool:
    """Whether an expiry of credentials leaves a caller alone: its own were issued since."""
    expiry = fault.rule.kind == EXPIRED_CREDENTIALS
    return expiry and caller.issued_at is not None and caller.issued_at > fault.added_at
