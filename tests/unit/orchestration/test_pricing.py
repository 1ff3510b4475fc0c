"""What an hour costs: which source is believed, for how long, and that nobody waits for one that is silent."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.aws.prices import list_price
from runctl_jupyter.orchestration.costs.price import PRICE_LIST, SHIPPED_TABLE, SPOT_HISTORY, Price
from runctl_jupyter.orchestration.costs.price_file import Quote, Quotes
from runctl_jupyter.orchestration.costs.pricing import Prices
from runctl_jupyter.orchestration.errors import PermissionDenied

DAY = timedelta(days=1)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Aws:
    """Answers as it is told to, and counts what it is asked."""

    def __init__(self) -> None:
        self.listed: dict[str, float] = {"m5.large": 0.1}
        self.zones: dict[str, float] = {"us-east-1a": 0.04, "us-east-1b": 0.03}
        self.asked: list[str] = []
        self.refuses = False
        self.free = threading.Event()
        self.free.set()

    def on_demand(self, instance_type: str) -> float | None:
        self._hear(instance_type)
        return self.listed.get(instance_type)

    def spot(self, instance_type: str) -> Mapping[str, float]:
        self._hear(f"spot {instance_type}")
        return self.zones if instance_type in self.listed else {}

    def _hear(self, question: str) -> None:
        self.asked.append(question)
        assert self.free.wait(20)
        if self.refuses:
            raise PermissionDenied("AWS refused to read the price list [AccessDenied].", "Ask for permission.")


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def clock() -> Clock:
    return Clock()


New = Callable[[], Prices]


@pytest.fixture
def new(aws: Aws, clock: Clock, tmp_path: Path) -> New:
    """Each is another process with the same cache."""
    return lambda: Prices(aws, "us-east-1", tmp_path / "prices" / "us-east-1.json", clock=clock)


def test_asked_once_a_week_by_all_processes(aws: Aws, clock: Clock, new: New) -> None:
    assert new().on_demand("m5.large") == Price(0.1, PRICE_LIST, clock.now)
    aws.listed["m5.large"] = 0.2
    told_at, clock.now = clock.now, clock.now + 6.9 * DAY
    assert new().on_demand("m5.large") == Price(0.1, PRICE_LIST, told_at)
    assert aws.asked == ["m5.large"]
    clock.now += DAY
    assert new().on_demand("m5.large") == Price(0.2, PRICE_LIST, clock.now)


def test_without_an_answer_what_was_told_before_holds_then_the_table(aws: Aws, clock: Clock, new: New) -> None:
    new().on_demand("m5.large")
    told_at, clock.now = clock.now, clock.now + 30 * DAY
    aws.refuses = True
    assert new().on_demand("m5.large") == Price(0.1, PRICE_LIST, told_at)
    table = new().on_demand("g5.xlarge")
    assert table is not None
    assert (table.per_hour, table.as_of) == (1.006, None)
    assert re.fullmatch(r"table shipped with runctl \(\S+ [0-9a-f]{7}\), of an unknown date", table.source_text)
    assert new().on_demand("x9.huge") is None


def test_what_was_refused_is_not_asked_again_for_a_while(aws: Aws, clock: Clock, new: New) -> None:
    aws.refuses = True
    assert [new().on_demand(name) is None for name in ("m5.large", "x9.huge", "x9.tiny")] == [False, True, True]
    assert aws.asked == ["m5.large"]
    aws.refuses = False
    clock.now += timedelta(minutes=16)
    price = new().on_demand("m5.large")
    assert price is not None
    assert price.source == PRICE_LIST


def test_nobody_waits_for_a_silent_api_more_than_once(aws: Aws, new: New) -> None:
    prices = new()
    aws.free.clear()
    begin = time.monotonic()
    for name in ("g5.xlarge", "g5.2xlarge", "g4dn.xlarge", "g6.xlarge", "m5.large"):
        price = prices.on_demand(name, patience_s=0.3)
        assert price is not None
        assert price.source.startswith(SHIPPED_TABLE)
    assert time.monotonic() - begin < 1.2
    aws.free.set()
    price = prices.on_demand("m5.large", patience_s=5)
    while price is not None and price.source != PRICE_LIST:  # its answer is on the way; the test's limit ends this
        price = prices.on_demand("m5.large", patience_s=5)
    assert price is not None
    assert price.per_hour == 0.1


def test_many_at_the_same_time(aws: Aws, new: New) -> None:
    prices = new()
    aws.free.clear()
    prices.expect(on_demand=["m5.large", "g5.xlarge", "m5.large"], spot=["m5.large"])
    aws.free.set()
    assert (prices.on_demand("m5.large", patience_s=10), prices.spot("m5.large", patience_s=10)) != (None, None)
    prices.on_demand("g5.xlarge", patience_s=10)
    assert sorted(aws.asked) == ["g5.xlarge", "m5.large", "spot m5.large"]


def test_spot_is_of_the_zone_or_of_the_cheapest(clock: Clock, new: New) -> None:
    prices = new()
    assert prices.spot("m5.large") == Price(0.03, SPOT_HISTORY, clock.now, "us-east-1b")
    assert prices.spot("m5.large", "us-east-1a") == Price(0.04, SPOT_HISTORY, clock.now, "us-east-1a")
    assert prices.spot("m5.large", "us-east-1z") is None


def test_spot_is_never_from_the_table_nor_old(aws: Aws, clock: Clock, new: New) -> None:
    assert new().spot("m5.large") is not None
    clock.now += timedelta(minutes=4)
    assert new().spot("m5.large") is not None
    assert aws.asked == ["spot m5.large"]
    aws.refuses = True
    clock.now += timedelta(minutes=2)
    assert new().spot("m5.large") is None
    assert new().spot("g5.xlarge") is None
    assert new().market("m5.large", "us-east-1a", spot=True) is None
    assert new().market("m5.large", "us-east-1a", spot=False) is not None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"quotes": {"spot": 5}}', b"\xff\x00", b'{"quotes": {"no": {}}}']
)
def test_a_damaged_cache_is_ignored_and_written_anew(aws: Aws, new: New, tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "prices" / "us-east-1.json"
    file.parent.mkdir()
    file.write_bytes(damage)
    assert new().on_demand("m5.large") is not None
    assert json.loads(file.read_bytes())["quotes"]["on-demand"]["m5.large"]["usd"] == {"*": 0.1}
    new().on_demand("m5.large")
    assert aws.asked == ["m5.large"]


def test_a_cache_that_cannot_be_written_is_no_trouble(aws: Aws, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "prices").write_text("a file where the folder should be")
    prices = Prices(aws, "us-east-1", tmp_path / "prices" / "x.json", clock=clock)
    assert prices.on_demand("m5.large") is not None


def test_what_two_processes_learn_at_once_is_kept(aws: Aws, new: New) -> None:
    aws.listed["g5.xlarge"] = 2.0
    first, second = new(), new()
    first.on_demand("m5.large")
    second.spot("m5.large")
    first.on_demand("g5.xlarge")
    aws.asked.clear()
    later = new()
    assert later.on_demand("m5.large")
    assert later.on_demand("g5.xlarge")
    assert later.spot("m5.large")
    assert aws.asked == []


def test_nothing_is_free(aws: Aws, new: New) -> None:
    aws.listed["x9.huge"] = 0.0
    aws.zones = {"us-east-1a": 0.0}
    assert new().on_demand("x9.huge") is None
    assert new().spot("m5.large") is None


def test_a_price_says_where_it_is_from_and_how_old_it_is(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr("runctl_jupyter.orchestration.costs.price.now", clock)
    said = [Price(1.006, PRICE_LIST, clock.now - days * DAY).source_text for days in (0, 1, 3, 80)]
    assert said == [
        "AWS price list, today", "AWS price list, 1 day ago", "AWS price list, 3 days ago",
        "AWS price list, of 2026-09-05",
    ]  # fmt: skip
    assert str(Price(1.006, SHIPPED_TABLE, None)) == "$1.006/h, table shipped with runctl, of an unknown date"
    assert (
        str(Price(0.3, SPOT_HISTORY, clock.now, "us-east-1b")) == "$0.300/h, EC2 spot price history, us-east-1b, today"
    )


moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))
quotes = st.builds(Quote, usd=st.dictionaries(st.sampled_from("ab*"), st.floats(0.01, 9)), at=moments)
known = st.builds(
    Quotes,
    quotes=st.dictionaries(st.sampled_from(["on-demand", "spot"]), st.dictionaries(st.sampled_from("xyz"), quotes)),
    unanswered=st.dictionaries(st.sampled_from(["on-demand", "spot"]), moments),
)


@given(known, known)
def test_joined_knows_the_newest_of_both(one: Quotes, other: Quotes) -> None:
    joined = one.joined(other)
    assert joined.joined(other) == joined.joined(one) == joined
    for each in (one, other):
        for kind, by_type in each.quotes.items():
            assert all(joined.quotes[kind][name].at >= quote.at for name, quote in by_type.items())
    assert Quotes.model_validate_json(joined.model_dump_json()) == joined


WANTED = {"instanceType": "m5.large", "capacitystatus": "Used", "tenancy": "Shared"}


def product(usd: str, unit: str = "Hrs", currency: str = "USD", **attributes: str) -> str:
    dimension = {"unit": unit, "pricePerUnit": {currency: usd}, "beginRange": "0", "endRange": "Inf"}
    terms = {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}
    reserved = {"priceDimensions": {"D": {"unit": "Hrs", "pricePerUnit": {"USD": "0.01"}}}}
    return json.dumps({"product": {"attributes": WANTED | attributes}, "terms": {**terms, "Reserved": {"R": reserved}}})


@pytest.mark.parametrize(
    ("products", "per_hour"),
    [
        ([product("0.0960000000")], 0.096),
        ([product("0.096"), product("0.096")], 0.096),
        ([product("0.096"), product("0.0", capacitystatus="UnusedCapacityReservation")], 0.096),
        ([product("0.096"), product("0.102", tenancy="Dedicated")], 0.096),
        ([product("0.096"), product("0.3", unit="Quantity")], 0.096),
        ([product("0.0")], None),
        ([product("0.7", currency="CNY")], None),
        ([product("0.096"), product("0.192")], None),  # which of them?
        ([], None),
        ([json.dumps({"product": {"attributes": WANTED}})], None),
    ],
)
def test_the_one_price_of_the_list(products: list[str], per_hour: float | None) -> None:
    assert list_price(products, WANTED) == per_hour
