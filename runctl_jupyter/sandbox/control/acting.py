"""Who makes the request that is being answered, for actions whose permissions show only while they are carried out.

`application` asks IAM before moto sees a request. What CreateFleet launches, and what a launch template adds to
RunInstances, is known only later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from runctl_jupyter.sandbox.control.account import Principal
from runctl_jupyter.sandbox.control.policies import Permission, allows
from runctl_jupyter.sandbox.control.protocol_errors import denied

_principal: ContextVar[Principal] = ContextVar("principal")


@contextmanager
def acting_as(principal: Principal) -> Iterator[None]:
    """Answer a request of `principal`."""
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


def may(permission: Permission) -> bool:
    """Whether who asks is allowed something."""
    return allows(_principal.get().documents, permission)


def demand(permissions: Iterable[Permission]) -> None:
    """Refuse what who asks is not allowed.

    Raises
    ------
    ServiceError
        ``UnauthorizedOperation``, as EC2 says it.
    """
    for permission in permissions:
        if not may(permission):
            raise denied(_principal.get().arn, permission.action, permission.resource, "ec2")
