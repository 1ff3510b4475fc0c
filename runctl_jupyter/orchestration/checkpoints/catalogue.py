"""``rc.checkpoints``: what has been saved, by a job, in a project, under a prefix, in a folder; and what may go."""

from __future__ import annotations

from collections.abc import Callable

from runctl_jupyter.orchestration.checkpoints.columns import columns_for
from runctl_jupyter.orchestration.checkpoints.located import Locator
from runctl_jupyter.orchestration.checkpoints.looking import Looking
from runctl_jupyter.orchestration.checkpoints.metric import Mode, chosen
from runctl_jupyter.orchestration.checkpoints.prune import prune
from runctl_jupyter.orchestration.checkpoints.recorded import recorded
from runctl_jupyter.orchestration.checkpoints.retention import Rules
from runctl_jupyter.orchestration.checkpoints.shelf import arranged
from runctl_jupyter.orchestration.checkpoints.sources import Source, Sources
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.listing import Listing
from runctl_jupyter.orchestration.model import Checkpoint, PruneReport
from runctl_jupyter.orchestration.storage.storage import storage_errors

_OF_A_JOB = "Job {} has no checkpoints: its script writes them to RUNCTL_CHECKPOINT_DIR."
_ELSEWHERE = "There is no checkpoint in {}."


class Checkpoints(Looking):
    """Checkpoints of one record, and of any place that can be listed.

    Parameters
    ----------
    sources
        Looks through what is named.
    region
        Returns where buckets are, which decides what storing costs.
    """

    def __init__(self, sources: Sources, region: Callable[[], str | None] = lambda: None) -> None:
        super().__init__(Locator(sources, lambda ref: self.of_job(sources.find_job(ref))))
        self._sources, self._region = sources, region

    def find_job(self, ref: str) -> str:
        """Return the id of the job with this id, end of an id, or name; raises `JobNotFound`."""
        return self._sources.find_job(ref)

    def list(
        self,
        source: str | None = None,
        *,
        complete: bool | None = True,
        limit: int | None = None,
        metric: str | None = None,
        mode: Mode | None = None,
    ) -> Listing[Checkpoint]:
        """List checkpoints, the oldest first.

        Parameters
        ----------
        source
            A job (its id, the end of it, or its name), an ``s3://`` prefix, a folder of this computer; None for all
            jobs of the project. Under a prefix and in a folder checkpoints are recognised by their names.
        complete
            Only those that are; None for those too that are being written, or are what is left of one.
        limit
            The newest so many.
        metric, mode
            What `Checkpoint.best` goes by, and whether its least (``min``) or greatest value (``max``) is the best;
            the usual one of those that the checkpoints have by default.

        Raises
        ------
        InvalidRequest, JobNotFound
            There is no such source, or nobody knows in which direction the metric gets better.
        """
        if limit is not None and limit < 1:
            raise InvalidRequest(f"The newest {limit} checkpoints cannot be listed.", "Say a number from 1 on.")
        with storage_errors():
            looked = self._sources.look(source, incomplete=complete is not True)
        return _listing(looked, limit, metric, mode)

    def of_job(self, job_id: str) -> Listing[Checkpoint]:
        """List the complete checkpoints of the job with this id, the oldest first."""
        with storage_errors():
            looked = Source(job_id, recorded(self._sources.record(), [job_id]), is_job=True)
        return _listing(looked, None, None, None)

    def prune(
        self,
        source: str,
        *,
        keep_last: int | None = None,
        keep_best: int | None = None,
        metric: str | None = None,
        mode: Mode | None = None,
        keep_every: int | None = None,
        dry_run: bool = True,
    ) -> PruneReport:
        """Remove checkpoints that nobody needs; by default only show which.

        What one of the rules keeps stays. So does, whatever they say, what is not complete or not recognised; the
        newest of each job and of each folder; all that a job needs that has not ended: its own, and what it goes on
        from; folders that hold something else as well; and a folder, or a file of arrays, whose name has no number.

        Parameters
        ----------
        source
            As for `list`.
        keep_last
            How many of the newest stay, of each job or folder.
        keep_best, metric, mode
            How many of the best stay, by a metric (see `list`).
        keep_every
            Each k-th stays: of a job by its number, which stays as it is; elsewhere counted from the oldest that is
            there, each time anew.
        dry_run
            Remove nothing.

        Raises
        ------
        InvalidRequest, JobNotFound
            There is no such source, or no rule, or nothing tells which is the best. Nothing was removed.
        StorageUnavailable
            S3 refused or failed; doing it again finishes what has been begun.
        """
        rules = Rules(keep_last, keep_best, keep_every, metric, mode)
        with storage_errors():
            return prune(self._sources, source, rules, region=self._region, dry_run=dry_run)


def _listing(looked: Source, limit: int | None, metric: str | None, mode: Mode | None) -> Listing[Checkpoint]:
    shelved = arranged(looked.shelved, lambda chain: chosen(chain, metric, mode))
    rows = [each.checkpoint for each in shelved]
    if len({each.chain for each in shelved}) > 1:
        rows.sort(key=lambda each: each.created_at)
    rows = rows[-limit:] if limit is not None else rows
    return Listing(rows, columns_for(rows), (_OF_A_JOB if looked.is_job else _ELSEWHERE).format(looked.said))
