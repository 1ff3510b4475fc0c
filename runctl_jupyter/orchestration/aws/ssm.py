"""Systems Manager: public parameters, whether an agent is online, and Run Command as a launcher."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.aws.failures import aws_errors, code_of
from runctl_jupyter.orchestration.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runctl_jupyter.orchestration.aws.session import AwsSession

_ENDED = frozenset({"Success", "Failed", "Cancelled", "TimedOut"})


@dataclass(frozen=True)
class CommandResult:
    """How a command on the machine ended; output is cut to 24,000 and 8,000 characters by SSM."""

    status: str
    exit_code: int
    stdout: str
    stderr: str


class Ssm:
    """Systems Manager of one session."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    def first_parameter(self, names: Sequence[str]) -> tuple[str, str] | None:
        """Return name and value of the first of `names` that exists; AWS renames its public ones now and then."""
        with aws_errors(f"read parameter {names[0]}"):
            answer = self._session.ssm.get_parameters(Names=list(names))
        values = {each["Name"]: each["Value"] for each in answer["Parameters"]}
        return next(((name, values[name]) for name in names if name in values), None)

    def online(self, instance_id: str) -> bool:
        """Return whether the instance's agent takes commands.

        Before it has registered, SSM answers with an empty list or with ``InvalidInstanceId``.
        """
        from botocore.exceptions import ClientError

        with aws_errors(f"ask for the agent of {instance_id}"):
            try:
                answer = self._session.ssm.describe_instance_information(
                    Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
                )
            except ClientError as error:
                if code_of(error) == "InvalidInstanceId":
                    return False
                raise
        return any(each.get("PingStatus") == "Online" for each in answer["InstanceInformationList"])

    def run(self, instance_id: str, script: str, *, timeout: float, purpose: str = "start a job") -> CommandResult:
        """Run a short shell script as root and return its end.

        The script travels as base64: SSM resolves ``{{...}}`` in commands.

        Parameters
        ----------
        purpose
            What it is to do, for SSM's history and for errors.

        Raises
        ------
        InstanceNotReady
            The instance does not take commands.
        WaitTimedOut
            It did not end in `timeout` seconds.
        """
        encoded = base64.b64encode(script.encode()).decode()
        with aws_errors(f"send a command to {instance_id}"):
            sent = self._session.ssm.send_command(
                InstanceIds=[instance_id],
                DocumentName="AWS-RunShellScript",
                Comment=f"runctl: {purpose}",
                TimeoutSeconds=max(30, int(timeout)),
                Parameters={
                    "commands": ["#!/bin/sh", f"echo {encoded} | base64 -d | sh"],
                    "executionTimeout": [str(max(5, int(timeout)))],
                },
            )
        command_id = sent["Command"]["CommandId"]
        return wait_until(
            lambda: self._result(command_id, instance_id),
            lambda result: result.status in _ENDED,
            timeout=timeout,
            what=f"The command to {purpose} on {instance_id} did not end within {timeout:.0f} s.",
            to_resolve="See whether the instance is healthy: runctl list",
            first_s=0.05,
            longest_s=2.0,
        )

    def _result(self, command_id: str, instance_id: str) -> CommandResult:
        from botocore.exceptions import ClientError

        with aws_errors(f"follow a command on {instance_id}"):
            try:
                found = self._session.ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)
            except ClientError as error:
                if code_of(error) == "InvocationDoesNotExist":
                    return CommandResult("Pending", -1, "", "")
                raise
        return CommandResult(
            found["Status"], found["ResponseCode"], found["StandardOutputContent"], found["StandardErrorContent"]
        )
