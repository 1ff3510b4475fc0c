"""SSM's actions for Run Command, managed instances and parameters, as the API answers them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.ssm.responses import SimpleSystemManagerResponse

from runctl_jupyter.sandbox.control.ec2.machines import Machine, Machines
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID
from runctl_jupyter.sandbox.control.ssm.commands import LISTED_CHARACTERS, Command, CommandRequest, Commands, Invocation
from runctl_jupyter.sandbox.control.ssm.secret_journal import SecretJournal, writes

DOCUMENT = "AWS-RunShellScript"
PLUGIN = "aws:runShellScript"
AGENT_VERSION = "3.3.0.0"
_DOCUMENT_PARAMETERS = ("commands", "workingDirectory", "executionTimeout")
_COMMANDS_BYTES = 64 << 10
"""Size limit of a document (API reference, CreateDocument); for the commands in a request AWS publishes none."""
_NOT_EMULATED = ("OutputS3BucketName", "CloudWatchOutputConfig", "NotificationConfig", "AlarmConfiguration")
"""Parameters that would change what comes of a command: left out silently, they would be waited for in vain."""
_ERROR_DIVIDER = "\n----------ERROR-------\n"
# API reference, PutParameter: what a name and a value may be.
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_.-]+|(/[A-Za-z0-9_.-]+)+")
_MOST_LEVELS = 15
_MOST_BYTES = {"Standard": 4096, "Advanced": 8192, "Intelligent-Tiering": 8192}
_OWN_KEY = "alias/aws/ssm"


class Refusal(ServiceException):  # type: ignore[misc]
    """An error of SSM's. moto looks for the service's name in the class's module: it must not be moto's core."""


def _refuse(code: str, message: str = "") -> Refusal:
    return Refusal(code, message)


def _validation(message: str) -> Refusal:
    return _refuse("ValidationException", f"1 validation error detected: {message}")


def _page(rows: Sequence[Any], most: int, token: str | None) -> tuple[Sequence[Any], str | None]:
    start = int(token) if token and token.isdigit() else 0
    following = start + most
    return rows[start:following], str(following) if following < len(rows) else None


class SandboxSSMResponse(SimpleSystemManagerResponse):  # type: ignore[misc]
    """Run Command for real machines, parameters that stay; everything else of SSM is moto's."""

    commands: ClassVar[Commands]
    machines: ClassVar[Machines]
    journal: ClassVar[SecretJournal]

    def call_action(self) -> Any:
        """Answer a request, and keep the parameters that it has changed."""
        answer = super().call_action()
        action = self._get_action()
        if "Parameter" in action and writes(action):
            self.journal.record_parameters()
        return answer

    def put_parameter(self) -> ActionResult:
        """PutParameter, with the limits that moto does not have.

        Only the account's own key ``aws/ssm`` encrypts, and there are no others. Its policy lets everybody in the
        account use it through SSM: whoever may read a parameter needs no grant of KMS.
        """
        name, value = str(self._get_param("Name", "")), str(self._get_param("Value") or "")
        if name.count("/") > _MOST_LEVELS:
            raise _refuse(
                "HierarchyLevelLimitExceededException", f"A hierarchy can have a maximum of {_MOST_LEVELS} levels."
            )
        if not _PARAMETER_NAME.fullmatch(name):
            raise _refuse(
                "ValidationException", "Parameter name must be a fully qualified name of letters and .-_ only."
            )
        tier = str(self._get_param("Tier") or "Standard")
        if tier not in _MOST_BYTES:
            raise _validation(
                f"Value '{tier}' at 'tier' failed to satisfy constraint: Member must satisfy enum value set"
            )
        if len(value.encode()) > _MOST_BYTES[tier]:
            raise _refuse(
                "ValidationException",
                f"{tier} tier parameters support a maximum parameter value of {_MOST_BYTES[tier]}",
            )
        if self._get_param("KeyId") not in (None, _OWN_KEY):
            raise _refuse("InvalidKeyId", "The query key ID isn't valid.")
        return super().put_parameter()

    def send_command(self) -> ActionResult:
        """SendCommand: one instance that cannot take it refuses the whole call."""
        request = self._command_request()
        if request.targets:
            ids = [machine.id for machine in self._targeted(request.targets)]
        else:
            ids = list(dict.fromkeys(request.instance_ids))
            bad = [one for one in ids if self.commands.reachable(one) is None]
            if bad:
                raise _refuse(
                    "InvalidInstanceId", f"Instances [[{', '.join(bad)}]] not in a valid state for account {ACCOUNT_ID}"
                )
        return ActionResult({"Command": _command(self.commands.send(request, ids), at_send=True)})

    def _command_request(self) -> CommandRequest:
        for one in _NOT_EMULATED:
            if self._get_param(one):
                raise NotImplementedError(f"{one} of SendCommand")
        name = str(self._get_param("DocumentName", ""))
        if name not in (DOCUMENT, f"arn:aws:ssm:::document/{DOCUMENT}") and not re.fullmatch(
            rf"arn:aws:ssm:[a-z0-9-]*:\d*:document/{DOCUMENT}", name
        ):
            raise _refuse("InvalidDocument", f"Document with name {name} does not exist.")
        ids, targets = self._get_param("InstanceIds") or [], self._get_param("Targets") or []
        if bool(ids) == bool(targets):
            raise _refuse("InvalidParameters", "Specify either InstanceIds or Targets, and not both.")
        if len(ids) > 50 or len(targets) > 5:
            raise _validation("InstanceIds must have length at most 50, Targets at most 5")
        comment = self._get_param("Comment") or ""
        if len(comment) > 100:
            raise _validation("Value at 'comment' failed to satisfy constraint: Member must have length at most 100")
        delivery = self._get_param("TimeoutSeconds")
        if delivery is not None and not 30 <= int(delivery) <= 2_592_000:
            raise _validation(
                f"Value '{delivery}' at 'timeoutSeconds' failed to satisfy constraint: "
                "Member must have value between 30 and 2592000"
            )
        parameters: Mapping[str, Sequence[str]] = self._get_param("Parameters") or {}
        unknown = [one for one in parameters if one not in _DOCUMENT_PARAMETERS]
        if unknown:
            raise _refuse("InvalidParameters", f"Parameter {unknown[0]} is not defined in the document {DOCUMENT}.")
        if not parameters.get("commands"):
            raise _refuse("InvalidParameters", "Parameter commands is required by the document and was not given.")
        if sum(len(one.encode()) for one in parameters["commands"]) > _COMMANDS_BYTES:
            raise _refuse("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB.")
        return CommandRequest(
            document_name=DOCUMENT,
            commands=parameters["commands"],
            execution_timeout=(parameters.get("executionTimeout") or ["3600"])[0],
            working_directory=(parameters.get("workingDirectory") or [""])[0] or None,
            comment=comment,
            delivery_timeout_s=3600 if delivery is None else int(delivery),
            parameters=parameters,
            instance_ids=ids,
            targets=targets,
        )

    def _targeted(self, targets: Sequence[Mapping[str, Any]]) -> list[Machine]:
        chosen = self._online()
        for target in targets:
            key, values = target["Key"], target.get("Values") or []
            if key != "InstanceIds" and not key.startswith("tag:"):
                raise _refuse("InvalidTarget", f"The target key {key} is not supported by the sandbox.")
            chosen = [machine for machine in chosen if _matches(machine, key, values)]
        return chosen

    def _online(self) -> list[Machine]:
        return [machine for machine in self.machines.all() if self.commands.reachable(machine.id)]

    def get_command_invocation(self) -> ActionResult:
        """GetCommandInvocation."""
        command = self.commands.find(self._get_param("CommandId"))
        instance_id = self._get_param("InstanceId")
        invocation = self.commands.invocation(command, instance_id) if command else None
        if command is None or invocation is None:
            raise _refuse("InvocationDoesNotExist")
        plugin = self._get_param("PluginName")
        if plugin not in (None, PLUGIN, "runShellScript"):
            raise _refuse("InvalidPluginName")
        started, ended = invocation.started_at, invocation.ended_at
        elapsed = f"PT{(ended - started).total_seconds():.3f}S" if started and ended else ""
        return ActionResult({
            "CommandId": command.command_id,
            "InstanceId": instance_id,
            "Comment": command.request.comment,
            "DocumentName": DOCUMENT,
            "DocumentVersion": "$DEFAULT",
            "PluginName": PLUGIN,
            "ResponseCode": invocation.response_code,
            "ExecutionStartDateTime": _stamp(started),
            "ExecutionElapsedTime": elapsed,
            "ExecutionEndDateTime": _stamp(ended),
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "StandardOutputContent": invocation.stdout,
            "StandardOutputUrl": "",
            "StandardErrorContent": invocation.stderr,
            "StandardErrorUrl": "",
        })  # fmt: skip

    def list_command_invocations(self) -> ActionResult:
        """ListCommandInvocations: empty, not an error, for what is too fresh."""
        rows = [
            _listed(command, invocation, details=bool(self._get_param("Details")))
            for command in self._chosen_commands()
            for instance_id in command.invocations
            if self._get_param("InstanceId") in (None, instance_id)
            and (invocation := self.commands.invocation(command, instance_id)) is not None
        ]
        page, token = _page(rows, int(self._get_param("MaxResults") or 50), self._get_param("NextToken"))
        return ActionResult({"CommandInvocations": page, "NextToken": token})

    def list_commands(self) -> ActionResult:
        """ListCommands."""
        instance_id = self._get_param("InstanceId")
        rows = [
            _command(one) for one in self._chosen_commands() if instance_id is None or instance_id in one.invocations
        ]
        page, token = _page(rows, int(self._get_param("MaxResults") or 50), self._get_param("NextToken"))
        return ActionResult({"Commands": page, "NextToken": token})

    def _chosen_commands(self) -> list[Command]:
        command_id = self._get_param("CommandId")
        if command_id is None:
            return self.commands.all()
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", command_id):
            raise _refuse("InvalidCommandId")
        command = self.commands.find(command_id)
        return [command] if command else []

    def cancel_command(self) -> ActionResult:
        """CancelCommand."""
        command = self.commands.find(self._get_param("CommandId"))
        if command is None:
            raise _refuse("InvalidCommandId")
        ids = self._get_param("InstanceIds") or []
        unknown = [one for one in ids if one not in command.invocations]
        if unknown:
            raise _refuse("InvalidInstanceId", f"Instances [[{', '.join(unknown)}]] are not targets of the command")
        self.commands.cancel(command, ids)
        return ActionResult({})

    def get_connection_status(self) -> ActionResult:
        """GetConnectionStatus: whether sessions can be opened."""
        target = self._get_param("Target")
        connected = self.commands.reachable(target) is not None
        return ActionResult({"Target": target, "Status": "connected" if connected else "notconnected"})

    def start_session(self) -> ActionResult:
        """StartSession, as far as it refuses: there is no channel for the data of a session."""
        target = self._get_param("Target")
        if self.commands.reachable(target) is None:
            raise _refuse("TargetNotConnected", f"{target} is not connected.")
        raise NotImplementedError("sessions")

    def describe_instance_information(self) -> ActionResult:
        """DescribeInstanceInformation: machines whose agent is online; others are not returned."""
        most = self._get_param("MaxResults")
        if most is not None and not 5 <= int(most) <= 50:
            raise _validation(
                f"Value '{most}' at 'maxResults' failed to satisfy constraint: Member must have value between 5 and 50"
            )
        filters = [(one["Key"], one["Values"]) for one in self._get_param("Filters") or []]
        filters += [(one["key"], one["valueSet"]) for one in self._get_param("InstanceInformationFilterList") or []]
        chosen = self._online()
        for key, values in filters:
            chosen = [machine for machine in chosen if _matches(machine, key, values)]
        page, token = _page(chosen, int(most or 10), self._get_param("NextToken"))
        rows = [_information(machine) for machine in page]
        return ActionResult({"InstanceInformationList": rows, "NextToken": token})


