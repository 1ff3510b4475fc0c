"""What is about to be launched for a job, in a line: before it costs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.units import duration_text, money_text, rate_text

if TYPE_CHECKING:
    from runctl_jupyter.run_record import JobSpec


def announcement(spec: JobSpec) -> str:
    """Return the line; empty where no machine is launched."""
    if not spec.offers:
        return ""
    types = list(dict.fromkeys(offer.instance_type for offer in spec.offers))
    market = " spot" if spec.spot else ""
    if spec.spot and any(not offer.spot for offer in spec.offers):
        market = " spot, or on-demand"
    prices = [offer.price_per_hour for offer in spec.offers]
    known = sorted(price for price in prices if price is not None)
    price = rate_text(known[0]) if known else "price unknown"
    if known and known[-1] != known[0]:
        price = f"{price} to {rate_text(known[-1])}"
    sources = {offer.price_source for offer in spec.offers}
    if len(sources) == 1 and any(sources):
        price = f"{price} ({sources.pop()})"
    return f"Launching {' or '.join(types)}{market} in {spec.region}: {price}{_most(spec, None in prices, known)}."


def _most(spec: JobSpec, some_unknown: bool, known: list[float]) -> str:
    limits = spec.limits
    beside = sum(spec.beside_per_hour.values())
    at_the_end = (known[-1] + beside) * limits.ttl_s / 3600 if known and limits.ttl_s and not some_unknown else None
    if limits.max_cost_usd is not None and (at_the_end is None or limits.max_cost_usd < at_the_end):
        return f", at most {money_text(limits.max_cost_usd)}: then it ends"
    if limits.ttl_s is None:
        return ""
    most = f", at most {money_text(at_the_end)}" if at_the_end is not None else ""
    return f"{most}: it ends after {duration_text(limits.ttl_s)}" if most else ""
