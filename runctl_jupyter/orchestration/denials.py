"""A refusal for lack of permission: which action on what, why, and the statement that would allow it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from runctl_jupyter.orchestration.errors import PermissionDenied

_ACTION = re.compile(r"not authorized to perform: ([\w-]+:\w+)")
_RESOURCE = re.compile(r"on resource: (?:\"|&quot;)?(arn:[^\s\"&<]+)")


class Denial(NamedTuple):
    """What was refused."""

    action: str
    """E.g. ``ec2:RunInstances``."""
    resource: str
    """ARN without an account number, which fits into a policy; ``*`` when AWS names none."""
    forbidden_by: str
    """Empty when no policy allows it; else what forbids it, which no further statement changes."""

    @property
    def statement(self) -> str:
        """The statement of a policy that allows it, as JSON."""
        return json.dumps({"Effect": "Allow", "Action": self.action, "Resource": self.resource})

    @property
    def what(self) -> str:
        """Action and resource, as a sentence says them."""
        return self.action if self.resource == "*" else f"{self.action} on {self.resource}"

    @property
    def to_resolve(self) -> str:
        """What to do about it."""
        if self.forbidden_by:
            return f"{self.forbidden_by} forbids it: only who manages that can change it."
        return f"Let an administrator add {self.statement} (all of it: runctl setup --print)."

    def error(self, doing: str, code: str) -> PermissionDenied:
        """Return our error; `doing` is what we were about to do."""
        return PermissionDenied(f"You may not {doing}: AWS denies {self.what} [{code}].", self.to_resolve)


def denial_in(message: str, action: str | None, decoded: Mapping[str, Any] | None = None) -> Denial | None:
    """Read what AWS says about a refusal; None when it names no action and neither does the caller.

    Parameters
    ----------
    action
        Which one it must have been, if the message does not say.
    decoded
        What STS makes of an encoded message.
    """
    context = (decoded or {}).get("context", {})
    named, on = _ACTION.search(message), _RESOURCE.search(message)
    found = context.get("action") or (named[1] if named else action)
    if found is None:
        return None
    resource = context.get("resource") or (on[1].rstrip(".") if on else "*")
    return Denial(found, _without_account(resource), _forbidden_by(message, decoded or {}))


def _without_account(arn: str) -> str:
    """Return an ARN whose account is ``*``: it may end up in a saved notebook, and means the same in a policy."""
    return re.sub(r"(?<=:)\d{12}(?=:)", "*", arn)


_POLICIES = {
    "service control policy": "A service control policy of your organization",
    "resource control policy": "A resource control policy of your organization",
    "permissions boundary": "Your permissions boundary",
    "session policy": "The policy of your session",
    "VPC endpoint policy": "The policy of the VPC endpoint",
    "resource-based policy": "The policy of the resource",
}


def _forbidden_by(message: str, decoded: Mapping[str, Any]) -> str:
    """Return what else than a missing statement is in the way.

    IAM User Guide, "Troubleshoot access denied error messages".
    """
    for words, who in _POLICIES.items():
        # "because no resource-based policy allows" is said when a statement of ours would do as well.
        if words in message and (words != "resource-based policy" or "explicit deny" in message):
            return who
    denied_by_statement = "with an explicit deny" in message or decoded.get("explicitDeny") is True
    return "A statement with an explicit deny" if denied_by_statement else ""
