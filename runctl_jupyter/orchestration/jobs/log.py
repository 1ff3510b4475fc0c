"""A job's log: the exact bytes, from the first, as often as one likes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.run_record import AttemptKeys, NotFound, StoreError
from runctl_jupyter.run_record.layout import CHUNK_ORIGIN, RUNNER

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.job import Job

_QUICK_S, _EAGER_S, _IDLE_S = 0.05, 2.0, 1.0
"""Time between two looks for the next chunk: quick for the first seconds of a silence, then ever longer."""
_STATE_S = 0.5
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class Log:
    """The log of a job's attempt. Iterating gives its bytes, chunk by chunk.

    Parameters
    ----------
    follow
        Go on until the job has ended; otherwise stop at what there is.
    tail
        Begin with the last so many lines.
    script_only
        Leave out the runner's own lines (installations, checkpoints saved): what remains is what the script printed,
        byte for byte.
    """

    def __init__(self, job: Job, *, follow: bool = False, tail: int | None = None, script_only: bool = False) -> None:
        self._job, self._follow, self._tail, self._script_only = job, follow, tail, script_only

    def __iter__(self) -> Iterator[bytes]:
        keys = AttemptKeys(self._job.id, self._job.attempt)
        seq = 0
        if self._tail is not None:
            seq, lines = self._last_lines(keys, self._tail)
            if lines:
                yield lines
        while True:
            data = self._chunk(keys, seq)
            if data is not None:
                seq += 1
                if data:
                    yield data
            elif not self._follow or not self._await_more(keys, seq):
                return

    def read(self) -> bytes:
        """Return the bytes there are so far (with `follow`: all there will ever be)."""
        return b"".join(self)

    def text(self) -> str:
        """Return the log as a person wants it: progress bars collapsed to their last state."""
        return collapsed(self.read().decode(errors="replace"))

    __str__ = text

    def __repr__(self) -> str:
        return self.text()

    def _chunk(self, keys: AttemptKeys, seq: int) -> bytes | None:
        try:
            found = self._job.record.store.get(keys.chunk(seq))
            return b"" if self._script_only and found.metadata.get(CHUNK_ORIGIN) == RUNNER else found.data
        except NotFound:
            return None
        except StoreError as error:
            if not (self._follow and error.transient):
                with storage_errors():
                    raise
            return None

    def _await_more(self, keys: AttemptKeys, seq: int) -> bool:
        """Wait until chunk `seq` may be there; False when the job has ended without it."""
        pause, began = _QUICK_S, time.monotonic()
        looked = began
        while True:
            # A poll of the next number, never a listing: 1 GET, and quick while lines come.
            time.sleep(pause)
            if self._job.record.store.exists(keys.chunk(seq)):
                return True
            if time.monotonic() - began > _EAGER_S:
                pause = min(pause * 1.3, _IDLE_S)
            if time.monotonic() - looked >= _STATE_S or self._job.state.ended:
                looked = time.monotonic()
                with suppress(StoreError):
                    if self._job.refresh().state.ended:
                        # The end is written after the last chunk: look once more, then it is certain.
                        return self._job.record.store.exists(keys.chunk(seq))

    def _last_lines(self, keys: AttemptKeys, count: int) -> tuple[int, bytes]:
        """Return the next chunk's number and the last `count` lines before it."""
        end = self._job.refresh().status.log_chunks
        while self._job.record.store.exists(keys.chunk(end)):
            end += 1
        found = b""
        seq = end
        while seq > 0 and found.count(b"\n") <= count:
            seq -= 1
            found = (self._chunk(keys, seq) or b"") + found
        # Only a line feed ends a line: a bar's carriage returns redraw one.
        lines = re.findall(rb"[^\n]*\n|[^\n]+", found)
        return end, b"".join(lines[len(lines) - count :] if count < len(lines) else lines)


def collapsed(text: str) -> str:
    r"""Return `text` with each line as a terminal shows it in the end: what follows its last ``\r``."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)


def without_ansi(text: str) -> str:
    """Return `text` without colours and cursor movements."""
    return _ANSI.sub("", text)
