"""From a request to a job on its way: check, sync, write the spec, start a runner."""

from __future__ import annotations

import contextvars
import getpass
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.errors import InvalidRequest, RunctlError
from runctl_jupyter.orchestration.jobs import provenance
from runctl_jupyter.orchestration.jobs.brought import BROUGHT, bring, on_this_computer
from runctl_jupyter.orchestration.jobs.declared import declared_distributions
from runctl_jupyter.orchestration.jobs.job import Job, launch_failure
from runctl_jupyter.orchestration.jobs.record import JobRecord, Seen, new_job_id
from runctl_jupyter.orchestration.jobs.request import CheckedJob, TrainRequest, check, check_on
from runctl_jupyter.orchestration.jobs.resumption import resume_point
from runctl_jupyter.orchestration.storage.code_sync import sync_project
from runctl_jupyter.orchestration.storage.project import ProjectFile, project_files
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.orchestration.variables.needs import check_needs, needs, parse_probe, probe_script
from runctl_jupyter.orchestration.variables.pack import PackedValue, pack, upload
from runctl_jupyter.run_record import (
    AttemptPlan,
    JobSpec,
    JobState,
    Limits,
    MachineAsked,
    ResumeFrom,
    Status,
    StoreError,
    now,
    to_iso,
)

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


