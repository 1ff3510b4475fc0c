"""Names of API operations: which there are, and which one a request calls.

Query and JSON requests carry the name. A request to S3 is a method, a path and parameters; which operation that is
stands in botocore's model of S3, the same one that clients build their requests from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs

from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from runctl_jupyter.sandbox.control.requests.services import model_of


@dataclass(frozen=True)
class _S3Route:
    """What a request must have to be one operation of S3."""

    operation: str
    method: str
    path: str
    parameters: frozenset[str]
    headers: frozenset[str]

    def matches(self, method: str, path: str, parameters: frozenset[str], headers: frozenset[str]) -> bool:
        return (
            (method, path) == (self.method, self.path) and self.parameters <= parameters and (self.headers <= headers)
        )

    @property
    def strictness(self) -> int:
        """The operation with most conditions is the one meant: a part of an upload is a PUT of an object as well."""
        return len(self.parameters) + len(self.headers)


@lru_cache(maxsize=1)
def _s3_routes() -> tuple[_S3Route, ...]:
    model = model_of("s3")
    routes = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        shape = operation.input_shape
        required = [shape.members[one].serialization for one in shape.required_members] if shape else []
        routes.append(
            _S3Route(
                name,
                operation.http["method"],
                path,
                frozenset(parse_qs(query, keep_blank_values=True))
                | {one["name"] for one in required if one.get("location") == "querystring"},
                frozenset(one["name"].lower() for one in required if one.get("location") == "header"),
            )
        )
    return tuple(routes)


def operations_of(call: ServiceCall) -> frozenset[str]:
    """Operations that a request can mean; more than one only where S3 has two names for the same request."""
    if call.service != "s3":
        return frozenset([call.action])
    bucket, _, key = call.path.removeprefix("/").partition("/")
    path = "/{Bucket}/{Key+}" if key else "/{Bucket}" if bucket else "/"
    parameters = frozenset(parse_qs(call.query, keep_blank_values=True))
    headers = frozenset(call.headers)
    found = [route for route in _s3_routes() if route.matches(call.method, path, parameters, headers)]
    most = max((route.strictness for route in found), default=0)
    return frozenset(route.operation for route in found if route.strictness == most)
