"""Faults: each kind as a real client meets it over HTTP, whom it hits, how it ends, and that it was hit."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from runctl_jupyter.cli import main
from runctl_jupyter.sandbox import faults_client, service
from runctl_jupyter.sandbox.connection import Connection, call_control
from runctl_jupyter.sandbox.control.faults.effects import MAX_HELD
from runctl_jupyter.sandbox.faults_client import FaultRefusedError
from tests.sandbox.conftest import client, sandbox_mode
from tests.sandbox.control.conftest import Account

ONCE = Config(retries={"max_attempts": 0}, read_timeout=120)
IMPATIENT = Config(retries={"max_attempts": 0}, read_timeout=1)


@pytest.fixture(autouse=True)
def no_fault_stays(sandbox: Connection) -> Iterator[None]:
    yield
    faults_client.clear(sandbox)


@pytest.fixture(scope="module")
def s3(sandbox: Connection) -> Any:
    return client(sandbox, "s3", config=ONCE)


@pytest.fixture
def bucket(sandbox: Connection) -> str:
    return sandbox.bucket


@pytest.fixture
def stored(s3: Any, bucket: str) -> str:
    """Key of an object of 100,000 bytes."""
    s3.put_object(Bucket=bucket, Key="faults/stored", Body=b"x" * 100_000)
    return "faults/stored"


def exists(s3: Any, bucket: str, key: str) -> bool:
    return key in [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])]


def hits(sandbox: Connection) -> list[int]:
    return [fault.hits for fault in faults_client.list(sandbox)]


Call = Callable[[Connection], Any]
ERRORS: list[tuple[str, Call, dict[str, Any], str, int]] = [
    ("s3", lambda c: client(c, "s3", config=ONCE).get_object(Bucket=c.bucket, Key="a"), {}, "InternalError", 500),
    ("s3", lambda c: client(c, "s3", config=ONCE).list_buckets(), {"status": 503}, "SlowDown", 503),
    ("s3", lambda c: client(c, "s3", config=ONCE).list_buckets(), {"code": "ExpiredToken"}, "ExpiredToken", 400),
    ("ec2", lambda c: client(c, "ec2", config=ONCE).describe_instances(), {}, "InternalError", 500),
    ("ec2", lambda c: client(c, "ec2", config=ONCE).describe_instances(), {"status": 503}, "RequestLimitExceeded", 503),
    ("ssm", lambda c: client(c, "ssm", config=ONCE).list_commands(), {}, "InternalServerError", 500),
    ("ssm", lambda c: client(c, "ssm", config=ONCE).list_commands(), {"code": "ThrottlingException"},
     "ThrottlingException", 400),
    ("sts", lambda c: client(c, "sts", config=ONCE).get_caller_identity(), {"status": 503}, "ServiceUnavailable", 503),
]  # fmt: skip


@pytest.mark.parametrize(("name", "call", "answer", "code", "status"), ERRORS)
def test_an_error_is_one_of_the_service(
    sandbox: Connection, name: str, call: Call, answer: dict[str, Any], code: str, status: int
) -> None:
    faults_client.add(sandbox, "error", service=name, count=1, **answer)
    with pytest.raises(ClientError) as error:
        call(sandbox)
    assert error.value.response["Error"]["Code"] == code
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    (fault,) = faults_client.list(sandbox)
    assert (fault.hits, fault.active) == (1, False)


@pytest.mark.parametrize(("kind", "carried_out"), [("cut", False), ("lost-answer", True)])
def test_a_connection_ends_without_an_answer(
    sandbox: Connection, s3: Any, bucket: str, kind: str, carried_out: bool
) -> None:
    key = f"faults/{kind}"
    faults_client.add(sandbox, kind, service="s3", operation="PutObject")
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket=bucket, Key=key, Body=b"y" * 3_000_000)
    assert hits(sandbox) == [1]
    assert exists(s3, bucket, key) is carried_out


@pytest.mark.parametrize(("kind", "known"), [("cut", False), ("lost-answer", True)])
def test_a_launch_whose_answer_is_lost_has_happened(
    sandbox: Connection, account: Account, kind: str, known: bool
) -> None:
    ec2 = client(sandbox, "ec2", config=ONCE)
    token = f"token-{kind}"
    faults_client.add(sandbox, kind, service="ec2", operation="RunInstances", count=1)
    with pytest.raises(ConnectionClosedError):
        ec2.run_instances(**account.request(ClientToken=token))
    found = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": [token]}])["Reservations"]
    assert bool(found) is known
    again = account.launch(ClientToken=token)  # the same call again makes no second machine
    assert not known or found[0]["Instances"][0]["InstanceId"] == again


def test_half_an_answer_breaks_off(sandbox: Connection, s3: Any, bucket: str, stored: str) -> None:
    faults_client.add(sandbox, "half-answer", count=2)
    body = s3.get_object(Bucket=bucket, Key=stored)
    assert body["ContentLength"] == 100_000
    with pytest.raises(ResponseStreamingError, match="50000 bytes read"):
        body["Body"].read()
    with pytest.raises(ResponseParserError):
        client(sandbox, "ec2", config=ONCE).describe_instances()
    assert s3.put_object(Bucket=bucket, Key=stored, Body=b"")["ETag"]
    assert hits(sandbox) == [2]


def test_latency_delays_and_a_cleared_fault_lets_go(sandbox: Connection, s3: Any, bucket: str, stored: str) -> None:
    fault = faults_client.add(sandbox, "latency", service="s3", latency_s=0.4)
    started = time.monotonic()
    s3.head_object(Bucket=bucket, Key=stored)
    assert time.monotonic() - started >= 0.4
    faults_client.clear(sandbox, fault.id)
    faults_client.add(sandbox, "latency", latency_s=3600)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(s3.head_object, Bucket=bucket, Key=stored)
        until(lambda: hits(sandbox) == [1])
        assert not waiting.done()
        faults_client.clear(sandbox)
        assert waiting.result(60)["ContentLength"] == 100_000


def test_latency_joins_other_faults(sandbox: Connection, s3: Any, bucket: str) -> None:
    faults_client.add(sandbox, "error", status=503)
    faults_client.add(sandbox, "cut")
    faults_client.add(sandbox, "latency", latency_s=0.3)
    started = time.monotonic()
    with pytest.raises(ClientError, match="SlowDown"):
        s3.list_objects_v2(Bucket=bucket)
    assert time.monotonic() - started >= 0.3
    assert hits(sandbox) == [1, 0, 1]


def test_silence_lasts_until_the_client_gives_up(sandbox: Connection, s3: Any, bucket: str) -> None:
    faults_client.add(sandbox, "timeout", service="s3", operation="PutObject", count=1)
    server = psutil.Process(sandbox.pid)
    before = server.num_threads()
    with pytest.raises(ReadTimeoutError):
        client(sandbox, "s3", config=IMPATIENT).put_object(Bucket=bucket, Key="faults/silent", Body=b"y" * 3_000_000)
    assert hits(sandbox) == [1]
    assert not exists(s3, bucket, "faults/silent")
    until(lambda: server.num_threads() <= before)  # no thread is left with a client that has gone


def test_silence_ends_with_its_time_and_when_cleared(sandbox: Connection, s3: Any, bucket: str) -> None:
    faults_client.add(sandbox, "timeout", for_s=0.5)
    with pytest.raises(ConnectionClosedError):
        s3.list_objects_v2(Bucket=bucket)
    s3.list_objects_v2(Bucket=bucket)
    faults_client.add(sandbox, "timeout", count=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(s3.list_objects_v2, Bucket=bucket)
        until(lambda: hits(sandbox) == [1, 1])
        assert not waiting.done()
        faults_client.clear(sandbox)
        with pytest.raises(ConnectionClosedError):
            waiting.result(60)


def test_silence_leaves_the_server_its_threads(sandbox: Connection, boto: Callable[[str], Any]) -> None:
    """So many clients that wait for nothing, and other requests are still answered."""
    faults_client.add(sandbox, "timeout", service="s3")
    address = urlsplit(sandbox.endpoint_url)
    sockets = []
    for _ in range(MAX_HELD + 5):
        sockets.append(socket.create_connection((address.hostname, address.port), 60))
        sockets[-1].sendall(b"GET /nobody/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    until(lambda: hits(sandbox) == [MAX_HELD + 5])
    boto("ec2").describe_instances()
    turned_away: list[socket.socket] = []

    def readable() -> bool:
        for one in sockets:
            one.setblocking(False)
            try:
                if one not in turned_away and one.recv(1) == b"":
                    turned_away.append(one)
            except BlockingIOError:
                continue
        return len(turned_away) == 5

    until(readable)
    for one in sockets:
        one.close()


@pytest.mark.parametrize(
    ("name", "call", "code", "status"),
    [
        ("s3", "list_buckets", "ExpiredToken", 400),
        ("ec2", "describe_instances", "RequestExpired", 400),
        ("ssm", "list_commands", "ExpiredTokenException", 400),
        ("iam", "list_roles", "ExpiredToken", 403),
    ],
)
def test_expired_credentials_in_the_words_of_each_service(
    sandbox: Connection, name: str, call: str, code: str, status: int
) -> None:
    faults_client.add(sandbox, "expired-credentials", origin="client")
    with pytest.raises(ClientError) as error:
        getattr(client(sandbox, name, config=ONCE), call)()
    response = error.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


ON_MACHINE = """python3 - <<'END'
import time
from pathlib import Path
import boto3, botocore.exceptions
from botocore.config import Config
def look(session):
    s3 = session.client("s3", config=Config(retries={{"max_attempts": 0}}))
    try:
        s3.list_objects_v2(Bucket="{bucket}", MaxKeys=1)
        return "fine"
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    except botocore.exceptions.BotoCoreError as error:
        return type(error).__name__
