"""What S3's error answers mean for the runner (Amazon S3 API reference, "Error responses")."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from enum import Enum

from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoreError

_TRANSIENT_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)
_TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})
_STALE_KEYS = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"})


class Remedy(Enum):
    """What to do about an error answer."""

    RETRY = "retry"
    RENEW_KEYS = "renew keys"
    SET_CLOCK = "set clock"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class S3Fault:
    """An error answer, taken apart. A HEAD has no body, hence no code."""

    status: int
    code: str
    message: str

    @classmethod
    def of_answer(cls, status: int, body: bytes) -> S3Fault:
        """Read the error document of an answer."""
        return cls(status, xml_text(body, "Code"), xml_text(body, "Message"))

    @property
    def remedy(self) -> Remedy:
        """What can help."""
        if self.code == "RequestTimeTooSkewed":
            return Remedy.SET_CLOCK
        if self.code in _STALE_KEYS or (not self.code and self.status in (400, 403)):
            return Remedy.RENEW_KEYS
        if self.code in _TRANSIENT_CODES or self.status in _TRANSIENT_STATUSES:
            return Remedy.RETRY
        return Remedy.GIVE_UP

    def error(self, what: str) -> StoreError:
        """Return the exception for `what`, e.g. ``PUT s3://bucket/key``."""
        said = f"{self.code}: {self.message}".strip(": ") or f"HTTP {self.status}"
        if self.status == 412:
            return PreconditionFailed(f"{what}: {said}")
        if self.code == "NoSuchBucket":
            return StoreError(f"{what}: there is no such bucket")
        if self.status == 404:
            return NotFound(f"{what}: {said}")
        if self.status == 403:
            return StoreError(
                f"{what} is not allowed ({said}). The role needs the rights that `runctl setup --print` shows;"
                " without s3:ListBucket S3 also answers so for an object that does not exist"
            )
        return StoreError(f"{what} failed: {said}", transient=self.remedy is not Remedy.GIVE_UP)


def xml_text(document: bytes, name: str) -> str:
    """Return the text of the first element `name`, "" when there is none: S3's answers are this simple."""
    found = re.search(rf"<{name}>([^<]*)</{name}>", document.decode("utf-8", "replace"))
    return html.unescape(found.group(1)).strip() if found else ""
