"""What costs money beside the instance: its disks, its public address, requests to S3. Unknown is None, never 0.

List prices, looked up on 2026-11-30 in what others have published of AWS's own price lists (gp3: us-east-1, us-east-2
of 2023-03, eu-west-1, eu-central-1 and ap-northeast-1 of 2026-09, us-west-2 and ap-southeast-1 undated). Only prices
are here for which such a source was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

HOURS_PER_MONTH = 730.0
"""AWS's own calculators count a month so."""

PUBLIC_IPV4_PER_HOUR = 0.005
"""Each public IPv4 address, in use or not, in every commercial region (Amazon VPC pricing, "Public IPv4 Address")."""

RATES_SOURCE = "list prices looked up on 2026-11-30"

_GP3_FREE_IOPS = 3000
_GP3_FREE_MIBPS = 125
_GP3_GIB_MONTH = {
    "us-east-1": 0.08,
    "us-east-2": 0.08,
    "us-west-2": 0.08,
    "eu-west-1": 0.088,
    "eu-central-1": 0.0952,
    "ap-northeast-1": 0.096,
    "ap-southeast-1": 0.096,
}
_GP3_IOPS_MONTH = {"us-east-1": 0.005, "eu-central-1": 0.006}
_GP3_MIBPS_MONTH = {"us-east-1": 0.04, "eu-central-1": 0.0476, "ap-northeast-1": 0.048}

_S3_PUT = {"us-east-1": 0.005 / 1000}
_S3_GET = {"us-east-1": 0.0004 / 1000}


@dataclass(frozen=True)
class Disk:
    """An EBS volume: what of it is billed."""

    id: str
    kind: str
    """EC2's word, e.g. ``gp3``."""
    gib: int
    iops: int | None
    mibps: int | None
    """Throughput in MiB/s."""
    created_at: datetime
    instance_id: str | None
    """What it is attached to."""
    name: str = ""


def disk_per_hour(disk: Disk, region: str | None) -> float | None:
    """Return what a disk costs per hour, also of a stopped instance; None where that is not known."""
    if disk.kind != "gp3":
        return None
    return gp3_per_hour(disk.gib, region, iops=disk.iops, mibps=disk.mibps)


def gp3_per_hour(gib: float, region: str | None, *, iops: int | None = None, mibps: int | None = None) -> float | None:
    """Return what a gp3 volume costs per hour; None where that is not known.

    Parameters
    ----------
    iops, mibps
        As provisioned; what every volume has is free (EBS pricing).
    """
    month = _times(gib, _GP3_GIB_MONTH, region)
    more = [
        _times(max(0, (iops or 0) - _GP3_FREE_IOPS), _GP3_IOPS_MONTH, region),
        _times(max(0, (mibps or 0) - _GP3_FREE_MIBPS), _GP3_MIBPS_MONTH, region),
    ]
    total = 0.0
    for part in (month, *more):
        if part is None:
            return None
        total += part
    return total / HOURS_PER_MONTH


def requests_usd(puts: float, gets: float, region: str | None) -> float | None:
    """Return what requests to S3 cost; None where that is not known."""
    written, read = _times(puts, _S3_PUT, region), _times(gets, _S3_GET, region)
    return None if written is None or read is None else written + read


def _times(amount: float, prices: dict[str, float], region: str | None) -> float | None:
    """Return what an amount costs; nothing costs nothing wherever it is."""
    if amount == 0:
        return 0.0
    price = prices.get(region or "")
    return None if price is None else amount * price