def _matches(machine: Machine, key: str, values: Sequence[str]) -> bool:
    """Whether a machine with an online agent passes a filter or target."""
    if key.startswith("tag:"):
        tags = {tag["key"]: tag["value"] for tag in machine.instance.get_tags()}
        return tags.get(key.removeprefix("tag:")) in values
    fixed = {"InstanceIds": machine.id, "PingStatus": "Online", "PlatformTypes": "Linux", "ResourceType": "EC2Instance",
             "AgentVersion": AGENT_VERSION}  # fmt: skip
    if key not in fixed:
        raise _refuse("InvalidFilterKey", f"The filter key {key} is not valid.")
    return fixed[key] in values


def _information(machine: Machine) -> dict[str, Any]:
    address = machine.host.private_ip
    return {
        "InstanceId": machine.id,
        "PingStatus": "Online",
        "LastPingDateTime": datetime.now(UTC),
        "AgentVersion": AGENT_VERSION,
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": "Ubuntu",
        "PlatformVersion": "24.04",
        "ResourceType": "EC2Instance",
        "IPAddress": address,
        "ComputerName": f"ip-{address.replace('.', '-')}",
    }


def _stamp(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if when else ""


def _command(command: Command, *, at_send: bool = False) -> dict[str, Any]:
    """Describe a command; SendCommand's own answer is always Pending and without counts."""
    request = command.request
    ends = [one.status for one in command.invocations.values()]
    status, details = ("Pending", "Pending") if at_send else command.status
    counted = not at_send
    return {
        "CommandId": command.command_id,
        "DocumentName": request.document_name,
        "DocumentVersion": "$DEFAULT",
        "Comment": request.comment,
        "ExpiresAfter": command.expires_at,
        "Parameters": request.parameters,
        "InstanceIds": list(request.instance_ids),
        "Targets": list(request.targets),
        "RequestedDateTime": command.requested_at,
        "Status": status,
        "StatusDetails": details,
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TargetCount": len(ends) if counted else 0,
        "CompletedCount": sum(end in ("Success", "Failed", "TimedOut", "Cancelled") for end in ends) if counted else 0,
        "ErrorCount": sum(end in ("Failed", "TimedOut") for end in ends) if counted else 0,
        "DeliveryTimedOutCount": 0,
        "TimeoutSeconds": request.delivery_timeout_s,
    }


def _listed(command: Command, invocation: Invocation, *, details: bool) -> dict[str, Any]:
    both = invocation.stdout + (f"{_ERROR_DIVIDER}{invocation.stderr}" if invocation.stderr else "")
    plugin = {
        "Name": PLUGIN,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.response_code,
        "ResponseStartDateTime": invocation.started_at,
        "ResponseFinishDateTime": invocation.ended_at,
        "Output": both[:LISTED_CHARACTERS],
    }
    return {
        "CommandId": command.command_id,
        "InstanceId": invocation.instance_id,
        "Comment": command.request.comment,
        "DocumentName": DOCUMENT,
        "DocumentVersion": "$DEFAULT",
        "RequestedDateTime": command.requested_at,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [plugin] if details else [],
    }
