"""Objects and their listing: everything once, in order, whole; a token that was never given is refused."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox.connection import Connection
from runctl_jupyter.sandbox.control.s3.objects import Turn
from tests.sandbox.conftest import Boto

BUCKET = "runctl-sandbox"
ROOT = "listing/"
KEYS = ["a", "a-b/1", "a-b/2", "a/1", "a/2", "b", "c/d/e", "c/f", "z"]


@pytest.fixture(scope="module", autouse=True)
def _objects(boto: Boto) -> None:
    for key in KEYS:
        boto("s3").put_object(Bucket=BUCKET, Key=ROOT + key, Body=b"x")


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("delimiter", "expected"), [("", KEYS), ("/", ["a", "a-b/", "a/", "b", "c/", "z"])], ids=["flat", "level"]
)
def test_pages_hold_everything_once(boto: Boto, page: int, delimiter: str, expected: list[str]) -> None:
    asked = {"Bucket": BUCKET, "Prefix": ROOT, "MaxKeys": page, "Delimiter": delimiter}
    found, token = [], {}
    while True:
        answer = boto("s3").list_objects_v2(**asked, **token)
        names = [each["Key"] for each in answer.get("Contents", [])]
        names += [each["Prefix"] for each in answer.get("CommonPrefixes", [])]
        assert len(names) <= page
        found += sorted(names)
        if not answer["IsTruncated"]:
            break
        token = {"ContinuationToken": answer["NextContinuationToken"]}
    assert [name.removeprefix(ROOT) for name in found] == expected


def test_a_listing_begins_after_a_name(boto: Boto) -> None:
    answer = boto("s3").list_objects_v2(Bucket=BUCKET, Prefix=ROOT, StartAfter=f"{ROOT}b")
    assert [each["Key"].removeprefix(ROOT) for each in answer["Contents"]] == ["c/d/e", "c/f", "z"]


def test_a_token_that_was_never_given_is_refused(boto: Boto) -> None:
    with pytest.raises(ClientError) as raised:
        boto("s3").list_objects_v2(Bucket=BUCKET, ContinuationToken="nonsense")
    assert raised.value.response["Error"]["Code"] == "InvalidArgument"


def test_an_object_is_seen_with_its_metadata_or_not_at_all(boto: Boto) -> None:
    reader, writer = boto("s3"), boto("s3")
    keys = [f"whole/{number}" for number in range(60)]

    def read(key: str) -> dict[str, str]:
        while True:
            try:
                found: dict[str, str] = reader.get_object(Bucket=BUCKET, Key=key)["Metadata"]
            except reader.exceptions.NoSuchKey:
                continue
            return found

    with ThreadPoolExecutor(2) as pool:
        seen = pool.map(read, keys)
        for key in keys:
            writer.put_object(Bucket=BUCKET, Key=key, Body=b"x", Metadata={"origin": "runner"})
        assert list(seen) == [{"origin": "runner"}] * len(keys)


def test_who_reads_while_somebody_writes_looks_again() -> None:
    turn, stored, looks = Turn(), {"metadata": ""}, []

    def look() -> str:
        looks.append(stored["metadata"])
        if len(looks) == 1:
            with turn:
                stored["metadata"] = "runner"
        return looks[-1]

    assert turn.read(look) == "runner"
    assert turn.read(look) == "runner"
    assert looks == ["", "runner", "runner"]


@pytest.mark.parametrize("space", ["%20", "+"])
def test_a_space_in_a_query_may_come_in_two_ways(sandbox: Connection, boto: Boto, space: str) -> None:
    boto("s3").put_object(Bucket=BUCKET, Key="two words/x", Body=b"x")
    env = sandbox.env
    url = f"{env['AWS_ENDPOINT_URL']}/{BUCKET}?list-type=2&prefix=two%20words%2F"
    request = AWSRequest("GET", url, headers={"x-amz-content-sha256": hashlib.sha256().hexdigest()})
    keys = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(keys, "s3", env["AWS_REGION"]).add_auth(request)
    answer = httpx.get(url.replace("%20", space), headers=dict(request.headers))
    assert (answer.status_code, "<Key>two words/x</Key>" in answer.text) == (200, True), answer.text
    assert httpx.get(url.replace("%20", "-"), headers=dict(request.headers)).status_code == 403
