"""Whether there is a machine to be had: of a type, in a zone, in a market. All there is, unless a fault says no.

Sources: EC2 User Guide ("Troubleshoot instance launch issues: Insufficient instance capacity"), EC2 API reference
("Error codes": a server error, HTTP 500).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runctl_jupyter.sandbox.control.ec2.machines import NO_CAPACITY_AT_LAUNCH, Fate
from runctl_jupyter.sandbox.control.faults.faults import NO_CAPACITY, SLOW_BOOT, Faults
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError

CODE = "InsufficientInstanceCapacity"


class Capacity:
    """What EC2 has, as far as faults take it away."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def known_empty(self, instance_type: str, zones: Iterable[str], market: str) -> bool:
        """Whether no zone of these has any, as far as can be told without a launch."""
        certain = [rule for rule in self._faults.rules(NO_CAPACITY) if not rule.late and rule.rate == 1]
        return all(any(rule.covers_launch(instance_type, zone, market) for rule in certain) for zone in zones)

    def choose(self, instance_type: str, zones: Sequence[str], market: str) -> str | None:
        """Give the first of these zones in which a launch finds a machine; None when there is none.

        A fault that is about no zone in particular is hit once, however many zones a launch may use.
        """

        def hit(zone: str | None, example: str) -> bool:
            return self._faults.take(
                NO_CAPACITY,
                lambda rule: not rule.late and rule.zone == zone and rule.covers_launch(instance_type, example, market),
            ) is not None  # fmt: skip

        if hit(None, zones[0]):
            return None
        return next((zone for zone in zones if not hit(zone, zone)), None)

    def refuses(self, instance_type: str, zone: str, market: str) -> bool:
        """Whether a launch there finds nothing."""
        return self.choose(instance_type, [zone], market) is None

    def fate(self, instance_type: str, zone: str, market: str) -> Fate:
        """How the boot of a machine that EC2 has taken on goes."""
        slow = self._faults.take(SLOW_BOOT, lambda rule: rule.covers_launch(instance_type, zone, market))
        late = self._faults.take(
            NO_CAPACITY, lambda rule: rule.late and rule.covers_launch(instance_type, zone, market)
        )
        return Fate(slow.latency_s if slow else 0.0, NO_CAPACITY_AT_LAUNCH if late else None)


def no_capacity(instance_type: str, market: str, zone: str | None, elsewhere: Iterable[str]) -> ServiceError:
    """Make the error of a launch that finds nothing.

    Parameters
    ----------
    zone
        The zone that was asked for, if one was.
    elsewhere
        Other zones that offer the type.
    """
    if zone is not None:
        others = ", ".join(sorted(set(elsewhere) - {zone}))
        advice = f" or choosing {others}" if others else ""
        text = (
            f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested "
            f"({zone}). Our system will be working on provisioning additional capacity. You can currently get "
            f"{instance_type} capacity by not specifying an Availability Zone in your request{advice}."
        )
    elif market == "spot":
        text = "There is no Spot capacity available that matches your request."
    else:
        text = "Insufficient capacity."
    return ServiceError(CODE, text, 500)