session = boto3.Session()
print(look(session), flush=True)
{then}
END"""
UNTIL_NOT_FINE = """
while look(session) == "fine":
    time.sleep(0.05)
print(look(session))
print(look(boto3.Session()))
"""


def script(sandbox: Connection, then: str = "") -> str:
    return ON_MACHINE.format(bucket=sandbox.bucket, then=then)


def test_machines_and_clients_are_told_apart(sandbox: Connection, shared: Account, machine: str, s3: Any) -> None:
    other = shared.ready()
    faults_client.add(sandbox, "error", origin="machine", code="SlowDown")
    assert s3.list_objects_v2(Bucket=sandbox.bucket)["KeyCount"] >= 0
    for one in (machine, other):
        assert shared.run(one, script(sandbox))["StandardOutputContent"] == "SlowDown\n"
    faults_client.clear(sandbox)
    faults_client.add(sandbox, "error", origin="client", service="s3", code="SlowDown")
    assert shared.run(machine, script(sandbox))["StandardOutputContent"] == "fine\n"
    with pytest.raises(ClientError, match="SlowDown"):
        s3.list_objects_v2(Bucket=sandbox.bucket)
    faults_client.clear(sandbox)
    faults_client.add(sandbox, "error", machine=other, code="SlowDown")
    assert shared.run(machine, script(sandbox))["StandardOutputContent"] == "fine\n"
    assert shared.run(other, script(sandbox))["StandardOutputContent"] == "SlowDown\n"
    assert hits(sandbox) == [1]
    assert s3.list_objects_v2(Bucket=sandbox.bucket)["KeyCount"] >= 0


def test_a_link_made_by_a_client_and_used_on_a_machine(
    sandbox: Connection, shared: Account, machine: str, stored: str
) -> None:
    """Such a request bears the client's name: only in isolated mode is it seen where it comes from."""
    signer = client(sandbox, "s3", config=Config(signature_version="s3v4"))
    url = signer.generate_presigned_url("get_object", Params={"Bucket": sandbox.bucket, "Key": stored})
    faults_client.add(sandbox, "error", machine=machine, code="SlowDown")
    got = shared.run(machine, f"curl -s -o /dev/null -w '%{{http_code}}' '{url}'")["StandardOutputContent"]
    assert got == ("503" if sandbox.mode == "isolated" else "200")


