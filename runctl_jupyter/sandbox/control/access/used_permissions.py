"""Which permissions requests have needed and got, and by which words of a policy: least privilege can be measured.

What they were refused is told too: a client that goes on without what it was denied shows nothing of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from runctl_jupyter.sandbox.control.access.policies import Decision, Permission, matching

_DENIALS = 256
"""Most denials that are kept of one who asks: unlike what is used, no policy bounds them."""


class UsedPermissions:
    """Remembers them by who asked; what is kept of the used ones is bounded by the length of the policies."""

    def __init__(self) -> None:
        self._used: dict[str, set[tuple[str, str, str]]] = {}
        self._denied: dict[str, set[tuple[str, str]]] = {}
        self._lock = threading.Lock()

    def note(self, arn: str, permission: Permission, decision: Decision) -> None:
        """Remember what a request of `arn` was allowed by."""
        words = {
            (str(statement.get("Sid", "")), action, resource)
            for statement in decision.allowing
            for action in matching(statement, "Action", permission.action)
            for resource in matching(statement, "Resource", permission.resource)
        }
        with self._lock:
            self._used.setdefault(arn, set()).update(words)

    def note_denial(self, arn: str, permission: Permission) -> None:
        """Remember what a request of `arn` was not allowed."""
        with self._lock:
            denials = self._denied.setdefault(arn, set())
            if len(denials) < _DENIALS:
                denials.add((permission.action, permission.resource))

    def denied_to(self, access_key_arn: str) -> Sequence[dict[str, Any]]:
        """Return what a user or role session has asked for and not been allowed, sorted."""
        with self._lock:
            denials = sorted(self._denied.get(access_key_arn, ()))
        return [{"action": action, "resource": resource} for action, resource in denials]

    def of(self, access_key_arn: str) -> Sequence[dict[str, Any]]:
        """Return the words of a policy that have been used by a user or role session, sorted."""
        with self._lock:
            words = sorted(self._used.get(access_key_arn, ()))
        return [{"sid": sid, "action": action, "resource": resource} for sid, action, resource in words]
