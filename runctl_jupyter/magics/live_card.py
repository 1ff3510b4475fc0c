"""A card that follows its job: one thread reads the log, one paints, at most three times a second and on change only.

Updates go by display id, so they reach the cell that launched the job from any thread. `print` from a thread
would land in whichever cell ran last.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from runctl_jupyter.display.card import LOG_LINES
from runctl_jupyter.display.curve import MOST_POINTS
from runctl_jupyter.display.log_text import Tail
from runctl_jupyter.orchestration.errors import RunctlError, WaitTimedOut

if TYPE_CHECKING:
    from IPython.core.display_functions import DisplayHandle

    from runctl_jupyter.magics.card_views import Bundle, CardViews
    from runctl_jupyter.orchestration import Checkpoint, Job
    from runctl_jupyter.orchestration.jobs.measures import JobMeasures

_PAUSE_S = 0.34
"""Between two paints: numbers that change faster cannot be read."""
_REFRESH_S = 1.0
"""Between two reads of the job's state."""
_TAIL_S = 1.0
"""Between two paints when only the log has grown: live views have it from elsewhere, twins are looked at later."""
_LIVE_S = 30.0
"""The same while a page shows the widget: each paint takes its view away, with what was open in it, and makes a new
one."""
_MEASURES_S = 5.0
"""Between two reads of the metrics."""