def test_a_machine_gets_new_credentials_for_expired_ones(sandbox: Connection, shared: Account, machine: str) -> None:
    command = shared.send(machine, script(sandbox, UNTIL_NOT_FINE))
    shared.until(lambda: shared.invocation(command, machine) is not None)
    latency = faults_client.add(sandbox, "latency", machine=machine, latency_s=0.001)
    shared.until(lambda: faults_client.list(sandbox)[0].hits > 0)  # it has credentials and works with them
    faults_client.clear(sandbox, latency.id)
    faults_client.add(sandbox, "expired-credentials", origin="machine")
    ended = shared.result(command, machine)
    # A client that keeps its credentials is refused for good; one that asks anew is served.
    assert ended["StandardOutputContent"].split() == ["fine", "ExpiredToken", "fine"]
    assert hits(sandbox) == [2]


def test_an_offline_machine_reaches_nothing_and_is_not_reached(
    sandbox: Connection, shared: Account, machine: str, s3: Any
) -> None:
    running = shared.send(machine, script(sandbox, UNTIL_NOT_FINE))
    shared.until(lambda: (seen := shared.invocation(running, machine)) and seen["Status"] == "InProgress")
    latency = faults_client.add(sandbox, "latency", machine=machine, latency_s=0.001)
    shared.until(lambda: faults_client.list(sandbox)[0].hits > 0)
    faults_client.clear(sandbox, latency.id)
    faults_client.add(sandbox, "offline", machine=machine)
    later = shared.send(machine, "echo here")
    # Two failed looks of the script, its result and the new command: all have met the fault.
    shared.until(lambda: hits(sandbox)[0] >= 4)
    s3.list_objects_v2(Bucket=sandbox.bucket)
    assert [(shared.invocation(one, machine) or {})["Status"] for one in (running, later)] == ["InProgress", "Pending"]
    faults_client.clear(sandbox)
    words = shared.result(running, machine)["StandardOutputContent"].split()
    assert words[0] == "fine"
    assert words[1] in ("ConnectionClosedError", "EndpointConnectionError")
    assert shared.result(later, machine)["StandardOutputContent"] == "here\n"


