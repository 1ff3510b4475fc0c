"""How a reader of a log asks the store: in threads of its own, and with patience when it follows a job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from runctl_jupyter.orchestration.errors import CredentialsMissing, RunctlError
from runctl_jupyter.orchestration.storage.storage import storage_errors
from runctl_jupyter.run_record import NotFound, StoreError

MOST_AT_ONCE = 8
"""Requests on their way at the same time, and so the most chunks that are held."""
_LATE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
_TROUBLE = (StoreError, RunctlError, OSError)
_GOES_ON = "the job goes on, the log will catch up."

T = TypeVar("T")
OnTrouble = Callable[[str], object]


@dataclass
class Begun(Generic[T]):
    """A request on its way."""

    request: Callable[[], T]
    future: Future[T]
    era: int
    """How often there had been trouble when it was begun."""

    def cancel(self) -> None:
        """Do not begin it if it still waits for a thread; forget it in any case."""
        self.future.cancel()


class LogRequests:
    """Carries out a reader's requests.

    Each runs in a thread, for three reasons: several can be on their way, Ctrl-C works while one hangs (the
    object-store library does not return for it), and, being daemons, they do not hold up the end of the process.

    Parameters
    ----------
    patient
        Try again for ever what fails, instead of raising: networks come back and people sign in again. Only a
        refusal to read the log at all is raised: what has worked before will work again.
    on_trouble
        Called with a sentence when requests begin to fail, when the reason changes, and when they work again.
    """

    def __init__(self, *, patient: bool, on_trouble: OnTrouble | None = None) -> None:
        self._patient, self._on_trouble = patient, on_trouble
        self._tasks: SimpleQueue[Begun[Any] | None] = SimpleQueue()
        self._threads = 0
        self._unfinished = 0
        self._lock = threading.Lock()
        self._worked = False
        self._era = 0
        self._told: str | None = None
        self._pause = _FIRST_PAUSE_S

    def begin(self, request: Callable[[], T]) -> Begun[T]:
        """Start a request."""
        begun = Begun(request, Future(), self._era)
        with self._lock:
            self._unfinished += 1
            if self._threads < min(self._unfinished, MOST_AT_ONCE):
                self._threads += 1
                threading.Thread(target=self._work, name="runctl-log-request", daemon=True).start()
        self._tasks.put(begun)
        return begun

    def ask(self, request: Callable[[], T], *, of_log: bool = True) -> T:
        """Return what `request` returns; see `answer`."""
        return self.answer(self.begin(request), of_log=of_log)

    def answer(self, begun: Begun[T], *, of_log: bool = True) -> T:
        """Return what a request returns, begun again until it does if patient.

        Parameters
        ----------
        of_log
            Whether it reads the log, so that an answer shows that this is allowed.

        Raises
        ------
        NotFound
            That is an answer.
        RunctlError
            It failed, and there is no patience or no hope.
        """
        while True:
            try:
                found = self._wait(begun.future)
            except NotFound:
                self._note_answer(of_log)
                raise
            except _TROUBLE as error:
                if not self._may_pass(error):
                    with storage_errors():
                        raise
                # What was under way when the trouble began has failed with it: that is no news.
                if begun.era == self._era:
                    self._era += 1
                    self._tell(*_described(error))
                    time.sleep(self._pause)
                    self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
                begun = self.begin(begun.request)
            else:
                self._note_answer(of_log)
                return found

    def close(self) -> None:
        """Let the threads end, each after what it is doing."""
        with self._lock:
            for _ in range(self._threads):
                self._tasks.put(None)

    def _work(self) -> None:
        while (begun := self._tasks.get()) is not None:
            if begun.future.set_running_or_notify_cancel():
                try:
                    begun.future.set_result(begun.request())
                except BaseException as error:  # noqa: BLE001 - whatever it was, it belongs to who waits for it
                    begun.future.set_exception(error)
            with self._lock:
                self._unfinished -= 1
            # A thread that waits for its next task must not hold on to a chunk.
            del begun

    def _wait(self, future: Future[T]) -> T:
        if self._patient and not wait([future], timeout=_LATE_S).done:
            self._tell("unreachable", f"S3 has not answered for {_LATE_S:.0f} s; {_GOES_ON}")
        return future.result()

    def _may_pass(self, error: BaseException) -> bool:
        if not self._patient:
            return False
        if isinstance(error, OSError):
            return self._worked or not isinstance(error, PermissionError)
        return self._worked or isinstance(error, CredentialsMissing) or getattr(error, "transient", False)

    def _note_answer(self, of_log: bool) -> None:
        self._worked |= of_log
        if self._told is not None:
            self._told, self._pause = None, _FIRST_PAUSE_S
            self._say("The log can be read again; it goes on where it stopped.")

    def _tell(self, kind: str, text: str) -> None:
        if self._told != kind:
            self._told = kind
            self._say(text)

    def _say(self, text: str) -> None:
        if self._on_trouble is not None:
            self._on_trouble(text)


def _described(error: BaseException) -> tuple[str, str]:
    """Return the kind of trouble, and a sentence about it."""
    if isinstance(error, RunctlError):
        return error.code, f"{error.what} {error.to_resolve.rstrip('.')}; {_GOES_ON}"
    if isinstance(error, OSError):
        return "unreadable", f"The log cannot be read ({error}); {_GOES_ON}"
    return "unreachable", f"S3 cannot be reached; {_GOES_ON}"
