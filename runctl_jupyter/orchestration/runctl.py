"""Class `Runctl`: the one object every door holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.account.quotas import Quotas
from runctl_jupyter.orchestration.aws.ec2 import Ec2
from runctl_jupyter.orchestration.aws.failures import masked
from runctl_jupyter.orchestration.aws.identity import who_am_i
from runctl_jupyter.orchestration.aws.launches import Launches
from runctl_jupyter.orchestration.aws.prices import AwsPrices
from runctl_jupyter.orchestration.aws.s3 import S3
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.aws.ssm import Ssm
from runctl_jupyter.orchestration.checkpoints.catalogue import Checkpoints
from runctl_jupyter.orchestration.checkpoints.sources import Sources
from runctl_jupyter.orchestration.completions import Completions
from runctl_jupyter.orchestration.config import Settings, load_settings
from runctl_jupyter.orchestration.connection import Connection, connect
from runctl_jupyter.orchestration.costs.prices import known_types
from runctl_jupyter.orchestration.costs.pricing import Prices
from runctl_jupyter.orchestration.costs.report import By, CostReport
from runctl_jupyter.orchestration.costs.spending import Account, Spending, checked_since
from runctl_jupyter.orchestration.costs.stored import kept_by_job
from runctl_jupyter.orchestration.costs.summary import Costs, costs_of
from runctl_jupyter.orchestration.errors import PermissionDenied
from runctl_jupyter.orchestration.folders import cache_dir, data_dir
from runctl_jupyter.orchestration.instances.disks import disks_of_ours
from runctl_jupyter.orchestration.instances.instances import Instances
from runctl_jupyter.orchestration.instances.launch import Launcher
from runctl_jupyter.orchestration.instances.planning import Knowledge
from runctl_jupyter.orchestration.instances.reading import InstanceReader
from runctl_jupyter.orchestration.jobs.jobs import Jobs
from runctl_jupyter.orchestration.jobs.record import JobRecord
from runctl_jupyter.orchestration.jobs.submit import Submitter
from runctl_jupyter.orchestration.model import StatusReport
from runctl_jupyter.orchestration.places import place_id, remember
from runctl_jupyter.orchestration.resources.resources import Resources
from runctl_jupyter.orchestration.resources.status import status_report
from runctl_jupyter.orchestration.storage.bucket import BucketStore
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.objects import BucketObjects, FolderObjects
from runctl_jupyter.orchestration.storage.options import S3Options
from runctl_jupyter.orchestration.storage.storage import Storage, storage_errors
from runctl_jupyter.orchestration.storage.stores import bucket_store, record_store
from runctl_jupyter.orchestration.targets.ec2 import Ec2Target
from runctl_jupyter.orchestration.targets.local import LocalTarget
from runctl_jupyter.run_record import now
from runctl_jupyter.run_record.layout import JOBS_PREFIX

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.account.by_hand import SetupByHand
    from runctl_jupyter.orchestration.account.checkup import DoctorReport
    from runctl_jupyter.orchestration.account.setup import SetupReport
    from runctl_jupyter.orchestration.costs.price import Price
    from runctl_jupyter.orchestration.costs.rates import Disk
    from runctl_jupyter.orchestration.jobs.job import Job
    from runctl_jupyter.orchestration.targets.base import Target


class Runctl:
    """Instances, jobs and storage of one target.

    Making one does no network; the first use of a noun connects.

    Parameters
    ----------
    target
        ``sandbox``, ``aws`` or ``local``. None: ``RUNCTL_TARGET``, the nearest ``.runctl.toml``, the user's file,
        or ``sandbox``.
    profile, region, bucket
        For target ``aws``; None: the same places, then boto3's own chain.
    prefix
        Where the run record lies in the bucket.
    project_root
        Folder that travels with a job; the current one by default.
    cwd
        Where relative paths start.
    start_sandbox
        Start the sandbox when it is the target and does not run; else whatever needs it raises `TargetUnavailable`.

    Raises
    ------
    ConfigInvalid, InvalidRequest
        A setting is wrong.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        profile: str | None = None,
        region: str | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
        project_root: str | Path | None = None,
        cwd: str | Path | None = None,
        start_sandbox: bool = True,
    ) -> None:
        self._start_sandbox = start_sandbox
        self.cwd = Path(cwd or Path.cwd()).resolve()
        self.settings: Settings = load_settings(
            self.cwd,
            target=target,
            profile=profile,
            region=region,
            bucket=bucket,
            prefix=prefix,
            project_root=None if project_root is None else str(project_root),
        )

    def __repr__(self) -> str:
        return f"Runctl(target={self.settings.target!r})"

    @cached_property
    def connection(self) -> Connection:
        """How the target's AWS is reached; starts the sandbox when it is the target."""
        return connect(self.settings, start_sandbox=self._start_sandbox)

    @property
    def place(self) -> str:
        """Id of the target, account and record that are in use; see `places`."""
        return place_id(self.settings, self._region_in_force())

    def remember_place(self) -> str:
        """Write down that this place is used on this computer, so that it can be opened by its id; return that."""
        remember(self.settings, self._region_in_force())
        return self.place

    def _region_in_force(self) -> str | None:
        return self._session.region if self.settings.target == "aws" else None

    @cached_property
    def instances(self) -> Instances:
        """EC2 instances of ours."""
        knowledge = Knowledge(self._prices, Quotas(self._session))
        launches = Launches(self._session)
        launcher = Launcher(self._session, self._ec2, self._ssm, launches, self.settings.launch, knowledge)
        return Instances(
            self._ec2,
            self._ssm,
            launcher,
            self.settings.launch,
            self._jobs_on,
            on_create=self.remember_place,
            reader=InstanceReader(self._prices, lambda: disks_of_ours(self._ec2), self._session.region),
        )

    def _jobs_on(self, instance_id: str) -> Sequence[Job]:
        return self.jobs.running_on(instance_id)

    @cached_property
    def jobs(self) -> Jobs:
        """Jobs of the target's record."""
        root = Path(self.settings.project_root or self.cwd).expanduser()
        submitter = Submitter(
            self._record,
            self._target,
            self.checkpoints,
            target_name=self.settings.target,
            cwd=self.cwd,
            root=root if root.is_absolute() else self.cwd / root,
            sync=self.settings.sync,
            cache_dir=cache_dir() / "sync",
            on_submit=self.remember_place,
        )
        return Jobs(self._record, self._target, self.checkpoints, submitter)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints: of the target's jobs, and in any place."""
        return Checkpoints(
            Sources(
                lambda: self._record,
                lambda ref: self.jobs.get(ref).id,
                self._below,
                JobRecord,
                record_in_s3=self.settings.target != "local",
                cwd=self.cwd,
            ),
            lambda: self._session.region,
        )

    @cached_property
    def storage(self) -> Storage:
        """Objects in S3."""
        memory = cache_dir() / "s3-sync"
        if isinstance(self._record.store, ListableFolder):
            return Storage(self._bucket, FolderObjects(self._record.store), memory)
        objects = BucketObjects(lambda name: self._bucket(name, S3Options()), S3(self._session).page)
        return Storage(self._bucket, objects, memory)

    @cached_property
    def resources(self) -> Resources:
        """Everything that carries our tag, in any region."""
        return Resources(self._session, self._prices_in, lambda: self._record, S3(self._session))

    def costs(self) -> Costs:
        """Return what runs now costs, and what the last days have cost, at list prices."""
        instances = [] if self.settings.target == "local" else self.instances.list()
        return costs_of(self.jobs.list(limit=None), list(instances), now())

    def list_price(self, instance_type: str) -> Price | None:
        """Return what is known at once of the on-demand price of a type; AWS is asked for the next time."""
        return self._prices.on_demand(instance_type, patience_s=0)

    def cost(self, by: By = "job", since: float | timedelta | datetime = timedelta(days=7)) -> CostReport:
        """Return what was spent, row by row: an estimate at list prices, each machine's time once.

        Parameters
        ----------
        by
            ``job``, ``cell``, ``notebook``, ``project``, ``instance`` or ``day``.
        since
            From when on: a moment, or how long ago, as seconds or a time span.

        Raises
        ------
        InvalidRequest
            There is no such way to sum up, or the time has not begun.
        StorageUnavailable, PermissionDenied, CredentialsMissing
            The record or the instances cannot be read.
        """
        until = now()
        begin = checked_since(by, since, until)
        jobs, store = self.jobs.list(limit=None), self._record.store
        if self.settings.target == "local":
            return Spending(Account(jobs, [], [], {}, None), begin, until).report(by)
        with storage_errors():
            kept = kept_by_job(store.walk(JOBS_PREFIX))
        account = Account(jobs, self.instances.list(all=True), self._disks(), kept, self._session.region)
        return Spending(account, begin, until).report(by)

    def _disks(self) -> list[Disk] | None:
        """Return the volumes of ours; None when they cannot be listed: then a report says that it lacks them."""
        try:
            return disks_of_ours(self._ec2)
        except PermissionDenied:
            return None

    def status(self) -> StatusReport:
        """Return where you are: target, identity, machines, money."""
        ours = version("runctl-jupyter")
        if self.settings.target == "local":
            return StatusReport("local", None, None, None, 0, None, None, self._running_jobs(), ours)
        _ = self._session, self._record, self.instances  # made here, before several threads want them
        with ThreadPoolExecutor(2, "runctl-status") as pool:
            identity, jobs = pool.submit(self._identity), pool.submit(self._running_jobs)
            instances = self.instances.list()
            return status_report(
                list(instances),
                target=self.settings.target,
                region=self._session.region,
                bucket=self.connection.bucket,
                identity=identity.result(),
                running_jobs=jobs.result(),
                version=ours,
                mode=self.connection.mode,
            )

    def _running_jobs(self) -> int:
        return sum(not job.state.ended for job in self.jobs.list(limit=20))

    def completions(self, kind: str, prefix: str = "") -> list[str]:
        """Return words for Tab: from memory when the network is slow.

        Parameters
        ----------
        kind
            ``types``, ``instances``, ``jobs`` or ``s3``.
        prefix
            For ``s3``: the address typed so far.
        """
        return self._completions.get(kind, prefix.rpartition("/")[0] + "/" if kind == "s3" else "")

    @cached_property
    def _completions(self) -> Completions:
        return Completions(
            {
                "types": lambda _: known_types(),
                "instances": lambda _: [word for i in self.instances.list() for word in (i.name, i.id) if word],
                "jobs": lambda _: [word for job in self.jobs.list(limit=20) for word in (job.name, job.id)],
                "s3": lambda prefix: [o.uri for o in self.storage.list(prefix, limit=1000)],
            }
        )

    def doctor(self, *, instance_type: str | None = None, timeout: float | None = None) -> DoctorReport:
        """Check what launching a machine depends on, each thing with what mends it.

        Parameters
        ----------
        instance_type
            The type whose quota, image and price are looked at; the one of the settings by default.
        timeout
            Seconds for all of it.
        """
        from runctl_jupyter.orchestration.instances.checking import examine_target

        record = data_dir() / "local" / "record"
        if self.settings.target != "local":
            _ = self.connection  # a sandbox that has yet to start is not part of the time
        return examine_target(
            lambda: self._session, lambda: self._prices, self.settings, record, instance_type, timeout
        )

    def first_look(self) -> str:
        """Return what the target lacks, and what to do about it, as far as this computer knows; empty when nothing."""
        from runctl_jupyter.orchestration.account.doctor import first_look

        return first_look(lambda: self._session) if self.settings.target == "aws" else ""

    def setup(self) -> SetupReport:
        """Make what is missing in the account: bucket, instance role, role for spot; can be run again.

        The bucket is written into the user's own settings when none is set anywhere.

        Raises
        ------
        PermissionDenied, StorageUnavailable, LaunchRefused
            It takes an administrator (see `setup_by_hand`); bucket or instance profile are somebody else's.
        """
        from runctl_jupyter.orchestration.account.settling import settle

        return settle(self._session, self.settings)

    def setup_by_hand(self) -> SetupByHand:
        """Return policies and commands that do the same, for an administrator; needs no credentials."""
        from runctl_jupyter.orchestration.account.settling import settled_by_hand

        return settled_by_hand(lambda: self._session, self.settings)

    def _identity(self) -> str:
        return masked(who_am_i(self._session).name)

    @cached_property
    def _session(self) -> AwsSession:
        return AwsSession(self.connection)

    @cached_property
    def _ec2(self) -> Ec2:
        return Ec2(self._session)

    @cached_property
    def _ssm(self) -> Ssm:
        return Ssm(self._session)

    @cached_property
    def _prices(self) -> Prices:
        return Prices(None, None) if self.settings.target == "local" else self._prices_in(self._session.region)

    @cached_property
    def _prices_in(self) -> Callable[[str], Prices]:
        return cache(self._new_prices)

    def _new_prices(self, region: str) -> Prices:
        session = self._session.at(region)
        # What another endpoint says is no price of AWS's, and not for others to find.
        kept_in = cache_dir() / "prices" / f"{region}.json" if session.is_aws else None
        return Prices(AwsPrices(session), region, kept_in)

    @cached_property
    def _record(self) -> JobRecord:
        session = None if self.settings.target == "local" else self._session
        # The record knows whose it is: a job leads back to its place.
        store = record_store(session, self.settings.prefix, data_dir() / "local" / "record")
        return JobRecord(store, lambda: self.place)

    @cached_property
    def _target(self) -> Target:
        store = self._record.store
        if self.settings.target == "local":
            return LocalTarget(store, data_dir() / "local" / "machine")
        if not isinstance(store, BucketStore):
            raise TypeError("a record of EC2 jobs lies in a bucket")
        return Ec2Target(self._session, store, self._ssm, self.instances, self.settings.launch)

    def _bucket(self, name: str, options: S3Options) -> BucketStore:
        plain = S3(
            self._session,
            endpoint=options.endpoint_url,
            request_payer=options.request_payer,
            sse=options.sse,
            sse_kms_key_id=options.sse_kms_key_id,
        )
        return bucket_store(self._session, name, options=options, plain=plain, patient=True)

    def _below(self, bucket: str, prefix: str = "") -> BucketStore:
        return bucket_store(self._session, bucket, prefix, plain=S3(self._session), patient=True)