@pytest.mark.skipif(sandbox_mode() != "isolated", reason="only an isolated machine has a network of its own")
def test_an_offline_machine_has_no_way_out_either(sandbox: Connection, shared: Account, machine: str) -> None:
    look = "curl -s -o /dev/null --max-time 60 http://nobody.invalid/"
    # While the proxy answers, if only that there is no such name, curl is content.
    command = shared.send(machine, f"code=0; while [ $code = 0 ]; do sleep 0.05; {look}; code=$?; done; echo $code")
    shared.until(lambda: (seen := shared.invocation(command, machine)) and seen["Status"] == "InProgress")
    faults_client.add(sandbox, "offline", machine=machine)
    shared.until(lambda: hits(sandbox)[0] >= 2)  # by curl, and by the agent with its result
    faults_client.clear(sandbox)
    code = shared.result(command, machine)["StandardOutputContent"].strip()
    assert code in ("7", "52", "56")  # no connection, no answer, or a reset: by how far curl had come


def test_a_killed_agent_is_back_and_loses_nothing(sandbox: Connection, shared: Account, machine: str) -> None:
    running = shared.send(machine, "sleep 0.3; echo done")
    shared.until(lambda: (seen := shared.invocation(running, machine)) and seen["Status"] == "InProgress")
    killed_at = time.time()
    fault = faults_client.kill_agent(sandbox, machine)
    later = shared.send(machine, "echo later")
    assert shared.result(running, machine)["StandardOutputContent"] == "done\n"
    ended = shared.result(later, machine)
    assert ended["StandardOutputContent"] == "later\n"
    assert fault.for_s is not None
    started = datetime.fromisoformat(ended["ExecutionStartDateTime"].replace("Z", "+00:00"))
    assert started.timestamp() - killed_at > fault.for_s - 0.1
    (seen,) = faults_client.list(sandbox)
    assert (seen.hits, seen.active) == (2, False)


