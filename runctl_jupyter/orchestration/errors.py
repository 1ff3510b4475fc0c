"""The exception family: every error says what failed and what to do, in two lines, at every door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


class RunctlError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    what
        What failed, one sentence, with the name of the thing.
    to_resolve
        What to do about it, one sentence or a command.
    """

    exit_status = 1
    """Exit status of the terminal door."""

    def __init__(self, what: str, to_resolve: str) -> None:
        super().__init__(f"{what}\n{to_resolve}")
        self.what = what
        self.to_resolve = to_resolve

    @property
    def code(self) -> str:
        """A word for programs, e.g. ``instance-not-found``."""
        name = type(self).__name__
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready dict."""
        return {"error": self.code, "what": self.what, "to_resolve": self.to_resolve}

    def _render_traceback_(self) -> list[str]:
        """Show two lines instead of a stack: IPython asks exceptions for this."""
        return [self.what, self.to_resolve]


class InvalidRequest(RunctlError):
    """The request itself is wrong: a flag, a path, a name."""

    exit_status = 2


class ConfigInvalid(RunctlError):
    """A configuration file cannot be used."""

    exit_status = 2


class TargetUnavailable(RunctlError):
    """The target cannot be reached or lacks a part (sandbox extra not installed, local has no instances)."""


class CredentialsMissing(RunctlError):
    """There are no usable AWS credentials, or they have expired."""


class PermissionDenied(RunctlError):
    """AWS refuses an action."""


class AccountNotReady(RunctlError):
    """AWS does not let the account do this: not verified, not subscribed, region not enabled, blocked."""


class InstanceNotFound(RunctlError):
    """No instance of ours has this id or name."""


class InstanceNotReady(RunctlError):
    """The instance is in a state that does not allow the request."""


class InstanceBusy(RunctlError):
    """A job runs on the instance and would be lost."""


class InstanceProtected(RunctlError):
    """Somebody has protected the instance against termination."""


class LaunchRefused(RunctlError):
    """AWS did not launch an instance: type, capacity, quota, profile."""


@dataclass(frozen=True)
class Tried:
    """A pool that had no machine, and AWS's word for why."""

    instance_type: str
    zone: str
    spot: bool
    code: str
    message: str = ""


class CapacityUnavailable(LaunchRefused):
    """No pool that was tried had a machine.

    Parameters
    ----------
    tried
        Every one of them.
    could_fall_back
        Whether only spot was tried.
    over_quota
        What to do about a quota that ruled out some of them.
    """

    def __init__(self, tried: Sequence[Tried], *, could_fall_back: bool, over_quota: str = "") -> None:
        self.tried = tuple(dict.fromkeys(tried))
        zones: dict[tuple[str, bool, str], list[str]] = {}
        for each in self.tried:
            zones.setdefault((each.instance_type, each.spot, each.code), []).append(each.zone)
        said = [
            f"{kind}{' spot' if spot else ''} in {', '.join(sorted(where))} [{code}]"
            for (kind, spot, code), where in zones.items()
        ]
        fallback = "allow on-demand (--fallback on-demand), " if could_fall_back else ""
        super().__init__(
            f"AWS has no capacity now; tried {'; '.join(said) or 'nothing'}.",
            f"Ask for more types (g5.xlarge,g6.xlarge, or --gpu), {fallback}or try again in some minutes."
            + (f" For the quota: {over_quota}" if over_quota else ""),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready dict."""
        return {**super().to_dict(), "tried": [asdict(each) for each in self.tried]}


class JobNotFound(RunctlError):
    """The record has no such job."""


class JobFailed(RunctlError):
    """A job that was waited for did not succeed."""


class StorageUnavailable(RunctlError):
    """The bucket is missing, not ours, or cannot be reached."""


class StorageDenied(PermissionDenied, StorageUnavailable):
    """The bucket cannot be used because S3 denies an action."""


class ObjectMissing(RunctlError):
    """There is no such object."""


class ObjectChanged(RunctlError):
    """An object is not the version that was expected: somebody else has written it meanwhile."""


class CheckpointUnreadable(RunctlError):
    """A checkpoint is of no known format, cut short, damaged, or made to do harm."""


class ProjectTooBig(RunctlError):
    """The project to sync is larger than the guard allows."""


class AwsRefused(RunctlError):
    """Any other refusal of AWS, with its code."""


class AwsBusy(AwsRefused):
    """AWS answers too many requests of the account, or has trouble itself; another try may do."""


class AwsUnreachable(AwsRefused):
    """No answer of AWS has come: network, proxy, certificate."""


class WaitTimedOut(RunctlError):
    """What was waited for did not happen in time; it may still happen."""


class RemoteError(JobFailed):
    """An exception ended the job's script on the machine; `__cause__` is one of its type where Python itself has it.

    Parameters
    ----------
    what, to_resolve
        As of every error.
    remote_type
        The exception's type with its module, e.g. ``builtins.ValueError``.
    remote_traceback
        As the machine has printed it.
    line
        Line of the script that raised it, or called what raised it; the first line of a cell is 1.
    """

    def __init__(
        self, what: str, to_resolve: str, *, remote_type: str, remote_traceback: str, line: int | None
    ) -> None:
        super().__init__(what, to_resolve)
        self.remote_type = remote_type
        self.remote_traceback = remote_traceback
        self.line = line
        self.add_note(remote_traceback.rstrip())

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready dict."""
        remote = {"type": self.remote_type, "line": self.line, "traceback": self.remote_traceback}
        return {**super().to_dict(), "remote": remote}
