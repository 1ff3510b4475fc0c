"""A request as its service sees it, and what its permissions depend on beyond the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol
from urllib.parse import parse_qs

from runctl_jupyter.sandbox.control.requests.rest_routes import rest_route
from runctl_jupyter.sandbox.control.requests.services import REST
from runctl_jupyter.sandbox.control.settings import REGION

Tags = Mapping[str, str]


class Inventory(Protocol):
    """What the permissions of a request depend on beyond the request itself."""

    def tags_of(self, resource_id: str) -> Tags | None:
        """Tags of an EC2 resource; None when it does not exist."""

    def role_arns_of_profile(self, name: str) -> Sequence[str]:
        """ARNs of the roles in an instance profile; empty when there is none."""

    def default_subnet_ids(self) -> Sequence[str]:
        """Ids of the default subnets."""

    def launch_template_ids(self, name: str) -> Sequence[str]:
        """Ids of the launch templates with this name, one a region at most."""

    def secret_arn(self, secret_id: str) -> str | None:
        """ARN of a secret by name or ARN; None when it does not exist."""


@dataclass(frozen=True)
class ServiceCall:
    """A request as seen by the service's protocol."""

    service: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    region: str = REGION
    """Region that the request was signed for."""

    @cached_property
    def form(self) -> dict[str, str]:
        """Parameters of the query protocol (EC2, IAM, STS)."""
        text = self.body.decode("utf-8", "replace") or self.query
        return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}

    @cached_property
    def action(self) -> str:
        """Name of the API action; for S3 see `s3_permissions`."""
        if self.service in REST:
            route = rest_route(self.service, self.method, self.path)
            return route.operation if route else ""
        target = self.headers.get("x-amz-target")
        return target.rpartition(".")[2] if target else self.form.get("Action", "")
