"""What EC2 does by itself with Spot Instances: takes them back, and serves persistent requests again and again.

Sources: EC2 User Guide ("Spot Instance interruptions", "Interrupted Spot Instances: stop", "Terminate a Spot
Instance": a persistent request that is not cancelled first launches another instance).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from runctl_jupyter.sandbox.control.ec2 import spot
from runctl_jupyter.sandbox.control.ec2.fleet import Launch
from runctl_jupyter.sandbox.control.ec2.launching import build, within_price
from runctl_jupyter.sandbox.control.ec2.machines import SPOT_STOP, SPOT_TERMINATION, Machine
from runctl_jupyter.sandbox.control.ec2.spot import SpotRequest, spot_request
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION

log = logging.getLogger(__name__)
_LEAST_WAIT_S = 0.2


class SpotKeeper:
    """Serves the Spot requests of the account's machines."""

    def __init__(self) -> None:
        self._backend: Any = ec2_backends[ACCOUNT_ID][REGION]
        self._fleet = self._backend.fleet
        self._wait_s = max(_LEAST_WAIT_S, self._fleet.settings.spot_return_s)

    def reclaim(self, machine: Machine, seconds: float) -> tuple[str, str]:
        """Take a running Spot Instance back: notice in IMDS, status of the request at once, its end later.

        Returns
        -------
        action, time
            What will happen (``terminate`` or ``stop``) and when, in ISO 8601.
        """
        request = spot_request(machine.instance)
        action = str(request.instance_interruption_behavior)
        at = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        machine.host.announce_spot_interruption(action, at)
        request.set_status(spot.MARKED_FOR_STOP if action == "stop" else spot.NO_CAPACITY)
        self._fleet.save(machine.id)

        def end() -> None:
            if machine.state != "running":
                return
            if action == "terminate":
                self._fleet.machines.terminate(machine, SPOT_TERMINATION)
            elif self._fleet.machines.stop(machine, SPOT_STOP):
                self.await_return(machine)

        self._fleet.machines.after(seconds, end)
        log.info("spot interruption of %s: %s at %s", machine.id, action, at)
        return action, at

    def await_return(self, machine: Machine) -> None:
        """Start an instance that was stopped by an interruption, as soon as its pool has room again."""

        def look() -> None:
            request = spot_request(machine.instance)
            with self._fleet.launch_lock:  # room is looked at, then taken
                if (
                    request is None
                    or request.state in ("cancelled", "closed")
                    or machine.state in ("shutting-down", "terminated")
                    or self._has_expired(request)
                ):
                    return
                if machine.state == "stopped" and request.state == "open" and self._has_room(request, machine.instance):
                    self._fleet.machines.start(machine, self._backend.capacity.fate(*_pool(machine.instance)))
                    return
            self._fleet.machines.after(self._wait_s, look)

        self._fleet.machines.after(self._wait_s, look)

    def relaunch(self, request: SpotRequest, launch: Launch) -> None:
        """Serve a persistent request whose instance was terminated, with another one, as soon as there is room."""

        def look() -> None:
            with self._fleet.launch_lock:
                if request.state != "open" or self._has_expired(request):
                    return
                if self._has_room(request, request.instance):
                    self._serve(request, launch)
                    return
            self._fleet.machines.after(self._wait_s, look)

        self._fleet.machines.after(self._wait_s, look)

    def resume(self) -> None:
        """Go on with what was waited for when the sandbox ended."""
        for request in list(self._backend.spot_instance_requests.values()):
            machine, launch = self._fleet.machines.find(request.instance_id), self._fleet.launch_of(request.instance_id)
            if request.state != "open" or machine is None:
                continue
            if machine.state == "stopped":
                self.await_return(machine)
            elif launch is not None:
                self.relaunch(request, launch)

    def _serve(self, request: SpotRequest, launch: Launch) -> None:
        """Launch again what a request has asked for; what EC2 would refuse by now ends the request."""
        try:
            instance = build(self._backend, launch, request=request)
        except Exception:  # of the image, the subnet, the profile, the key …: there is nobody to tell but the request
            log.exception("spot request %s cannot be served again", request.id)
            request.give_up(spot.BAD_PARAMETERS)
            self._fleet.save(request.instance_id)
            return
        machine = self._fleet.create(instance, launch)
        self._fleet.machines.boot(machine, self._backend.capacity.fate(*_pool(instance)))
        log.info("spot request %s is served again, by %s", request.id, machine.id)

    def _has_expired(self, request: SpotRequest) -> bool:
        """Whether the time of a request is over; one that still waits is closed then."""
        if request.expired:
            request.give_up(spot.EXPIRED)
            self._fleet.save(request.instance_id)
        return request.expired

    def _has_room(self, request: SpotRequest, instance: Any) -> bool:
        """Whether the pool of a request can serve it; its status says why not."""
        kind, zone, market = _pool(instance)
        try:
            within_price(kind, [zone], request.terms.price)
        except EC2ClientError:
            request.set_status(spot.PRICE_TOO_LOW)
            return False
        full = len(self._fleet.machines.live()) >= self._fleet.settings.max_instances
        if full or self._backend.capacity.refuses(kind, zone, market) or self._backend.quotas.room(kind, market) == 0:
            request.set_status(spot.CAPACITY_NOT_AVAILABLE)
            return False
        return True


def _pool(instance: Any) -> tuple[str, str, str]:
    return str(instance.instance_type), str(instance.placement.zone), "spot"
