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
