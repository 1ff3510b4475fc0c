"""How many vCPUs of a family the account may still start.

Quotas of EC2 are per region, family of types and market, in vCPUs; an approval for on-demand says nothing about spot
(EC2 User Guide, "Amazon EC2 instance type quotas" and "Spot Instance quotas").
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from runctl_jupyter.orchestration.aws.quotas import ServiceQuotas
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.model import Value

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession


class Family(NamedTuple):
    """Types that share a quota."""

    name: str
    on_demand: str
    """Quota code."""
    spot: str


_STANDARD = Family("Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A", "L-34B43A08")
_FAMILIES = {
    "g": Family("G and VT", "L-DB2E81BA", "L-3819A6DF"),
    "p": Family("P", "L-417A185B", "L-7212CCBC"),
    "p5": Family("P5", "L-417A185B", "L-C4BD4855"),
    "f": Family("F", "L-74FC7D96", "L-88CF9481"),
    "inf": Family("Inf", "L-1945791B", "L-B5D1601B"),
    "trn": Family("Trn", "L-2C3B7624", "L-6B0D517C"),
    "dl": Family("DL", "L-6E869C2A", "L-85EED4F7"),
    "x": Family("X", "L-7295265B", "L-E3A00192"),
    **dict.fromkeys("acdhimrtz", _STANDARD),
}
_FAMILIES |= {"vt": _FAMILIES["g"], "gr": _FAMILIES["g"], "is": _STANDARD, "im": _STANDARD}


def family_of(instance_type: str) -> Family | None:
    """Return which family's quota a type counts against; None for one that has no quota of vCPUs or is not known."""
    match = re.match(r"([a-z]+)(\d*)", instance_type)
    if match is None:
        return None
    return _FAMILIES.get(match[0]) or _FAMILIES.get(match[1])


@dataclass(frozen=True)
class QuotaLeft(Value):
    """A quota of vCPUs and what is left of it."""

    code: str
    name: str
    limit: float
    used: int
    left: float
    region: str
    request_url: str
    """Page on which AWS is asked for more."""
    needed: int = 0
    """vCPUs of the type that was asked about."""

    @property
    def enough(self) -> bool:
        """Whether the type fits in."""
        return self.needed <= self.left


def request_url(region: str, code: str) -> str:
    """Return the page of the console on which more of a quota of EC2 is asked for."""
    return f"https://{region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"


class Quotas:
    """vCPU quotas of the account in the session's region.

    Parameters
    ----------
    session
        Whose account.
    timeout
        Seconds that each request may take: to know a quota is never worth a long wait.
    """

    def __init__(self, session: AwsSession, *, timeout: float = 5.0) -> None:
        self._session, self._timeout = session, timeout

    def left(self, instance_type_vcpus: int, instance_type: str, *, spot: bool) -> QuotaLeft | None:
        """Return the quota that `instance_type` counts against, less what the whole account uses of it.

        Parameters
        ----------
        instance_type_vcpus
            How many vCPUs the type has.

        Returns
        -------
        QuotaLeft or None
            None when it is not known: no permission, no answer, no quota for this type.
        """
        family = family_of(instance_type)
        if family is None:
            return None
        code = family.spot if spot else family.on_demand
        try:
            asked = ServiceQuotas(self._session.in_a_hurry(self._timeout))
            with ThreadPoolExecutor(3, "runctl-quota") as pool:
                limit = pool.submit(asked.limit, code)
                using = [pool.submit(asked.instances), *([pool.submit(asked.open_requests)] if spot else [])]
                named, uses = limit.result(), [use for each in using for use in each.result()]
        except RunctlError:
            return None  # unknown is an answer here: a launch that goes over says so itself
        if named is None:
            return None
        name, value = named
        used = sum(use.vcpus for use in uses if use.spot == spot and _code(use.instance_type, spot=spot) == code)
        region = asked.region
        return QuotaLeft(
            code, name, value, used, max(value - used, 0), region, request_url(region, code), instance_type_vcpus
        )


def _code(instance_type: str, *, spot: bool) -> str | None:
    family = family_of(instance_type)
    return None if family is None else family.spot if spot else family.on_demand
