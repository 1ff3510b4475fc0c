"""The Price List service: GetProducts for EC2 instances, EBS gp3 and public IPv4 addresses, as AWS words its products.

Source: AWS Price List API reference, GetProducts; attributes and terms as in the public price lists of AmazonEC2 and
AmazonVPC. Instance prices are those of the table that the package ships (a copy of a public catalogue, see there);
prices of volumes and addresses are AWS's list prices by region.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall

REGIONS = ("us-east-1", "eu-central-1", "ap-south-1")
"""The only regions in which the service has endpoints (botocore's endpoints)."""
_TABLE = Path(__file__).parents[3] / "orchestration" / "costs" / "ec2_on_demand_prices.json"
_OFFER_TERM, _RATE = "JRTCKXETXF", "6YS6EN2CT7"
"""AWS's codes of on-demand terms and of their hourly rate, the same for every product."""
_LOCATIONS = {
    "us-east-1": "US East (N. Virginia)", "us-east-2": "US East (Ohio)", "us-west-2": "US West (Oregon)",
    "eu-west-1": "EU (Ireland)", "eu-central-1": "EU (Frankfurt)", "ap-northeast-1": "Asia Pacific (Tokyo)",
}  # fmt: skip
_GP3_GB_MONTH = {"us-east-1": 0.08, "us-east-2": 0.08, "us-west-2": 0.08, "eu-west-1": 0.088, "eu-central-1": 0.0952,
                 "ap-northeast-1": 0.096}  # fmt: skip
_GP3_IOPS_MONTH = {"us-east-1": 0.005, "us-east-2": 0.005, "us-west-2": 0.005, "eu-west-1": 0.0055,
                   "eu-central-1": 0.006, "ap-northeast-1": 0.006}  # fmt: skip
_GP3_GIBPS_MONTH = {"us-east-1": 40.96, "us-east-2": 40.96, "us-west-2": 40.96, "eu-west-1": 45.056,
                    "eu-central-1": 48.742, "ap-northeast-1": 49.152}  # fmt: skip
_IPV4_HOUR = 0.005
_MOST_RESULTS = 100


@dataclass(frozen=True)
class Product:
    """One line of the price list."""

    service: str
    family: str
    attributes: Mapping[str, str]
    unit: str
    usd: float
    since: str

    @property
    def sku(self) -> str:
        """A code that is the same at every start, as AWS's is for years."""
        name = json.dumps([self.service, self.family, dict(self.attributes)], sort_keys=True)
        return hashlib.sha256(name.encode()).hexdigest()[:16].upper()

    def field(self, name: str) -> str | None:
        """Value of what a filter names; None when products of this kind have no such attribute."""
        return {"productFamily": self.family, "sku": self.sku, "servicecode": self.service}.get(
            name, self.attributes.get(name)
        )

    def to_json(self) -> str:
        """Write it as an element of ``PriceList``: a string that holds JSON."""
        sku, term = self.sku, f"{self.sku}.{_OFFER_TERM}"
        dimension = {
            "unit": self.unit, "endRange": "Inf", "beginRange": "0", "appliesTo": [],
            "description": f"${self.usd:g} per {self.unit} {self.attributes.get('instanceType', self.family)}",
            "rateCode": f"{term}.{_RATE}", "pricePerUnit": {"USD": f"{self.usd:.10f}"},
        }  # fmt: skip
        terms = {term: {
            "priceDimensions": {f"{term}.{_RATE}": dimension}, "sku": sku, "effectiveDate": self.since,
            "offerTermCode": _OFFER_TERM, "termAttributes": {},
        }}  # fmt: skip
        return json.dumps({
            "product": {"productFamily": self.family, "attributes": dict(self.attributes), "sku": sku},
            "serviceCode": self.service, "terms": {"OnDemand": terms}, "version": self.since.replace("-", "")[:8],
            "publicationDate": self.since,
        })  # fmt: skip


@cache
def products() -> tuple[Product, ...]:
    """Every product that the sandbox knows."""
    table = json.loads(_TABLE.read_text("utf-8"))
    since = "2026-11-01T00:00:00Z"
    return (*_instances(table["types"], since), *_volumes(since), *_addresses(since))


def _place(region: str, usage: str) -> dict[str, str]:
    return {"regionCode": region, "location": _LOCATIONS[region], "locationType": "AWS Region",
            "usagetype": usage if region == "us-east-1" else f"{region}-{usage}"}  # fmt: skip


def _instances(types: Mapping[str, Any], since: str) -> Iterator[Product]:
    """Each type as it is used, as an unused reservation (same price) and in a reservation (nothing, it is paid)."""
    for name, entry in types.items():
        for region, price in entry["price"].items():
            for status, usage, share in (("Used", "BoxUsage", 1), ("UnusedCapacityReservation", "UnusedBox", 1),
                                         ("AllocatedCapacityReservation", "Reservation", 0)):  # fmt: skip
                attributes = {
                    **_place(region, f"{usage}:{name}"), "servicecode": "AmazonEC2", "instanceType": name,
                    "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "licenseModel":
                    "No License required", "capacitystatus": status, "marketoption": "OnDemand",
                    "operation": "RunInstances", "vcpu": str(entry["vcpus"]), "memory": f"{entry['memory_gib']:g} GiB",
                }  # fmt: skip
                yield Product("AmazonEC2", "Compute Instance", attributes, "Hrs", price * share, since)


def _volumes(since: str) -> Iterator[Product]:
    for region in _LOCATIONS:
        common = {"servicecode": "AmazonEC2", "volumeApiName": "gp3"}
        for family, usage, unit, prices in (
            ("Storage", "EBS:VolumeUsage.gp3", "GB-Mo", _GP3_GB_MONTH),
            ("System Operation", "EBS:VolumeP-IOPS.gp3", "IOPS-Mo", _GP3_IOPS_MONTH),
            ("Provisioned Throughput", "EBS:VolumeP-Throughput.gp3", "GiBps-mo", _GP3_GIBPS_MONTH),
        ):
            kind = {"volumeType": "General Purpose"} if family == "Storage" else {}
            attributes = {**_place(region, usage), **common, **kind}
            yield Product("AmazonEC2", family, attributes, unit, prices[region], since)


def _addresses(since: str) -> Iterator[Product]:
    for region in _LOCATIONS:
        for usage, group in (("PublicIPv4:InUseAddress", "VPCPublicIPv4Address"),
                             ("PublicIPv4:IdleAddress", "VPCPublicIPv4Address")):  # fmt: skip
            attributes = {**_place(region, usage), "servicecode": "AmazonVPC", "group": group}
            yield Product("AmazonVPC", "VpcPublicIPv4Address", attributes, "Hrs", _IPV4_HOUR, since)


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "TERM_MATCH": lambda actual, wanted: actual.lower() == wanted.lower(),
    "EQUALS": lambda actual, wanted: actual.lower() == wanted.lower(),
    "CONTAINS": lambda actual, wanted: wanted.lower() in actual.lower(),
    "ANY_OF": lambda actual, wanted: actual.lower() in wanted.lower().split(","),
    "NONE_OF": lambda actual, wanted: actual.lower() not in wanted.lower().split(","),
}


