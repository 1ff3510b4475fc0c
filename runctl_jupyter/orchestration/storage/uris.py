"""``s3://`` addresses, and what is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runctl_jupyter.orchestration.errors import InvalidRequest


@dataclass(frozen=True)
class S3Uri:
    """Bucket and key; the key may be empty or a prefix that ends in ``/``."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Read ``s3://bucket/key``.

        Raises
        ------
        InvalidRequest
            Not such an address, or the bucket's name is not one S3 allows (S3 User Guide, "Bucket naming rules").
        """
        match = re.fullmatch(r"s3://([^/]*)(?:/(.*))?", text, re.DOTALL)
        if match is None:
            raise InvalidRequest(f"{text!r} is not an S3 address.", "Write it as s3://BUCKET/KEY.")
        bucket, key = match[1], match[2] or ""
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise InvalidRequest(
                f"{bucket!r} in {text!r} is not the name of a bucket.",
                "A bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens: s3://my-bucket/key.",
            )
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def as_prefix(key: str) -> str:
    """Return a key as that of a folder: empty, or with ``/`` at its end."""
    return key if not key or key.endswith("/") else key + "/"


def begins_as_path(text: str) -> bool:
    """Return whether a text can be nothing but a path on this computer: no job, no address begins so."""
    return text.startswith((".", "/", "~"))
