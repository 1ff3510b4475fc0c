"""What the script leaves in ``RUNCTL_OUTPUT_DIR``: uploaded while it runs, and all of it when it has ended, anyhow."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, TypeVar

from runctl_jupyter.run_record import NotFound, StoreError
from runctl_jupyter.run_record.sizes import size_text
from runctl_jupyter.runner.backoff import Backoff
from runctl_jupyter.runner.files import FileChanged, FileStore, FolderFiles, StoredFile, put_verified
from runctl_jupyter.runner.periodic import Periodic
from runctl_jupyter.runner.processes import descendants, written_files

_PARALLEL = 8
_SETTLED_S = 0.1
"""A file written so lately may be written again without a change of its time stamp, which is that coarse."""
_REFUSED_S = 30.0
"""So long a refusal is tried again when the script is over: a fresh role may not have all its rights yet."""
_MOST_PROBLEMS = 10
_NO_TIME = "no time was left"

Fingerprint = tuple[int, int, int]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Found:
    """A file as a look finds it."""

    name: str
    path: Path
    status: os.stat_result

    @property
    def fingerprint(self) -> Fingerprint:
        """What changes when somebody writes to the file or replaces it."""
        return self.status.st_ino, self.status.st_size, self.status.st_mtime_ns


@dataclass(frozen=True)
class _Stored:
    fingerprint: Fingerprint
    file: StoredFile


class OutputUploader:
    """Watches the output folder of one attempt.

    A file that lies under its key from an earlier run is written over: that is what a user asks for who names the
    same place twice. A file that the script removes after it was uploaded stays in the store.

    Parameters
    ----------
    prefix
        Prepended to the files' names; ends in ``/`` or is empty.
    folder
        ``RUNCTL_OUTPUT_DIR``.
    period_s
        Seconds between two looks, and before the first.
    say
        Writes a line to the job's log.
    """

    def __init__(
        self, store: FileStore, prefix: str, folder: Path, period_s: float, say: Callable[[str], None]
    ) -> None:
        self._store, self._prefix, self._folder, self._say = store, prefix, folder, say
        self._periodic = Periodic("outputs", lambda: period_s, self._look)
        self._finishing = threading.Event()
        self._seen: Optional[dict[str, Fingerprint]] = None
        self._lock = threading.Lock()
        self._stored: dict[str, _Stored] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._told = False

    @property
    def count(self) -> int:
        """Files stored and verified so far."""
        return len(self._stored)

    @property
    def bytes(self) -> int:
        """Their size."""
        with self._lock:
            return sum(stored.file.size for stored in self._stored.values())

    def start(self) -> None:
        """Begin to watch."""
        self._periodic.start()

    def finish(self, until: float) -> list[str]:
        """Upload what is left when the script has ended; return what could not be stored, for people.

        Afterwards each file of the folder is in the store as it is now, or told as a problem.

        Parameters
        ----------
        until
            `time.monotonic` after which nothing is begun.
        """
        self._finishing.set()
        self._periodic.stop()
        patience = _Patience(until, min(until, time.monotonic() + _REFUSED_S))
        confirmed: dict[str, Fingerprint] = {}
        failures: dict[str, _Failure] = {}
        backoff = Backoff()
        while True:
            found, unreadable = _look_into(self._folder)
            left = [file for file in found if confirmed.get(file.name) != file.fingerprint]
            # Small ones first: if the time does not suffice, most files are there. Each is tried once before any is
            # tried again: one that is refused must not hold up the others.
            left.sort(key=lambda file: file.status.st_size)
            outcomes = list(zip(left, _each(lambda file: self._settle(file, patience), left)))
            failures = {
                file.name: failures.get(file.name, failure) if failure.text == _NO_TIME else failure
                for file, failure in outcomes
                if failure is not None
            }
            fresh = [file for file, failure in outcomes if failure is None]
            confirmed.update((file.name, file.fingerprint) for file in fresh)
            if not fresh:
                again_s = max((failure.until for failure in failures.values()), default=0.0) - time.monotonic()
                if again_s <= 0:
                    break
                time.sleep(min(backoff.next(), again_s))
        self._tell(len(found), len(failures))
        return _shortened(unreadable + [_line(f"output {n} was not stored: {f.text}") for n, f in failures.items()])

    def _look(self) -> None:
        found, _ = _look_into(self._folder)
        before, self._seen = self._seen, {file.name: file.fingerprint for file in found}
        if before is None:
            return  # the script has only just been started
        open_files = written_files(process.pid for process in descendants())
        quiet = [file for file in found if _is_quiet(file, before, open_files) and not self._has(file)]
        _each(self._try, quiet)

    def _try(self, file: _Found) -> None:
        """Upload a file while the script runs. If it fails, the next look tries again, and so does `finish`."""
        if self._finishing.is_set() or not _can_be_key(file.name):
            return
        try:
            with self._turn(file):
                self._upload(file)
        except (StoreError, FileChanged, OSError, ValueError) as error:
            sys.stderr.write(_line(f"output {file.name}: {error}") + "\n")
            if isinstance(error, StoreError) and not error.transient and not self._told:
                self._told = True
                self._say(_line(f"output {file.name} was not stored, it will be tried again: {error}"))

    def _settle(self, file: _Found, patience: _Patience) -> Optional[_Failure]:
        """See to it that a file is in the store; return why not."""
        if not _can_be_key(file.name):
            return _Failure("its name is not UTF-8")
        if time.monotonic() >= patience.until:
            return _Failure(_NO_TIME)
        try:
            with self._turn(file):
                if not (self._has(file) and self._is_there(file)):
                    self._upload(file)
        except FileChanged:
            return _Failure("it was written to all the time", patience.until)
        except StoreError as error:
            return _Failure(str(error), patience.until if error.transient else patience.until_refused)
        except FileNotFoundError:
            return None  # removed: there is nothing left to store
        except (OSError, ValueError) as error:
            return _Failure(str(error))
        return None

    def _turn(self, file: _Found) -> threading.Lock:
        """Return what keeps `finish` from uploading a file that a look is still uploading."""
        return self._turns.setdefault(file.name, threading.Lock())

    def _upload(self, file: _Found) -> None:
        now = _Found(file.name, file.path, file.path.stat())
        sent = put_verified(self._store, self._prefix + file.name, file.path)
        with self._lock:
            self._stored[file.name] = _Stored(now.fingerprint, sent)

    def _has(self, file: _Found) -> bool:
        stored = self._stored.get(file.name)
        return stored is not None and stored.fingerprint == file.fingerprint

    def _is_there(self, file: _Found) -> bool:
        """Whether the store still has what was sent earlier."""
        sent = self._stored[file.name].file
        try:
            found = self._store.head(self._prefix + file.name)
        except NotFound:
            return False
        return found.size == sent.size and (not sent.etag or not found.etag or found.etag == sent.etag)

    def _tell(self, files: int, missing: int) -> None:
        where = f"{self._store.root}/" if isinstance(self._store, FolderFiles) else str(self._store)
        where = (where + self._prefix).rstrip("/")
        if missing:
            self._say(f"outputs: {missing} of {files} files are NOT in {where}")
        elif self.count:
            named = "1 file" if self.count == 1 else f"{self.count} files"
            self._say(f"outputs: {named}, {size_text(self.bytes)} in {where}, verified")


@dataclass(frozen=True)
class _Patience:
    until: float
    until_refused: float


@dataclass(frozen=True)
class _Failure:
    text: str
    until: float = 0.0
    """`time.monotonic` until which trying again can help."""


def _look_into(folder: Path) -> tuple[list[_Found], list[str]]:
    """Return the regular files below `folder` in order of name, and what could not be read, for people.

    Links to files stand for the files; links to folders are not followed, for they may lead in a circle.
    """
    found: list[_Found] = []
    problems: list[str] = []

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            problems.append(f"outputs were not stored: {error}")

    for at, _, names in os.walk(folder, onerror=unreadable):
        for name in names:
            path = Path(at, name)
            try:
                if path.is_file():
                    found.append(_Found(path.relative_to(folder).as_posix(), path, path.stat()))
            except FileNotFoundError:
                continue  # removed meanwhile
            except OSError as error:
                unreadable(error)
    return sorted(found, key=lambda file: file.name), problems


def _is_quiet(file: _Found, before: dict[str, Fingerprint], open_files: set[tuple[int, int]]) -> bool:
    """Whether nobody seems to be writing to a file."""
    unchanged = sys.platform == "linux" or before.get(file.name) == file.fingerprint
    settled = not 0 <= time.time() - file.status.st_mtime < _SETTLED_S  # who sets a date in the future is done
    return unchanged and settled and (file.status.st_dev, file.status.st_ino) not in open_files


def _each(action: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="output") as pool:
        return list(pool.map(action, items))


def _can_be_key(name: str) -> bool:
    """Whether S3 takes a name: a key is UTF-8, a file's name need not be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shortened(problems: list[str]) -> list[str]:
    hidden = len(problems) - _MOST_PROBLEMS
    return problems[:_MOST_PROBLEMS] + ([f"{hidden} more outputs were not stored"] if hidden > 0 else [])


def _line(text: str) -> str:
    """Return a text with names of files in it as one line that can be written anywhere."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
