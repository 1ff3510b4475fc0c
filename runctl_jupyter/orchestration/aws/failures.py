"""Translates botocore's errors into ours: what failed and what to do.

Codes and their meaning: EC2 API reference, "Error codes"; botocore's own exceptions for credentials.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import (
    AwsRefused,
    ConfigInvalid,
    CredentialsMissing,
    InstanceNotReady,
    InvalidRequest,
    LaunchRefused,
    PermissionDenied,
    RunctlError,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientReservedInstanceCapacity",
        "InsufficientCapacity",
        "UnfulfillableCapacity",
        "SpotMaxPriceTooLow",
        "Unsupported",
    }
)
"""Codes that mean: not here, not now; another zone may do."""

QUOTA = frozenset({"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VolumeLimitExceeded"})

NOT_FOUND = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})

_PERMISSION = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})

_UNKNOWN_KEY = frozenset(
    {
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "AuthFailure",
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
    }
)

_MOST_MESSAGE = 300

_LOGIN_AGAIN = frozenset({"SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "SSOError"})


@contextmanager
def aws_errors(action: str) -> Iterator[None]:
    """Run AWS calls; `action` completes the sentence "AWS did not let us …"."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise translated(error, action) from error
    except BotoCoreError as error:
        raise _without_answer(error, action) from error


def code_of(error: ClientError) -> str:
    """Return the error code AWS sent."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def masked(text: str) -> str:
    """Return `text` without account numbers and encoded blobs: it may end up in a saved notebook."""
    text = re.sub(r"\b\d{12}\b", "************", text)
    text = re.sub(r"\s*Encoded authorization failure message: \S+", "", text)
    return text if len(text) <= _MOST_MESSAGE else text[:_MOST_MESSAGE] + "…"


def translated(error: ClientError, action: str) -> RunctlError:
    """Return our error for an answer of AWS that refuses."""
    code = code_of(error)
    message = masked(str(error.response.get("Error", {}).get("Message", ""))).strip().rstrip(".")
    said = f"AWS refused to {action} [{code}]: {message}."
    if code in _EXPIRED:
        return CredentialsMissing(
            f"The AWS credentials have expired [{code}].", "Sign in again (aws sso login, or renew the keys) and retry."
        )
    if code in _UNKNOWN_KEY:
        return CredentialsMissing(
            f"AWS does not accept the credentials [{code}].",
            "Check AWS_PROFILE or the keys: aws sts get-caller-identity",
        )
    if code in _PERMISSION:
        return PermissionDenied(said, f"Ask for permission to {error.operation_name} on these resources.")
    if code in CAPACITY:
        return LaunchRefused(said, "Try another instance type or region, or again in some minutes.")
    if code in QUOTA:
        return LaunchRefused(said, "End machines you do not need, or ask AWS for a higher quota (Service Quotas, EC2).")
    if code == "InvalidInstanceId":
        return InstanceNotReady(said, "Wait until it answers: runctl wait ID, then try again.")
    if code in ("IncorrectInstanceState", "IncorrectState"):
        return InstanceNotReady(said, "See its state with: runctl list")
    if "Invalid IAM Instance Profile" in message:
        return LaunchRefused(
            f"The instance profile cannot be used [{code}]: {message}.",
            "Create it, or set instance_profile under [launch] in .runctl.toml.",
        )
    if code.startswith("Invalid") or code == "MissingParameter":
        return InvalidRequest(said, "Change that and try again.")
    return AwsRefused(said, "Try again; if it stays, look the code up in the AWS documentation.")


def no_credentials() -> CredentialsMissing:
    """Return the error for a chain that ends without credentials."""
    return CredentialsMissing(
        "There are no AWS credentials for target aws.",
        "Sign in (aws configure, aws sso login) or practise without an account: runctl use sandbox",
    )


def _without_answer(error: BotoCoreError, action: str) -> RunctlError:
    name = type(error).__name__
    if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return no_credentials()
    if name in _LOGIN_AGAIN:
        return CredentialsMissing("The AWS sign-in has expired.", "Sign in again: aws sso login")
    if name == "ProfileNotFound":
        return ConfigInvalid(f"{str(error).rstrip('.')}.", "See the profiles you have: aws configure list-profiles")
    if name == "NoRegionError":
        return ConfigInvalid("No AWS region is set.", "Choose one: runctl use aws --region us-east-1 (or AWS_REGION).")
    return AwsRefused(
        f"AWS could not be reached to {action}: {masked(str(error)).rstrip('.')}.", "Check the network and try again."
    )
