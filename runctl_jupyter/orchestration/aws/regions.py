"""Regions of AWS, as the account may use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.aws.failures import aws_errors

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession


def region_status(session: AwsSession, name: str) -> str:
    """Return ``opt-in-not-required``, ``opted-in`` or ``not-opted-in`` (EC2 API reference, Region)."""
    with aws_errors(f"look at region {name}"):
        found = session.ec2.describe_regions(RegionNames=[name], AllRegions=True)["Regions"]
    return found[0].get("OptInStatus", "opt-in-not-required") if found else "not-opted-in"