class LiveCard:
    """The card of one job, on any number of displays.

    Parameters
    ----------
    views
        Makes what is shown.
    on_log
        Called with the log's bytes as they come, for a door without displays.
    """

    def __init__(self, job: Job, views: CardViews, *, on_log: Callable[[bytes], object] | None = None) -> None:
        self.job = job
        self._views = views
        self._on_log = on_log
        self._tail = Tail(LOG_LINES)
        self._checkpoints: tuple[Checkpoint, ...] = ()
        self._measures: JobMeasures | None = None
        self._measured = 0.0
        self._note = ""
        self._trouble = ""
        self._displays: list[DisplayHandle] = []
        self._painted: Bundle | None = None
        self._matters: tuple[object, ...] = ()
        self._painted_at = 0.0
        self._told: Bundle | None = None
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._log_read = threading.Event()
        self._closed = threading.Event()
        self._refreshed = 0.0
        self._painter: threading.Thread | None = None

    @property
    def following(self) -> bool:
        """Whether the card still changes."""
        return self._painter is not None and self._painter.is_alive()

    def show(self) -> None:
        """Put the card on a new display, in the cell that runs now."""
        from IPython.display import display

        with self._lock:
            self._painted = self._told = self._painted or self._bundle()
            handle = display(self._painted, raw=True, display_id=True)  # type: ignore[no-untyped-call]  # IPython
            if handle is not None:
                self._displays.append(handle)

    def follow_in_background(self) -> None:
        """Keep the card up to date until the job's end; returns at once."""
        self._start_reader()
        self._painter = self._thread(self._keep_up, "card")

    def follow(self, timeout: float | None = None) -> None:
        """Keep the card up to date in this thread until the job's end.

        Raises
        ------
        WaitTimedOut
            The job has not ended within `timeout` seconds.
        RunctlError
            It could not be launched.
        """
        self._start_reader()
        self._keep_up(timeout)
        failure = self._launch_failure()
        if failure is not None:
            raise failure

    def go_on_in_background(self) -> None:
        """Leave a `follow` that was broken off to a thread."""
        self._painter = self._thread(self._keep_up, "card")

    def take_over(self, other: LiveCard) -> None:
        """Keep the displays of another card of the same job up to date in its stead."""
        other.close()
        self._displays += other._displays

    def tell_cell(self) -> None:
        """Send the newest state once more, from the cell that runs now.

        What threads send belongs to the cell that launched the job. A front end takes it by its display id; a
        program that executes notebooks drops what does not belong to the cell it executes, and would save the
        card as it was at first.
        """
        with self._lock:
            if self._painted is self._told or self._painted is None:
                return
            self._send(self._painted)
            self._told = self._painted

    def close(self) -> None:
        """Stop following; the job goes on."""
        self._closed.set()
        self._news.set()

    def _start_reader(self) -> None:
        self._thread(self._read_log, "log")

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(work,), name=f"runctl-{name}-{self.job.id}", daemon=True)
        thread.start()
        return thread

    def _read_log(self) -> None:
        from runctl_jupyter.orchestration import Log

        tail = None if self._on_log else LOG_LINES
        try:
            for chunk in Log(self.job, follow=True, tail=tail, on_trouble=self._note_trouble):
                self._tail.feed(chunk)
                if self._on_log is not None:
                    self._on_log(chunk)
                self._trouble = ""
                self._news.set()
                if self._closed.is_set():
                    return
        except RunctlError as error:
            self._trouble = f"{error.what} {error.to_resolve}"
        else:
            self._trouble = ""
        self._log_read.set()
        self._news.set()

    def _note_trouble(self, text: str) -> None:
        self._trouble = text
        self._news.set()

    def _keep_up(self, timeout: float | None = None) -> None:
        began = time.monotonic()
        while not self._closed.is_set():
            read = self._log_read.is_set()
            self._refresh(now_please=read)
            over = (read and self.job.state.ended) or self._launch_failure() is not None
            self._paint(last=over)
            if over:
                return
            if timeout is not None and time.monotonic() - began > timeout:
                raise WaitTimedOut(
                    f"Job {self.job.name} ({self.job.id}) has not ended within {timeout:.0f} s; it goes on.",
                    f"%runctl wait {self.job.id} waits again, %runctl cancel {self.job.id} ends it.",
                )
            self._closed.wait(_PAUSE_S)
            self._news.wait(_REFRESH_S)
            self._news.clear()

    def _refresh(self, *, now_please: bool) -> None:
        if not now_please and time.monotonic() - self._refreshed < _REFRESH_S:
            return
        self._refreshed = time.monotonic()
        try:
            self.job.refresh()
            if self.job.checkpoint_count > len(self._checkpoints):
                self._checkpoints = tuple(self.job.checkpoints())
            self._read_measures()
        except RunctlError as error:
            self._note = f"{error.what} The job goes on; trying again."
        else:
            self._note = ""
        failure = self._launch_failure()
        if failure is not None:
            self._note = f"{failure.what} {failure.to_resolve}"

    def _read_measures(self) -> None:
        moment = time.monotonic()
        if self.job.state.ended or moment - self._measured >= _MEASURES_S:
            self._measured = moment
            if self.job.status.metrics:
                # Once for all paints until the next reading.
                self._measures = self.job.measures().thinned(MOST_POINTS)

    def _launch_failure(self) -> RunctlError | None:
        launching = self.job.launching
        if launching is None or not launching.done():
            return None
        failure = launching.exception()
        return failure if isinstance(failure, RunctlError) else None

    def _bundle(self) -> Bundle:
        return self._views.bundle(
            log_lines=self._tail.text_lines(),
            checkpoints=self._checkpoints,
            measures=self._measures,
            note=self._trouble or self._note,
        )

    def _paint(self, *, last: bool = False) -> None:
        job, moment = self.job, time.monotonic()
        lines = self._tail.text_lines()
        live = self._views.live
        details = () if live else (job.phase, len(self._checkpoints), bool(lines))
        matters = (job.state, job.attempt, self._trouble, self._note, *details)
        pause = _LIVE_S if live else _TAIL_S
        if not last and matters == self._matters and moment - self._painted_at < pause:
            return
        with self._lock:
            bundle = self._bundle()
            self._matters, self._painted_at = matters, moment
            if self._painted is not None and _told(bundle) == _told(self._painted):
                return
            self._painted = bundle
            self._send(bundle)

    def _send(self, bundle: Bundle) -> None:
        for handle in self._displays:
            handle.update(bundle, raw=True)  # type: ignore[no-untyped-call]  # IPython


def _told(bundle: Bundle) -> object:
    """Return what a person sees of it: without it a new time alone would be news."""
    return bundle["text/plain"], bundle["text/html"]
