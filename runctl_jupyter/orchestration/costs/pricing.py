"""What an instance costs per hour: asked of AWS, remembered, or from the shipped table; never waited for long."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from runctl_jupyter.orchestration.costs.price import PRICE_LIST, SPOT_HISTORY, Price
from runctl_jupyter.orchestration.costs.price_file import Kind, PriceFile, Quote, Quotes
from runctl_jupyter.orchestration.costs.prices import on_demand_price
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.run_record import now

__all__ = ["Price", "PriceSource", "Prices"]

_log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""Seconds that a launch waits for a price at most."""

_FRESH: Mapping[Kind, timedelta] = {"on-demand": timedelta(days=7), "spot": timedelta(minutes=5)}
"""List prices change some times a year. Spot prices "adjust gradually" (EC2 User Guide, "Spot Instance pricing
history"), a few times a day."""
_UNASKED = timedelta(minutes=15)
"""After a question that had no answer, none of its kind is asked for so long."""
_AT_ONCE = 6
"""Questions under way at the same time; the Price List API answers few."""
_REGION = "*"


class PriceSource(Protocol):
    """Who knows prices; each question is one attempt that may fail with a `RunctlError`."""

    def on_demand(self, instance_type: str) -> float | None:
        """Return the list price in USD per hour, None when there is none."""

    def spot(self, instance_type: str) -> Mapping[str, float]:
        """Return the spot prices of now in USD per hour, by zone."""


