"""What a request to S3 can ask for besides the object: encryption, who pays, which S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from runctl_jupyter.orchestration.errors import InvalidRequest

Encryption = Literal["AES256", "aws:kms"]


@dataclass(frozen=True)
class S3Options:
    """Options of ``rc.storage`` for buckets that need more than credentials.

    Parameters
    ----------
    sse
        Encryption at rest that is asked for with each upload: ``AES256`` or ``aws:kms``; None leaves it to the bucket.
    sse_kms_key_id
        Key for ``aws:kms``; None means the account's own key for S3.
    request_payer
        Pay for requests to a bucket whose owner does not (S3 User Guide, "Requester Pays buckets").
    endpoint_url
        An S3 that is not the target's own, e.g. of another provider.
    store_checksum
        Ask S3 to keep a SHA-256 beside each uploaded object. What is sent is checked without it too: the SHA-256 of
        each body is part of its signature.

    Raises
    ------
    InvalidRequest
        They contradict each other.
    """

    sse: Encryption | None = None
    sse_kms_key_id: str | None = None
    request_payer: bool = False
    endpoint_url: str | None = None
    store_checksum: bool = False

    def __post_init__(self) -> None:
        if self.sse not in (None, "AES256", "aws:kms"):
            raise InvalidRequest(f"There is no encryption {self.sse!r}.", "Choose AES256 or aws:kms.")
        if self.sse_kms_key_id is not None and self.sse != "aws:kms":
            raise InvalidRequest("A KMS key was given without KMS encryption.", "Say --sse aws:kms too.")
        if self.endpoint_url is not None and not self.endpoint_url.startswith(("http://", "https://")):
            raise InvalidRequest(f"{self.endpoint_url!r} is not a URL.", "Write it as https://HOST:PORT.")

    def to_config(self) -> dict[str, Any]:
        """Return what the object-store library is told."""
        config: dict[str, Any] = {}
        if self.sse is not None:
            config["server_side_encryption"] = self.sse
        if self.sse_kms_key_id is not None:
            config["sse_kms_key_id"] = self.sse_kms_key_id
        if self.request_payer:
            config["request_payer"] = True
        if self.store_checksum:
            config["checksum_algorithm"] = "sha256"
        return config