class Submitter:
    """Makes jobs of one record, and next attempts of them.

    Parameters
    ----------
    target
        Where jobs run.
    target_name
        ``sandbox``, ``aws`` or ``local``, for the record.
    cwd, root
        Where paths start, and the project that travels.
    cache_dir
        Folder for what is remembered between syncs.
    on_submit
        Called when a job, or a next attempt, is on its way.
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
        on_submit: Callable[[], object] = lambda: None,
    ) -> None:
        self._on_submit = on_submit
        self._record, self._target, self._catalogue = record, target, catalogue
        self._target_name, self._cwd, self._root = target_name, cwd, root
        self._sync, self._cache_dir = sync, cache_dir

    def submit(self, request: TrainRequest, project_root: str | Path | None, *, dry_run: bool) -> Job | LaunchPlan:
        """Check everything, then hand the launch over in the background; see `Jobs.train`."""
        root = Path(project_root).expanduser().resolve() if project_root else self._root
        checked = check(request, root, self._cwd)
        project = Project(root, project_files(root, self._sync), checked.extra)
        place = self._target.check(request.on, request.asked)
        self._check_place(request, place)
        folder = tempfile.TemporaryDirectory(prefix="runctl-variables-")
        packed = self._pack(request, checked, root, place, Path(folder.name))
        if dry_run:
            plan = self._target.plan(place, checked.name, request.ttl)
            if plan is None:
                raise InvalidRequest("Nothing would be launched: the machine is there.", "Leave out --dry-run.")
            return plan
        brought = on_this_computer(request.resume, self._cwd)
        start = BROUGHT if brought else resume_point(request.resume, self._record, self._catalogue)
        spec = self._spec(request, checked, place, start, root)
        spec = replace(spec, inputs=[value.stored for value in packed])
        queued = Status(spec.id, 1, JobState.QUEUED, updated_at=spec.created_at, phase="code")

        def launch(job: Job) -> None:
            with folder:
                upload(self._record.store, packed)
            if brought is not None:
                with storage_errors():
                    bring(brought, self._record.store, job.id)
            self._launch(job, place, project)

        return self._hand_over(Seen(spec, 1, queued, None), launch)

    def _pack(
        self, request: TrainRequest, checked: CheckedJob, root: Path, place: Place, folder: Path
    ) -> Sequence[PackedValue]:
        """Write the cell's inputs to files now, as they are now; refuse what the machine could not read."""
        packed = pack(list(request.inputs), request.inputs, folder)
        wanted = needs(packed)
        if wanted.asks:
            told = self._target.probe(place, probe_script(wanted.modules))
            requirements = None if checked.requirements is None else root / checked.requirements
            brought = declared_distributions(request.cell or "", requirements)
            check_needs(wanted, None if told is None else parse_probe(told), brought=brought)
        return packed

    def resume(self, job: Job, checkpoint: str | None, on: str | None, asked: MachineAsked) -> Job:
        """Start the next attempt of an ended job; see `Jobs.resume`."""
        spec = job.spec
        if not job.state.ended:
            raise InvalidRequest(
                f"Job {job.id} has not ended: it is {job.state}.", f"Look at it: runctl attach {job.id}"
            )
        if on is not None:
            check_on(asked)
        elif asked.says_nothing:
            on, asked = spec.instance_id, MachineAsked() if spec.instance_id else _asked_before(spec)
        start = resume_point(checkpoint or "latest", self._record, self._catalogue, own=job.id)
        if start is None and checkpoint is None and not len(self._catalogue.of_job(job.id)):
            start = spec.resume_from  # it has saved nothing of its own: then from where it began itself
        place = self._target.check(on, asked)
        _check_price(spec.limits.max_cost_usd, place)
        plan = AttemptPlan(
            number=job.attempt + 1,
            created_at=to_iso(now()),
            instance_id=place.instance_id,
            instance_type=place.instance_type,
            region=place.region,
            spot=place.spot,
            price_per_hour=place.price_per_hour,
            price_source=place.price_source,
            beside_per_hour=dict(place.beside_per_hour),
            asked=place.asked,
            offers=list(place.offers),
            end_machine=place.own_machine and (spec.end_machine or spec.instance_id is not None),
            resume="none" if checkpoint == "none" else "latest",
            resume_from=start,
        )
        if not self._record.write_plan(job.id, plan):
            raise InvalidRequest(f"Job {job.id} is being resumed already.", f"Look at it: runctl attach {job.id}")
        queued = Status(spec.id, plan.number, JobState.QUEUED, updated_at=plan.created_at, phase="start")
        earlier = (*job.earlier, job.status)
        seen = Seen(plan.applied_to(spec), plan.number, queued, None, earlier, queued_at=plan.created_at)
        return self._hand_over(seen, lambda going: self._start(going, going.spec, place))

    def _check_place(self, request: TrainRequest, place: Place) -> None:
        _check_price(request.max_cost, place)
        if self._target_name == "local" and (request.data_s3 or request.output_s3):
            raise InvalidRequest(
                "Target local has no S3: its jobs read and write this computer's files.",
                "Leave --data-s3 and --output-s3 out, or choose a target: runctl use sandbox",
            )

    def _hand_over(self, seen: Seen, launch: Callable[[Job], None]) -> Job:
        """Let a thread do the launch; the record says what became of it, whoever looks."""
        launching: Future[None] = Future()
        job = Job(self._record, self._target, self._catalogue, seen, launching, resume=self.resume)

        def work() -> None:
            try:
                launch(job)
            except Exception as error:  # noqa: BLE001 - whatever it was, the record and the caller must learn of it
                # The record first: whoever waits for the launch may end this process the moment it is over.
                # When even that fails, they learn of it all the same; a reader's judge writes the end later.
                with suppress(RunctlError, StoreError, OSError):
                    now_seen = self._record.try_look(job.id) or seen
                    self._record.end(now_seen, JobState.FAILED, launch_failure(error))
                launching.set_exception(error)
            else:
                launching.set_result(None)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), name=f"runctl-launch-{job.id}", daemon=True).start()
        self._on_submit()
        return job

    def _spec(
        self, request: TrainRequest, checked: CheckedJob, place: Place, resume_from: ResumeFrom | None, root: Path
    ) -> JobSpec:
        origin = request.origin
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
            data_uri=request.data_s3,
            output_uri=request.output_s3,
            resume="none" if request.resume == "none" else "latest",
            resume_from=resume_from,
            outputs=list(request.outputs),
            run_key=request.run_key,
            limits=Limits(request.ttl or place.ttl_s, request.timeout, request.max_cost, request.idle_stop),
            instance_id=place.instance_id,
            instance_type=place.instance_type,
            region=place.region,
            spot=place.spot,
            price_per_hour=place.price_per_hour,
            price_source=place.price_source,
            beside_per_hour=dict(place.beside_per_hour),
            notebook=None if origin is None or origin.notebook is None else _notebook_name(origin.notebook, root),
            cell_id=None if origin is None else origin.cell_id,
            project=root.name,
            asked=place.asked,
            offers=list(place.offers),
            end_machine=place.own_machine and not request.keep,
            cell=request.cell is not None,
        )

    def _launch(self, job: Job, place: Place, project: Project) -> None:
        with storage_errors():
            synced = sync_project(
                self._record.store, project.root, project.files, cache_dir=self._cache_dir, extra=project.extra
            )
            spec = replace(job.spec, tree=synced.tree)
            self._record.write_spec(spec)
            cell = project.extra[spec.script].decode() if spec.cell else None
            provenance.write(
                self._record, spec.id, provenance.collect(project.root, cell, self._record.store, project.files)
            )
        self._start(job, spec, place)

    def _start(self, job: Job, spec: JobSpec, place: Place) -> None:
        phase = "capacity" if place.own_machine else "start"
        queued = replace(job.status, phase=phase, instance_id=place.instance_id, updated_at=to_iso(now()))
        written = self._record.update(Seen(spec, job.attempt, queued, None), queued)
        if not written and self._record.look(spec.id, job.spec).status.state.ended:
            return  # cancelled meanwhile: a machine would only be launched to end itself
        started = self._target.start(spec, job.attempt, place)
        seen = self._record.try_look(spec.id)
        if started is None or seen is None or seen.status.instance_id is not None:
            return
        if seen.status.state is JobState.QUEUED:
            # Which machine boots for it, unless its runner has already said more.
            booting = replace(
                seen.status, phase="boot", instance_id=started.instance_id, got=started.got, updated_at=to_iso(now())
            )
            self._record.update(seen, booting)


def _notebook_name(notebook: str, root: Path) -> str:
    """Return the path of a notebook in the project; of one elsewhere its name alone."""
    path = Path(notebook)
    resolved = path.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else path.name


def _asked_before(spec: JobSpec) -> MachineAsked:
    """Return what the attempt before asked for; jobs of before 2026-12 say the type alone."""
    return spec.asked or MachineAsked([spec.instance_type] if spec.instance_type else [])


def _check_price(max_cost: float | None, place: Place) -> None:
    if max_cost is None or not place.own_machine:
        return
    unknown = next((offer for offer in place.offers if offer.price_per_hour is None), None)
    if unknown is not None or place.price_per_hour is None:
        kind, spot = (unknown.instance_type, unknown.spot) if unknown else (place.instance_type, place.spot)
        raise InvalidRequest(
            f"The price of {kind}{' spot' if spot else ''} is not known, so a cost limit cannot be kept.",
            "Limit the time instead (--ttl 2h), or choose a type with a known price.",
        )
