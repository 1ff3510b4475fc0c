"""Refusals that moto alone does not give: in the service's words, and with nothing done."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client
from tests.sandbox.control.conftest import Account

DOCUMENT = "AWS-RunShellScript"
TAG = {"Key": "runctl:managed", "Value": "true"}


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


def test_keys_are_refused_in_the_words_of_each_service(sandbox: Connection) -> None:
    unknown = {"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA"}
    wrong = {"aws_secret_access_key": "wrong"}
    assert code(client(sandbox, "ec2", **unknown).describe_instances) == "AuthFailure"
    assert code(client(sandbox, "ec2", **wrong).describe_instances) == "AuthFailure"
    assert code(client(sandbox, "ssm", **unknown).list_commands) == "UnrecognizedClientException"
    assert code(client(sandbox, "ssm", **wrong).list_commands) == "InvalidSignatureException"
    assert code(client(sandbox, "sts", **unknown).get_caller_identity) == "InvalidClientTokenId"
    assert client(sandbox, "sts").get_caller_identity()["Arn"].endswith(":user/runctl-sandbox-user")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"TimeoutSeconds": 40_000_000}, "ValidationException"),
        ({"Parameters": {"workingDirectory": ["/"]}}, "InvalidParameters"),
        ({"Targets": [{"Key": "tag:runctl:managed", "Values": ["true"]}]}, "InvalidParameters"),  # besides ids
    ],
)
def test_what_run_command_rejects(shared: Account, machine: str, changes: dict[str, Any], expected: str) -> None:
    request = {"InstanceIds": [machine], "DocumentName": DOCUMENT, "Parameters": {"commands": ["true"]}}
    before = len(shared.ssm.list_commands()["Commands"])
    assert code(shared.ssm.send_command, **(request | changes)) == expected
    assert len(shared.ssm.list_commands()["Commands"]) == before


def test_one_bad_machine_refuses_the_batch_and_no_profile_means_no_agent(shared: Account, machine: str) -> None:
    request = shared.request()
    del request["IamInstanceProfile"]
    mute = shared.ec2.run_instances(**request)["Instances"][0]["InstanceId"]
    shared.launched.append(mute)
    shared.await_state(mute, "running")
    assert not shared.online(mute)
    before = len(shared.ssm.list_commands()["Commands"])
    parameters = {"commands": ["true"]}
    refusal = code(shared.ssm.send_command, InstanceIds=[machine, mute], DocumentName=DOCUMENT, Parameters=parameters)
    assert refusal == "InvalidInstanceId"
    assert len(shared.ssm.list_commands()["Commands"]) == before


def test_lists_of_commands(shared: Account, machine: str) -> None:
    command = shared.ssm.send_command(
        Targets=[{"Key": "tag:runctl:managed", "Values": ["true"]}],
        DocumentName=f"arn:aws:ssm:us-east-1::document/{DOCUMENT}",
        Parameters={"commands": ["seq 1 2000"]},
        Comment="counted",
    )["Command"]
    assert (command["Status"], command["TargetCount"]) == ("Pending", 0)
    shared.result(command["CommandId"], machine)
    (listed,) = shared.ssm.list_command_invocations(CommandId=command["CommandId"], Details=True)["CommandInvocations"]
    assert (listed["InstanceId"], listed["Status"], listed["Comment"]) == (machine, "Success", "counted")
    assert len(listed["CommandPlugins"][0]["Output"]) == 2_500
    (brief,) = shared.ssm.list_command_invocations(CommandId=command["CommandId"])["CommandInvocations"]
    assert brief["CommandPlugins"] == []
    (found,) = shared.ssm.list_commands(CommandId=command["CommandId"])["Commands"]
    assert (found["Status"], found["TargetCount"], found["CompletedCount"]) == ("Success", 1, 1)
    assert code(shared.ssm.describe_instance_information, MaxResults=51) == "ValidationException"


def test_dry_run_proves_permission_and_launches_nothing(account: Account) -> None:
    run = account.ec2.run_instances
    before = account.ec2.describe_instances()["Reservations"]
    assert code(run, DryRun=True, **account.request()) == "DryRunOperation"
    assert code(run, DryRun=True, **account.request(TagSpecifications=[])) == "UnauthorizedOperation"
    assert account.ec2.describe_instances()["Reservations"] == before


def test_what_the_sandbox_cannot_do_is_an_error_of_the_service(account: Account) -> None:
    unknown = [{"Name": "banana", "Values": ["x"]}]
    assert code(account.ec2.describe_instances, Filters=unknown) == "InvalidParameterValue"
    assert code(account.ec2.describe_instances, MaxResults=2) == "InvalidParameterValue"


def root_volume(**ebs: Any) -> dict[str, Any]:
    return {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, **ebs}}]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"NetworkInterfaces": [{"DeviceIndex": 0}], "SecurityGroupIds": ["sg-1"]}, "InvalidParameterCombination"),
        ({"MinCount": 2}, "InvalidParameterCombination"),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue"),
        (
            {"NetworkInterfaces": [{"DeviceIndex": n, "AssociatePublicIpAddress": True} for n in (0, 1)]},
            "InvalidParameterCombination",
        ),
        (root_volume(VolumeType="io2"), "MissingParameter"),
        (root_volume(VolumeInitializationRate=99), "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "us-east-1z"}}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": kind, "Tags": [TAG]} for kind in ("instance", "volume",
            "spot-instances-request")]}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_impossible_combinations(account: Account, changes: dict[str, Any], expected: str) -> None:
    assert code(account.ec2.run_instances, **account.request(**changes)) == expected


def test_s3_refuses_what_is_not_ours_and_the_connection_stays_usable(sandbox: Connection) -> None:
    s3 = client(sandbox, "s3")
    assert code(s3.create_bucket, Bucket="another-bucket") == "AccessDenied"
    for _ in range(3):  # an upload that is refused unread must not spoil the connection it came over
        assert code(s3.put_object, Bucket="another-bucket", Key="x", Body=b"z" * (1 << 20)) == "AccessDenied"
    assert code(s3.get_object, Bucket=sandbox.bucket, Key="never written") == "NoSuchKey"
    assert code(s3.put_object, Bucket=sandbox.bucket, Key="never written", Body=b"", IfMatch='"0"') == "NoSuchKey"


def test_a_multipart_upload_that_is_not_open_is_named_so(sandbox: Connection) -> None:
    s3, where = client(sandbox, "s3"), {"Bucket": sandbox.bucket, "Key": "m", "UploadId": "unknown"}
    part = {"PartNumber": 1, "ETag": '"0"'}
    assert code(s3.upload_part, **where, PartNumber=1, Body=b"z") == "NoSuchUpload"
    assert code(s3.complete_multipart_upload, **where, MultipartUpload={"Parts": [part]}) == "NoSuchUpload"
    assert code(s3.abort_multipart_upload, **where) == "NoSuchUpload"
    assert code(s3.list_parts, **where) == "NoSuchUpload"


def test_of_many_conditional_writers_one_wins(sandbox: Connection) -> None:
    s3, writers = client(sandbox, "s3"), 8
    together = Barrier(writers)

    def write(number: int, key: str) -> int | None:
        together.wait()
        try:
            s3.put_object(Bucket=sandbox.bucket, Key=key, Body=bytes([number]), IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            return None
        return number

    with ThreadPoolExecutor(writers) as pool:
        for key in (f"race/{turn}" for turn in range(4)):
            winners = [n for n in pool.map(write, range(writers), [key] * writers) if n is not None]
            assert len(winners) == 1
            assert s3.get_object(Bucket=sandbox.bucket, Key=key)["Body"].read() == bytes(winners)


def test_a_conditional_write_during_another_write_is_a_conflict(sandbox: Connection) -> None:
    s3 = client(sandbox, "s3", config=Config(signature_version="s3v4"))
    once = client(sandbox, "s3", config=Config(retries={"total_max_attempts": 1}))
    where = {"Bucket": sandbox.bucket, "Key": "contended"}
    url = urlsplit(s3.generate_presigned_url("put_object", Params=where))
    slow = http.client.HTTPConnection(str(url.hostname), url.port)
    slow.putrequest("PUT", f"{url.path}?{url.query}")
    slow.putheader("Content-Length", "6")
    slow.endheaders(b"abc")  # half of it: the write is under way until the rest comes
    end = time.monotonic() + 30
    # The write may not have been taken in yet: until then every try finds no object to match.
    while (said := code(once.put_object, **where, Body=b"", IfMatch='"0"')) != "ConditionalRequestConflict":
        assert (said, time.monotonic() < end) == ("NoSuchKey", True)
    slow.send(b"def")
    assert slow.getresponse().status == 200
    slow.close()
    assert code(once.put_object, **where, Body=b"", IfNoneMatch="*") == "PreconditionFailed"
    assert s3.get_object(**where)["Body"].read() == b"abcdef"


def test_a_bucket_of_another_region_says_which(sandbox: Connection) -> None:
    elsewhere = client(sandbox, "s3", region_name="eu-west-1", config=Config(signature_version="s3v4"))
    url = urlsplit(elsewhere.generate_presigned_url("list_objects_v2", Params={"Bucket": sandbox.bucket}))
    asked = http.client.HTTPConnection(str(url.hostname), url.port)
    asked.request("GET", f"{url.path}?{url.query}")
    answer = asked.getresponse()
    assert (answer.status, answer.headers["x-amz-bucket-region"]) == (400, "us-east-1")
    body = answer.read()
    assert b"AuthorizationHeaderMalformed" in body
    assert b"<Region>us-east-1</Region>" in body
    asked.close()
    # botocore reads that, and asks again where the bucket is.
    assert elsewhere.list_objects_v2(Bucket=sandbox.bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_presigned_url_is_good_as_it_is_and_not_otherwise(sandbox: Connection) -> None:
    s3 = client(sandbox, "s3", config=Config(signature_version="s3v4"))
    key = "sp ace/ü+%/a=b&c"
    s3.put_object(Bucket=sandbox.bucket, Key=key, Body=b"hi")
    assert s3.get_object(Bucket=sandbox.bucket, Key=key)["Body"].read() == b"hi"
    url = s3.generate_presigned_url("get_object", Params={"Bucket": sandbox.bucket, "Key": key})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"hi"
    for tampered in (url[:-4] + "beef", url.partition("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(tampered)
        assert error.value.code == 403
        error.value.close()
