"""Encoded authorization messages: what EC2 says about a refusal to those who may decode it.

Source: STS API reference, DecodeAuthorizationMessage; the decoded document has the form that its example shows.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from runctl_jupyter.sandbox.control.access.policies import Decision, Permission
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall

_KEPT = 512
"""Messages that can be decoded, newest ones. AWS's decode as long as the account's keys live."""


class AuthorizationMessages:
    """Gives out and decodes messages. One is opaque: what it says is kept here and not in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: OrderedDict[str, str] = OrderedDict()

    def encode(self, principal_id: str, principal_arn: str, permission: Permission, decision: Decision) -> str:
        """Give the message for a refusal."""
        document = json.dumps({
            "allowed": False,
            "explicitDeny": decision.explicit_deny,
            "matchedStatements": {"items": [_statement(one) for one in decision.denying]},
            "failures": {"items": []},
            "context": {
                "principal": {"id": principal_id, "arn": principal_arn},
                "action": permission.action,
                "resource": permission.resource,
                "conditions": {"items": [
                    {"key": key, "values": {"items": [{"value": one} for one in values]}}
                    for key, values in sorted(permission.context.items())
                ]},
            },
        })  # fmt: skip
        message = base64.urlsafe_b64encode(secrets.token_bytes(max(240, len(document) // 2))).decode().rstrip("=")
        with self._lock:
            self._documents[message] = document
            while len(self._documents) > _KEPT:
                self._documents.popitem(last=False)
        return message

    def answer(self, _call: ServiceCall, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer DecodeAuthorizationMessage.

        Raises
        ------
        ServiceError
            It is no message of this account.
        """
        with self._lock:
            document = self._documents.get(parameters["EncodedMessage"])
        if document is None:
            raise ServiceError("InvalidAuthorizationMessageException", "Message cannot be decoded.")
        return {"DecodedMessage": document}


def _statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    def items(value: Any) -> dict[str, Any]:
        return {"items": [{"value": one} for one in (value if isinstance(value, list | tuple) else [value])]}

    return {
        "statementId": statement.get("Sid", ""),
        "effect": str(statement["Effect"]).upper(),
        "principals": {"items": []},
        "principalGroups": {"items": []},
        "actions": items(statement.get("Action", [])),
        "resources": items(statement.get("Resource", [])),
        "conditions": items([]),
    }
