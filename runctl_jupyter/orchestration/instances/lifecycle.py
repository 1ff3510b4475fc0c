"""Start, stop, end and await instances: own loops, since botocore's waiters fail on states that are on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from runctl_jupyter.orchestration.errors import (
    InstanceBusy,
    InstanceNotReady,
    InstanceProtected,
    InvalidRequest,
    RunctlError,
)
from runctl_jupyter.orchestration.instances import consequences
from runctl_jupyter.orchestration.instances.describe import LIVE, TAG_IDLE_STOP, TAG_PROTECTED, TAG_TTL
from runctl_jupyter.orchestration.instances.sightings import Sightings
from runctl_jupyter.orchestration.instances.user_data import after_start
from runctl_jupyter.orchestration.model import EndedInstance, Instance
from runctl_jupyter.orchestration.waiting import wait_until
from runctl_jupyter.run_record import StoreError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VolumeTypeDef

    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.instances.consequences import Consequences, Occupant

_log = logging.getLogger(__name__)

Until = Literal["ready", "running", "stopped", "terminated"]

JobsOn = Callable[[str], "Sequence[Occupant]"]
"""Returns the jobs that run on an instance right now."""

_WAIT_S = 600.0
_ARM_S = 60.0
_CHANGE_S = 60.0
"""For EC2 to show that a call was heard (EC2 API reference, "Eventual consistency")."""
_GONE = ("terminated", "shutting-down")
_LEADS_TO = {
    "ready": ("pending", "running"),
    "running": ("pending", "running"),
    "stopped": ("running", "stopping", "stopped"),
    "terminated": (*LIVE, *_GONE),
}
"""States from which the wanted one can still come; EC2 may show the old state for a moment after a call."""


class LifeCycle:
    """Changes of state of our instances.

    Parameters
    ----------
    get
        Returns an instance of ours by id or name, as EC2 describes it at that moment.
    ttl_s
        Time limit of one whose tag does not say it.
    region
        Where they are, which decides what their disks cost.
    """

    def __init__(
        self,
        ec2: Ec2,
        ssm: Ssm,
        get: Callable[[str], Instance],
        jobs_on: JobsOn,
        *,
        ttl_s: float,
        region: str | None = None,
    ) -> None:
        self._ec2, self._ssm, self._get, self._jobs_on = ec2, ssm, get, jobs_on
        self._ttl_s, self._region = ttl_s, region

    def start(self, ref: str) -> Instance:
        """Start a stopped instance, await it, and arm its limits; see `Instances.start`."""
        instance = self._get(ref)
        if instance.state in ("running", "pending"):
            return self.wait(instance.id)
        if instance.state == "stopping":
            self.wait(instance.id, until="stopped")
        elif instance.state != "stopped":
            raise InstanceNotReady(
                f"{label(instance)} is {instance.state} and cannot be started.",
                "Launch a new one: runctl create TYPE",
            )
        self._ec2.start(instance.id)
        self._await_change(instance, ("stopped",), "start")
        started = self.wait(instance.id)
        self._arm(started)
        return started

    def stop(self, ref: str, *, wait: bool, force: bool) -> EndedInstance:
        """Let the jobs save, then stop; see `Instances.stop`."""
        instance = self._get(ref)
        if instance.state in _GONE:
            raise InstanceNotReady(f"{label(instance)} is {instance.state}.", "There is nothing left to stop.")
        interrupted: Sequence[Occupant] = ()
        if instance.state not in ("stopped", "stopping"):
            self._check_can_stop(instance)
            if instance.state == "pending":
                self.wait(instance.id, until="running")  # EC2 refuses to stop one that is pending
            if force:
                self._tell_jobs(instance)
            else:
                interrupted = self._let_save(instance)
            self._ec2.stop(instance.id)
            self._await_change(instance, ("pending", "running"), "stop")
        comes_of_it = consequences.of_stop(self._volumes_of(instance), self._region, interrupted=interrupted)
        return _ended(self.wait(instance.id, until="stopped") if wait else self._get(instance.id), comes_of_it)

    def terminate(self, refs: Sequence[str], *, wait: bool, force: bool) -> list[EndedInstance]:
        """End instances, all or, when one may not be ended, none; see `Instances.terminate`."""
        instances = list({each.id: each for each in map(self._get, refs)}.values())
        living = [each for each in instances if each.state not in _GONE]
        running = {each.id: self._jobs_on(each.id) for each in living}
        for each in living:
            _check_protection(each)
            if running[each.id] and not force:
                raise _busy(each, running[each.id], "terminate", "would be lost")
        comes_of_it = {
            each.id: consequences.of_termination(each.id, self._volumes_of(each), running[each.id]) for each in living
        }
        for each in living:
            self._cancel_persistent_request(each)
        if living:
            self._ec2.terminate([each.id for each in living])
        nothing = consequences.Consequences((), ())
        return [
            _ended(
                self.wait(each.id, until="terminated") if wait else self._seen_ending(each),
                comes_of_it.get(each.id, nothing),
            )
            for each in instances
        ]

    def protect(self, ref: str, *, off: bool) -> Instance:
        """Let nothing of ours terminate an instance, or allow it again; see `Instances.protect`."""
        instance = self._get(ref)
        if instance.state in _GONE:
            raise InstanceNotReady(f"{label(instance)} is {instance.state}.", "There is nothing left to protect.")
        self._ec2.set_tag(instance.id, TAG_PROTECTED, None if off else "true")
        return wait_until(
            lambda: self._get(instance.id),
            lambda seen: seen.protected is not off,
            timeout=_CHANGE_S,
            what=f"{label(instance)} was tagged, but EC2 does not show it yet.",
            to_resolve=f"Look again in a moment: runctl show {instance.id}",
        )

    def wait(self, ref: str, *, timeout: float | None = None, until: Until = "ready") -> Instance:
        """Await a state; see `Instances.wait`."""
        wanted = self._get(ref)
        limit = timeout or _WAIT_S
        sightings = Sightings(wanted, self._get)

        def look() -> Instance:
            instance = sightings.look()
            if instance.state not in _LEADS_TO[until]:
                reason = f": {instance.state_reason}" if instance.state_reason else ""
                raise InstanceNotReady(
                    f"{label(instance)} is {instance.state}{reason}.",
                    f"It will not become {until} by itself; see: runctl list",
                )
            return instance

        def reached(instance: Instance) -> bool:
            if until == "ready":
                return instance.state == "running" and self._ssm.online(instance.id)
            return instance.state == until

        return wait_until(
            look,
            reached,
            timeout=limit,
            what=f"{label(wanted)} was not {until} within {limit:.0f} s.",
            to_resolve=f"It may still come: runctl wait {wanted.id}",
        )

    def _volumes_of(self, instance: Instance) -> Sequence[VolumeTypeDef]:
        return self._ec2.volumes({"attachment.instance-id": [instance.id]})

    def _seen_ending(self, instance: Instance) -> Instance:
        """Return the instance once EC2 shows that it ends."""
        return instance if instance.state in _GONE else self._await_change(instance, LIVE, "terminate")

    def _await_change(self, instance: Instance, old: Sequence[str], verb: str) -> Instance:
        """Return the instance when EC2 no longer shows an old state."""
        return wait_until(
            Sightings(instance, self._get).look,
            lambda seen: seen.state not in old,
            timeout=_CHANGE_S,
            what=f"{label(instance)} was told to {verb}, but EC2 still says {instance.state}.",
            to_resolve="Look again in a moment: runctl list",
        )

    def _arm(self, started: Instance) -> None:
        """Arm the limits anew, which count from this start; finish what a power-off has cut off.

        Raises
        ------
        InstanceNotReady
            The machine did not do so: it would live without its limits.
        """
        ttl_s = float(started.tags.get(TAG_TTL, self._ttl_s))
        idle_stop = started.tags.get(TAG_IDLE_STOP)
        script = after_start(ttl_s, None if idle_stop is None else float(idle_stop))
        done = self._ssm.run(started.id, script, timeout=_ARM_S, purpose="arm its limits")
        if done.status != "Success":
            said = (done.stderr or done.stdout).strip().splitlines()
            raise InstanceNotReady(
                f"{label(started)} has started, but its limits could not be armed anew "
                f"({done.status}): {said[-1] if said else 'it printed nothing'}.",
                f"It may run on without a time limit. Stop it: runctl stop {started.id} --force",
            )

    def _check_can_stop(self, instance: Instance) -> None:
        """Refuse to stop a spot instance of a one-time request; no call is made for that."""
        if not instance.spot:
            return
        request = self._ec2.spot_request(instance.spot_request_id) if instance.spot_request_id else None
        if request is not None and request.get("Type") == "persistent":
            return
        raise InvalidRequest(
            f"{label(instance)} is a one-time spot instance, which EC2 cannot stop, only end.",
            f"End it (runctl terminate {instance.id}); its job goes on elsewhere from the last checkpoint "
            "(runctl resume JOB). Instances launched without --spot can be stopped.",
        )

    def _let_save(self, instance: Instance) -> Sequence[Occupant]:
        """Let the jobs on an instance save and end, so that they can go on; return them.

        Raises
        ------
        InstanceBusy
            One has never saved a checkpoint, or does not answer.
        """
        jobs = self._jobs_on(instance.id)
        lost = [job for job in jobs if not job.checkpoints()]
        if lost:
            raise _busy(instance, lost, "stop", "could not go on later")
        for job in jobs:
            try:
                job.interrupt(_why(instance), keep_machine=True)
            except RunctlError as error:
                raise InstanceBusy(
                    f"{label(instance)} was not stopped, since job {job.id} on it could not be saved: {error.what}",
                    f"Look at it (runctl logs {job.id}), or insist: runctl stop {instance.id} --force",
                ) from error
        return jobs

    def _tell_jobs(self, instance: Instance) -> None:
        """Let the jobs on an instance know that it stops, as well as that goes; they are not waited for.

        Those that begin to save when it is started again do not end it then.
        """
        try:
            for job in self._jobs_on(instance.id):
                job.interrupt(_why(instance), keep_machine=True, wait=False)
        except (RunctlError, StoreError) as error:
            _log.warning("jobs on %s were not told that it stops: %s", instance.id, error)

    def _cancel_persistent_request(self, instance: Instance) -> None:
        """Cancel a persistent Spot request first: it would replace the instance (EC2 User Guide)."""
        if instance.spot_request_id is None:
            return
        request = self._ec2.spot_request(instance.spot_request_id)
        if request is not None and request.get("Type") == "persistent" and request.get("State") != "cancelled":
            self._ec2.cancel_spot_request(instance.spot_request_id)


def label(instance: Instance) -> str:
    """Name an instance in a sentence."""
    return f"{instance.name} ({instance.id})" if instance.name else instance.id


def _why(instance: Instance) -> str:
    return f"{label(instance)} was stopped by the user"


def _ended(instance: Instance, comes_of_it: Consequences) -> EndedInstance:
    return EndedInstance(**vars(instance), keeps=comes_of_it.keeps, loses=comes_of_it.loses)


def _check_protection(instance: Instance) -> None:
    if instance.protected:
        raise InstanceProtected(
            f"{label(instance)} is protected against termination (tag {TAG_PROTECTED}).",
            f"Allow it first: runctl protect {instance.id} --off",
        )


def _busy(instance: Instance, jobs: Sequence[Occupant], verb: str, fate: str) -> InstanceBusy:
    job = jobs[0]
    more = f" (and {len(jobs) - 1} more)" if len(jobs) > 1 else ""
    return InstanceBusy(
        f"Job {job.id}{more} runs on {label(instance)} and {fate}: {consequences.last_save(job)}.",
        f"Cancel it first (runctl cancel {job.id}), or insist: runctl {verb} {instance.id} --force",
    )
