"""What it costs to keep bytes in S3 for a month: S3 Standard, its first 50 TB. Unknown is None, never 0.

List prices, looked up on 2026-11-30 in what others have published of AWS's own: us-east-1 in an answer of the Price
List API (in force since 2026-02-01); us-west-2, eu-central-1, ap-northeast-1 and ap-northeast-3 as noted from the Price
List API or the price page (the latter two on 2026-09-18); eu-west-1 and eu-west-3 in bills of S3 (2017, undated);
ap-southeast-1 in a comparison of October 2025. Only regions are here for which such a source was found.
"""

from __future__ import annotations

BYTES_PER_GB = 1 << 30
"""S3 bills a GB of 2**30 bytes (Amazon S3 pricing, "Storage")."""

_USD_PER_GB_MONTH = {
    "us-east-1": 0.023,
    "us-west-2": 0.023,
    "eu-central-1": 0.0245,
    "eu-west-1": 0.023,
    "eu-west-3": 0.024,
    "ap-northeast-1": 0.025,
    "ap-northeast-3": 0.025,
    "ap-southeast-1": 0.025,
}


def usd_per_month(size: int, region: str | None) -> float | None:
    """Return what `size` bytes cost in a month in a region; None where the price is not known."""
    price = _USD_PER_GB_MONTH.get(region or "")
    return None if price is None else size / BYTES_PER_GB * price
