"""The metadata service keeps the rules of IMDSv2."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runctl_jupyter.sandbox.hosts.base import HostSpec, RoleCredentials
from runctl_jupyter.sandbox.imds import InstanceMetadata, MetadataServer

SPEC = HostSpec(
    "i-0123456789abcdef0",
    "g5.xlarge",
    "ami-0123456789abcdef0",
    "123456789012",
    "us-east-1",
    "us-east-1a",
    4,
    16384,
    30,
    lifecycle="spot",
    user_data=b"#!/bin/sh\necho \xff\n",
    tags_in_metadata={"Name": "trainer"},
)
ROLE = RoleCredentials(
    "train", "arn:aws:iam::123456789012:instance-profile/train", "ASIA", "s", "t", "2099-01-01T00:00:00Z"
)


class Client:
    def __init__(self, port: int, metadata: InstanceMetadata) -> None:
        self.metadata = metadata
        self._port = port
        self.token = ""

    def ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def new_token(self, ttl: str = "60", **headers: str) -> tuple[int, bytes]:
        return self.ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": ttl} | headers)

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        return self.ask("GET", path, {"X-aws-ec2-metadata-token": self.token if token is None else token})

    def text(self, path: str) -> str:
        status, body = self.get(path)
        assert status == 200, path
        return body.decode()


@contextmanager
def serving(role: RoleCredentials | None = ROLE) -> Iterator[Client]:
    listener = socket.create_server(("127.0.0.1", 0))
    metadata = InstanceMetadata(SPEC, "10.233.0.10", lambda: role)
    client = Client(listener.getsockname()[1], metadata)
    server = MetadataServer(listener, metadata)
    try:
        client.token = client.new_token()[1].decode()
        yield client
    finally:
        server.close()


@pytest.fixture
def client() -> Iterator[Client]:
    with serving() as made:
        yield made


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-5", "ten", "1.5"])
def test_token_needs_a_lifetime_in_range(client: Client, ttl: str) -> None:
    assert client.new_token(ttl)[0] == 400


def test_token_is_refused_through_a_proxy(client: Client) -> None:
    assert client.new_token(**{"X-Forwarded-For": "10.0.0.1"})[0] == 403


def test_nothing_without_a_valid_token(client: Client) -> None:
    assert client.ask("GET", "/latest/meta-data/instance-id", {})[0] == 401
    assert client.get("/latest/meta-data/instance-id", "guessed")[0] == 401
    with serving() as other:
        assert other.get("/latest/meta-data/instance-id", client.token)[0] == 401


def test_token_expires(client: Client) -> None:
    token = client.new_token("1")[1].decode()
    assert client.get("/latest/meta-data/instance-id", token)[0] == 200
    deadline = time.monotonic() + 5
    while client.get("/latest/meta-data/instance-id", token)[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.get("/latest/meta-data/instance-id", token)[0] == 401


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/latest/meta-data/instance-id", "i-0123456789abcdef0"),
        ("/2021-03-23/meta-data/instance-id", "i-0123456789abcdef0"),
        ("/latest/meta-data/instance-type", "g5.xlarge"),
        ("/latest/meta-data/ami-id", "ami-0123456789abcdef0"),
        ("/latest/meta-data/local-ipv4", "10.233.0.10"),
        ("/latest/meta-data/local-hostname", "ip-10-233-0-10.ec2.internal"),
        ("/latest/meta-data/placement/availability-zone", "us-east-1a"),
        ("/latest/meta-data/placement/region", "us-east-1"),
        ("/latest/meta-data/instance-life-cycle", "spot"),
        ("/latest/meta-data/services/domain", "amazonaws.com"),
        ("/latest/meta-data/tags/instance/Name", "trainer"),
        ("/latest/meta-data/placement/", "availability-zone\nregion"),
        ("/latest/meta-data/iam/security-credentials/", "train"),
        ("/latest/meta-data/tags/instance/", "Name"),
        ("/latest/", "dynamic/\nmeta-data/\nuser-data"),
        ("/", "latest"),
    ],
)
def test_values_and_listings(client: Client, path: str, value: str) -> None:
    assert client.text(path) == value


def test_user_data_comes_byte_for_byte(client: Client) -> None:
    assert client.get("/latest/user-data") == (200, SPEC.user_data)


def test_role_and_identity_are_json(client: Client) -> None:
    secret = json.loads(client.text("/latest/meta-data/iam/security-credentials/train"))
    assert (secret["Code"], secret["AccessKeyId"], secret["Token"]) == ("Success", "ASIA", "t")
    assert json.loads(client.text("/latest/meta-data/iam/info"))["InstanceProfileArn"] == ROLE.profile_arn
    document = json.loads(client.text("/latest/dynamic/instance-identity/document"))
    assert (document["instanceId"], document["privateIp"]) == (SPEC.instance_id, "10.233.0.10")


def test_no_role_no_iam_folder() -> None:
    with serving(role=None) as client:
        assert client.get("/latest/meta-data/iam/security-credentials/")[0] == 404
        assert "iam/" not in client.text("/latest/meta-data/").split()


def test_notices_appear_when_announced(client: Client) -> None:
    for path in ("spot/instance-action", "spot/termination-time", "events/recommendations/rebalance"):
        assert client.get(f"/latest/meta-data/{path}")[0] == 404
    client.metadata.announce_spot_interruption("terminate", "2026-01-01T00:02:00Z")
    notice = json.loads(client.text("/latest/meta-data/spot/instance-action"))
    assert notice == {"action": "terminate", "time": "2026-01-01T00:02:00Z"}
    assert client.text("/latest/meta-data/spot/termination-time") == "2026-01-01T00:02:00Z"
    assert "noticeTime" in json.loads(client.text("/latest/meta-data/events/recommendations/rebalance"))


def test_head_has_no_body(client: Client) -> None:
    token = {"X-aws-ec2-metadata-token": client.token}
    assert client.ask("HEAD", "/latest/meta-data/instance-id", token) == (200, b"")
