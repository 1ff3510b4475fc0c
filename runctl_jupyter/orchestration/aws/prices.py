"""Asks AWS what instances cost: the Price List API for on-demand, EC2's price history for spot."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from runctl_jupyter.orchestration.aws.failures import aws_errors
from runctl_jupyter.orchestration.errors import AwsRefused, InvalidRequest
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from mypy_boto3_ec2.literals import InstanceTypeType
    from mypy_boto3_ec2.type_defs import DescribeSpotPriceHistoryResultTypeDef

    from runctl_jupyter.orchestration.aws.session import AwsSession

_LINUX_ON_DEMAND = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
"""Attributes of the product that is an hour of a plain Linux instance. Without ``capacitystatus`` there are also
unused reservations, at 0, and duplicates (Price List API, attributes of AmazonEC2)."""

_LINUX_SPOT = "Linux/UNIX"
"""EC2 API reference, DescribeSpotPriceHistory."""


class AwsPrices:
    """Prices as AWS tells them; one attempt each, for who waits has other sources."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    def on_demand(self, instance_type: str) -> float | None:
        """Return the list price in USD per hour; None when the list has none, or says several things.

        Raises
        ------
        RunctlError
            There is no answer.
        """
        wanted = {"instanceType": instance_type, "regionCode": self._session.region, **_LINUX_ON_DEMAND}
        with aws_errors("read the price list"):
            answer = self._session.pricing.get_products(
                ServiceCode="AmazonEC2",
                Filters=[{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()],
                FormatVersion="aws_v1",
                MaxResults=100,
            )
        try:
            return list_price(answer["PriceList"], wanted)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Documents of documents: what cannot be read is no price, and no reason not to launch.
            raise AwsRefused("The price list could not be read.", "Try again later; other sources are used.") from error

    def spot(self, instance_type: str) -> Mapping[str, float]:
        """Return the spot prices of now in USD per hour, by zone; none of a type that EC2 does not know.

        Raises
        ------
        RunctlError
            There is no answer.
        """
        try:
            answer = self._history(instance_type)
        except InvalidRequest:
            return {}
        newest: dict[str, tuple[datetime, float]] = {}
        for each in answer["SpotPriceHistory"]:
            zone, told = each["AvailabilityZone"], (each["Timestamp"], float(each["SpotPrice"]))
            newest[zone] = max(newest.get(zone, told), told)
        return {zone: per_hour for zone, (_, per_hour) in newest.items()}

    def _history(self, instance_type: str) -> DescribeSpotPriceHistoryResultTypeDef:
        with aws_errors("read the spot prices"):
            # With a start of now the answer is the price in force, one for each zone (EC2 API reference).
            return self._session.quick_ec2.describe_spot_price_history(
                InstanceTypes=cast("list[InstanceTypeType]", [instance_type]),
                ProductDescriptions=[_LINUX_SPOT],
                StartTime=now(),
            )


def list_price(products: list[str], wanted: Mapping[str, str]) -> float | None:
    """Return the one price in USD per hour that `products` of the price list give; None when there is no such one.

    Parameters
    ----------
    products
        As ``GetProducts`` returns them: each a JSON text.
    wanted
        Attributes that the product must have.
    """
    found = {
        per_hour
        for product in map(json.loads, products)
        if all(product["product"]["attributes"].get(name) == value for name, value in wanted.items())
        for per_hour in _hourly(product)
    }
    return found.pop() if len(found) == 1 else None


def _hourly(product: Mapping[str, Any]) -> Iterator[float]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            usd = dimension["pricePerUnit"].get("USD")  # CNY in the regions in China
            if dimension["unit"] == "Hrs" and usd is not None and float(usd) > 0:
                yield float(usd)