def _passes(product: Product, filters: Sequence[Mapping[str, str]]) -> bool:
    return all(
        (value := product.field(one["Field"])) is not None and _TESTS[one["Type"]](value, one["Value"])
        for one in filters
    )


def answer(call: ServiceCall, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answer a call of the Price List service.

    Raises
    ------
    ServiceError
        The region has no endpoint of it, or the request is wrong.
    NotImplementedError
        Any other operation than GetProducts.
    """
    if call.region not in REGIONS:
        words = f"Credential should be scoped to a valid region: the service is in {', '.join(REGIONS)}."
        raise ServiceError("InvalidSignatureException", words)
    if call.action != "GetProducts":
        raise NotImplementedError(call.action)
    known = [one for one in products() if one.service == parameters["ServiceCode"]]
    if not known:
        raise ServiceError("NotFoundException", f"Service code {parameters['ServiceCode']} is not found.")
    filters = parameters.get("Filters") or []
    fields = {"productFamily", "sku"} | {name for one in known for name in one.attributes}
    for one in filters:
        if one["Field"] not in fields:
            raise ServiceError("InvalidParameterException", f"Input Parameters are invalid. Field: {one['Field']}")
    token = parameters.get("NextToken") or "0"
    if not token.isdigit():
        raise ServiceError("InvalidNextTokenException", "The pagination token is invalid.")
    found = [one for one in known if _passes(one, filters)]
    start = int(token)
    end = start + int(parameters.get("MaxResults") or _MOST_RESULTS)
    following = {"NextToken": str(end)} if end < len(found) else {}
    return {"FormatVersion": "aws_v1", "PriceList": [one.to_json() for one in found[start:end]], **following}
