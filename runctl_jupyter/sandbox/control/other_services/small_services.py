"""Single operations of Logs and ECR for which moto has another answer than AWS.

Sources: CloudWatch Logs API reference, PutLogEvents; ECR API reference, GetAuthorizationToken.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from typing import Any

from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID

_EVENT_OVERHEAD_BYTES = 26
_EVENT_BYTES = 1_048_576
_BATCH_BYTES = 1_048_576
_BATCH_SPAN_MS = 24 * 3600 * 1000
_TOKEN_S = 12 * 3600


def check_log_events(_call: ServiceCall, parameters: Mapping[str, Any]) -> None:
    """Refuse a batch of log events that is too large or spans too much time; moto takes the others.

    Raises
    ------
    ServiceError
        ``InvalidParameterException``.
    """
    events = parameters["logEvents"]
    sizes = [len(one["message"].encode()) + _EVENT_OVERHEAD_BYTES for one in events]
    if max(sizes) > _EVENT_BYTES:
        raise ServiceError("InvalidParameterException", f"Log event too large: {max(sizes)} bytes exceeds limit of "
                           f"{_EVENT_BYTES}")  # fmt: skip
    if sum(sizes) > _BATCH_BYTES:
        raise ServiceError("InvalidParameterException", f"Upload too large: {sum(sizes)} bytes exceeds limit of "
                           f"{_BATCH_BYTES}")  # fmt: skip
    if events[-1]["timestamp"] - events[0]["timestamp"] > _BATCH_SPAN_MS:
        raise ServiceError("InvalidParameterException", "The batch of log events in a single PutLogEvents request "
                           "cannot span more than 24 hours.")  # fmt: skip


def authorization_token(call: ServiceCall, _parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a docker password that is good for twelve hours, as the real ones; there is no registry behind it."""
    password = base64.b64encode(secrets.token_bytes(600)).decode()
    return {"authorizationData": [{
        "authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(),
        "expiresAt": time.time() + _TOKEN_S,
        "proxyEndpoint": f"https://{ACCOUNT_ID}.dkr.ecr.{call.region}.amazonaws.com",
    }]}  # fmt: skip
