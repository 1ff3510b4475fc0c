"""The services that the sandbox vouches for. Whatever else a client asks for is refused, never left to moto's guess."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MODELS: Mapping[str, str] = {
    "s3": "s3", "ec2": "ec2", "ssm": "ssm", "sts": "sts", "iam": "iam", "secretsmanager": "secretsmanager",
    "pricing": "pricing", "servicequotas": "service-quotas", "scheduler": "scheduler", "logs": "logs", "ecr": "ecr",
}  # fmt: skip
"""Name under which a request to a service is signed: name of its model in botocore."""
SERVICES = tuple(MODELS)
REST = ("scheduler",)
"""Services whose operations are method and path (S3 is one, too, with rules of its own)."""


def model_of(service: str) -> Any:
    """Botocore's model of a service, in moto's copy, which is loaded anyway."""
    from moto.core.utils import get_service_model

    return get_service_model(MODELS[service])


@lru_cache(maxsize=16)
def operation_names(service: str) -> frozenset[str]:
    """Names of a service's operations; ``PutObject`` is one of S3's."""
    return frozenset(model_of(service).operation_names)
