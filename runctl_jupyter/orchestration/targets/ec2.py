"""Jobs on EC2: sent to an instance that runs, or born with an instance of their own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InstanceNotFound, LaunchRefused
from runctl_jupyter.orchestration.instances.reasons import is_spot_loss
from runctl_jupyter.orchestration.instances.sightings import FORGETFUL_S
from runctl_jupyter.orchestration.instances.wish import Wish
from runctl_jupyter.orchestration.targets.base import Place, Started
from runctl_jupyter.orchestration.targets.bootstrap import bootstrap_script
from runctl_jupyter.orchestration.targets.bundle import publish
from runctl_jupyter.run_record import ATTEMPT_IS_KEPT, Cause, MachineAsked, blob_key, from_iso, now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.config import LaunchSettings
    from runctl_jupyter.orchestration.instances.instances import Instances
    from runctl_jupyter.orchestration.model import Instance, LaunchPlan
    from runctl_jupyter.orchestration.storage.bucket import BucketStore
    from runctl_jupyter.run_record import JobSpec, Status

_log = logging.getLogger(__name__)

_URL_S = 3600
_COMMAND_S = 120.0
_PROBE_S = 60.0
_AFTER_TTL_S = 600.0
"""The machine's own limit comes so long after the job's: the runner ends the script, saves, and says ``capped``."""
_GONE = ("terminated", "stopped", "shutting-down", "stopping")


class Ec2Target:
    """EC2 behind the `Target` protocol, for the sandbox and for AWS alike."""

    def __init__(
        self, session: AwsSession, store: BucketStore, ssm: Ssm, instances: Instances, settings: LaunchSettings
    ) -> None:
        self._session, self._store, self._ssm = session, store, ssm
        self._instances, self._settings = instances, settings

    def check(self, on: str | None, asked: MachineAsked) -> Place:
        """Return the place asked for; see `Target.check`."""
        region = self._session.region
        if on is not None:
            instance = self._instances.check_takes_jobs(on)
            return Place(
                instance.id,
                instance.instance_type,
                region,
                instance.price_per_hour,
                price_source=instance.price_source or None,
                beside_per_hour=instance.beside_per_hour,
                spot=instance.spot,
            )
        prepared = self._instances.launcher.prepare(asked)
        first = prepared.first
        return Place(
            None,
            first.instance_type,
            region,
            first.price.per_hour if first.price else None,
            price_source=first.price.source_text if first.price else None,
            beside_per_hour=self._instances.launcher.beside_per_hour(prepared),
            ttl_s=float(self._settings.ttl),
            own_machine=True,
            spot=first.spot,
            asked=asked,
            offers=list(dict.fromkeys(pool.offer for pool in prepared.pools)),
            prepared=prepared,
        )

    def plan(self, place: Place, name: str, ttl_s: float | None) -> LaunchPlan | None:
        """Return what would be launched; see `Target.plan`."""
        if place.prepared is None:
            return None
        return self._instances.launcher.plan(place.prepared, ttl_s=ttl_s or self._settings.ttl)

    def start(self, spec: JobSpec, attempt: int, place: Place) -> Started | None:
        """Start the runner; see `Target.start`."""
        script = self._script(spec, attempt)
        if place.instance_id is not None:
            self._run(place.instance_id, script)
            return Started(place.instance_id)
        asked = place.asked or MachineAsked()
        prepared = place.prepared or self._instances.launcher.prepare(asked)
        wish = Wish(
            asked,
            spec.name,
            self._settings.ttl if spec.limits.ttl_s is None else spec.limits.ttl_s + _AFTER_TTL_S,
            job_id=spec.id,
            attempt=attempt,
        )
        launched = self._instances.launcher.launch(wish, prepared, script)
        return Started(launched.instance_id, launched.offer)

    def revive(self, spec: JobSpec, status: Status) -> bool:
        """Start the runner once more, by Run Command; see `Target.revive`."""
        return status.instance_id is not None and self._run(status.instance_id, self._script(spec, status.attempt))

    def probe(self, place: Place, script: str) -> str | None:
        """Run the script by Run Command; see `Target.probe`."""
        return None if place.instance_id is None else self._ssm.run(place.instance_id, script, timeout=_PROBE_S).stdout

    def _script(self, spec: JobSpec, attempt: int) -> str:
        sha = publish(self._store)
        url = self._session.presigned_get(self._store.bucket, f"{self._store.prefix}/{blob_key(sha)}", _URL_S)
        arguments = ["--record", self._store.uri, "--job", spec.id, "--attempt", str(attempt)]
        arguments += ["--region", self._session.region]
        endpoint = self._session.s3_endpoint()
        if endpoint is not None:
            arguments += ["--endpoint", endpoint]
        return bootstrap_script(url, sha, arguments)

    def _run(self, instance_id: str, script: str) -> bool:
        """Start the runner on an instance; return whether one is there already."""
        result = self._ssm.run(instance_id, script, timeout=_COMMAND_S)
        if result.status != "Success" and result.exit_code != ATTEMPT_IS_KEPT:
            said = (result.stderr or result.stdout).strip().splitlines()
            raise LaunchRefused(
                f"The runner could not be started on {instance_id} "
                f"({result.status}, exit code {result.exit_code}): {said[-1] if said else 'it printed nothing'}",
                "The machine needs python3 and a way to S3; try again, or use another machine.",
            )
        return result.exit_code == ATTEMPT_IS_KEPT

    def withdraw(self, job_id: str, attempt: int) -> None:
        """End the machine launched for a job that has not begun; see `Target.withdraw`."""
        instance = self._instances.of_job(job_id, attempt)
        if instance is not None:
            self._instances.terminate(instance.id, force=True)

    def runner_is_gone(self, job_id: str, status: Status) -> bool:
        """EC2 cannot know; see `Target.runner_is_gone`."""
        return False

    def verdict(self, job_id: str, status: Status) -> Cause | None:
        """Ask EC2 what became of a silent job's machine; see `Target.verdict`."""
        try:
            if status.instance_id:
                instance: Instance | None = self._instances.get(status.instance_id)
            else:
                instance = self._instances.of_job(job_id, status.attempt)
        except InstanceNotFound:
            if (now() - from_iso(status.updated_at)).total_seconds() < FORGETFUL_S:
                return None  # EC2 may not know yet what was launched a moment ago
            return Cause("machine", f"instance {status.instance_id} is gone; EC2 does not know it any more")
        if instance is None or instance.state not in _GONE:
            return None
        reason = f": {instance.state_reason}" if instance.state_reason else ""
        kind = "spot" if is_spot_loss(instance.state_reason_code) else "machine"
        return Cause(kind, f"instance {instance.id} is {instance.state}{reason}")
