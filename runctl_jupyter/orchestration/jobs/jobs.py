"""``rc.jobs``: submit, list, find."""

from __future__ import annotations

import contextvars
import getpass
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.errors import InvalidRequest, JobNotFound
from runctl_jupyter.orchestration.jobs.job import Job, launch_failure
from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen, new_job_id
from runctl_jupyter.orchestration.jobs.request import CheckedJob, TrainRequest, check
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.storage.code_sync import sync_project
from runctl_jupyter.orchestration.storage.project import ProjectFile, project_files
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.units import age_text, duration_text, money_text
from runctl_jupyter.run_record import JobSpec, JobState, Limits, Status, from_iso, now, to_iso

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
    from runctl_jupyter.orchestration.model import LaunchPlan
    from runctl_jupyter.orchestration.targets.base import Place, Target


@dataclass(frozen=True)
class Project:
    """What travels: the files found in `root`, and further ones by path."""

    root: Path
    files: Sequence[ProjectFile]
    extra: Mapping[str, bytes]


class Jobs:
    """Jobs of one record.

    Parameters
    ----------
    target
        Where jobs run.
    target_name
        ``sandbox``, ``aws`` or ``local``, for the record.
    cwd, root
        Where paths start, and the project that travels.
    """

    def __init__(
        self,
        record: JobRecord,
        target: Target,
        catalogue: Checkpoints,
        *,
        target_name: str,
        cwd: Path,
        root: Path,
        sync: SyncSettings,
        cache_dir: Path,
    ) -> None:
        self.record, self._target, self._catalogue = record, target, catalogue
        self._target_name, self._cwd, self._root = target_name, cwd, root
        self._sync, self._cache_dir = sync, cache_dir

    def train(
        self,
        script: str | None = None,
        *,
        cell: str | None = None,
        arguments: Sequence[str] = (),
        on: str | None = None,
        instance_type: str | None = None,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        requirements: str | None = None,
        checkpoint_dir: str | None = None,
        ttl: float | None = None,
        timeout: float | None = None,
        max_cost: float | None = None,
        keep: bool = False,
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
            What to launch; the setting's by default.
        env, params
            Variables for the script: as they are, and as ``RUNCTL_PARAM_<NAME>``.
        requirements
            Requirements file in the project; ``requirements.txt`` is found by itself. A PEP 723 block wins.
        ttl, timeout
            Seconds the job, and the script, may take.
        max_cost
            USD the job may cost at list price.
        keep
            Do not end the machine that was launched for the job.
        project_root
            Folder that travels; the current one by default.
        dry_run
            Return the plan and do nothing.

        Raises
        ------
        InvalidRequest, ProjectTooBig, InstanceNotFound, InstanceNotReady
            Something in the request is wrong; nothing was launched.
        """
        request = TrainRequest(
            script, cell, arguments, on, instance_type, name, env or {}, params or {}, requirements, checkpoint_dir,
            ttl, timeout, max_cost, keep,
        )  # fmt: skip
        root = Path(project_root).expanduser().resolve() if project_root else self._root
        checked = check(request, root, self._cwd)
        project = Project(root, project_files(root, self._sync), checked.extra)
        place = self._target.check(on, instance_type)
        if max_cost is not None and place.own_machine and place.price_per_hour is None:
            raise InvalidRequest(
                f"The price of {place.instance_type} is not known, so a cost limit cannot be kept.",
                "Limit the time instead (--ttl 2h), or choose a type with a known price.",
            )
        if dry_run:
            plan = self._target.plan(place, checked.name, ttl)
            if plan is None:
                raise InvalidRequest("Nothing would be launched: the machine is there.", "Leave out --dry-run.")
            return plan
        spec = self._spec(request, checked, place)
        queued = Status(spec.id, 1, JobState.QUEUED, updated_at=spec.created_at, phase="code")
        launching: Future[None] = Future()
        job = Job(self.record, self._target, self._catalogue, Seen(spec, 1, queued, None), launching)
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run,
            args=(self._launch, job, place, project, launching),
            name=f"runctl-launch-{spec.id}",
            daemon=True,
        ).start()
        return job

    def list(self, *, limit: int = 50) -> Listing[Job]:
        """List the newest `limit` jobs."""
        with storage_errors():
            ids = self.record.ids()[:limit]
            seen = [each for each in self.record.pool.map(self.record.try_look, ids) if each]
            jobs = list(self.record.pool.map(lambda each: self._job(each).settle(), seen))
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

    def running_on(self, instance_id: str) -> Sequence[str]:
        """Return the ids of jobs that run on an instance, as their heartbeats say."""
        alive = []
        for seen in self.record.pool.map(self.record.try_look, self.record.ids()[:50]):
            if seen is None or seen.status.state.ended or seen.status.claimed_at is None:
                continue
            silent = (now() - from_iso(seen.status.updated_at)).total_seconds()
            if seen.status.instance_id == instance_id and silent < seen.spec.pacing.deadline_s:
                alive.append(seen.spec.id)
        return alive

    def _job(self, seen: Seen) -> Job:
        return Job(self.record, self._target, self._catalogue, seen)

    def _spec(self, request: TrainRequest, checked: CheckedJob, place: Place) -> JobSpec:
        return JobSpec(
            id=new_job_id(),
            name=checked.name,
            created_at=to_iso(now()),
            owner=getpass.getuser(),
            target=self._target_name,
            script=checked.script,
            arguments=list(request.arguments),
            env=dict(request.env),
            params=dict(request.params),
            requirements=checked.requirements,
            checkpoint_dir=checked.checkpoint_dir,
            limits=Limits(request.ttl, request.timeout, request.max_cost),
            instance_id=place.instance_id,
            instance_type=place.instance_type,
            region=place.region,
            price_per_hour=place.price_per_hour,
            end_machine=place.own_machine and not request.keep,
            cell=request.cell is not None,
        )

    def _launch(self, job: Job, place: Place, project: Project, launching: Future[None]) -> None:
        """Sync, write the spec, start the runner; the record says what became of it, whoever looks."""
        spec, store = job.spec, self.record.store
        try:
            with storage_errors():
                synced = sync_project(
                    store, project.root, project.files, cache_dir=self._cache_dir, extra=project.extra
                )
                spec = replace(spec, tree=synced.tree)
                self.record.write_spec(spec)
            phase = "capacity" if place.own_machine else "start"
            queued = replace(job.status, phase=phase, instance_id=place.instance_id, updated_at=to_iso(now()))
            self.record.update(Seen(spec, 1, queued, None), queued)
            self._note_boot(spec.id, self._target.start(spec, place))
        except Exception as error:  # noqa: BLE001 - whatever it was, the record and the caller must learn of it
            # The record first: whoever waits for the launch may end this process the moment it is over.
            self._note_failure(job, spec, error)
            launching.set_exception(error)
        else:
            launching.set_result(None)

    def _note_boot(self, job_id: str, instance_id: str | None) -> None:
        """Write which machine boots for the job, unless its runner has already said more."""
        seen = self.record.try_look(job_id)
        if instance_id is None or seen is None or seen.status.instance_id is not None:
            return
        if seen.status.state is JobState.QUEUED:
            booting = replace(seen.status, phase="boot", instance_id=instance_id, updated_at=to_iso(now()))
            self.record.update(seen, booting)

    def _note_failure(self, job: Job, spec: JobSpec, error: BaseException) -> None:
        cause = launch_failure(error)
        seen = self.record.try_look(spec.id) or Seen(spec, 1, job.status, None)
        self.record.end(seen, JobState.FAILED, cause)


def _elapsed(job: Job) -> str:
    if job.started_at is None:
        return ""
    return duration_text(((job.ended_at or now()) - job.started_at).total_seconds())


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
