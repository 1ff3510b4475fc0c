"""The instance metadata service, version 2 (EC2 user guide, "Use IMDS to access instance metadata")."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Optional

from runctl_jupyter.run_record import from_iso
from runctl_jupyter.runner.connections import Connections

LINK_LOCAL = "http://169.254.169.254"
_TOKEN_TTL_S = 21600  # the longest that the service grants
_TIMEOUT_S = 2.0


class ImdsError(Exception):
    """The metadata service did not answer as it should."""


@dataclass(frozen=True)
class SpotNotice:
    """EC2 takes the machine back: `action` (terminate, stop, hibernate) happens at `at`."""

    action: str
    at: datetime


class Imds:
    """The metadata of the machine this runs on; safe to use from several threads."""

    def __init__(self, endpoint: str = LINK_LOCAL) -> None:
        self._base = "/" + endpoint.partition("://")[2].partition("/")[2].strip("/")
        self._connections = Connections(endpoint, _TIMEOUT_S)
        self._lock = threading.Lock()
        self._token: Optional[str] = None
        self._token_until = 0.0

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Optional[Imds]:
        """Return the service that the AWS SDKs would use, or None where it is switched off."""
        if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return None
        return cls(environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or LINK_LOCAL)

    def get(self, path: str) -> Optional[str]:
        """Return the text at ``/latest/<path>``, None when there is none (404).

        Raises
        ------
        ImdsError
            No answer, or not a usable one.
        """
        for _ in range(2):
            status, text = self._exchange("GET", path, {"x-aws-ec2-metadata-token": self._current_token()})
            if status == http.client.OK:
                return text
            if status == http.client.NOT_FOUND:
                return None
            if status != http.client.UNAUTHORIZED:
                break
            with self._lock:  # the token is of another boot, or has run out
                self._token = None
        raise ImdsError(f"the metadata service answered {status} for {path}")

    def instance_id(self) -> Optional[str]:
        """Return the id of this instance."""
        return self.get("meta-data/instance-id")

    def region(self) -> Optional[str]:
        """Return the region this instance is in."""
        return self.get("meta-data/placement/region")

    def image_id(self) -> Optional[str]:
        """Return the id of the image this instance was launched from."""
        return self.get("meta-data/ami-id")

    def instance_type(self) -> Optional[str]:
        """Return the type of this instance."""
        return self.get("meta-data/instance-type")

    def zone(self) -> Optional[str]:
        """Return the availability zone this instance is in."""
        return self.get("meta-data/placement/availability-zone")

    def is_spot(self) -> bool:
        """Return whether this is a spot instance."""
        return self.get("meta-data/instance-life-cycle") == "spot"

    def spot_notice(self) -> Optional[SpotNotice]:
        """Return EC2's notice that it takes this spot instance back; None as long as all is well."""
        text = self.get("meta-data/spot/instance-action")
        if text is None:
            return None
        try:
            found = json.loads(text)
            return SpotNotice(str(found["action"]), from_iso(str(found["time"])))
        except (ValueError, KeyError, TypeError):
            raise ImdsError(f"the spot notice cannot be read: {text[:200]!r}") from None

    def _current_token(self) -> str:
        with self._lock:
            if self._token is None or time.monotonic() > self._token_until:
                status, text = self._exchange(
                    "PUT", "api/token", {"x-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL_S)}
                )
                if status != http.client.OK:
                    raise ImdsError(f"the metadata service gives no token: {status}")
                self._token = text
                self._token_until = time.monotonic() + _TOKEN_TTL_S * 0.9
            return self._token

    def _exchange(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        target = f"{self._base.rstrip('/')}/latest/{path}"
        full = {**headers, "host": self._connections.host}
        try:
            try:
                response = self._connections.send(method, target, full)
            except (ConnectionError, http.client.HTTPException):
                # A kept-alive connection that the service has closed meanwhile fails once.
                self._connections.discard()
                response = self._connections.send(method, target, full)
            return response.status, response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            self._connections.discard()
            raise ImdsError(f"the metadata service does not answer: {error}") from error


def imds_of_machine(environ: Mapping[str, str] = os.environ) -> Optional[Imds]:
    """Return the metadata service if this machine has one: a token can be had within two seconds."""
    service = Imds.of_environment(environ)
    if service is None:
        return None
    try:
        service.get("meta-data/instance-id")
    except ImdsError:
        return None
    return service
