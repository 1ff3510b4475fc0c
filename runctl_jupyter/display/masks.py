"""What must not travel in a saved notebook: account numbers and bucket names."""

from __future__ import annotations

import re

_BUCKET = re.compile(r"s3://([^/\s'\"<>]+)")
# Twelve digits alone could be anything; between colons or dashes they are an account's.
_ACCOUNT = re.compile(r"(?<=[:-])\d{8}(\d{4})(?=[:-]|\b)")


def mask(text: str) -> str:
    """Return `text` with bucket names cut to four letters and account numbers to four digits."""
    text = _BUCKET.sub(lambda found: f"s3://{mask_bucket(found[1])}", text)
    return _ACCOUNT.sub(r"…\1", text)


def mask_bucket(bucket: str) -> str:
    """Return the first four letters of a bucket's name."""
    return bucket if len(bucket) <= 4 else f"{bucket[:4]}…"


def cut_middle(text: str, length: int) -> str:
    """Return `text` in at most `length` characters, its middle replaced by ``…``: ends tell names apart."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"
