"""``rc.instances``: the life cycle of our EC2 instances."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import (
    InstanceNotFound,
    InstanceNotReady,
    InvalidRequest,
)
from runctl_jupyter.orchestration.instances.describe import (
    COLUMNS,
    LIVE,
    REASON,
    TAG_ATTEMPT,
    TAG_JOB,
    TAG_MANAGED,
    is_ours,
)
from runctl_jupyter.orchestration.instances.launch import Launcher
from runctl_jupyter.orchestration.instances.lifecycle import LifeCycle, label
from runctl_jupyter.orchestration.instances.processes import MachineProcesses, look_at
from runctl_jupyter.orchestration.instances.wish import Wish, machine_asked
from runctl_jupyter.orchestration.listing import Listing
from runctl_jupyter.orchestration.model import EndedInstance, Instance, LaunchPlan
from runctl_jupyter.orchestration.units import duration_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.config import LaunchSettings
    from runctl_jupyter.orchestration.instances.lifecycle import JobsOn, Until
    from runctl_jupyter.orchestration.instances.reading import InstanceReader


class Instances:
    """Instances that carry our tag, in one account and region.

    Parameters
    ----------
    jobs_on
        Returns the jobs that run on an instance right now.
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
        jobs_on: JobsOn,
        *,
        on_create: Callable[[], object],
        reader: InstanceReader,
    ) -> None:
        self._reader = reader
        self._on_create = on_create
        self._ec2, self._ssm, self._settings = ec2, ssm, settings
        self.launcher = launcher
        self._life = LifeCycle(ec2, ssm, self.get, jobs_on, ttl_s=settings.ttl, region=reader.region)

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
        columns = (*COLUMNS, REASON) if any(each.state_reason for each in found) else COLUMNS
        return Listing(found, columns, "No instances. Launch one: runctl create m5.large --name dev")

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

        Its time limit counts anew, and its idle stop is watched again.

        Raises
        ------
        InstanceNotReady
            It has ended, or its limits could not be armed anew.
        LaunchRefused
            EC2 has no capacity for it now.
        """
        return self._life.start(ref)

    def stop(self, ref: str, *, wait: bool = False, force: bool = False) -> EndedInstance:
        """Stop an instance: its disk stays (and is billed), processes and instance store are lost.

        Jobs that run on it save and end first, as ``interrupted``: they can go on later.

        Parameters
        ----------
        wait
            Return when it has stopped.
        force
            Stop it without waiting for jobs.

        Raises
        ------
        InstanceBusy
            A job on it could not go on later: it has saved nothing yet, or does not answer.
        InvalidRequest
            It is a spot instance that EC2 cannot stop.
        """
        return self._life.stop(ref, wait=wait, force=force)

    def terminate(self, ref: str, *, wait: bool = False, force: bool = False) -> EndedInstance:
        """End an instance and its disk.

        Parameters
        ----------
        wait
            Return when it is gone.
        force
            Even while a job runs on it. A protected instance is not ended by that.

        Raises
        ------
        InstanceBusy
            A job runs on it and would be lost.
        InstanceProtected
            It is protected against termination, by `protect` or in EC2.
        """
        return self._life.terminate([ref], wait=wait, force=force)[0]

    def terminate_all(self, refs: Sequence[str], *, wait: bool = False, force: bool = False) -> Listing[Instance]:
        """End several instances, or none of them when one may not be ended; see `terminate`."""
        ended: Sequence[Instance] = self._life.terminate(refs, wait=wait, force=force)
        return Listing(ended, COLUMNS, "No instances were named.")

    def protect(self, ref: str, *, off: bool = False) -> Instance:
        """Let `terminate` refuse to end an instance, whatever is insisted on; with `off` allow it again.

        Its own time limit and idle stop still power it off.
        """
        return self._life.protect(ref, off=off)

    def processes(self, ref: str) -> MachineProcesses:
        """Return what runs on an instance and what that takes, with its disks and GPUs; the machine itself is asked.

        Raises
        ------
        InstanceNotReady
            It does not take commands now.
        """
        return look_at(self._ssm, self.check_takes_jobs(ref))

    def wait(self, ref: str, *, timeout: float | None = None, until: Until = "ready") -> Instance:
        """Wait until an instance takes commands (``ready``) or has reached another state.

        Raises
        ------
        InstanceNotReady
            It is in, or went to, a state from which the wanted one does not come.
        WaitTimedOut
            Not within `timeout` seconds (10 minutes by default).
        """
        return self._life.wait(ref, timeout=timeout, until=until)

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
                f"{label(instance)} is {instance.state}; a job needs it running.",
                f"Start it: runctl start {ref}",
            )
        if instance.state in ("terminated", "shutting-down"):
            raise InstanceNotReady(
                f"{label(instance)} is {instance.state} and cannot run a job.",
                "Launch a new one: runctl create TYPE --wait",
            )
        if instance.state == "pending" or not self._ssm.online(instance.id):
            raise InstanceNotReady(
                f"{label(instance)} is {instance.state}, but its SSM agent does not answer yet.",
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


def _new_name() -> str:
    return f"runctl-{secrets.token_hex(2)}"
