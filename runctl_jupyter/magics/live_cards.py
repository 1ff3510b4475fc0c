"""The cards of a kernel: each job is followed once, and shown once per cell."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from runctl_jupyter.commands import LogView, Watched
    from runctl_jupyter.magics.live_card import LiveCard
    from runctl_jupyter.magics.notebook_door import NotebookDoor
    from runctl_jupyter.orchestration import Job

_PANE_LINES = 200
"""Lines of a followed log in a cell: this many can be replaced several times a second without the page noticing."""


class LiveCards:
    """Shows jobs in a shell.

    Parameters
    ----------
    door
        Knows the engines of this kernel.
    live
        Whether displays can be updated; a shell in a terminal prints each update below the last.
    """

    def __init__(self, shell: InteractiveShell, door: NotebookDoor, live: bool | None = None) -> None:
        self.shell, self._door = shell, door
        self.live = hasattr(shell, "kernel") if live is None else live
        self._cards: dict[str, LiveCard] = {}
        self._shown_in: dict[str, int] = {}

    def show(self, job: Job) -> None:
        """Show a job's card in the cell that runs now, and keep it up to date until the job's end."""
        self._shown_in[job.id] = self.shell.execution_count
        if not self.live:
            self._print_card(job)
            return
        card = self._cards.get(job.id)
        if card is None or not card.following:
            card = self._cards[job.id] = self._new(job)
            card.show()
            card.follow_in_background()
        else:
            card.show()

    def show_result(self, job: Job) -> None:
        """Show a job that is a cell's value, unless its card is in this cell already."""
        if self._shown_in.get(job.id) != self.shell.execution_count:
            self.show(job)

    def stay_with(self, watched: Watched, prompt: str, *, quiet: bool) -> Job:
        """Show a job; when it is waited for, block until its end.

        Raises
        ------
        Detached
            The user interrupted; the job goes on.
        JobFailed
            It did not succeed.
        """
        from runctl_jupyter.commands import Detached, require_success
        from runctl_jupyter.orchestration.errors import WaitTimedOut

        job = watched.job
        if not watched.wait:
            if not quiet:
                self._show_so_far(job)
            self.show(job)
            return job
        on_log = log_writer() if watched.log and not (self.live or quiet) else None
        card = self._new(job, on_log)
        earlier = self._cards.get(job.id)
        if earlier is not None:
            card.take_over(earlier)
        self._cards[job.id] = card
        self._shown_in[job.id] = self.shell.execution_count
        if self.live and not quiet:
            card.show()
        try:
            card.follow(watched.timeout)
        except KeyboardInterrupt:
            card.go_on_in_background()
            raise Detached(job, prompt) from None
        except WaitTimedOut:
            card.go_on_in_background()
            raise
        require_success(job, prompt)
        return job

    def show_log(self, view: LogView, prompt: str, hidden: bool) -> Any:
        """Show a log; following it, an interrupt ends the looking on, not the job."""
        if view.follow:
            self._follow_log(view, prompt)
            return None
        if view.raw:
            log_writer()(view.log().read())
            return None
        return None if hidden else view.log()

    def tell_cell(self) -> None:
        """Bring the cards up to date from the cell that runs now; called at its end."""
        for card in self._cards.values():
            card.tell_cell()

    def close(self) -> None:
        """Stop following; jobs go on."""
        for card in self._cards.values():
            card.close()
        self._cards.clear()

    def _new(self, job: Job, on_log: Callable[[bytes], None] | None = None) -> LiveCard:
        from runctl_jupyter.magics.card_views import CardViews
        from runctl_jupyter.magics.live_card import LiveCard

        widgets = hasattr(self.shell, "kernel")
        views = CardViews(job, self._door.engine_of(job), widgets=widgets, launching=self._door.launching)
        return LiveCard(job, views, on_log=on_log)

    def _show_so_far(self, job: Job) -> None:
        """Show the log from its first byte, where that is more than the card holds."""
        from IPython.display import display

        from runctl_jupyter.display.log_so_far import log_so_far

        bundle = log_so_far(job)
        if bundle is not None and self.live:
            display(bundle, raw=True)  # type: ignore[no-untyped-call]  # IPython
        elif bundle is not None:
            print(bundle["text/plain"])

    def _print_card(self, job: Job) -> None:
        from runctl_jupyter.display.card import card_text
        from runctl_jupyter.display.job_snapshot import snapshot

        print(card_text(snapshot(job)))

    def _follow_log(self, view: LogView, prompt: str) -> None:
        from runctl_jupyter.commands import Detached
        from runctl_jupyter.magics.log_pane import LogPane

        log = view.log(lambda text: print(text, file=sys.stderr, flush=True))
        try:
            if view.raw or not self.live:
                write = log_writer()
                for chunk in log:
                    write(chunk)
            else:
                LogPane(_PANE_LINES).follow(log)
        except KeyboardInterrupt:
            left = Detached(view.job, prompt)
            print(f"{left.what}\n{left.to_resolve}")


def log_writer() -> Callable[[bytes], None]:
    """Return a function that prints a log chunk by chunk; a character may be cut between two."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(data: bytes) -> None:
        sys.stdout.write(decoder.decode(data))
        sys.stdout.flush()

    return write
