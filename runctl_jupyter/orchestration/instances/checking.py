"""What `doctor` wants to know of a type of machine, from those who launch it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.account.checkup import DoctorReport
from runctl_jupyter.orchestration.account.doctor import TIMEOUT_S, examine, examine_this_computer
from runctl_jupyter.orchestration.account.launch_checks import MachineToCheck
from runctl_jupyter.orchestration.aws.ec2 import Ec2
from runctl_jupyter.orchestration.aws.ssm import Ssm
from runctl_jupyter.orchestration.instances.catalogue import Catalogue
from runctl_jupyter.orchestration.instances.images import find_image

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.config import LaunchSettings, Settings
    from runctl_jupyter.orchestration.costs.price import Price
    from runctl_jupyter.orchestration.costs.prices import TypeFacts
    from runctl_jupyter.orchestration.costs.pricing import Prices


def examine_target(
    session: Callable[[], AwsSession],
    prices: Callable[[], Prices],
    settings: Settings,
    record: Path,
    instance_type: str | None,
    timeout: float | None,
) -> DoctorReport:
    """Check the target of `settings`; see `Runctl.doctor`.

    Parameters
    ----------
    record
        Where the record of target ``local`` lies.
    """
    if settings.target == "local":
        return examine_this_computer(settings, record)
    wanted, seconds = instance_type or settings.launch.instance_types[0], timeout or TIMEOUT_S
    return examine(
        session,
        lambda hurried: machine_to_check(wanted, hurried, settings.launch, prices(), patience_s=seconds),
        settings,
        wanted,
        timeout=seconds,
    )


def machine_to_check(
    name: str, session: AwsSession, settings: LaunchSettings, prices: Prices, *, patience_s: float
) -> MachineToCheck:
    """Return who answers for the type `name`; nothing is asked yet.

    Parameters
    ----------
    patience_s
        Seconds to wait for a price of AWS's own.
    """
    ec2 = Ec2(session)
    catalogue = Catalogue(ec2, session.region)

    def facts() -> TypeFacts:
        return catalogue.facts([name])[0]

    def image() -> tuple[str, str]:
        found = find_image(ec2, Ssm(session), settings, [facts()], session.region)
        return found.id, found.found_by

    def price() -> str | None:
        told: Price | None = prices.on_demand(name, patience_s=patience_s)
        return None if told is None else str(told)

    return MachineToCheck(name, lambda: facts().vcpus, image, price)
