"""EC2's actions on Spot capacity: prices, placement scores, requests.

Sources: EC2 API reference (DescribeSpotPriceHistory, GetSpotPlacementScores, DescribeSpotInstanceRequests), EC2 User
Guide ("View Spot Instance pricing history", "Spot placement score").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES
from moto.ec2.responses._base_response import EC2BaseResponse

from runctl_jupyter.sandbox.control.ec2.launch_rules import invalid_value, refuse
from runctl_jupyter.sandbox.control.ec2.launching import offered_zones
from runctl_jupyter.sandbox.control.ec2.paging import page
from runctl_jupyter.sandbox.control.ec2.spot_prices import HISTORY, placement_score, price_changes
from runctl_jupyter.sandbox.control.settings import REGION

LINUX = "Linux/UNIX"
_PRODUCTS = {f"{name}{place}" for name in (LINUX, "Red Hat Enterprise Linux", "SUSE Linux", "Windows")
             for place in ("", " (Amazon VPC)")}  # fmt: skip
_REQUEST_ID = re.compile(r"sir-[0-9a-z]{8,17}")
_TYPES_FOR_A_GOOD_SCORE = 3


class SpotActions(EC2BaseResponse):  # type: ignore[misc]
    """Spot prices, scores and requests."""

    def describe_spot_price_history(self) -> ActionResult:
        """DescribeSpotPriceHistory: the prices in force between two times, newest first in each pool."""
        self.error_on_dryrun()
        request = self.params
        if self.region != REGION:  # no machines, so no prices
            return ActionResult({"SpotPriceHistory": [], "NextToken": ""})
        wanted = _wanted(request)
        now = datetime.now(UTC)
        # A client whose clock is ahead and asks from its "now" gets the price of now.
        start = max(min(_time(request.get("StartTime")) or now - HISTORY, now), now - HISTORY)
        end = min(_time(request.get("EndTime")) or now, now)
        if end < start:
            raise invalid_value("The start time must be before the end time.")
        shown, following = page(_history(wanted, start, end), request, least=1, most=1000)
        # EC2 sends an empty token, not none, with the last page.
        return ActionResult({"SpotPriceHistory": shown, "NextToken": following or ""})

    def get_spot_placement_scores(self) -> ActionResult:
        """GetSpotPlacementScores: from 1 to 10, by region or by zone; few types score low."""
        self.error_on_dryrun()
        request = self.params
        types = request.get("InstanceTypes") or []
        if request.get("InstanceRequirementsWithMetadata"):
            raise refuse("UnsupportedOperation", "Scores by InstanceRequirements are not supported by the sandbox.")
        if not types:
            raise refuse("MissingParameter", "The request must contain the parameter InstanceTypes")
        _check_types(types)
        by_zone = str(request.get("SingleAvailabilityZone", False)).lower() == "true"
        scores = []
        for region in request.get("RegionNames") or [REGION]:
            if region != REGION:
                raise invalid_value(f"The sandbox has Spot capacity only in {REGION}, not in {region}.")
            zones = {one.name: one.zone_id for one in self.ec2_backend.describe_availability_zones()}
            per_zone = {zone: self._score(types, zone) for zone in sorted(zones) if _offered(types, zone)}
            if by_zone:
                scores += [{"Region": region, "AvailabilityZoneId": zones[zone], "Score": score}
                           for zone, score in per_zone.items()]  # fmt: skip
            elif per_zone:
                scores.append({"Region": region, "Score": max(per_zone.values())})
        scores.sort(key=lambda one: -one["Score"])
        shown, following = page(scores, request, least=10, most=1000)
        return ActionResult({"SpotPlacementScores": shown, "NextToken": following})

    def _score(self, types: Sequence[str], zone: str) -> int:
        usable = [kind for kind in types if not self.ec2_backend.capacity.known_empty(kind, [zone], "spot")]
        best = max((placement_score(kind, zone) for kind in usable if zone in offered_zones(kind)), default=1)
        return best if len(set(types)) >= _TYPES_FOR_A_GOOD_SCORE else min(best, 3)

    def describe_spot_instance_requests(self) -> ActionResult:
        """DescribeSpotInstanceRequests; an id that is unknown refuses the request."""
        ids = self._get_param("SpotInstanceRequestIds", [])
        for request_id in ids:
            if not _REQUEST_ID.fullmatch(request_id):
                raise refuse("InvalidSpotInstanceRequestID.Malformed", f'Invalid id: "{request_id}"')
            self.ec2_backend.spot_request_of(request_id)
        if ids and self.params.get("MaxResults") is not None:
            raise refuse(
                "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"
            )
        found = self.ec2_backend.describe_spot_instance_requests(
            filters=self._filters_from_querystring(), spot_instance_ids=ids
        )
        shown, following = page(found, self.params, least=5, most=1000)
        return ActionResult({"SpotInstanceRequests": shown, "NextToken": following})

    def request_spot_instances(self) -> ActionResult:
        """Launch by RequestSpotInstances, which would make instances without machines."""
        raise NotImplementedError("RequestSpotInstances")

    def request_spot_fleet(self) -> ActionResult:
        """Launch by RequestSpotFleet, which would make instances without machines."""
        raise NotImplementedError("RequestSpotFleet")


def _time(given: Any) -> datetime | None:
    if given is None:
        return None
    at = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _check_types(types: Sequence[str]) -> None:
    for kind in types:
        if kind not in INSTANCE_TYPES:
            raise invalid_value(f"Invalid value '{kind}' for InstanceType.")


def _wanted(request: Mapping[str, Any]) -> dict[str, list[str]]:
    """Types, zones and products asked for, by parameter or by filter."""
    filters = {one["Name"]: one.get("Values") or [] for one in request.get("Filters") or []}
    for name in ("spot-price", "timestamp"):
        if name in filters:
            raise refuse("UnsupportedOperation", f"The filter '{name}' is not supported by the sandbox.")
    zone = request.get("AvailabilityZone")
    wanted = {
        "types": [*(request.get("InstanceTypes") or []), *filters.get("instance-type", [])],
        "zones": [*([zone] if zone else []), *filters.get("availability-zone", [])],
        "products": [*(request.get("ProductDescriptions") or []), *filters.get("product-description", [])],
    }
    _check_types(wanted["types"])
    zones = {offer["Location"] for offer in INSTANCE_TYPE_OFFERINGS["availability-zone"].get(REGION, [])}
    for name, values, known in (("availability zone", wanted["zones"], zones),
                                ("product description", wanted["products"], _PRODUCTS)):  # fmt: skip
        for value in values:
            if value not in known:
                raise invalid_value(f"Invalid {name}: [{value}]")
    return wanted


def _history(wanted: Mapping[str, Sequence[str]], start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    if wanted["products"] and not any(one.startswith(LINUX) for one in wanted["products"]):
        return  # the sandbox sells Linux only
    for kind in sorted(set(wanted["types"])) or sorted(INSTANCE_TYPES):
        for zone in sorted(offered_zones(kind)):
            if wanted["zones"] and zone not in wanted["zones"]:
                continue
            for since, price in price_changes(kind, zone, start, end):
                yield {"InstanceType": kind, "AvailabilityZone": zone, "ProductDescription": LINUX,
                       "SpotPrice": f"{price:.6f}", "Timestamp": since}  # fmt: skip


def _offered(types: Sequence[str], zone: str) -> bool:
    return any(zone in offered_zones(kind) for kind in types)
