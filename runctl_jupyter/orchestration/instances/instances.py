"""``rc.instances``: the life cycle of our EC2 instances."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from runctl_jupyter.orchestration.errors import (
    InstanceBusy,
    InstanceNotFound,
    InstanceNotReady,
    InvalidRequest,
)
from runctl_jupyter.orchestration.instances.describe import (
    COLUMNS,
    LIVE,
    TAG_ATTEMPT,
    TAG_JOB,
    TAG_MANAGED,
    TAG_TTL,
    is_ours,
)
from runctl_jupyter.orchestration.instances.launch import Launcher
from runctl_jupyter.orchestration.instances.user_data import after_start
from runctl_jupyter.orchestration.instances.wish import TAG_IDLE_STOP, Wish, machine_asked
from runctl_jupyter.orchestration.listing import Listing
from runctl_jupyter.orchestration.model import Instance, LaunchPlan
from runctl_jupyter.orchestration.units import duration_text
from runctl_jupyter.orchestration.waiting import wait_until

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.config import LaunchSettings
    from runctl_jupyter.orchestration.instances.reading import InstanceReader

Until = Literal["ready", "running", "stopped", "terminated"]

_WAIT_S = 600.0
_ARM_S = 60.0
_LEADS_TO = {
    "ready": ("pending", "running"),
    "running": ("pending", "running"),
    "stopped": ("running", "stopping", "stopped"),
    "terminated": (*LIVE, "shutting-down", "terminated"),
}
"""States from which the wanted one can still come; EC2 may show the old state for a moment after a call."""


class Instances:
    """Instances that carry our tag, in one account and region.

    Parameters
    ----------
    jobs_on
        Returns the ids of jobs that run on an instance right now.
    on_create
        Called when an instance has been launched.
    reader
        Reads EC2's descriptions.
    """

    def __init__(
        self,
        ec2: Ec2,
        ssm: Ssm,
        launcher: Launcher,
        settings: LaunchSettings,
        jobs_on: Callable[[str], Sequence[str]],
        *,
        on_create: Callable[[], object],
        reader: InstanceReader,
    ) -> None:
        self._reader = reader
        self._on_create = on_create
        self._ec2, self._ssm, self._settings, self._jobs_on = ec2, ssm, settings, jobs_on
        self.launcher = launcher

    def create(
        self,
        instance_type: str | None = None,
        *,
        gpu: str | None = None,
        spot: bool = False,
        fallback: str | None = None,
        name: str | None = None,
        volume_size: int | None = None,
        ttl: float | None = None,
        idle_stop: float | None = None,
        wait: bool = False,
        dry_run: bool = False,
    ) -> Instance | LaunchPlan:
        """Launch an instance that stays until it is ended, or until its time limit ends it.

        Parameters
        ----------
        instance_type
            One type, or several with commas in order of preference; the setting's by default.
        gpu
            Any type that has it: ``A10G:1``, ``24GB``.
        spot
            A spot machine: cheaper, and EC2 may take it back.
        fallback
            ``on-demand`` where there is no spot machine; ``never`` by default.
        volume_size
            GiB of the root disk.
        ttl
            Seconds after which it powers itself off and is terminated; the setting's by default.
        idle_stop
            Seconds after which it does so when nothing has used it: no job, no login, and CPU, GPU, disk and
            network quiet. None to stay.
        wait
            Return only when it takes commands.
        dry_run
            Return the plan and launch nothing.

        Raises
        ------
        InvalidRequest
            Unknown type, the name is taken, or an idle stop that could never come.
        CapacityUnavailable, LaunchRefused
            AWS did not launch it.
        """
        ttl_s = ttl or self._settings.ttl
        _check_idle_stop(idle_stop, ttl_s)
        asked = machine_asked(instance_type, gpu, spot=spot, fallback=fallback)
        wish = Wish(asked, name or _new_name(), ttl_s, volume_size, idle_stop_s=idle_stop)
        prepared = self.launcher.prepare(asked)
        self.check_name_is_free(wish.name)
        if dry_run:
            return self.launcher.plan(prepared, volume_gib=volume_size, ttl_s=ttl_s)
        created = self._reader.read_one(self.launcher.launch(wish, prepared, settles=wait).described)
        self._on_create()
        return self.wait(created.id) if wait else created

    def list(self, *, all: bool = False) -> Listing[Instance]:  # noqa: A002 - the word of the command line
        """List our instances; with `all` also those that have just ended."""
        filters = {f"tag:{TAG_MANAGED}": ["true"]}
        if not all:
            filters["instance-state-name"] = [*LIVE, "shutting-down"]
        found = self._reader.read(self._ec2.describe(filters))
        found.sort(key=lambda instance: instance.launched_at, reverse=True)
        return Listing(found, COLUMNS, "No instances. Launch one: runctl create m5.large --name dev")

    def get(self, ref: str) -> Instance:
        """Return the instance with this id or name.

        Raises
        ------
        InstanceNotFound
            None of ours.
        InvalidRequest
            Several have the name.
        """
        if re.fullmatch(r"i-[0-9a-f]{8,17}", ref):
            described = self._ec2.describe_one(ref)
            if not is_ours(described):
                raise InstanceNotFound(
                    f"{ref} exists but was not launched by runctl.",
                    "Only machines with our tag are touched; see: runctl list",
                )
            return self._reader.read_one(described)
        named = [i for i in self.list(all=True) if i.name == ref]
        live = [i for i in named if i.state in LIVE] or named[:1]
        if not live:
            raise InstanceNotFound(f"There is no instance {ref!r}.", "See yours with: runctl list")
        if len(live) > 1:
            raise InvalidRequest(
                f"{len(live)} instances are named {ref!r}.", f"Use an id: {', '.join(i.id for i in live)}"
            )
        return live[0]

    def start(self, ref: str) -> Instance:
        """Start a stopped instance and wait until it takes commands; one that runs already stays as it is.

        A stop forgets the machine's limits, so they are armed again: that takes a machine that can be told.
        """
        instance = self.get(ref)
        if instance.state in ("running", "pending"):
            return self.wait(instance.id)
        if instance.state == "stopping":
            self.wait(instance.id, until="stopped")
        elif instance.state != "stopped":
            raise InstanceNotReady(
                f"{_label(instance)} is {instance.state} and cannot be started.",
                "Launch a new one: runctl create TYPE",
            )
        self._ec2.start(instance.id)
        wait_until(
            lambda: self.get(instance.id),
            lambda seen: seen.state != "stopped",
            timeout=30,
            what=f"{_label(instance)} was told to start, but EC2 still says stopped.",
            to_resolve="Look again in a moment: runctl list",
        )
        started = self.wait(instance.id)
        ttl_s = float(started.tags.get(TAG_TTL, self._settings.ttl))
        idle_stop = started.tags.get(TAG_IDLE_STOP)
        script = after_start(ttl_s, None if idle_stop is None else float(idle_stop))
        self._ssm.run(started.id, script, timeout=_ARM_S)
        return started

    def stop(self, ref: str, *, wait: bool = False, force: bool = False) -> Instance:
        """Stop an instance: its disk stays (and is billed), processes and instance store are lost."""
        instance = self.get(ref)
        if instance.state in ("terminated", "shutting-down"):
            raise InstanceNotReady(f"{_label(instance)} is {instance.state}.", "There is nothing left to stop.")
        if instance.state not in ("stopped", "stopping"):
            self._refuse_when_busy(instance, "stop", force=force)
            self._ec2.stop(instance.id)
        return self.wait(instance.id, until="stopped") if wait else self.get(instance.id)

    def terminate(self, ref: str, *, wait: bool = False, force: bool = False) -> Instance:
        """End an instance and its disk."""
        instance = self.get(ref)
        if instance.state not in ("terminated", "shutting-down"):
            self._refuse_when_busy(instance, "terminate", force=force)
            self._ec2.terminate(instance.id)
        return self.wait(instance.id, until="terminated") if wait else self.get(instance.id)

    def wait(self, ref: str, *, timeout: float | None = None, until: Until = "ready") -> Instance:
        """Wait until an instance takes commands (``ready``) or has reached another state.

        Raises
        ------
        InstanceNotReady
            It is in, or went to, a state from which the wanted one does not come.
        WaitTimedOut
            Not within `timeout` seconds (10 minutes by default).
        """
        wanted = self.get(ref)
        limit = timeout or _WAIT_S

        def look() -> Instance:
            instance = self.get(wanted.id)
            if instance.state not in _LEADS_TO[until]:
                reason = f": {instance.state_reason}" if instance.state_reason else ""
                raise InstanceNotReady(
                    f"{_label(instance)} is {instance.state}{reason}.",
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
            what=f"{_label(wanted)} was not {until} within {limit:.0f} s.",
            to_resolve=f"It may still come: runctl wait {wanted.id}",
        )

    def of_job(self, job_id: str, attempt: int) -> Instance | None:
        """Return the instance that was launched for an attempt of a job, the newest of several, whatever its state."""
        tags = {TAG_JOB: job_id, TAG_ATTEMPT: str(attempt), TAG_MANAGED: "true"}
        found = self._ec2.describe({f"tag:{name}": [value] for name, value in tags.items()})
        return max(self._reader.read(found), key=lambda instance: instance.launched_at, default=None)

    def check_takes_jobs(self, ref: str) -> Instance:
        """Return the instance if a job can be sent to it now.

        Raises
        ------
        InstanceNotReady
            It does not run, or its agent is not online.
        """
        instance = self.get(ref)
        if instance.state in ("stopped", "stopping"):
            raise InstanceNotReady(
                f"{_label(instance)} is {instance.state}; a job needs it running.",
                f"Start it: runctl start {ref}",
            )
        if instance.state in ("terminated", "shutting-down"):
            raise InstanceNotReady(
                f"{_label(instance)} is {instance.state} and cannot run a job.",
                "Launch a new one: runctl create TYPE --wait",
            )
        if instance.state == "pending" or not self._ssm.online(instance.id):
            raise InstanceNotReady(
                f"{_label(instance)} is {instance.state}, but its SSM agent does not answer yet.",
                f"Wait until it takes commands: runctl wait {ref}",
            )
        return instance

    def check_name_is_free(self, name: str) -> None:
        """Refuse a name that a live instance has: running a cell twice must not launch twice."""
        taken = [i for i in self.list() if i.name == name]
        if taken:
            raise InvalidRequest(
                f"There is an instance named {name!r} already: {taken[0].id}, {taken[0].state}.",
                f"Use it (--on {name}), end it (runctl terminate {name}), or choose another --name.",
            )

    def _refuse_when_busy(self, instance: Instance, verb: str, *, force: bool) -> None:
        if force:
            return
        jobs = self._jobs_on(instance.id)
        if jobs:
            raise InstanceBusy(
                f"Job {jobs[0]} runs on {_label(instance)} and would be lost.",
                f"Cancel it first (runctl cancel {jobs[0]}), or insist: runctl {verb} {instance.id} --force",
            )


def _check_idle_stop(idle_stop: float | None, ttl_s: float) -> None:
    if idle_stop is None:
        return
    if not 1 <= idle_stop < math.inf:
        raise InvalidRequest(f"A machine cannot be idle for {idle_stop:g} s.", "Give a time such as 30m.")
    if idle_stop >= ttl_s:
        raise InvalidRequest(
            f"An idle stop after {duration_text(idle_stop)} never comes: "
            f"the machine powers itself off after {duration_text(ttl_s)} anyway.",
            "Give a shorter --idle-stop or a longer --ttl.",
        )


def _label(instance: Instance) -> str:
    return f"{instance.name} ({instance.id})" if instance.name else instance.id


def _new_name() -> str:
    return f"runctl-{secrets.token_hex(2)}"
