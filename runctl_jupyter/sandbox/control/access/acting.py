"""What the request that is being answered may do, for actions whose permissions show only while they are carried out.

`application` asks IAM before moto sees a request. What CreateFleet launches, and what a launch template adds to
RunInstances, is known only later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from runctl_jupyter.sandbox.control.access.policies import Permission
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError

Refusal = Callable[[Permission], ServiceError | None]
"""Gives the error that who asks gets for something that is not allowed, None when it is."""
_refusal: ContextVar[Refusal] = ContextVar("refusal")


@contextmanager
def acting_as(refusal: Refusal) -> Iterator[None]:
    """Answer a request of somebody who is refused what `refusal` refuses."""
    token = _refusal.set(refusal)
    try:
        yield
    finally:
        _refusal.reset(token)


def may(permission: Permission) -> bool:
    """Whether who asks is allowed something."""
    return _refusal.get()(permission) is None


def demand(permissions: Iterable[Permission]) -> None:
    """Refuse what who asks is not allowed.

    Raises
    ------
    ServiceError
        In the words of the service that is being called.
    """
    refusal = _refusal.get()
    for permission in permissions:
        if (error := refusal(permission)) is not None:
            raise error
