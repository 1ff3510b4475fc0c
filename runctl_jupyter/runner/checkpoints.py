"""Checkpoints: each uploaded as soon as it is complete, visible only when all of it is stored."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Callable, Optional

from runctl_jupyter.run_record import (
    CheckpointFile,
    CheckpointManifest,
    JobKeys,
    LatestCheckpoint,
    NotFound,
    PreconditionFailed,
    StoreError,
    from_iso,
    to_iso,
)
from runctl_jupyter.run_record.layout import checkpoint_number
from runctl_jupyter.run_record.sizes import size_text
from runctl_jupyter.runner.backoff import persist
from runctl_jupyter.runner.checkpoint_files import (
    Candidate,
    Fingerprint,
    Glance,
    candidates,
    glance,
    is_whole,
    step_and_metrics,
)
from runctl_jupyter.runner.files import FileChanged, FileStore, put_verified, sha256_of, whole_file
from runctl_jupyter.runner.periodic import Periodic
from runctl_jupyter.runner.processes import descendants, written_files

_STABLE_S = 1.0
"""Where the system does not tell which files are open, a file must be quiet for so long."""


@dataclass(frozen=True)
class _Sighting:
    fingerprint: Fingerprint
    at: float


@dataclass(frozen=True)
class _Unsure:
    """A manifest that is being written, and the files it stands for."""

    manifest: CheckpointManifest
    fingerprint: Fingerprint
    seen_at: float


class CheckpointUploader:
    """Watches the checkpoint folder of one attempt.

    A checkpoint is complete when two looks find it the same, none of the job's processes has it open for writing,
    and its own format does not say otherwise. What lies in the folder before the script starts, because it was
    synced with the project, is not a checkpoint of this attempt unless the script writes it anew.

    Parameters
    ----------
    folder
        ``RUNCTL_CHECKPOINT_DIR``.
    scan_s
        Seconds between two looks.
    say
        Writes a line to the job's log.
    journal
        File that keeps which files are stored, for a runner that comes after this one.
    again
        Go on after a runner that was killed, from its journal.
    """

    def __init__(
        self,
        store: FileStore,
        keys: JobKeys,
        attempt: int,
        folder: Path,
        scan_s: float,
        say: Callable[[str], None],
        journal: Path,
        *,
        again: bool = False,
    ) -> None:
        self._store, self._keys, self._attempt, self._folder, self._say = store, keys, attempt, folder, say
        self._periodic = Periodic("checkpoints", lambda: scan_s, self._look)
        self._lock = threading.RLock()
        self._seen: dict[str, _Sighting] = {}
        self._all_stored_at: Optional[Glance] = None
        self._newest_first = False
        self._ceiling: Optional[str] = None  # no checkpoint that is stored now is newer
        self._times: list[tuple[float, str]] = []  # when a stored checkpoint was first seen, and its time
        self._journal = journal
        self._half_written: set[tuple[int, int]] = set()
        self._stored, self._seq = self._recall() if again else (_fingerprints(folder), 0)
        self._settled = not again
        self._unclean = again  # under the next number may lie files of a try that failed
        if not again:
            self._note()
        self._unsure: Optional[_Unsure] = None
        self._unpointed: Optional[CheckpointManifest] = None

    @property
    def count(self) -> int:
        """Complete checkpoints stored so far."""
        return self._seq

    def start(self) -> None:
        """Begin to watch."""
        self._periodic.start()

    def note_open_files(self) -> None:
        """Remember what is being written to right now: the writers are about to be killed."""
        self._half_written = _open_files()

    def finish(self, until: float, *, urgent: bool = False) -> list[str]:
        """Upload what is left when the script has ended; return what could not be stored, for people.

        Parameters
        ----------
        until
            `time.monotonic` after which nothing is tried again.
        urgent
            The machine is about to go: the newest first.
        """
        self._periodic.stop(max(0.0, until - time.monotonic()))
        problems = []
        self._newest_first = urgent
        left = [c for c in candidates(self._folder) if c.fingerprint() != self._stored.get(c.name)]
        for candidate in reversed(left) if urgent else left:
            if self._is_half(candidate):
                self._say(f"checkpoint {candidate.name} is not whole, its writer was ended; it was not saved")
                continue
            try:
                persist(partial(self._store_one, candidate), until=until, pause=_pause)
            except (StoreError, FileChanged, OSError) as error:
                problems.append(f"checkpoint {candidate.name} was not stored: {error}")
        try:
            persist(self._settle, until=until, pause=_pause)
        except StoreError as error:
            problems.append(f"the pointer to the newest checkpoint was not moved: {error}")
        self._clean_up(until)
        return problems

    def _clean_up(self, until: float) -> None:
        """Remove what is left of a checkpoint that did not become whole: nobody sees it, and it would be billed."""
        if not self._unclean or self._unsure is not None or not self._settled:
            return
        prefix = self._keys.checkpoint_data(self._attempt, self._seq)
        try:
            persist(partial(self._keep_only, prefix, frozenset()), until=until, pause=_pause)
        except StoreError as error:
            sys.stderr.write(f"{prefix} was not removed: {error}\n")

    def _keep_only(self, prefix: str, names: Collection[str]) -> None:
        try:
            self._store.keep_only(prefix, names)
        except StoreError as error:
            if error.transient:
                raise
            sys.stderr.write(f"what is left of an earlier try was not removed: {error}\n")  # the role may not

    def _is_half(self, candidate: Candidate) -> bool:
        return _is_written(candidate, self._half_written) or not is_whole(candidate)

    def _look(self) -> None:
        now = glance(self._folder)
        if now == self._all_stored_at:
            return
        self._all_stored_at = now
        open_files: Optional[set[tuple[int, int]]] = None
        moment = time.monotonic()
        for candidate in candidates(self._folder):
            fingerprint = candidate.fingerprint()
            if fingerprint is None or fingerprint == self._stored.get(candidate.name):
                continue
            self._all_stored_at = None
            seen = self._seen.get(candidate.name)
            if seen is None or seen.fingerprint != fingerprint:
                self._seen[candidate.name] = _Sighting(fingerprint, moment)
                continue
            open_files = _open_files() if open_files is None else open_files
            quiet = sys.platform == "linux" or time.monotonic() - seen.at >= _STABLE_S
            if not quiet or _is_written(candidate, open_files) or not is_whole(candidate):
                continue
            try:
                self._store_one(candidate)
            except (StoreError, FileChanged, OSError) as error:
                # Not lost: the next look tries again, and so does `finish`.
                sys.stderr.write(f"checkpoint {candidate.name}: {error}\n")

    def _store_one(self, candidate: Candidate) -> None:
        """Upload the data, read it back, then write the manifest and move the pointer."""
        with self._lock:
            self._settle()
            before = candidate.fingerprint()
            if before is None or before == self._stored.get(candidate.name):
                return
            prefix = self._keys.checkpoint_data(self._attempt, self._seq)
            unclean, self._unclean = self._unclean, True
            files = []
            for path in candidate.files:
                name = path.relative_to(candidate.base).as_posix()
                stored = put_verified(self._store, prefix + name, path)
                files.append(CheckpointFile(name, stored.size, stored.sha256 or ""))
            if unclean:
                # They may be another checkpoint's: who downloads the folder would get both.
                self._keep_only(prefix, {file.path for file in files})
            step, metrics = step_and_metrics(candidate)
            if candidate.fingerprint() != before:
                raise FileChanged(candidate.name)
            seen_at = self._seen_at(candidate, before)
            manifest = CheckpointManifest(
                name=candidate.name,
                attempt=self._attempt,
                seq=self._seq,
                created_at=self._created_at(before, seen_at),
                format=candidate.format,
                size=sum(file.size for file in files),
                files=files,
                step=step,
                metrics=metrics,
            )
            self._unsure = _Unsure(manifest, before, seen_at)
            try:
                self._store.put(self._manifest_key(), manifest.to_json(), create_only=True)
            except PreconditionFailed:
                self._unsure = None  # not by this runner, which would have found it in `_settle`
                raise
            self._visible(self._unsure)
            self._point()

    def _seen_at(self, candidate: Candidate, fingerprint: Fingerprint) -> float:
        """Return when it was first seen as it is; infinite if only now, when the script has ended."""
        seen = self._seen.get(candidate.name)
        return seen.at if seen is not None and seen.fingerprint == fingerprint else float("inf")

    def _created_at(self, fingerprint: Fingerprint, seen_at: float) -> str:
        """Return when it was written, but no time before that of one which was there before it.

        Readers take the latest time for the newest checkpoint. When the machine's clock is put back an hour, that
        would stay one from before for an hour.
        """
        written = max(at for _, _, _, at in fingerprint) / 1e9
        before = [created for seen, created in self._times if seen < seen_at]
        created = max([to_iso(datetime.fromtimestamp(written, timezone.utc)), *before])
        return created if self._ceiling is None else min(created, self._ceiling)

    def _settle(self) -> None:
        """Finish what an earlier try has begun.

        If a manifest whose writing failed is there all the same, its checkpoint is visible, and its data must not
        be written over by the next.
        """
        with self._lock:
            if not self._settled:
                self._catch_up()
            if self._unsure is not None:
                try:
                    self._store.get(self._manifest_key())
                    self._visible(self._unsure)
                except NotFound:
                    self._unsure = None
            self._point()

    def _catch_up(self) -> None:
        """Find what a former runner has stored in its last moments, after it had written its journal."""
        for number in self._numbers_from(self._seq):
            self._seq = number
            manifest = CheckpointManifest.from_json(self._store.get(self._manifest_key()).data)
            for candidate in candidates(self._folder):
                fingerprint = candidate.fingerprint()
                if candidate.name == manifest.name and fingerprint and _hashes(candidate) == _promised(manifest):
                    self._stored[candidate.name] = fingerprint
            self._unpointed = manifest
            self._seq += 1
        self._store.end_uploads(self._keys.checkpoint_data(self._attempt, self._seq))
        self._settled = True
        self._note()

    def _numbers_from(self, first: int) -> list[int]:
        """Return the numbers of this attempt's checkpoints from `first` on; there may be gaps."""
        saved = (checkpoint_number(name) for name in self._store.names(self._keys.checkpoints_prefix))
        return sorted(seq for attempt, seq in filter(None, saved) if attempt == self._attempt and seq >= first)

    def _recall(self) -> tuple[dict[str, Fingerprint], int]:
        """Return what a former runner's journal says is stored, and how many checkpoints there are."""
        try:
            noted = json.loads(self._journal.read_bytes())
        except (OSError, ValueError):
            return {}, 0  # then every file is looked at anew, and `_catch_up` finds which are stored
        stored = {name: tuple((row[0], *row[1:]) for row in rows) for name, rows in noted["stored"].items()}
        return stored, int(noted["seq"])

    def _note(self) -> None:
        try:
            with whole_file(self._journal) as stream:
                stream.write(json.dumps({"seq": self._seq, "stored": self._stored}).encode())
        except OSError as error:
            sys.stderr.write(f"{self._journal}: {error}\n")

    def _visible(self, stored: _Unsure) -> None:
        self._unsure = None
        self._unclean = False
        self._unpointed = stored.manifest
        self._stored[stored.manifest.name] = stored.fingerprint
        self._times.append((stored.seen_at, stored.manifest.created_at))
        if self._newest_first:
            # What is written within a tick of the clock has one time, and then the later number counts as newer.
            self._ceiling = to_iso(from_iso(stored.manifest.created_at) - timedelta(milliseconds=1))
        self._seq += 1
        self._note()
        self._say(f"checkpoint {stored.manifest.name} saved, {size_text(stored.manifest.size)}, verified")

    def _manifest_key(self) -> str:
        return self._keys.checkpoint_manifest(self._attempt, self._seq)

    def _point(self) -> None:
        if self._unpointed is not None:
            self._move_latest(self._unpointed)
            self._unpointed = None

    def _move_latest(self, manifest: CheckpointManifest) -> None:
        """Point to `manifest` unless the pointer is at a newer one already."""
        key = self._keys.latest_checkpoint
        wanted = LatestCheckpoint(manifest.attempt, manifest.seq, manifest.created_at)
        while True:
            try:
                current = self._store.get(key)
            except NotFound:
                current = None
            if current is not None:
                held = LatestCheckpoint.from_json(current.data)
                if (held.attempt, held.updated_at, held.seq) >= (wanted.attempt, wanted.updated_at, wanted.seq):
                    return
            try:
                etag = None if current is None else current.etag
                self._store.put(key, wanted.to_json(), create_only=current is None, if_etag=etag)
                return
            except PreconditionFailed:
                continue  # somebody moved it meanwhile: look where it is now


def _fingerprints(folder: Path) -> dict[str, Fingerprint]:
    return {c.name: found for c in candidates(folder) if (found := c.fingerprint()) is not None}


def _promised(manifest: CheckpointManifest) -> dict[str, str]:
    return {file.path: file.sha256 for file in manifest.files}


def _hashes(candidate: Candidate) -> Optional[dict[str, str]]:
    """Return the SHA-256 of each file; None when one is gone."""
    try:
        return {path.relative_to(candidate.base).as_posix(): sha256_of(path) for path in candidate.files}
    except FileNotFoundError:
        return None


def _open_files() -> set[tuple[int, int]]:
    return written_files(process.pid for process in descendants())


def _is_written(candidate: Candidate, open_files: set[tuple[int, int]]) -> bool:
    try:
        return any((s.st_dev, s.st_ino) in open_files for s in (path.stat() for path in candidate.files))
    except FileNotFoundError:
        return True


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False
