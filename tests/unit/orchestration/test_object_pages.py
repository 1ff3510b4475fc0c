"""What S3 answers to a listing, and what it refuses, as values and as errors of two lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from runctl_jupyter.orchestration.aws.s3 import S3
from runctl_jupyter.orchestration.errors import InvalidRequest, PermissionDenied, RunctlError, StorageUnavailable

AT = datetime(2026, 11, 24, tzinfo=UTC)


class Session:
    """A session whose S3 says what it is told to."""

    def __init__(self) -> None:
        self.s3: Any = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


@pytest.fixture
def session() -> Session:
    return Session()


def test_one_request_for_a_page(session: Session) -> None:
    asked = {"Bucket": "lab-runs", "Prefix": "a/st", "Delimiter": "/", "MaxKeys": 2, "ContinuationToken": "t1"}
    answer = {
        "CommonPrefixes": [{"Prefix": "a/steps/"}],
        "Contents": [{"Key": "a/step.bin", "Size": 5, "LastModified": AT}],
        "NextContinuationToken": "t2",
    }
    with Stubber(session.s3) as stub:
        stub.add_response("list_objects_v2", answer, asked)
        page = S3(session).page("lab-runs", "a/", "t1", "st", 2)  # type: ignore[arg-type]
        stub.assert_no_pending_responses()
    assert page.to_dict() == {
        "uri": "s3://lab-runs/a/",
        "prefixes": [{"name": "steps", "uri": "s3://lab-runs/a/steps/"}],
        "objects": [
            {
                "name": "step.bin",
                "uri": "s3://lab-runs/a/step.bin",
                "size": 5,
                "last_modified": "2026-11-24T00:00:00.000Z",
            }
        ],
        "next": "t2",
    }


def test_the_marker_of_a_folder_is_not_an_object_in_it(session: Session) -> None:
    with Stubber(session.s3) as stub:
        stub.add_response("list_objects_v2", {"Contents": [{"Key": "a/", "Size": 0, "LastModified": AT}]})
        page = S3(session).page("lab-runs", "a/", None, "", 2)  # type: ignore[arg-type]
    assert (page.objects, page.prefixes, page.next) == ([], [], None)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchBucket", 404, StorageUnavailable),
        ("AccessDenied", 403, PermissionDenied),
        ("InvalidArgument", 400, InvalidRequest),
    ],
)
def test_refusals(session: Session, code: str, status: int, expected: type[RunctlError]) -> None:
    with Stubber(session.s3) as stub:
        stub.add_client_error("list_objects_v2", code, "said by 123456789012", status)
        with pytest.raises(expected) as caught:
            S3(session).page("lab-runs", "", "nonsense", "", 2)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 2
    assert "123456789012" not in str(caught.value)


def test_all_below_a_prefix_page_by_page(session: Session) -> None:
    asked = {"Bucket": "lab-runs", "Prefix": "a/", "StartAfter": "a/b", "RequestPayer": "requester"}
    rows = [{"Key": f"a/{n}//x", "Size": n, "LastModified": AT, "ETag": f'"{n}"'} for n in range(3)]
    first = {"IsTruncated": True, "NextContinuationToken": "t", "Contents": rows[:2]}
    with Stubber(session.s3) as stub:
        stub.add_response("list_objects_v2", first, asked)
        stub.add_response("list_objects_v2", {"Contents": rows[2:]}, {**asked, "ContinuationToken": "t"})
        found = list(S3(session, request_payer=True).walk("lab-runs", "a/", "a/b"))  # type: ignore[arg-type]
    assert found == [(f"a/{n}//x", n, AT, f'"{n}"') for n in range(3)]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, (True, None)),
        ({"ServerSideEncryption": "AES256"}, (True, None)),
        ({"ServerSideEncryption": "aws:kms"}, (False, None)),
        ({"SSECustomerAlgorithm": "AES256"}, (False, None)),
        ({"ServerSideEncryption": "aws:kms", "ChecksumSHA256": "AAEC"}, (False, bytes([0, 1, 2]))),
        ({"ServerSideEncryption": "aws:kms", "ChecksumSHA256": "AAEC-3"}, (False, None)),
    ],
)
def test_what_is_told_of_an_objects_bytes(session: Session, answer: dict[str, str], told: tuple[bool, Any]) -> None:
    with Stubber(session.s3) as stub:
        stub.add_response("head_object", answer, {"Bucket": "b-1", "Key": "k", "ChecksumMode": "ENABLED"})
        assert S3(session).told_digest("b-1", "k") == told  # type: ignore[arg-type]
