"""Checks of what a launch needs: image, permission, network, quotas, prices; all for one type of machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.account.checkup import Answer
from runctl_jupyter.orchestration.account.quotas import Quotas
from runctl_jupyter.orchestration.aws.dry_runs import may_launch
from runctl_jupyter.orchestration.aws.network import Network
from runctl_jupyter.orchestration.errors import PermissionDenied, RunctlError
from runctl_jupyter.orchestration.model import QuotaLeft

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.config import LaunchSettings


@dataclass(frozen=True)
class MachineToCheck:
    """A type of machine, as those who know say it; each may raise a `RunctlError`."""

    instance_type: str
    vcpus: Callable[[], int]
    image: Callable[[], tuple[str, str]]
    """Id of the image and how it was found."""
    price: Callable[[], str | None]
    """What an hour costs, and who says so."""


class LaunchChecks:
    """Checks of one session.

    Parameters
    ----------
    session
        Asks once, and not for long.
    timeout
        Seconds that a request may take.
    """

    def __init__(
        self, session: AwsSession, settings: LaunchSettings, machine: MachineToCheck, *, timeout: float
    ) -> None:
        self._session, self._settings, self._machine = session, settings, machine
        self._quotas = Quotas(session, timeout=timeout)
        self._image: Future[str] = Future()
        self._vcpus: Future[int] = Future()
        self._asking = threading.Lock()

    def image(self) -> Answer:
        """Whether there is an image to start."""
        try:
            image, found_by = self._machine.image()
        except RunctlError as error:
            self._image.set_exception(error)
            raise
        self._image.set_result(image)
        return "ok", f"{image}, {found_by}"

    def launch(self) -> Answer:
        """Whether we may launch with that image and give the machine its role; nothing is launched."""
        try:
            may_launch(
                self._session,
                instance_type=self._machine.instance_type,
                image_id=self._image.result(),
                instance_profile=self._settings.instance_profile,
                subnet=next(iter(self._settings.subnet), None),
            )
        except PermissionDenied as error:
            return "blocked", error.what, error.to_resolve
        return "ok", f"{self._machine.instance_type} with role {self._settings.instance_profile}"

    def network(self) -> Answer:
        """Whether machines reach AWS: what cannot report to Systems Manager takes no job."""
        network = Network(self._session)
        subnets = self._settings.subnet or network.default_subnets()
        if not subnets:
            region = self._session.region
            return (
                "blocked",
                f"there is no default VPC in {region}",
                f"aws ec2 create-default-vpc --region {region}, or set subnet under [launch] in .runctl.toml",
            )
        way = network.way_out(subnets)
        number = f"{len(subnets)} subnet{'s' if len(subnets) > 1 else ''}"
        if way.gateway:
            return "ok", f"{number} behind an {way.gateway}".replace("an NAT", "a NAT").replace("an gate", "a gate")
        if not way.missing_endpoints and way.missing_for_old_agents:
            lacking = ", ".join(way.missing_for_old_agents)
            return (
                "warning",
                f"{number} with VPC endpoints, but none of {lacking}",
                "Only an AMI with an SSM agent before 3.3.40.0 needs it: then let an administrator add it.",
            )
        if not way.missing_endpoints:
            return "ok", f"{number} with VPC endpoints"
        return (
            "blocked",
            f"{number} lead nowhere: no gateway, and no VPC endpoint of {', '.join(way.missing_endpoints)}",
            "Name other subnets under [launch] in .runctl.toml, or let an administrator add a NAT gateway.",
        )

    def on_demand_quota(self) -> Answer:
        """Whether one more machine of the type fits into the quota."""
        return self._quota(spot=False)

    def spot_quota(self) -> Answer:
        """Whether one more spot machine of the type fits into the other quota."""
        return self._quota(spot=True)

    def price(self) -> Answer:
        """Whether costs can be told."""
        told = self._machine.price()
        if told is None:
            return (
                "warning",
                f"nobody knows what {self._machine.instance_type} costs here",
                "Look it up before you launch.",
            )
        return "ok", told

    def _quota(self, *, spot: bool) -> Answer:
        left = self._quotas.read(self._needed(), self._machine.instance_type, spot=spot)
        if left is None:
            kind = self._machine.instance_type
            return "warning", f"no quota of vCPUs is known for {kind}", "Look under Service Quotas, Amazon EC2."
        of = f"{left.left:g} of {left.limit:g} vCPUs left ({left.name})"
        said = f"{of}, {self._machine.instance_type} takes {left.needed}"
        if left.enough:
            return "ok", said
        return ("warning" if spot else "blocked"), said, _more(left)

    def _needed(self) -> int:
        with self._asking:  # both quotas want to know; one asks
            if not self._vcpus.done():
                self._vcpus.set_result(self._machine.vcpus())
        return self._vcpus.result()


def _more(left: QuotaLeft) -> str:
    ends = "End machines, or ask" if left.used else "Ask"
    return f"{ends} AWS for more of {left.code}: {left.request_url}"
