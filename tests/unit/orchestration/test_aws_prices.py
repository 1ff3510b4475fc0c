"""What is asked of AWS's price list, over HTTP: which product, in which region, once and not for long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.aws.prices import AwsPrices
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.connection import Connection
from runctl_jupyter.orchestration.errors import AwsRefused, PermissionDenied


class PriceList(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it is asked."""

    status = 200
    silent_s = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: dict[str, Any] = {"PriceList": []}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: PriceList

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.headers["X-Amz-Target"], self.headers["Authorization"], body))
        if self.server.silent_s and self.server.over.wait(self.server.silent_s):
            return
        data = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def price_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PriceList]:
    server = PriceList()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDUNIT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", server.url)
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def session() -> AwsSession:
    return AwsSession(Connection("aws", region="eu-west-1", bucket=None))


def test_the_product_that_is_asked_for(price_list: PriceList) -> None:
    attributes = {
        "instanceType": "m5.large", "regionCode": "eu-west-1", "operatingSystem": "Linux", "tenancy": "Shared",
        "preInstalledSw": "NA", "capacitystatus": "Used", "marketoption": "OnDemand",
    }  # fmt: skip
    hour = {"unit": "Hrs", "pricePerUnit": {"USD": "0.1070000000"}}
    product = {"product": {"attributes": attributes}, "terms": {"OnDemand": {"a": {"priceDimensions": {"b": hour}}}}}
    price_list.answer = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(product)]}
    assert AwsPrices(session()).on_demand("m5.large") == 0.107
    ((operation, signature, asked),) = price_list.asked
    assert operation == "AWSPriceListService.GetProducts"
    assert "/us-east-1/pricing/" in signature, "the price list of Ireland is read in Virginia"
    assert (asked["ServiceCode"], asked["MaxResults"]) == ("AmazonEC2", 100)
    assert {each["Field"]: each["Value"] for each in asked["Filters"]} == attributes
    assert {each["Type"] for each in asked["Filters"]} == {"TERM_MATCH"}


def test_a_type_without_a_price(price_list: PriceList) -> None:
    assert AwsPrices(session()).on_demand("x9.huge") is None


@pytest.mark.parametrize("document", ["{", "[]", "{}", '{"product": {"attributes": 5}}'])
def test_documents_that_cannot_be_read(price_list: PriceList, document: str) -> None:
    price_list.answer = {"PriceList": [document]}
    with pytest.raises(AwsRefused, match="could not be read"):
        AwsPrices(session()).on_demand("m5.large")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(400, "AccessDeniedException", PermissionDenied), (500, "InternalErrorException", AwsRefused)],
)
def test_one_attempt(price_list: PriceList, status: int, code: str, error: type[Exception]) -> None:
    price_list.status, price_list.answer = status, {"__type": code, "Message": "no"}
    with pytest.raises(error):
        AwsPrices(session()).on_demand("m5.large")
    assert len(price_list.asked) == 1


def test_silence_is_no_answer_after_three_seconds(price_list: PriceList) -> None:
    price_list.silent_s = 20.0
    begin = time.monotonic()
    with pytest.raises(AwsRefused):
        AwsPrices(session()).on_demand("m5.large")
    assert time.monotonic() - begin < 8
    assert len(price_list.asked) == 1


def test_another_endpoint_is_not_aws(price_list: PriceList, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not session().is_aws
    monkeypatch.delenv("AWS_ENDPOINT_URL_PRICING")
    assert session().is_aws
