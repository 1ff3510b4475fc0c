"""Which quota of vCPUs an instance type counts against.

Quotas of EC2 are per region, family of types and market, in vCPUs; an approval for on-demand says nothing about spot
(EC2 User Guide, "Amazon EC2 instance type quotas" and "Spot Instance quotas").
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Family(NamedTuple):
    """Types that share a quota."""

    name: str
    on_demand: str
    """Quota code."""
    spot: str

    def code(self, *, spot: bool) -> str:
        """Return the code of the quota in a market."""
        return self.spot if spot else self.on_demand


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


def request_url(region: str, code: str, service: str = "ec2") -> str:
    """Return the page of the console on which more of a service's quota is asked for."""
    return f"https://{region}.console.aws.amazon.com/servicequotas/home/services/{service}/quotas/{code}"
