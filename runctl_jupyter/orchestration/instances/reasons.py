"""Why an instance ended or stopped, in words.

Codes: EC2 API reference, data type ``StateReason``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.model import RUNNING_STATES

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

_SPOT = frozenset({"Server.SpotInstanceTermination", "Server.SpotInstanceShutdown"})

_WORDS = {
    **dict.fromkeys(_SPOT, "EC2 took the spot capacity back"),
    "Server.InsufficientInstanceCapacity": "EC2 had no capacity for it",
    "Server.ScheduledStop": "stopped by a scheduled event of AWS",
    "Client.InstanceInitiatedShutdown": "powered off from inside (time limit, idle stop, end of its job, or by hand)",
    "Client.InstanceTerminated": "the instance was ended or rebooted before AMI creation",
    "Client.InternalError": "EC2 could not start it (Client.InternalError): often its disk's KMS key may not be used",
    "Client.InvalidSnapshot.NotFound": "a snapshot of its image does not exist",
    "Client.UserInitiatedHibernate": "hibernated by a user",
    "Client.UserInitiatedShutdown": "ended by a user",
    "Client.VolumeLimitExceeded": "the account's limit of EBS volumes was reached",
}
_STOPPED = {"Client.UserInitiatedShutdown": "stopped by a user"}


def code_of(described: InstanceTypeDef) -> str:
    """Return the code of the last change of state that has one; empty when EC2 tells none."""
    return described.get("StateReason", {}).get("Code", "")


def words(described: InstanceTypeDef) -> str:
    """Return why an instance is in its state; empty while it comes up or runs."""
    state = described["State"]["Name"]
    if state in RUNNING_STATES:
        return ""
    code = code_of(described)
    message = described.get("StateReason", {}).get("Message", "")
    if code == "Server.InternalError":
        return f"an error inside AWS ({message})" if message else "an error inside AWS"
    known = _STOPPED if state in ("stopping", "stopped") else {}
    return known.get(code) or _WORDS.get(code) or message


def is_spot_loss(code: str) -> bool:
    """Return whether EC2 has taken a spot instance back."""
    return code in _SPOT
