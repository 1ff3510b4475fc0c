"""The sandbox's own calls under ``/_sandbox/``: health, and things that only AWS itself could do."""

from __future__ import annotations

import hmac
import json
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote
from wsgiref.types import WSGIEnvironment

from moto.core.exceptions import ServiceException

from runctl_jupyter.sandbox.connection import CONTROL_TOKEN_HEADER
from runctl_jupyter.sandbox.control.access.used_permissions import UsedPermissions
from runctl_jupyter.sandbox.control.application import CONTROL_PREFIX, headers_of, raw_path_and_query
from runctl_jupyter.sandbox.control.ec2 import spot
from runctl_jupyter.sandbox.control.ec2.fleet import Fleet
from runctl_jupyter.sandbox.control.ec2.machines import POWER_LOSS, Machine
from runctl_jupyter.sandbox.control.ec2.quotas import known_quota
from runctl_jupyter.sandbox.control.ec2.spot import spot_request
from runctl_jupyter.sandbox.control.ec2.spot_keeper import SpotKeeper
from runctl_jupyter.sandbox.control.faults.faults import (
    AGENT_DOWN,
    EXPIRED_CREDENTIALS,
    QUOTA,
    FaultRule,
    Faults,
    InvalidFaultError,
)
from runctl_jupyter.sandbox.control.iam.account import Account
from runctl_jupyter.sandbox.control.requests.protocol_errors import Response
from runctl_jupyter.sandbox.hosts.base import HostError

log = logging.getLogger(__name__)
AGENT_RESTART_S = 1.0
"""Time until systemd has started an SSM agent that was killed (minutes on AWS, by the agent's unit)."""


