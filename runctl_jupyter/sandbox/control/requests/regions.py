"""Regions of the account: those that a new account has, and the answer of one that it has not.

Source: AWS Account Management Reference Guide, "Enable or disable AWS Regions in your account".
"""

from __future__ import annotations

from runctl_jupyter.sandbox.control.requests.protocol_errors import signature_error
from runctl_jupyter.sandbox.control.requests.signature import SignatureError, SignedScope

ENABLED = frozenset(
    {
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-northeast-3",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
        "eu-central-1",
        "eu-north-1",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "sa-east-1",
        "us-east-1",
        "us-east-2",
        "us-west-1",
        "us-west-2",
    }
)
"""Enabled by default in a standard account."""

_REGIONAL = frozenset({"ec2", "ssm", "scheduler", "secretsmanager"})


def check_region(scope: SignedScope, protocol: str) -> None:
    """Refuse a request to a region that is not enabled: credentials are not known there.

    Raises
    ------
    ServiceError
        ``AuthFailure`` of EC2, ``UnrecognizedClientException`` of the services that speak JSON.
    """
    if scope.service in _REGIONAL and scope.region not in ENABLED:
        raise signature_error(SignatureError(SignatureError.UNKNOWN_KEY), protocol)