def test_power_off_kills_everything_and_the_disk_stays(sandbox: Connection, account: Account) -> None:
    instance_id = account.ready()
    place = account.run(
        instance_id, 'd="${RUNCTL_ROOT:-/var/lib/runctl}"; mkdir -p "$d"; echo kept > "$d/k"; echo "$d"'
    )
    folder = place["StandardOutputContent"].strip()
    account.run(instance_id, "setsid sleep 7654 >/dev/null 2>&1 &")
    command = account.send(instance_id, "sleep 7654")
    account.until(lambda: (seen := account.invocation(command, instance_id)) and seen["Status"] == "InProgress")
    faults_client.power_off(sandbox, instance_id)
    assert processes_of(instance_id) == []
    account.await_state(instance_id, "stopped")
    assert account.describe(instance_id)["StateReason"]["Code"] == "Server.InternalError"
    assert (account.invocation(command, instance_id) or {})["Status"] == "InProgress"  # nobody is left to say more
    with pytest.raises(FaultRefusedError, match="is stopped, not running"):
        faults_client.power_off(sandbox, instance_id)
    account.ec2.start_instances(InstanceIds=[instance_id])
    account.until(lambda: account.online(instance_id))
    assert account.run(instance_id, f"cat {folder}/k")["StandardOutputContent"] == "kept\n"


def test_power_off_is_the_end_of_a_spot_machine(sandbox: Connection, account: Account) -> None:
    tags = [{"Key": "runctl:managed", "Value": "true"}]
    kinds = ("instance", "volume", "spot-instances-request")
    instance_id = account.ready(
        InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}},
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in kinds],
    )
    faults_client.power_off(sandbox, instance_id)
    account.await_state(instance_id, "terminated")
    assert account.describe(instance_id)["StateReason"]["Code"] == "Server.InternalError"


