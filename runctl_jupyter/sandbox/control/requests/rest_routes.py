"""Which operation a request to a REST service calls, by method and path, and the members that the path holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from runctl_jupyter.sandbox.control.requests.services import model_of


@dataclass(frozen=True)
class Route:
    """An operation and the values of the members that stand in its path, still encoded."""

    operation: str
    members: Mapping[str, str]


@lru_cache(maxsize=4)
def _routes(service: str) -> tuple[tuple[str, re.Pattern[str], str], ...]:
    model = model_of(service)
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = http["requestUri"].partition("?")[0]
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
        found.append((http["method"], re.compile(pattern), name))
    # Fixed words before members: the longest pattern without a member is the closest.
    return tuple(sorted(found, key=lambda one: one[1].groups))


def rest_route(service: str, method: str, path: str) -> Route | None:
    """Give the route of a request; None when the service has none like it."""
    for wanted, pattern, operation in _routes(service):
        if wanted == method and (match := pattern.fullmatch(path)):
            return Route(operation, match.groupdict())
    return None
