"""``rc.jobs``: submit, list, find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import InvalidRequest, JobNotFound
from runctl_jupyter.orchestration.instances.wish import machine_asked
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen
from runctl_jupyter.orchestration.jobs.request import Origin, TrainRequest
from runctl_jupyter.orchestration.jobs.submit import Submitter
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.units import age_text, duration_text, money_text
from runctl_jupyter.run_record import JobState, now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
    from runctl_jupyter.orchestration.model import LaunchPlan
    from runctl_jupyter.orchestration.targets.base import Target


_NEWEST = 200
"""Of all jobs, those among which the running ones are looked for."""


class Jobs:
    """Jobs of one record.

    Parameters
    ----------
    target
        Where jobs run.
    submitter
        Makes them.
    """

    def __init__(self, record: JobRecord, target: Target, catalogue: Checkpoints, submitter: Submitter) -> None:
        self.record, self._target, self._catalogue, self._submitter = record, target, catalogue, submitter

    def train(
        self,
        script: str | None = None,
        *,
        cell: str | None = None,
        arguments: Sequence[str] = (),
        on: str | None = None,
        instance_type: str | None = None,
        gpu: str | None = None,
        spot: bool = False,
        fallback: str | None = None,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        requirements: str | None = None,
        checkpoint_dir: str | None = None,
        ttl: float | None = None,
        timeout: float | None = None,
        max_cost: float | None = None,
        keep: bool = False,
        data_s3: str | None = None,
        output_s3: str | None = None,
        resume: str = "latest",
        idle_stop: float | None = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        run_key: str | None = None,
        origin: Origin | None = None,
        project_root: str | Path | None = None,
        dry_run: bool = False,
    ) -> Job | LaunchPlan:
        """Run a script, or the body of a cell, on a machine; return at once.

        Everything is checked first. Then the code is synced and the launch handed over in the background:
        `Job.launched` waits for that.

        Parameters
        ----------
        script
            Path of the script; it must lie in the project.
        cell
            Source to run instead of a script.
        arguments
            For the script.
        on
            Id or name of a running instance; None launches one for this job, which ends with it.
        instance_type
            What to launch, one type or several with commas; the setting's by default.
        gpu
            Launch any type that has it: ``A10G:1``, ``24GB``.
        spot
            Launch a spot machine, in any zone that has one.
        fallback
            ``on-demand`` where there is none; ``never`` by default.
        env, params
            Variables for the script: as they are, and as ``RUNCTL_PARAM_<NAME>``.
        requirements
            Requirements file in the project; by default a PEP 723 block, ``requirements.txt``, ``uv.lock`` or
            ``pyproject.toml``, the first that is there.
        ttl, timeout
            Seconds the job, and the script, may take.
        max_cost
            USD the job may cost at list price.
        keep
            Do not end the machine that was launched for the job.
        data_s3
            ``s3://`` object or prefix that the script finds in ``RUNCTL_DATA_DIR``.
        output_s3
            ``s3://`` prefix for what the script leaves in ``RUNCTL_OUTPUT_DIR``; the record by default.
        resume
            What to go on from: a job (its newest checkpoint), an ``s3://`` address, a path on this computer, ``none``,
            or ``latest``, which matters for the attempts after the first.
        idle_stop
            Seconds without CPU, GPU, disk and network in use after which the job is ended.
        inputs
            Variables that a cell finds defined, by name.
        outputs
            Names of variables of the cell that are brought back: `Job.results`.
        run_key
            Stands for this very run: see `Jobs.running`.
        origin
            Notebook and cell that ask for it; costs can be seen by them.
        project_root
            Folder that travels; the current one by default.
        dry_run
            Return the plan and do nothing.

        Raises
        ------
        InvalidRequest, ProjectTooBig, InstanceNotFound, InstanceNotReady
            Something in the request is wrong; nothing was launched.
        """
        asked = machine_asked(instance_type, gpu, spot=spot, fallback=fallback)
        request = TrainRequest(
            script, cell, arguments, on, asked, name, env or {}, params or {}, requirements, checkpoint_dir,
            ttl, timeout, max_cost, keep, data_s3, output_s3, resume, idle_stop, inputs or {}, outputs, run_key, origin,
        )  # fmt: skip
        return self._submitter.submit(request, project_root, dry_run=dry_run)

    def resume(
        self,
        ref: str,
        *,
        checkpoint: str | None = None,
        on: str | None = None,
        instance_type: str | None = None,
        gpu: str | None = None,
        spot: bool = False,
        fallback: str | None = None,
    ) -> Job:
        """Go on with an ended job: its next attempt starts from its newest complete checkpoint; returns at once.

        Parameters
        ----------
        checkpoint
            Name or ``s3://`` address of another checkpoint; ``none`` begins anew.
        on, instance_type, gpu, spot, fallback
            Where, as of `train`; as the attempt before by default.

        Raises
        ------
        JobNotFound, InvalidRequest, InstanceNotReady
            It cannot be; nothing was launched.
        """
        asked = machine_asked(instance_type, gpu, spot=spot, fallback=fallback)
        return self._submitter.resume(self.get(ref), checkpoint, on, asked)

    def running(self, run_key: str) -> Job | None:
        """Return the job that was launched with this key and has not ended, if there is one."""
        return next((job for job in self.list(limit=50) if job.spec.run_key == run_key and not job.state.ended), None)

    def list(self, *, limit: int | None = 50) -> Listing[Job]:
        """List the newest `limit` jobs, or all."""
        with storage_errors():
            found = [self._job(seen) for seen in self.record.look_at_all(self.record.ids()[:limit])]
            living = [job for job in found if not job.state.ended]
            settled = dict(zip((job.id for job in living), self.record.each(Job.settle, living), strict=True))
            jobs = [settled.get(job.id, job) for job in found]
        return Listing(jobs, _COLUMNS, "No jobs yet. Put %%runctl train over a cell, or: runctl train SCRIPT")

    def get(self, ref: str) -> Job:
        """Return the job with this id, end of an id, or name (the newest of that name).

        Raises
        ------
        JobNotFound
            None fits.
        InvalidRequest
            The end of an id fits several.
        """
        ids = self.record.ids()
        fitting = [job_id for job_id in ids if job_id == ref] or [i for i in ids if i.endswith(f"-{ref}")]
        if len(fitting) > 1:
            raise InvalidRequest(f"{ref!r} is the end of {len(fitting)} job ids.", f"Use one: {', '.join(fitting[:3])}")
        with storage_errors():
            if fitting:
                seen = self.record.try_look(fitting[0])
                if seen is not None:
                    return self._job(seen).settle()
            for job_id in ids:
                seen = self.record.try_look(job_id)
                if seen is not None and seen.spec.name == ref:
                    return self._job(seen).settle()
        raise JobNotFound(f"There is no job {ref!r}.", "See yours with: runctl jobs")

    def running_on(self, instance_id: str) -> Sequence[Job]:
        """Return the jobs that run on an instance, as their heartbeats say."""
        alive = []
        for seen in self.record.look_at_all(self.record.ids()[:_NEWEST]):
            if seen.status.state.ended or seen.status.claimed_at is None:
                continue
            if seen.status.instance_id == instance_id and seen.silent_s < seen.spec.pacing.deadline_s:
                alive.append(self._job(seen))
        return alive

    def _job(self, seen: Seen) -> Job:
        return Job(self.record, self._target, self._catalogue, seen, resume=self._submitter.resume)


def _elapsed(job: Job) -> str:
    if job.started_at is None:
        return ""
    # A machine's clock may have been put back meanwhile.
    return duration_text(max(0.0, ((job.ended_at or now()) - job.started_at).total_seconds()))


def _state(job: Job) -> str:
    if job.state is JobState.FAILED and job.exit_code:
        return f"failed ({job.exit_code})"
    return f"{job.state}: {job.phase}" if job.phase and not job.state.ended else str(job.state)


_COLUMNS = (
    Column[Job]("id", lambda job: job.id),
    Column[Job]("name", lambda job: job.name),
    Column[Job]("state", _state),
    Column[Job]("age", lambda job: age_text(job.created_at), right=True),
    Column[Job]("took", _elapsed, right=True),
    Column[Job]("cost", lambda job: money_text(job.cost_usd) if job.price_per_hour else "", right=True),
    Column[Job]("checkpoints", lambda job: str(job.checkpoint_count), right=True),
    Column[Job]("machine", lambda job: job.instance_id or ""),
)
