"""The sandbox's own calls under ``/_sandbox/``: health, and things that only AWS itself could do."""

from __future__ import annotations

import hmac
import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

from runctl_jupyter.sandbox.connection import CONTROL_TOKEN_HEADER
from runctl_jupyter.sandbox.control import spot
from runctl_jupyter.sandbox.control.application import CONTROL_PREFIX, headers_of, raw_path_and_query
from runctl_jupyter.sandbox.control.fleet import Fleet, spot_request
from runctl_jupyter.sandbox.control.machines import SPOT_TERMINATION
from runctl_jupyter.sandbox.control.protocol_errors import Response

log = logging.getLogger(__name__)


class ControlError(Exception):
    """A control call cannot be done; HTTP status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ControlApi:
    """Answers paths under ``/_sandbox/``; whoever calls must know the token of ``connection.json``."""

    def __init__(self, fleet: Fleet, token: str) -> None:
        self._fleet = fleet
        self._token = token

    def __call__(self, environ: WSGIEnvironment) -> Response:
        """Answer one call with a JSON object."""
        path, query = raw_path_and_query(environ)
        token = headers_of(environ).get(CONTROL_TOKEN_HEADER.lower(), "")
        try:
            if not hmac.compare_digest(token, self._token):
                raise ControlError(403, f"{CONTROL_TOKEN_HEADER} is missing or wrong")
            status, document = 200, self._do(str(environ["REQUEST_METHOD"]), path, query)
        except ControlError as error:
            status, document = error.status, {"error": str(error)}
        body = json.dumps(document).encode()
        return status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body

    def _do(self, method: str, path: str, query: str) -> dict[str, Any]:
        verb, _, argument = path.removeprefix(CONTROL_PREFIX).partition("/")
        verbs: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
            ("GET", "health"): self._health,
            ("POST", "interrupt"): lambda: self._interrupt(argument, parse_qs(query).get("notice", [None])[0]),
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

    def _interrupt(self, instance_id: str, notice: str | None) -> dict[str, Any]:
        """Reclaim a Spot Instance as EC2 does: notice in IMDS, request status at once, termination later."""
        machine = self._fleet.machines.find(instance_id)
        if machine is None:
            raise ControlError(404, f"no instance {instance_id}")
        request = spot_request(machine.instance)
        if request is None or machine.state != "running":
            raise ControlError(409, f"{instance_id} is not a running Spot Instance")
        try:
            seconds = self._fleet.settings.spot_notice_s if notice is None else float(notice)
        except ValueError:
            raise ControlError(400, f"notice is a number of seconds, not {notice!r}") from None
        at = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        machine.host.announce_spot_interruption("terminate", at)
        request.set_status(spot.NO_CAPACITY)
        self._fleet.save(instance_id)

        def reclaim() -> None:
            if machine.state == "running":
                self._fleet.machines.terminate(machine, SPOT_TERMINATION)

        self._fleet.machines.after(seconds, reclaim)
        log.info("spot interruption of %s at %s", instance_id, at)
        return {"instance_id": instance_id, "action": "terminate", "time": at}
