"""Acting as a user of the sandbox's account, the way it is done on AWS: with keys in the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3

from runctl_jupyter.orchestration import Runctl

Acting = Callable[..., Runctl]


def as_user(env: Mapping[str, str], service: str, **more: Any) -> Any:
    """Return an ordinary boto3 client."""
    settings: dict[str, Any] = {
        "endpoint_url": env["AWS_ENDPOINT_URL"], "region_name": env["AWS_REGION"],
        "aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
    }  # fmt: skip
    return boto3.client(service, **(settings | more))
