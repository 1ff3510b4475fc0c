"""The terminal door: ``runctl VERB …``. Exit status 0 done, 1 failed, 2 usage, 130 left with Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runctl_jupyter.commands import (
    Choice,
    Detached,
    Interrupted,
    Launched,
    LogView,
    Outcome,
    Place,
    Request,
    Story,
    Watched,
    invoke,
    require_success,
)
from runctl_jupyter.commands.references import Shown
from runctl_jupyter.display.log_text import collapsed
from runctl_jupyter.orchestration.errors import RunctlError

if TYPE_CHECKING:
    from runctl_jupyter.commands.known import KnownNames
    from runctl_jupyter.orchestration import Job, Runctl
    from runctl_jupyter.orchestration.storage.crew import OnProgress

_HAND_OVER_S = 900.0
"""Seconds a launch may take to reach AWS before this process may end; looking for capacity is the long part."""


class TerminalDoor:
    """A terminal: one line per process, the target from files and environment."""

    kind: Literal["terminal"] = "terminal"
    prompt = "runctl"

    def __init__(self) -> None:
        self.launching: list[Job] = []

    @cached_property
    def known(self) -> KnownNames:
        """Names that Tab offers; a shell asks a new process each time."""
        from runctl_jupyter.commands.known import KnownNames

        return KnownNames()

    def runctl(self, choice: Choice) -> Runctl:
        """Return the engine for `choice`."""
        from runctl_jupyter.orchestration import Runctl

        return Runctl(choice.target, profile=choice.profile, region=choice.region, bucket=choice.bucket)

    def use(self, choice: Choice) -> Place:
        """Write `choice` into ``./.runctl.toml``: a terminal has no memory of its own."""
        from runctl_jupyter.commands.place import place_of
        from runctl_jupyter.commands.project_file import write_choice

        self.runctl(choice)  # refuses what cannot be, before anything is written
        path = write_choice(Path.cwd(), choice)
        outranked = "; RUNCTL_TARGET is set and outranks it" if os.environ.get("RUNCTL_TARGET") else ""
        return place_of(self.runctl(choice), f"Written to {path.name} in this folder{outranked}.")

    def progress(self, what: str) -> AbstractContextManager[OnProgress | None]:
        """Show a bar, where somebody looks."""
        if not sys.stderr.isatty():
            return nullcontext()
        from runctl_jupyter.display.transfer_progress import terminal_bar

        return terminal_bar(what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one line and return its exit status."""
    request = Request(TerminalDoor())
    try:
        outcome = invoke(sys.argv[1:] if arguments is None else arguments, request)
        _show(outcome, request.door.prompt)
        sys.stdout.flush()
        return int(getattr(outcome.value, "exit_status", 0))  # a report may say that not all went well
    except KeyboardInterrupt:
        return _say(Interrupted(request.door.prompt))
    except BrokenPipeError:
        # The reader of a pipe left (`runctl logs JOB | head`): no error. What Python flushes at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except RunctlError as error:
        return _say(error)
    return 0


def _say(error: RunctlError) -> int:
    print(f"{error.what}\n{error.to_resolve}", file=sys.stderr)
    return error.exit_status


def _show(outcome: Outcome, prompt: str) -> None:
    value = outcome.value
    if isinstance(value, Story):
        _tell(value)
    elif isinstance(value, LogView):
        _show_log(value, prompt)
    elif isinstance(value, Launched):
        if not outcome.as_json and (said := value.announcement):
            print(said, file=sys.stderr)
        _hand_over(value.job, prompt)
        if value.wait:
            _stay_with(Watched(value.job, wait=True, log=not outcome.as_json), prompt, outcome.as_json)
        else:
            _show_job(value.job, outcome.as_json, f"{prompt} logs {value.job.id} --follow")
    elif isinstance(value, Watched):
        _stay_with(value, prompt, outcome.as_json)
    elif outcome.as_json:
        _print_json(value)
    elif value is not None:
        _show_value(value, prompt)


def _hand_over(job: Job, prompt: str) -> None:
    """Wait until the launch does not need this process any more."""
    try:
        job.launched(_HAND_OVER_S)
    except KeyboardInterrupt:
        raise Interrupted(prompt, launching=job) from None


def _print_json(value: object) -> None:
    for note in getattr(value, "notes", ()):  # stdout is one document and nothing else
        print(f"runctl: {note}", file=sys.stderr)
    print(json.dumps(value.to_dict(), ensure_ascii=False))  # type: ignore[attr-defined]  # every result has it


def _show_value(value: object, prompt: str) -> None:
    from runctl_jupyter.display.values import value_text
    from runctl_jupyter.orchestration import Job

    if isinstance(value, Shown):
        _show_value(value.job, prompt)
        print(f"\n{value_text(value.provenance)}")
    elif isinstance(value, Job):
        from runctl_jupyter.display.card import card_text
        from runctl_jupyter.display.job_snapshot import snapshot

        print(card_text(snapshot(value, prompt=prompt)))
    else:
        print(value_text(value))


def _show_job(job: Job, as_json: bool, next_step: str) -> None:
    if as_json:
        _print_json(job.refresh())
        return
    where = f" on {job.instance_id}" if job.instance_id else ""
    print(f"job {job.name} ({job.id}) launched{where}\nfollow it: {next_step}")


def _stay_with(watched: Watched, prompt: str, as_json: bool) -> None:
    """Stay with a job; Ctrl-C leaves it alone and says so.

    Raises
    ------
    Detached
        The user left while waiting.
    JobFailed
        It was waited for and did not succeed.
    """
    from runctl_jupyter.orchestration import Log

    job = watched.job
    try:
        if watched.log:
            _copy(Log(job, follow=True, on_trouble=_say_trouble))
        if watched.wait:
            job.wait(timeout=watched.timeout)
    except KeyboardInterrupt:
        if watched.wait:
            raise Detached(job, prompt) from None
        _say_detached(job, prompt)
        return
    job.refresh()
    if as_json:
        _print_json(job)
    else:
        _show_end(job)
    if watched.wait:
        require_success(job, prompt)


def _show_end(job: Job) -> None:
    from runctl_jupyter.orchestration.units import money_text

    cost = f" · {money_text(job.cost_usd)}" if job.cost_usd is not None else ""
    saved = f" · {job.checkpoint_count} checkpoints" if job.checkpoint_count else ""
    # On stderr: stdout is the job's own output, to be piped on.
    print(f"job {job.name} ({job.id}) {job.state}{cost}{saved}", file=sys.stderr)


def _show_log(view: LogView, prompt: str) -> None:
    try:
        log = view.log(_say_trouble)
        # Into a pipe or file, or all at once, bars show their last state only.
        _copy(log if view.raw or (view.follow and sys.stdout.isatty()) else collapsed(log))
    except KeyboardInterrupt:
        _say_detached(view.job, prompt)


def _tell(story: Story) -> None:
    try:
        for piece in story:
            if isinstance(piece, bytes):
                _copy([piece])
            else:
                print(piece, flush=True)
    except KeyboardInterrupt:
        if not story.until_interrupted:
            raise


def _copy(chunks: Iterable[bytes]) -> None:
    """Write bytes as they are, each chunk at once."""
    sys.stdout.flush()
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def _say_trouble(text: str) -> None:
    print(f"runctl: {text}", file=sys.stderr, flush=True)


def _say_detached(job: Job, prompt: str) -> None:
    print(file=sys.stderr)  # the log's last line may not have ended
    _say(Detached(job, prompt))
