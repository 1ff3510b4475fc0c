"""Pricing GetProducts: the filter set that gives one price, and what a looser one gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import client

pytestmark = pytest.mark.machineless
EXACT = {"instanceType": "g5.xlarge", "regionCode": "eu-west-1", "operatingSystem": "Linux", "tenancy": "Shared",
         "preInstalledSw": "NA", "capacitystatus": "Used", "marketoption": "OnDemand"}  # fmt: skip


def filters(fields: dict[str, str]) -> list[dict[str, str]]:
    return [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]


def prices(answer: dict[str, Any]) -> list[float]:
    return [
        float(rate["pricePerUnit"]["USD"])
        for product in map(json.loads, answer["PriceList"])
        for term in product["terms"]["OnDemand"].values()
        for rate in term["priceDimensions"].values()
    ]


def test_the_exact_filters_give_one_price_and_looser_ones_give_what_is_not_to_be_paid(sandbox: Connection) -> None:
    pricing = client(sandbox, "pricing")
    (price,) = prices(pricing.get_products(ServiceCode="AmazonEC2", Filters=filters(EXACT)))
    assert 0.5 < price < 3
    loose = {name: value for name, value in EXACT.items() if name != "capacitystatus"}
    found = prices(pricing.get_products(ServiceCode="AmazonEC2", Filters=filters(loose)))
    assert sorted(found) == [0, price, price]


def test_volumes_and_addresses_have_prices(sandbox: Connection) -> None:
    pricing = client(sandbox, "pricing")
    gp3 = filters({"regionCode": "us-east-1", "volumeApiName": "gp3", "productFamily": "Storage"})
    assert prices(pricing.get_products(ServiceCode="AmazonEC2", Filters=gp3)) == [0.08]
    used = filters({"regionCode": "us-east-1", "usagetype": "PublicIPv4:InUseAddress"})
    assert prices(pricing.get_products(ServiceCode="AmazonVPC", Filters=used)) == [0.005]


def test_pages_end_and_hold_everything_once(sandbox: Connection) -> None:
    pages = client(sandbox, "pricing").get_paginator("get_products").paginate(
        ServiceCode="AmazonEC2", Filters=filters({"regionCode": "us-east-1"}), PaginationConfig={"PageSize": 7}
    )  # fmt: skip
    skus = [json.loads(one)["product"]["sku"] for page in pages for one in page["PriceList"]]
    assert len(skus) == len(set(skus)) > 50


@pytest.mark.parametrize(
    ("changes", "region", "expected"),
    [
        ({}, "eu-west-1", "InvalidSignatureException"),
        ({"ServiceCode": "AmazonBanana"}, "us-east-1", "NotFoundException"),
        ({"Filters": filters({"banana": "x"})}, "us-east-1", "InvalidParameterException"),
        ({"MaxResults": 101}, "us-east-1", "InvalidParameterException"),
        ({"Filters": [{"Type": "LIKE", "Field": "sku", "Value": "x"}]}, "us-east-1", "InvalidParameterException"),
    ],
)
def test_what_it_refuses(sandbox: Connection, changes: dict[str, Any], region: str, expected: str) -> None:
    with pytest.raises(ClientError) as error:
        client(sandbox, "pricing", region_name=region).get_products(**({"ServiceCode": "AmazonEC2"} | changes))
    assert error.value.response["Error"]["Code"] == expected
