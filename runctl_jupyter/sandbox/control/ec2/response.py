"""EC2's actions on instances, as the API answers them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.types import Base64EncodedString

from runctl_jupyter.sandbox.control.ec2.fleets import FleetActions
from runctl_jupyter.sandbox.control.ec2.instance_lists import InstanceLists
from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.ec2.launch_templates import LaunchTemplateActions
from runctl_jupyter.sandbox.control.ec2.launching import LaunchActions
from runctl_jupyter.sandbox.control.ec2.machines import STATE_CODES, Machine
from runctl_jupyter.sandbox.control.ec2.pages import PagedLists
from runctl_jupyter.sandbox.control.ec2.reservations import ReservationActions
from runctl_jupyter.sandbox.control.ec2.spot_actions import SpotActions
from runctl_jupyter.sandbox.control.ec2.tag_actions import TagActions
from runctl_jupyter.sandbox.control.ec2.volume_actions import VolumeActions

_TERMINATED_AT_ONCE = 1000
"""Instances in one request (EC2 API reference, TerminateInstances)."""


class SandboxEC2Response(
    VolumeActions,
    LaunchActions,
    LaunchTemplateActions,
    FleetActions,
    SpotActions,
    ReservationActions,
    TagActions,
    InstanceLists,
    PagedLists,
):
    """Actions whose moto version does not do what EC2 does."""

    def start_instances(self) -> ActionResult:
        """StartInstances."""
        self.error_on_dryrun()
        with self.ec2_backend.fleet.launch_lock:  # capacity and quota are looked at, then taken
            changes = self.ec2_backend.start_machines(self._get_param("InstanceIds", []))
        return self._changes("StartingInstances", changes)

    def stop_instances(self) -> ActionResult:
        """StopInstances."""
        self.error_on_dryrun()
        return self._changes("StoppingInstances", self.ec2_backend.stop_machines(self._get_param("InstanceIds", [])))

    def terminate_instances(self) -> ActionResult:
        """TerminateInstances."""
        ids = self._get_param("InstanceIds", [])
        if len(ids) > _TERMINATED_AT_ONCE:
            raise invalid_value(f"The number of instance IDs must not exceed {_TERMINATED_AT_ONCE}.")
        self.error_on_dryrun()
        changes = self.ec2_backend.terminate_machines(ids)
        return self._changes("TerminatingInstances", changes)

    def reboot_instances(self) -> ActionResult:
        """RebootInstances."""
        self.error_on_dryrun()
        for machine in self.ec2_backend.machines_of(self._get_param("InstanceIds", [])):
            if machine.state != "running":
                raise refuse("IncorrectInstanceState", f"The instance '{machine.id}' is not in the 'running' state.")
            self.ec2_backend.fleet.machines.reboot(machine)
        return EmptyResult()

    @staticmethod
    def _changes(name: str, changes: list[tuple[Machine, str]]) -> ActionResult:
        def word(state: str) -> dict[str, Any]:
            return {"Name": state, "Code": STATE_CODES[state]}

        return ActionResult({name: [
            {"InstanceId": machine.id, "PreviousState": word(before), "CurrentState": word(machine.state)}
            for machine, before in changes
        ]})  # fmt: skip

    def get_console_output(self) -> ActionResult:
        """GetConsoleOutput: what the machine really wrote."""
        (machine,) = self.ec2_backend.machines_of([self._get_param("InstanceId")])
        output = machine.host.console_output().decode("utf-8", "replace")
        return ActionResult({
            "InstanceId": machine.id,
            "Timestamp": datetime.now(UTC),
            "Output": Base64EncodedString.from_raw_string(output),
        })  # fmt: skip