def processes_of(instance_id: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SBX_ID") == instance_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_full_disk(sandbox: Connection, account: Account) -> None:
    instance_id = account.ready()
    if sandbox.mode == "plain":
        with pytest.raises(FaultRefusedError, match="only isolated mode"):
            faults_client.fill_disk(sandbox, instance_id)
        return
    free = "df --output=avail -B1 / | tail -1"
    before = int(account.run(instance_id, free)["StandardOutputContent"])
    taken = faults_client.fill_disk(sandbox, instance_id)
    assert abs(taken - before) < 64 << 20
    root = next(
        path for p in processes_of(instance_id) if (path := Path(f"/proc/{p.pid}/root/var/lib/runctl")).is_dir()
    )
    with pytest.raises(OSError, match="No space left"):
        (root / "more").write_bytes(b"x" * 8192)
    assert account.run(instance_id, "true")["Status"] == "Failed"  # its agent has no room for the script
    faults_client.power_off(sandbox, instance_id)
    account.await_state(instance_id, "stopped")
    account.ec2.start_instances(InstanceIds=[instance_id])
    account.until(lambda: account.online(instance_id))
    assert account.run(instance_id, "true")["Status"] == "Success"  # a boot needs room, and makes it
    faults_client.fill_disk(sandbox, instance_id)
    faults_client.free_disk(sandbox, instance_id)
    assert account.run(instance_id, f"echo x > /var/lib/runctl/more && {free}")["Status"] == "Success"


OPERATIONS: list[tuple[str, Callable[[Any, str], Any]]] = [
    ("GetObject", lambda s3, b: s3.get_object(Bucket=b, Key="faults/stored")),
    ("HeadObject", lambda s3, b: s3.head_object(Bucket=b, Key="faults/stored")),
    ("ListObjectsV2", lambda s3, b: s3.list_objects_v2(Bucket=b)),
    ("HeadBucket", lambda s3, b: s3.head_bucket(Bucket=b)),
    ("CopyObject", lambda s3, b: s3.copy_object(Bucket=b, Key="faults/c", CopySource=f"{b}/faults/stored")),
    ("UploadPart", lambda s3, b: s3.upload_part(Bucket=b, Key="faults/m", UploadId="u", PartNumber=1, Body=b"x")),
    ("CreateMultipartUpload", lambda s3, b: s3.create_multipart_upload(Bucket=b, Key="faults/m")),
    ("AbortMultipartUpload", lambda s3, b: s3.abort_multipart_upload(Bucket=b, Key="faults/m", UploadId="u")),
    ("DeleteObject", lambda s3, b: s3.delete_object(Bucket=b, Key="faults/none")),
    ("DeleteObjects", lambda s3, b: s3.delete_objects(Bucket=b, Delete={"Objects": [{"Key": "faults/none"}]})),
    ("ListParts", lambda s3, b: s3.list_parts(Bucket=b, Key="faults/m", UploadId="u")),
]


@pytest.mark.parametrize(("name", "call"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_each_operation_of_s3_is_known_by_its_name(
    sandbox: Connection, s3: Any, bucket: str, name: str, call: Callable[[Any, str], Any]
) -> None:
    for one, _ in OPERATIONS:
        faults_client.add(sandbox, "error", service="s3", operation=one, code="SlowDown")
    with pytest.raises(ClientError) as error:
        call(s3, bucket)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert [fault.operation for fault in faults_client.list(sandbox) if fault.hits] == [name]


def test_keys_are_matched_by_glob(sandbox: Connection, s3: Any, bucket: str, stored: str) -> None:
    faults_client.add(sandbox, "error", key="*/latest.json", code="SlowDown")
    s3.head_object(Bucket=bucket, Key=stored)
    s3.list_objects_v2(Bucket=bucket)
    client(sandbox, "ec2").describe_instances()
    for call in (
        lambda: s3.put_object(Bucket=bucket, Key="jobs/1/latest.json", Body=b""),
        lambda: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b/latest.json"}]}),
    ):
        with pytest.raises(ClientError, match="SlowDown"):
            call()
    assert hits(sandbox) == [2]


def outcomes(s3: Any, bucket: str, requests: int) -> str:
    said = ""
    for _ in range(requests):
        try:
            s3.head_bucket(Bucket=bucket)
            said += "."
        except ClientError:
            said += "x"
    return said


def test_a_share_of_requests_and_a_number_of_hits(sandbox: Connection, s3: Any, bucket: str) -> None:
    faults_client.add(sandbox, "error", rate=0.5)
    said = outcomes(s3, bucket, 40)
    assert 8 <= said.count("x") <= 32
    assert hits(sandbox) == [said.count("x")]
    faults_client.clear(sandbox)
    faults_client.add(sandbox, "error", count=3)
    assert outcomes(s3, bucket, 5) == "xxx.."
    assert [(one.hits, one.active) for one in faults_client.list(sandbox)] == [(3, False)]


def test_a_count_holds_for_many_clients_at_once(sandbox: Connection, bucket: str) -> None:
    faults_client.add(sandbox, "error", service="s3", count=7)
    clients = [client(sandbox, "s3", config=ONCE) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        said = "".join(pool.map(lambda one: outcomes(one, bucket, 5), clients))
    assert said.count("x") == 7


def test_faults_end_by_their_time_and_by_their_id(sandbox: Connection, s3: Any, bucket: str) -> None:
    first = faults_client.add(sandbox, "error", for_s=0.3)
    until(lambda: outcomes(s3, bucket, 1) == ".")
    second, third = faults_client.add(sandbox, "cut"), faults_client.add(sandbox, "error")
    assert faults_client.clear(sandbox, second.id) == [second.id]
    assert outcomes(s3, bucket, 1) == "x"
    assert [(one.id, one.active) for one in faults_client.list(sandbox)] == [(first.id, False), (third.id, True)]
    assert faults_client.clear(sandbox) == [first.id, third.id]
    assert outcomes(s3, bucket, 1) == "."
    with pytest.raises(FaultRefusedError, match="No fault f0"):
        faults_client.clear(sandbox, "f0")


def test_no_fault_hits_the_sandbox_itself(sandbox: Connection) -> None:
    faults_client.add(sandbox, "cut")
    faults_client.add(sandbox, "offline", origin="client")
    assert service.status(Path(sandbox.home)).running
    assert hits(sandbox) == [0, 0]
    stranger = Connection.from_dict({**sandbox.to_dict(), "control_token": "guess"})
    assert call_control(stranger, "POST", "/_sandbox/faults", {"kind": "cut"})[0] == 403
    assert call_control(stranger, "DELETE", "/_sandbox/faults")[0] == 403
    with pytest.raises(FaultRefusedError, match="is missing or wrong"):
        faults_client.list(stranger)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"kind": "flood"}, "kind is one of"),
        ({"kind": "latency"}, "needs a time"),
        ({"kind": "error", "status": 200}, "status is a number from 400 to 599"),
        ({"kind": "error", "status": 418}, "needs a code"),
        ({"kind": "cut", "code": "SlowDown"}, "belong to error"),
        ({"kind": "cut", "rate": 0.0}, "rate is above 0"),
        ({"kind": "cut", "count": 1.5}, "count is a number"),
        ({"kind": "cut", "service": "s4"}, "service is one of"),
        ({"kind": "cut", "operation": "PutObject"}, "needs its service"),
        ({"kind": "cut", "service": "ec2", "operation": "PutObject"}, "ec2 has no operation"),
        ({"kind": "cut", "service": "ec2", "key": "*"}, "keys are S3's"),
        ({"kind": "offline"}, "say who is offline"),
        ({"kind": "offline", "origin": "client", "service": "s3"}, "no service at all"),
        ({"kind": "cut", "origin": "client", "machine": "i-0123456789abcdef0"}, "do not come from a client"),
        ({"kind": "cut", "machine": "i-0123456789abcdef0"}, "no instance i-0123456789abcdef0"),
        ({"kind": "cut", "machine": 5}, "machine is a text"),
        ({"kind": "cut", "colour": "red"}, "a fault has no colour"),
    ],
)
def test_what_is_no_fault_is_refused(sandbox: Connection, rule: dict[str, Any], why: str) -> None:
    status, said = call_control(sandbox, "POST", "/_sandbox/faults", rule)
    assert status in (400, 404)
    assert why in said["error"]
    assert faults_client.list(sandbox) == []


