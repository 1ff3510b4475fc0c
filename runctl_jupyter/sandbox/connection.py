"""How a client finds the sandbox: `Connection`, kept in ``<home>/connection.json``.

The file exists only while a sandbox answers (or after it crashed: then its `pid` does not answer the health
probe). It holds secret keys, so only its owner may read it.
"""

from __future__ import annotations

import http.client
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

SCHEMA = 1
CONTROL_TOKEN_HEADER = "X-Sandbox-Control-Token"  # noqa: S105 - the name of a header, not a secret
HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Connection:
    """Where a running sandbox answers and with which keys. `env` is what an ordinary AWS client needs."""

    pid: int
    endpoint_url: str
    s3_endpoint_url: str
    mode: str
    cannot: tuple[str, ...]
    region: str
    bucket: str
    started_at: str
    home: str
    log: str
    control_token: str = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Give the connection as plain JSON values."""
        return {**asdict(self), "cannot": list(self.cannot), "env": dict(self.env)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Connection:
        """Build a connection from what `to_dict` gave.

        Raises
        ------
        ValueError
            The values are not a connection of this schema.
        """
        if values.get("schema") != SCHEMA:
            raise ValueError(f"connection schema {values.get('schema')!r}, expected {SCHEMA}")
        try:
            return cls(**{**values, "cannot": tuple(values["cannot"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a sandbox connection: {error}") from error


@dataclass(frozen=True)
class Health:
    """What a live sandbox says about itself."""

    pid: int
    instances: int
    lost_at_restart: tuple[str, ...]


def default_home() -> Path:
    """Folder of the user's one sandbox; ``RUNCTL_SANDBOX_HOME`` overrides it."""
    override = os.environ.get("RUNCTL_SANDBOX_HOME")
    return Path(override).expanduser() if override else platformdirs.user_data_path("runctl-jupyter") / "sandbox"


def connection_path(home: Path) -> Path:
    """Path of the connection file of a home."""
    return home / "connection.json"


def read_connection(home: Path) -> Connection | None:
    """Read the connection of `home`; None when there is none or it is not one of ours."""
    try:
        return Connection.from_dict(json.loads(connection_path(home).read_text("utf-8")))
    except (OSError, ValueError):
        return None


def write_connection(home: Path, connection: Connection) -> None:
    """Write the connection file so that a reader sees all of it or none, mode 0600."""
    handle, name = tempfile.mkstemp(dir=home, prefix=".connection-")  # mkstemp makes it 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(connection.to_dict(), file, indent=1)
    Path(name).replace(connection_path(home))


def call_control(
    connection: Connection, method: str, path: str, document: Mapping[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    """Call the sandbox's own control API (``/_sandbox/...``) and give status and decoded answer.

    Parameters
    ----------
    document
        What to send, as JSON.

    Raises
    ------
    OSError
        Nothing answers at the connection's endpoint.
    ValueError
        What answers is not a sandbox.
    """
    endpoint = urlsplit(connection.endpoint_url)
    client = http.client.HTTPConnection(str(endpoint.hostname), endpoint.port, timeout=HEALTH_TIMEOUT_S)
    try:
        body = None if document is None else json.dumps(document)
        client.request(method, path, body, {CONTROL_TOKEN_HEADER: connection.control_token})
        answer = client.getresponse()
        said = json.loads(answer.read())
    except http.client.HTTPException as error:
        raise ValueError(f"not a sandbox: {error!r}") from error
    finally:
        client.close()
    if not isinstance(said, dict):
        raise ValueError("not a sandbox")  # noqa: TRY004 - the answer's content is wrong, not an argument's type
    return answer.status, said


def probe(connection: Connection) -> Health | None:
    """Ask the sandbox of `connection` for its health; None when another or no process answers there."""
    try:
        status, document = call_control(connection, "GET", "/_sandbox/health")
    except (OSError, ValueError):
        return None
    if status != http.client.OK or document.get("pid") != connection.pid:
        return None
    return Health(document["pid"], document["instances"], tuple(document["lost_at_restart"]))