class ControlError(Exception):
    """A control call cannot be done; HTTP status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ControlApi:
    """Answers paths under ``/_sandbox/``; whoever calls must know the token of ``connection.json``."""

    def __init__(
        self, fleet: Fleet, faults: Faults, account: Account, spot_keeper: SpotKeeper, used: UsedPermissions, token: str
    ) -> None:
        self._fleet = fleet
        self._spot_keeper = spot_keeper
        self._account = account
        self._faults = faults
        self._used = used
        self._token = token

    def __call__(self, environ: WSGIEnvironment) -> Response:
        """Answer one call with a JSON object."""
        path, query = raw_path_and_query(environ)
        token = headers_of(environ).get(CONTROL_TOKEN_HEADER.lower(), "")
        try:
            if not hmac.compare_digest(token, self._token):
                raise ControlError(403, f"{CONTROL_TOKEN_HEADER} is missing or wrong")
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, document = 200, self._do(str(environ["REQUEST_METHOD"]), path, query, body)
        except ControlError as error:
            status, document = error.status, {"error": str(error)}
        answer = json.dumps(document).encode()
        return status, [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))], answer

    def _do(self, method: str, path: str, query: str, body: bytes) -> dict[str, Any]:
        verb, _, argument = unquote(path.removeprefix(CONTROL_PREFIX)).partition("/")
        verbs: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
            ("GET", "health"): self._health,
            ("POST", "interrupt"): lambda: self._interrupt(argument, parse_qs(query).get("notice", [None])[0]),
            ("POST", "faults"): lambda: self._add_fault(body),
            ("GET", "faults"): lambda: {"faults": [fault.to_dict() for fault in self._faults.all()]},
            ("DELETE", "faults"): lambda: self._clear_faults(argument or None),
            ("GET", "permissions"): lambda: self._permissions(parse_qs(query).get("arn", [""])[0]),
            ("POST", "users"): lambda: self._add_user(argument, body),
            ("POST", "power-off"): lambda: self._power_off(argument),
            ("POST", "kill-agent"): lambda: self._kill_agent(argument),
            ("POST", "fill-disk"): lambda: self._fill_disk(argument),
            ("DELETE", "fill-disk"): lambda: self._free_disk(argument),
        }
        action = verbs.get((method, verb))
        if action is None:
            raise ControlError(404, f"no such control call: {method} {path}")
        return action()

    def _health(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "instances": len(self._fleet.machines.live()),
            "lost_at_restart": self._fleet.lost_at_restart,
        }

    def _machine(self, reference: str) -> Machine:
        """Find an instance by its id, or by its tag ``Name`` while it lives."""
        found = self._fleet.find(reference)
        if len(found) > 1:
            raise ControlError(409, f"{len(found)} instances have the name {reference}")
        if not found:
            raise ControlError(404, f"no instance {reference}")
        return found[0]

    def _running(self, reference: str) -> Machine:
        machine = self._machine(reference)
        if machine.state != "running":
            raise ControlError(409, f"{reference} is {machine.state}, not running")
        return machine

    def _add_user(self, role: str, body: bytes) -> dict[str, Any]:
        """Give the key of the administrator (``users/admin``), or of a new user with the policies in `body`."""
        if role == "admin":
            key_id, secret = self._account.admin()
        else:
            try:
                policies = json.loads(body)["policies"]
                key_id, secret = self._account.add_user(policies)
            except (ValueError, KeyError, TypeError) as error:
                raise ControlError(400, "a user comes with a list of policy documents") from error
            except ServiceException as error:
                raise ControlError(400, error.message) from error
        return {"access_key_id": key_id, "secret_access_key": secret}

    def _add_fault(self, body: bytes) -> dict[str, Any]:
        try:
            document = json.loads(body)
            if not isinstance(document, dict):
                raise InvalidFaultError("a fault is an object")
            rule = FaultRule.from_dict(document)
        except ValueError as error:  # which an InvalidFaultError is, too
            raise ControlError(400, str(error)) from error
        if rule.kind == QUOTA and not known_quota(str(rule.code)):
            raise ControlError(400, f"there is no quota {rule.code}; an example is L-DB2E81BA")
        if rule.machine is not None:
            rule = replace(rule, machine=self._machine(rule.machine).id)
        fault = self._faults.add(rule)
        if rule.kind == EXPIRED_CREDENTIALS:
            self._fleet.renew_credentials(rule.machine)
        log.info("fault %s: %s", fault.id, rule)
        return fault.to_dict()

    def _permissions(self, arn: str) -> dict[str, Any]:
        return {"used": self._used.of(arn), "denied": self._used.denied_to(arn)}

    def _clear_faults(self, fault_id: str | None) -> dict[str, Any]:
        cleared = self._faults.clear(fault_id)
        if fault_id is not None and not cleared:
            raise ControlError(404, f"no fault {fault_id}")
        return {"cleared": cleared}

    def _power_off(self, reference: str) -> dict[str, Any]:
        """Let the power fail: every process ends at once, the disk stays, and EC2 says that it was its fault.

        As at a restart of the sandbox, an instance of a one-time Spot request is gone: it could not be started again.
        """
        machine = self._running(reference)
        request = spot_request(machine.instance)
        if request is None:
            self._fleet.machines.stop(machine, POWER_LOSS)
        elif machine.stoppable:
            request.set_status(spot.MARKED_FOR_STOP)
            if self._fleet.machines.stop(machine, POWER_LOSS):
                self._spot_keeper.await_return(machine)
        else:
            request.set_status(spot.NO_CAPACITY)
            self._fleet.machines.terminate(machine, POWER_LOSS)
        machine.host.power_off()  # here as well, so that whoever asked knows that nothing runs any more
        return {"instance_id": machine.id, "state": machine.state}

    def _kill_agent(self, reference: str) -> dict[str, Any]:
        """Kill the SSM agent as ``kill -9`` does: its unit restarts it, and its workers (`KillMode=process`) live on.

        Until it is back no command starts and no result arrives; what runs goes on.
        """
        machine = self._running(reference)
        return self._faults.add(FaultRule(AGENT_DOWN, machine=machine.id, for_s=AGENT_RESTART_S)).to_dict()

    def _fill_disk(self, reference: str) -> dict[str, Any]:
        machine = self._running(reference)
        try:
            return {"instance_id": machine.id, "bytes": machine.host.fill_disk()}
        except (HostError, OSError) as error:
            raise ControlError(409, f"the disk of {reference} cannot be filled: {error}") from error

    def _free_disk(self, reference: str) -> dict[str, Any]:
        machine = self._running(reference)
        try:
            machine.host.free_disk()
        except (HostError, OSError) as error:
            raise ControlError(409, f"the disk of {reference} cannot be freed: {error}") from error
        return {"instance_id": machine.id}

    def _interrupt(self, instance_id: str, notice: str | None) -> dict[str, Any]:
        """Reclaim a Spot Instance as EC2 does."""
        machine = self._machine(instance_id)
        request = spot_request(machine.instance)
        if request is None or machine.state != "running":
            raise ControlError(409, f"{instance_id} is not a running Spot Instance")
        try:
            seconds = self._fleet.settings.spot_notice_s if notice is None else float(notice)
        except ValueError:
            raise ControlError(400, f"notice is a number of seconds, not {notice!r}") from None
        action, at = self._spot_keeper.reclaim(machine, seconds)
        return {"instance_id": machine.id, "action": action, "time": at}