def test_faults_are_gone_after_a_stop_which_they_do_not_hold_up(tmp_path: Path) -> None:
    connection = service.start(tmp_path, sandbox_mode(), service.StartOptions(pace=0.0))
    try:
        faults_client.add(connection, "timeout")
        held = http.client.HTTPConnection(str(urlsplit(connection.endpoint_url).netloc), timeout=60)
        held.request("GET", "/nobody/nothing")
        until(lambda: hits(connection) == [1])
        service.stop(tmp_path)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            held.getresponse()
        connection = service.start(tmp_path, sandbox_mode(), service.StartOptions(pace=0.0))
        assert faults_client.list(connection) == []
    finally:
        service.stop(tmp_path)


def test_from_the_shell(
    sandbox: Connection, s3: Any, bucket: str, account: Account, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RUNCTL_SANDBOX_HOME", sandbox.home)

    def run(line: str, status: int = 0) -> str:
        assert main(["sandbox", *line.split()]) == status
        out, err = capsys.readouterr()
        return out if status == 0 else err

    line = "fault add error --service s3 --operation PutObject --key jobs/* --from client --status 503 --for 60s"
    assert "503" in run(f"{line} --count 2")
    with pytest.raises(ClientError, match="SlowDown"):
        s3.put_object(Bucket=bucket, Key="jobs/1", Body=b"")
    (fault,) = json.loads(run("fault list --json"))["faults"]
    assert (fault["hits"], fault["active"], fault["kind"], fault["status"]) == (1, True, "error", 503)
    assert "hit once" in run("fault list")
    assert fault["id"] in run(f"fault clear {fault['id']}")
    assert "No faults" in run("fault list")
    assert len(run("fault add latency --service s3", 2).strip().splitlines()) == 2

    tags = [{"Key": "runctl:managed", "Value": "true"}, {"Key": "Name", "Value": "poor"}]
    kinds = ("instance", "volume")
    instance_id = account.ready(TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in kinds])
    assert "no instance nobody" in run("fault kill-agent nobody", 2).lower()
    assert json.loads(run("fault kill-agent poor --json"))["machine"] == instance_id
    assert "not a running Spot Instance" in run(f"interrupt {instance_id} --notice 5s", 2)
    run("fault power-off poor")
    account.await_state(instance_id, "stopped")


def until(look: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "the awaited state did not come"
        time.sleep(0.02)
