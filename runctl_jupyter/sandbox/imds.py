"""Instance Metadata Service, version 2 only: one server per machine, with that machine's own identity.

Paths and rules are those of the EC2 User Guide, pages "Use the Instance Metadata Service to access instance
metadata" and "Instance metadata categories". The hop limit is not emulated.
"""

from __future__ import annotations

import json
import re
import secrets
import select
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runctl_jupyter.sandbox.hosts.base import HostSpec, RoleCredentials

MAX_TOKEN_TTL_S = 21_600
_VERSION = re.compile(r"^/\d{4}-\d{2}-\d{2}(?=/|$)")
_META = "/latest/meta-data"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def private_dns_name(private_ip: str, region: str) -> str:
    """IP-based private DNS name, as EC2 gives it (User Guide, "EC2 instance hostnames and domains")."""
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{private_ip.replace('.', '-')}.{domain}"


@dataclass
class InstanceMetadata:
    """What the metadata service of one machine knows; notices may be added while it serves."""

    spec: HostSpec
    private_ip: str
    credentials: Callable[[], RoleCredentials | None]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    spot_action: tuple[str, str] | None = None
    rebalance_at: str | None = None

    def announce_spot_interruption(self, action: str, at: str) -> None:
        """Show the two-minute notice; a rebalance recommendation may come at the same moment, so it does here."""
        self.spot_action = (action, at)
        self.rebalance_at = self.rebalance_at or _utc(datetime.now(UTC))

    def announce_rebalance(self, at: str) -> None:
        """Show a rebalance recommendation with `at` as its notice time."""
        self.rebalance_at = at

    def tree(self) -> dict[str, bytes]:
        """Every leaf path below ``/latest`` with its body."""
        spec = self.spec
        name = private_dns_name(self.private_ip, spec.region)
        leaves: dict[str, str] = {
            f"{_META}/ami-id": spec.image_id,
            f"{_META}/hostname": name,
            f"{_META}/instance-id": spec.instance_id,
            f"{_META}/instance-life-cycle": spec.lifecycle,
            f"{_META}/instance-type": spec.instance_type,
            f"{_META}/local-hostname": name,
            f"{_META}/local-ipv4": self.private_ip,
            f"{_META}/placement/availability-zone": spec.zone,
            f"{_META}/placement/region": spec.region,
            f"{_META}/services/domain": "amazonaws.com",
            f"{_META}/services/partition": "aws",
            "/latest/dynamic/instance-identity/document": self._identity_document(),
        }
        for key, value in spec.tags_in_metadata.items():
            leaves[f"{_META}/tags/instance/{key}"] = value
        if self.spot_action is not None:
            action, at = self.spot_action
            leaves[f"{_META}/spot/instance-action"] = json.dumps({"action": action, "time": at})
            if action == "terminate":
                leaves[f"{_META}/spot/termination-time"] = at
        if self.rebalance_at is not None:
            notice = json.dumps({"noticeTime": self.rebalance_at})
            leaves[f"{_META}/events/recommendations/rebalance"] = notice
        leaves.update(self._role())
        bodies = {path: text.encode() for path, text in leaves.items()}
        if spec.user_data is not None:
            bodies["/latest/user-data"] = spec.user_data
        return bodies

    def _identity_document(self) -> str:
        spec = self.spec
        document = {
            "accountId": spec.account_id,
            "architecture": "x86_64",
            "availabilityZone": spec.zone,
            "imageId": spec.image_id,
            "instanceId": spec.instance_id,
            "instanceType": spec.instance_type,
            "pendingTime": _utc(self.started_at),
            "privateIp": self.private_ip,
            "region": spec.region,
            "version": "2017-09-30",
        }
        return json.dumps(document, indent=2)

    def _role(self) -> Mapping[str, str]:
        role = self.credentials()
        if role is None:
            return {}
        now = _utc(datetime.now(UTC))
        info = {"Code": "Success", "LastUpdated": now, "InstanceProfileArn": role.profile_arn}
        secret = {
            "Code": "Success",
            "LastUpdated": now,
            "Type": "AWS-HMAC",
            "AccessKeyId": role.access_key_id,
            "SecretAccessKey": role.secret_access_key,
            "Token": role.session_token,
            "Expiration": role.expires_at,
        }
        return {
            f"{_META}/iam/info": json.dumps(info, indent=2),
            f"{_META}/iam/security-credentials/{role.role_name}": json.dumps(secret, indent=2),
        }