class Prices:
    """Prices of instances in one region; thread-safe.

    A list price comes from the Price List API, from what that told within seven days, from what it told before
    that, or from the shipped table. A spot price comes from EC2's price history only. What nobody knows is None,
    never 0. No question is waited for longer than a second, and none is asked again soon after it had no answer.

    Parameters
    ----------
    source
        Asks AWS; None never asks.
    region
        Where the prices hold.
    kept_in
        File that remembers them for the next process; None remembers them in this one alone.
    clock
        Returns the time.
    """

    def __init__(
        self,
        source: PriceSource | None,
        region: str | None,
        kept_in: Path | None = None,
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._source, self._region, self._clock = source, region, clock
        self._file = PriceFile(kept_in)
        self._quotes: Quotes | None = None
        self._asking: dict[tuple[Kind, str], Future[None]] = {}
        self._slow: set[Kind] = set()
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.RLock()

    def on_demand(self, instance_type: str, *, patience_s: float = PATIENCE_S) -> Price | None:
        """Return the list price of an instance type: Linux, shared tenancy; None when nobody knows it.

        Parameters
        ----------
        patience_s
            Seconds to wait for AWS when nothing recent is known; 0 takes what is known and asks for the next time.
        """
        quote = self._told("on-demand", instance_type, patience_s)
        if quote is not None and quote.usd:
            return Price(quote.usd[_REGION], PRICE_LIST, quote.at)
        return on_demand_price(instance_type, self._region)

    def spot(self, instance_type: str, zone: str | None = None, *, patience_s: float = PATIENCE_S) -> Price | None:
        """Return the spot price of an instance type in `zone`, or in the cheapest zone; None when nobody knows it.

        Parameters
        ----------
        patience_s
            As of `on_demand`.
        """
        quote = self._told("spot", instance_type, patience_s)
        # An old spot price is none.
        if quote is None or not quote.usd or not quote.is_younger(_FRESH["spot"], self._clock()):
            return None
        where = zone or min(quote.usd, key=lambda each: quote.usd[each])
        per_hour = quote.usd.get(where)
        return None if per_hour is None else Price(per_hour, SPOT_HISTORY, quote.at, where)

    def market(
        self, instance_type: str, zone: str | None, *, spot: bool, patience_s: float = PATIENCE_S
    ) -> Price | None:
        """Return the price of an instance as it was bought: spot in its zone, or on demand."""
        if spot:
            return self.spot(instance_type, zone, patience_s=patience_s)
        return self.on_demand(instance_type, patience_s=patience_s)

    def expect(self, on_demand: Iterable[str] = (), spot: Iterable[str] = ()) -> None:
        """Ask for the prices of many instance types at the same time; returns at once."""
        wanted: list[tuple[Kind, str]] = [("on-demand", name) for name in on_demand]
        wanted += [("spot", name) for name in spot]
        for kind, name in dict.fromkeys(wanted):
            if self._known(kind, name, fresh=True) is None:
                self._ask(kind, name)

    def _told(self, kind: Kind, instance_type: str, patience_s: float) -> Quote | None:
        """Return what AWS tells, or has told, of an instance type."""
        fresh = self._known(kind, instance_type, fresh=True)
        if fresh is not None:
            return fresh
        asking = self._ask(kind, instance_type)
        if asking is not None and patience_s > 0 and (asking.done() or kind not in self._slow):
            try:
                asking.result(patience_s)
            except TimeoutError:
                # The answer is taken when it comes; until one has come, nobody waits again.
                self._slow.add(kind)
        return self._known(kind, instance_type, fresh=False)

    def _known(self, kind: Kind, instance_type: str, *, fresh: bool) -> Quote | None:
        quote = self._all().quotes.get(kind, {}).get(instance_type)
        if quote is None or (fresh and not quote.is_younger(_FRESH[kind], self._clock())):
            return None
        return quote

    def _all(self) -> Quotes:
        with self._lock:
            if self._quotes is None:
                self._quotes = self._file.read()
            return self._quotes

    def _ask(self, kind: Kind, instance_type: str) -> Future[None] | None:
        """Ask AWS in the background, unless that is under way or is no use now; return what ends with the answer."""
        source = self._source
        if source is None:
            return None
        with self._lock:
            asking = self._asking.get((kind, instance_type))
            if asking is not None:
                return asking
            unanswered = self._all().unanswered.get(kind)
            if unanswered is not None and timedelta(0) <= self._clock() - unanswered < _UNASKED:
                return None
            asking = self._asking[kind, instance_type] = Future()

        def work() -> None:
            try:
                with self._places:
                    told = self._question(source, kind, instance_type)
                self._note(kind, instance_type, told)
            except Exception as error:  # noqa: BLE001 - raised where the answer is waited for
                asking.set_exception(error)
            else:
                asking.set_result(None)
            finally:
                with self._lock:
                    del self._asking[kind, instance_type]

        context = contextvars.copy_context()
        # A daemon: a program that has said all it has to say does not stay for a price.
        threading.Thread(target=context.run, args=(work,), name=f"runctl-price-{instance_type}", daemon=True).start()
        return asking

    def _question(self, source: PriceSource, kind: Kind, instance_type: str) -> Mapping[str, float] | None:
        """Return the answer, or None when there is none."""
        begin = time.monotonic()
        try:
            if kind == "spot":
                return source.spot(instance_type)
            per_hour = source.on_demand(instance_type)
            return {} if per_hour is None else {_REGION: per_hour}
        except RunctlError as error:
            took = time.monotonic() - begin
            _log.info("no %s price of %s from AWS after %.1f s: %s", kind, instance_type, took, error.what)
            return None

    def _note(self, kind: Kind, instance_type: str, told: Mapping[str, float] | None) -> None:
        moment = self._clock()
        if told is None:
            new = Quotes(unanswered={kind: moment})
        else:
            # A price of 0 is a reservation, or a mistake; it is not what an hour costs.
            usd = {zone: per_hour for zone, per_hour in told.items() if per_hour > 0}
            new = Quotes(quotes={kind: {instance_type: Quote(usd=usd, at=moment)}})
        with self._lock:
            self._slow.discard(kind)
            self._quotes = self._all().joined(new)
            # Not before all is done: two answers of this process must not write over each other.
            self._file.write(new, moment)
