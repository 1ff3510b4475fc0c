"""Run Command as the agent's source and the API reference describe it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_users import acting


def test_output_exit_code_and_last_command_decides(shared: Account, machine: str) -> None:
    seen = shared.run(machine, "echo out\necho err >&2\nfalse\nexit 3")
    assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == ("Failed", "Failed", 3)
    assert (seen["StandardOutputContent"], seen["StandardErrorContent"]) == ("out\n", "err\n")
    assert shared.run(machine, "false\ntrue")["Status"] == "Success"


def test_a_shebang_is_honoured_and_home_is_not_promised(shared: Account, machine: str) -> None:
    seen = shared.run(machine, "#!/usr/bin/env python3\nimport os; print(os.environ['AWS_SSM_INSTANCE_ID'])")
    assert seen["StandardOutputContent"].strip() == machine


def test_output_is_cut_and_comes_at_the_end_only(shared: Account, machine: str) -> None:
    seen = shared.run(machine, "head -c 30000 /dev/zero | tr '\\0' x; head -c 9000 /dev/zero | tr '\\0' y >&2")
    assert len(seen["StandardOutputContent"]) == 24_000
    assert seen["StandardOutputContent"].endswith("---Output truncated---")
    assert len(seen["StandardErrorContent"]) == 8_000
    command = shared.send(machine, "echo early; sleep 1")
    shared.until(lambda: (found := shared.invocation(command, machine)) and found["Status"] == "InProgress")
    running = shared.invocation(command, machine)
    assert running is not None
    assert (running["StandardOutputContent"], running["ResponseCode"]) == ("", -1)
    assert shared.result(command, machine)["StandardOutputContent"] == "early\n"


def test_timeout_kills_the_group_and_a_session_survives(shared: Account, machine: str) -> None:
    script = "setsid sleep 4711.5 >/dev/null 2>&1 &\nsleep 60"
    seen = shared.run(machine, script, executionTimeout="5")
    assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == ("TimedOut", "ExecutionTimedOut", 137)
    assert shared.run(machine, "pkill -f 'sleep 4711[.]5'")["ResponseCode"] == 0


def test_cancel(shared: Account, machine: str) -> None:
    command = shared.send(machine, "trap '' TERM; echo begun; sleep 60")
    shared.until(lambda: (found := shared.invocation(command, machine)) and found["Status"] == "InProgress")
    shared.ssm.cancel_command(CommandId=command)
    seen = shared.result(command, machine)
    assert (seen["Status"], seen["ResponseCode"]) == ("Cancelled", 137)


def test_five_at_a_time(shared: Account, machine: str) -> None:
    commands = [shared.send(machine, "sleep 1") for _ in range(7)]

    def status(command: str) -> str:
        found = shared.invocation(command, machine)
        return found["Status"] if found else "Pending"

    shared.until(lambda: sum(status(c) == "InProgress" for c in commands) == 5)
    assert [status(c) for c in commands].count("Pending") >= 1
    with ThreadPoolExecutor(7) as pool:
        assert {r["Status"] for r in pool.map(lambda c: shared.result(c, machine), commands)} == {"Success"}


def refused(ssm: Any, **request: object) -> str:
    base = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    with pytest.raises(ClientError) as error:
        ssm.send_command(**(base | request))
    return str(error.value.response["Error"]["Code"])


def test_what_ssm_rejects(sandbox: Connection, machine: str) -> None:
    ssm = acting(sandbox, faults_client.admin_env(sandbox), "ssm")  # whom IAM refuses nothing
    assert refused(ssm, InstanceIds=["i-0123456789abcdef0"]) == "InvalidInstanceId"
    assert refused(ssm, InstanceIds=[machine], DocumentName="AWS-Nothing") == "InvalidDocument"
    parameters = {"commands": ["x"], "banana": ["1"]}
    assert refused(ssm, InstanceIds=[machine], Parameters=parameters) == "InvalidParameters"


def test_a_request_has_a_size(shared: Account, machine: str) -> None:
    large = {"commands": ["#" + "x" * 300_000]}
    assert refused(shared.ssm, InstanceIds=[machine], Parameters=large) == "MaxDocumentSizeExceeded"


def test_an_execution_timeout_out_of_range_is_an_hour(shared: Account, machine: str) -> None:
    command = shared.send(machine, "sleep 1", executionTimeout="999999")
    (listed,) = shared.ssm.list_commands(CommandId=command)["Commands"]
    assert (listed["ExpiresAfter"] - listed["RequestedDateTime"]).total_seconds() == 2 * 3600
    assert shared.result(command, machine)["Status"] == "Success"


def test_what_would_be_left_out_silently_is_refused(shared: Account, machine: str) -> None:
    with pytest.raises(ClientError, match="OutputS3BucketName"):
        shared.ssm.send_command(
            InstanceIds=[machine], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]},
            OutputS3BucketName="runctl-sandbox",
        )  # fmt: skip


def test_sessions_reach_machines_whose_agent_is_there(shared: Account, machine: str) -> None:
    assert shared.ssm.get_connection_status(Target=machine)["Status"] == "connected"
    assert shared.ssm.get_connection_status(Target="i-0123456789abcdef0")["Status"] == "notconnected"


def test_exit_194_reboots_and_runs_again(account: Account) -> None:
    machine = account.ready()
    script = """#!/bin/sh
mark="${RUNCTL_ROOT:-/var/lib/runctl}/seen"
mkdir -p "$(dirname "$mark")"
echo run >> "$mark"
if [ "$(wc -l < "$mark")" -lt 2 ]; then exit 194; fi
cat "$mark"
exit 168"""
    seen = account.run(machine, script)
    assert (seen["Status"], seen["ResponseCode"], seen["StandardOutputContent"]) == ("Success", 168, "run\nrun\n")


def test_a_stopped_machine_takes_no_commands(account: Account) -> None:
    instance_id = account.ready()
    command = account.send(instance_id, "sleep 60")
    account.until(lambda: (found := account.invocation(command, instance_id)) and found["Status"] == "InProgress")
    account.ec2.stop_instances(InstanceIds=[instance_id])
    account.await_state(instance_id, "stopped")
    assert refused(account.ssm, InstanceIds=[instance_id]) == "InvalidInstanceId"
    with pytest.raises(account.ssm.exceptions.TargetNotConnected):
        account.ssm.start_session(Target=instance_id, DocumentName="AWS-StartPortForwardingSession")
    assert not account.online(instance_id)
    seen = account.invocation(command, instance_id)
    assert seen is not None
    assert seen["Status"] == "InProgress"


def test_the_role_reaches_s3_and_nothing_else(shared: Account, machine: str) -> None:
    shared.s3.put_object(Bucket="runctl-sandbox", Key="for/machine", Body=b"hello")
    script = """#!/usr/bin/env python3
import os, boto3, botocore.exceptions as e
session = boto3.Session()
print(session.get_credentials().method)
print(boto3.client("s3").get_object(Bucket="runctl-sandbox", Key="for/machine")["Body"].read())
boto3.client("s3").put_object(Bucket="runctl-sandbox", Key="from/machine", Body=b"back")
try:
    boto3.client("ec2").terminate_instances(InstanceIds=[os.environ["AWS_SSM_INSTANCE_ID"]])
except e.ClientError as error:
    print(error.response["Error"]["Code"])
"""
    seen = shared.run(machine, script)
    lines = seen["StandardOutputContent"].split()
    assert lines == ["iam-role", "b'hello'", "UnauthorizedOperation"], seen
    assert shared.s3.get_object(Bucket="runctl-sandbox", Key="from/machine")["Body"].read() == b"back"
