"""One signed call of an AWS service that speaks JSON (AWS JSON protocol 1.1), tried again where that can help."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Optional

from runctl_jupyter.run_record import StoreError, now
from runctl_jupyter.runner.backoff import Backoff
from runctl_jupyter.runner.connections import Connections
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.sigv4 import Credentials, Target, sign

_TIMEOUT_S = 10.0
_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled"}
)
_STALE_KEYS = frozenset(
    {"ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId"}
)
_WRONG_CLOCK = frozenset({"InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed"})


class ServiceError(Exception):
    """A service refused, or did not answer to the end.

    Parameters
    ----------
    code
        The service's name for it, e.g. ``AccessDeniedException``; empty when there was no answer.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}".strip(": "))
        self.code = code


@dataclass(frozen=True)
class _Answer:
    status: int
    data: bytes = field(repr=False)  # may be a secret
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""

    @property
    def passing(self) -> bool:
        """Whether trying again can help."""
        return self.status >= 500 or self.status == 429 or self.error().code in _THROTTLED

    def document(self) -> dict[str, Any]:
        """Return what the answer says."""
        found = self._json()
        if found is None:
            raise http.client.HTTPException("the answer is no JSON object")
        return found

    def error(self) -> ServiceError:
        """Read the error: its code stands in a header or in the body, with a namespace or a URL around it."""
        body = self._json() or {}
        code = self.headers.get("x-amzn-errortype") or str(body.get("__type") or "")
        message = str(body.get("message") or body.get("Message") or "")
        return ServiceError(code.partition(":")[0].rpartition("#")[2] or f"HTTP {self.status}", message)

    def _json(self) -> Optional[dict[str, Any]]:
        try:
            found = json.loads(self.data)
        except ValueError:  # whose text shows what could not be read
            return None
        return found if isinstance(found, dict) else None


class JsonService:
    """A service in a region.

    Parameters
    ----------
    name
        As signatures name it, which is also the host name's first part: ``ssm``.
    target
        What the protocol puts before each action: ``AmazonSSM``.
    endpoint
        Another server than AWS's own; None for AWS.
    """

    def __init__(
        self, name: str, target: str, region: str, credentials: CredentialSource, endpoint: Optional[str] = None
    ) -> None:
        self._name = name
        self._target = target
        self._region = region
        self._credentials = credentials
        domain = "amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        self._connections = Connections(endpoint or f"https://{name}.{region}.{domain}", _TIMEOUT_S)
        self._clock_offset = timedelta(0)

    def call(
        self, action: str, request: Mapping[str, Any], *, until: float, pause: Callable[[float], bool]
    ) -> dict[str, Any]:
        """Return the answer to `action`, which must be one that may be done twice.

        Parameters
        ----------
        until
            `time.monotonic` after which nothing is tried again.
        pause
            Waits for seconds; returns True to stop trying.

        Raises
        ------
        ServiceError
            The service refused, or failed to the end.
        """
        body = json.dumps(request).encode()
        backoff, renewed, clock_set = Backoff(), False, False
        while True:
            try:
                keys = self._credentials.get()
                answer = self._send(action, body, keys)
                if answer.status == http.client.OK:
                    return answer.document()
                error, passing = answer.error(), answer.passing
                if error.code in _STALE_KEYS and not renewed:
                    self._credentials.renew(keys)
                    renewed = True
                    continue
                if error.code in _WRONG_CLOCK and not clock_set and "date" in answer.headers:
                    # The machine's clock may be wrong; the service compares with its own.
                    self._clock_offset = parsedate_to_datetime(answer.headers["date"]) - now()
                    clock_set = True
                    continue
            except StoreError as failed:  # no keys, for now
                error, passing = ServiceError("", str(failed)), True
            except (OSError, http.client.HTTPException) as failed:
                self._connections.discard()
                said = f"{self._connections.host} does not answer: {failed or type(failed).__name__}"
                error, passing = ServiceError("", said), True
            if not passing or time.monotonic() >= until or pause(backoff.next()):
                raise error

    def _send(self, action: str, body: bytes, keys: Credentials) -> _Answer:
        signed = sign(
            Target("POST", self._connections.host, "/", {}),
            {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{self._target}.{action}"},
            hashlib.sha256(body).hexdigest(),
            credentials=keys,
            region=self._region,
            moment=now() + self._clock_offset,
            service=self._name,
        )
        response = self._connections.send("POST", "/", signed, body)
        return _Answer(response.status, response.read(), {k.lower(): v for k, v in response.headers.items()})