def listing(leaves: Mapping[str, bytes], folder: str) -> bytes | None:
    """Names directly below `folder`, those with something below them with a slash; None when there are none."""
    prefix = folder.rstrip("/") + "/"
    names: set[str] = set()
    for path in leaves:
        if path.startswith(prefix):
            name, slash, _ = path[len(prefix) :].partition("/")
            names.add(name + slash)
    return "\n".join(sorted(names)).encode() if names else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    timeout = 10  # seconds an idle keep-alive connection may hold its thread
    disable_nagle_algorithm = True  # else a body waits 40 ms for the client to acknowledge the header
    server: _Server

    def do_PUT(self) -> None:
        if self.path != "/latest/api/token":
            self._answer(HTTPStatus.NOT_FOUND)
            return
        if self.headers.get("X-Forwarded-For"):  # a proxy stands in between: never hand out a token
            self._answer(HTTPStatus.FORBIDDEN)
            return
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isdecimal() or not 1 <= int(ttl) <= MAX_TOKEN_TTL_S:
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        token = self.server.issue_token(int(ttl))
        self._answer(HTTPStatus.OK, token.encode(), {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": ttl})

    def do_GET(self) -> None:
        if not self.server.accepts(self.headers.get("X-aws-ec2-metadata-token", "")):
            self._answer(HTTPStatus.UNAUTHORIZED)
            return
        path = _VERSION.sub("/latest", self.path.partition("?")[0])
        leaves = self.server.metadata.tree()
        body = b"latest" if path == "/" else leaves.get(path.rstrip("/"))
        if body is None:
            body = listing(leaves, path)
        if body is None:
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, body)

    do_HEAD = do_GET  # noqa: N815 (the base class names it so)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Keep requests out of the sandbox's own log: pollers ask every few seconds."""

    def _answer(self, status: HTTPStatus, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> None:
        kind = "text/plain"
        if body is None:
            title = f"{status.value} - {status.phrase}"
            body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n".encode()
            kind = "text/html"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, metadata: InstanceMetadata) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.metadata = metadata
        self._expiry: dict[str, float] = {}
        self._lock = threading.Lock()

    def issue_token(self, ttl_s: int) -> str:
        """Make a session token that lives `ttl_s` seconds."""
        token = secrets.token_urlsafe(42)
        now = time.monotonic()
        with self._lock:
            self._expiry = {known: at for known, at in self._expiry.items() if at > now}
            self._expiry[token] = now + ttl_s
        return token

    def accepts(self, token: str) -> bool:
        """Whether this machine issued `token` and it has not expired."""
        with self._lock:
            return self._expiry.get(token, 0.0) > time.monotonic()


class MetadataServer:
    """Serve one machine's metadata on a socket that already listens (it may live in another network namespace).

    Tokens belong to this server: they end with it, and another machine's server refuses them.
    """

    def __init__(self, listener: socket.socket, metadata: InstanceMetadata) -> None:
        self.metadata = metadata
        self._server = _Server(listener, metadata)
        self._stop_read, self._stop_write = socket.socketpair()
        name = f"imds-{metadata.spec.instance_id}"
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        # Not serve_forever: it wakes up twice a second to look for its own end.
        while True:
            ready, _, _ = select.select([self._server.socket, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            self._server.handle_request()

    def close(self) -> None:
        """Stop serving and close the socket."""
        self._stop_write.close()
        self._thread.join()
        self._stop_read.close()
        self._server.server_close()
