"""The signature is AWS's own: compared with botocore's for whatever a request may hold."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from unittest import mock

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.runner.sigv4 import Credentials, Target, encode_path, sign

MOMENT = datetime(2026, 11, 24, 10, 0, 0, tzinfo=UTC)
SHA = "b" * 64
keys = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)
values = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@settings(deadline=None)  # the first example pays for imports, and the machine may be busy
@given(
    key=keys,
    query=st.dictionaries(keys, st.text(st.characters(codec="utf-8"), max_size=10), max_size=3),
    metadata=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), values, max_size=3),
    token=st.none() | values,
    method=st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"]),
)
def test_as_botocore_signs(
    key: str, query: dict[str, str], metadata: dict[str, str], token: str | None, method: str
) -> None:
    headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
    path = encode_path(f"/bucket/{key}")
    ours = sign(
        Target(method, "s3.example:9000", path, query),
        headers,
        SHA,
        credentials=Credentials("AKIDEXAMPLE", "secret", token),
        region="eu-west-1",
        moment=MOMENT,
    )
    request = AWSRequest(
        method, f"http://s3.example:9000{path}", headers={**headers, "X-Amz-Content-SHA256": SHA}, params=query
    )
    request.context["payload_signing_enabled"] = True
    auth = S3SigV4Auth(BotoCredentials("AKIDEXAMPLE", "secret", token), "s3", "eu-west-1")
    with (
        mock.patch.object(S3SigV4Auth, "payload", return_value=SHA),
        mock.patch("botocore.auth.get_current_datetime", return_value=MOMENT.replace(tzinfo=None)),
    ):
        auth.add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


@settings(deadline=None)
@given(body=st.binary(max_size=30), token=st.none() | values, service=st.sampled_from(["ssm", "secretsmanager"]))
def test_as_botocore_signs_for_other_services(body: bytes, token: str | None, service: str) -> None:
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonSSM.GetParameter"}
    digest = hashlib.sha256(body).hexdigest()
    ours = sign(
        Target("POST", "127.0.0.1:9000", "/", {}),
        headers,
        digest,
        credentials=Credentials("AKIDEXAMPLE", "secret", token),
        region="eu-west-1",
        moment=MOMENT,
        service=service,
    )
    request = AWSRequest(
        "POST", "http://127.0.0.1:9000/", headers={**headers, "X-Amz-Content-SHA256": digest}, data=body
    )
    auth = SigV4Auth(BotoCredentials("AKIDEXAMPLE", "secret", token), service, "eu-west-1")
    with mock.patch("botocore.auth.get_current_datetime", return_value=MOMENT.replace(tzinfo=None)):
        auth.add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


def test_secrets_do_not_show() -> None:
    assert "hidden" not in repr(Credentials("AKIDEXAMPLE", "hidden", "hidden too"))


def test_encoding_is_not_form_encoding() -> None:
    assert encode_path("/a b+c/ü~.txt") == "/a%20b%2Bc/%C3%BC~.txt"
