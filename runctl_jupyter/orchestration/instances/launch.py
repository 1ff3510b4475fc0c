"""Makes launches: thought through first, then one machine, or an error that says what was tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.profiles import may_be_new
from runctl_jupyter.orchestration.errors import AwsRefused
from runctl_jupyter.orchestration.instances.describe import TAG_LAUNCH, is_spot
from runctl_jupyter.orchestration.instances.failover import Failover
from runctl_jupyter.orchestration.instances.planning import Knowledge, Planner, Prepared
from runctl_jupyter.orchestration.instances.requests import Blueprint
from runctl_jupyter.orchestration.instances.user_data import user_data
from runctl_jupyter.orchestration.instances.wish import Wish

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.launches import Launches
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.config import LaunchSettings
    from runctl_jupyter.orchestration.model import LaunchPlan
    from runctl_jupyter.run_record import MachineAsked, MachineOffer


@dataclass(frozen=True)
class Launched:
    """A machine that was launched."""

    described: Any
    """As EC2 describes it."""
    offer: MachineOffer
    """What it is, at the price that was known."""

    @property
    def instance_id(self) -> str:
        """Its id."""
        return str(self.described["InstanceId"])


class Launcher:
    """Plans and makes launches.

    Parameters
    ----------
    session, ec2, ssm, launches
        The account.
    settings
        Table ``[launch]``.
    knowledge
        About money and limits.
    """

    def __init__(
        self,
        session: AwsSession,
        ec2: Ec2,
        ssm: Ssm,
        launches: Launches,
        settings: LaunchSettings,
        knowledge: Knowledge,
    ) -> None:
        self._session, self._ec2, self._launches, self._settings = session, ec2, launches, settings
        self._planner = Planner(ec2, ssm, settings, session.region, knowledge)

    def prepare(self, asked: MachineAsked) -> Prepared:
        """Think a launch through; see `Planner.prepare`."""
        return self._planner.prepare(asked)

    def plan(self, prepared: Prepared, *, volume_gib: int | None = None, ttl_s: float) -> LaunchPlan:
        """Return what a prepared launch would do."""
        return self._planner.plan(prepared, volume_gib=volume_gib, ttl_s=ttl_s)

    def beside_per_hour(self, prepared: Prepared) -> dict[str, float]:
        """Return what else of a prepared machine is billed by the hour; see `JobSpec.beside_per_hour`."""
        return self._planner.beside_per_hour(prepared)

    def launch(self, wish: Wish, prepared: Prepared, bootstrap: str | None = None, *, settles: bool = True) -> Launched:
        """Launch one machine.

        Parameters
        ----------
        bootstrap
            Script that starts the job's runner at the first boot; the machine is then the job's own.
        settles
            Whether to stay until it has left ``pending``: one that dies there for want of capacity is made anew
            elsewhere.

        Raises
        ------
        CapacityUnavailable, LaunchRefused, InvalidRequest, PermissionDenied, CredentialsMissing
            AWS did not launch it; nothing is left behind.
        """
        script = user_data(wish.ttl_s, bootstrap, wish.idle_stop_s)
        volume_gib = prepared.image.volume_gib(wish.volume_gib, self._settings)
        blueprint = Blueprint(
            wish,
            prepared.image,
            volume_gib,
            self._settings.instance_profile,
            script,
            keep_order=prepared.asked.gpu is None,
        )
        if wish.job_id is not None:
            earlier = self._found(wish, prepared)
            if earlier is not None:
                return earlier
        profile = self._settings.instance_profile
        failover = Failover(
            self._ec2,
            self._launches,
            blueprint,
            settles=settles,
            new_profile=lambda: may_be_new(self._session, profile),
        )
        try:
            got = failover.run(prepared.markets)
        except AwsRefused:
            # No answer came, to the last try: whether it was carried out, only the tag can tell.
            made = self._found(wish, prepared)
            if made is None:
                raise
            return made
        return Launched(got.described, _located(got.pool.offer, got.pool.zone))

    def _found(self, wish: Wish, prepared: Prepared) -> Launched | None:
        """Return the machine that this very launch has made before, if it lives."""
        instance_id = self._launches.find(TAG_LAUNCH, wish.launch)
        if instance_id is None:
            return None
        described: Any = self._ec2.new(instance_id)
        return Launched(described, _offer_of(described, prepared))


def _offer_of(described: Any, prepared: Prepared) -> MachineOffer:
    kind, zone = described["InstanceType"], described.get("Placement", {}).get("AvailabilityZone")
    spot = is_spot(described)
    fitting = [p for p in prepared.pools if (p.instance_type, p.spot, p.zone) == (kind, spot, zone)]
    return _located((fitting or [prepared.first])[0].offer, zone)


def _located(offer: MachineOffer, zone: str | None) -> MachineOffer:
    return replace(offer, availability_zone=zone)
