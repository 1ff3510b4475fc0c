"""Translates botocore's errors into ours: what failed and what to do.

Codes and their meaning: EC2 API reference, "Error codes"; Systems Manager, S3, IAM: the lists of common errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from runctl_jupyter.orchestration.aws.families import family_of, request_url
from runctl_jupyter.orchestration.aws.permission import denied, role_for_spot_missing
from runctl_jupyter.orchestration.aws.sign_in import no_credentials, no_sign_in, refused_credentials
from runctl_jupyter.orchestration.errors import (
    AccountNotReady,
    AwsBusy,
    AwsRefused,
    AwsUnreachable,
    InstanceNotReady,
    InvalidRequest,
    LaunchRefused,
    RunctlError,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

__all__ = [
    "ACCOUNT", "ASKED", "CAPACITY", "NOT_FOUND", "PASSING", "PERMISSION", "QUOTA", "SERVER", "THROTTLE", "VCPU_QUOTA",
    "aws_errors", "code_of", "masked", "may_pass", "no_credentials", "quota_reached", "translated",
]  # fmt: skip

CAPACITY = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "Unsupported",
    }
)
"""Not here, not now; another zone, type or region may do."""

VCPU_QUOTA = frozenset({"InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"})
"""Of one family of types and market: another type may do."""

QUOTA = VCPU_QUOTA | {"AddressLimitExceeded", "MaxIOPSLimitExceeded", "SnapshotLimitExceeded", "VolumeLimitExceeded"}
"""The account has as much as it may in this region; another zone does not help."""

PERMISSION = frozenset({"AccessDenied", "AccessDeniedException", "AccessDeniedFault", "UnauthorizedOperation"})

ACCOUNT = frozenset({"Blocked", "OptInRequired", "PendingVerification", "SubscriptionRequiredException"})

THROTTLE = frozenset(
    {
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
SERVER = frozenset({"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "Unavailable"})

PASSING = THROTTLE | SERVER
"""Another try may not meet them. Those of capacity are not among them: another try elsewhere is what helps."""

NOT_FOUND = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})

ASKED = "Asked"
"""Key under ``Error`` where a session leaves what of the request an explanation needs."""

_ROLE_FOR_SPOT = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
_MOST_MESSAGE = 300


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


def may_pass(error: BaseException) -> bool:
    """Return whether the same request may succeed a moment later."""
    from botocore.exceptions import ClientError, HTTPClientError

    return code_of(error) in PASSING if isinstance(error, ClientError) else isinstance(error, HTTPClientError)


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
    if code in PERMISSION:
        return denied(error, action, code)
    if code == _ROLE_FOR_SPOT:
        return role_for_spot_missing()
    if code in QUOTA:
        more: dict[str, Any] = dict(error.response.get("Error", {}))
        asked = more.get(ASKED, {})
        return quota_reached(said, **asked) if code in VCPU_QUOTA else _no_room(code, said, asked.get("region", ""))
    for codes, explained in _EXPLAINED:
        if code in codes:
            return explained(said)
    return refused_credentials(code, message) or _by_its_look(code, message, said)


def quota_reached(said: str, instance_type: str = "", region: str = "", *, spot: bool = False) -> LaunchRefused:
    """Return the error for a quota, with its code and where AWS is asked for more, as far as the request tells.

    Parameters
    ----------
    said
        What failed, with what AWS says about it: that has the limit.
    """
    family = family_of(instance_type)
    if family is None or not region:
        return LaunchRefused(said, "End machines you do not need, or ask AWS for a higher quota (Service Quotas, EC2).")
    code = family.code(spot=spot)
    market = "spot" if spot else "on-demand"
    return LaunchRefused(
        said,
        f"End machines, take another region, or ask for more of {code} (vCPUs of {family.name}, {market}): "
        f"{request_url(region, code)}",
    )


class _Room(NamedTuple):
    """A quota that is not of vCPUs (Service Quotas)."""

    how: str
    """What makes room."""
    quota: str
    """Its name."""
    service: str = ""
    code: str = ""
    """Empty where it depends on the type of volume; our disks are gp3."""


_DELETE_DISKS = "Delete disks you do not need (runctl resources cleanup)"
_ROOM = {
    "AddressLimitExceeded": _Room("Release Elastic IP addresses you do not need", "Elastic IPs", "ec2", "L-0263D0A3"),
    "MaxIOPSLimitExceeded": _Room(_DELETE_DISKS, "IOPS of volumes"),
    "SnapshotLimitExceeded": _Room("Delete snapshots you do not need", "snapshots"),
    "VolumeLimitExceeded": _Room(_DELETE_DISKS, "storage of gp3 volumes, in TiB", "ebs", "L-7A658B76"),
}


def _no_room(code: str, said: str, region: str) -> LaunchRefused:
    room = _ROOM[code]
    more = f"{room.code} ({room.quota})" if room.code else f"the quota of {room.quota}"
    where = f": {request_url(region, room.code, room.service)}" if room.code and region else " (Service Quotas)."
    return LaunchRefused(said, f"{room.how}, take another region, or ask AWS for more of {more}{where}")


def _account(said: str) -> RunctlError:
    if "[PendingVerification]" in said:
        return AccountNotReady(said, "AWS verifies new accounts for up to four hours: wait, then try again.")
    if "[Blocked]" in said:
        return AccountNotReady(said, "Ask AWS Support about the account: https://support.console.aws.amazon.com")
    return AccountNotReady(
        said, "Enable the region or service for the account: https://console.aws.amazon.com/billing/home#/account"
    )


_EXPLAINED: tuple[tuple[frozenset[str], Callable[[str], RunctlError]], ...] = (
    (CAPACITY, lambda said: LaunchRefused(said, "Try another instance type or region, or again in some minutes.")),
    (ACCOUNT, _account),
    (THROTTLE, lambda said: AwsBusy(said, "Others of the account ask much too: try again in a minute.")),
    (SERVER, lambda said: AwsBusy(said, "AWS has trouble: try again; see https://health.aws.amazon.com")),
    (
        frozenset({"InvalidInstanceId", "TargetNotConnected"}),
        lambda said: InstanceNotReady(said, "Wait until it answers: runctl wait ID, then try again."),
    ),
    (
        frozenset({"IncorrectInstanceState", "IncorrectState", "UnsupportedOperation"}),
        lambda said: InstanceNotReady(said, "See its state with: runctl list"),
    ),
    (
        frozenset({"IdempotentParameterMismatch"}),
        lambda said: InvalidRequest(said, "The same launch was asked for with other values: look with runctl list."),
    ),
    (
        frozenset({"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed"}),
        lambda said: InvalidRequest(
            said, "Set ami under [launch] in .runctl.toml to one of this region, or remove it."
        ),
    ),
)


def _by_its_look(code: str, message: str, said: str) -> RunctlError:
    if "Invalid IAM Instance Profile" in message:
        return LaunchRefused(
            f"The instance profile cannot be used [{code}]: {message}.",
            "Make it with runctl setup, or set instance_profile under [launch] in .runctl.toml.",
        )
    if code.endswith(".NotFound"):
        return InvalidRequest(said, "If it has just been made, try again in a moment; else name one that exists.")
    if code.startswith("Invalid") or code in ("MissingParameter", "ValidationError", "ValidationException"):
        return InvalidRequest(said, "Change that and try again.")
    return AwsRefused(said, "Try again; if it stays, look the code up in the AWS documentation.")


def _without_answer(error: BotoCoreError, action: str) -> RunctlError:
    name = type(error).__name__
    ours = no_sign_in(error)
    if ours is not None:
        return ours
    why = masked(str(error)).rstrip(".")
    if name == "ParamValidationError":
        return InvalidRequest(f"AWS cannot be asked to {action}: {why}.", "Change that and try again.")
    if name == "SSLError":
        advice = "If a proxy of your company stands between, set AWS_CA_BUNDLE to its certificate."
    elif name == "ProxyConnectionError":
        advice = "Check HTTPS_PROXY and NO_PROXY."
    else:
        advice = "Check the network and try again."
    return AwsUnreachable(f"AWS could not be reached to {action}: {why}.", advice)
