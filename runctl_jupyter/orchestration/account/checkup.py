"""Runs checks side by side and waits for none beyond its time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runctl_jupyter.orchestration.errors import (
    AwsUnreachable,
    ConfigInvalid,
    CredentialsMissing,
    PermissionDenied,
    RunctlError,
)
from runctl_jupyter.orchestration.model import Value

State = Literal["ok", "warning", "blocked"]


@dataclass(frozen=True)
class Check(Value):
    """One line of a report."""

    name: str
    state: State
    """``blocked``: with this, no machine can be launched; ``warning``: something is missing or not known."""
    what: str
    fix: str = ""
    """What to do or to type."""


@dataclass(frozen=True)
class DoctorReport(Value):
    """What `doctor` has found."""

    target: str
    instance_type: str
    """The type that was asked about."""
    checks: Sequence[Check]
    seconds: float

    @property
    def well(self) -> bool:
        """Whether nothing blocks."""
        return all(check.state != "blocked" for check in self.checks)

    @property
    def exit_status(self) -> int:
        """Exit status of the terminal door."""
        return 0 if self.well else 1


_LATE = "Check network and proxy (HTTPS_PROXY), or give it more time: runctl doctor --timeout 10s"

Answer = tuple[State, str] | tuple[State, str, str]
"""State, what there is, and what to do about it."""
Ask = Callable[[], Answer]
"""A check; what it cannot find out it raises as a `RunctlError`."""

_DEPENDENT = (CredentialsMissing, AwsUnreachable, ConfigInvalid)
"""Failures that have one cause for all checks: it is told once, by the first."""


def run_checks(checks: Mapping[str, Ask], *, deadline: float, needed: Sequence[str] = ()) -> list[Check]:
    """Run every check in a thread of its own, and return what is known at `deadline`, in the order of `checks`.

    Parameters
    ----------
    deadline
        By `time.monotonic`.
    needed
        Checks without which nothing works: what fails there blocks, while elsewhere it is only not known. When one of
        these fails, those that fail for the same cause are summed up in a line.
    """
    answers: queue.SimpleQueue[tuple[str, Check | RunctlError]] = queue.SimpleQueue()

    def ask(name: str, check: Ask) -> None:
        try:
            answers.put((name, Check(name, *check())))
        except RunctlError as error:
            answers.put((name, error))

    begun = time.monotonic()
    for name, check in checks.items():
        # Daemons: a name server that never answers must not hold up the end of the process.
        threading.Thread(target=ask, args=(name, check), name=f"runctl-doctor-{name}", daemon=True).start()
    found: dict[str, Check | RunctlError] = {}
    while len(found) < len(checks) and (left := deadline - time.monotonic()) > 0:
        try:
            name, answer = answers.get(timeout=left)
        except queue.Empty:
            break
        found[name] = answer
    return _told(checks, found, needed, waited_s=max(deadline - begun, 0.0))


def _told(
    asked: Iterable[str], found: Mapping[str, Check | RunctlError], needed: Sequence[str], *, waited_s: float
) -> list[Check]:
    """Return the lines: what failed for the cause of another line, and what is late, is named together."""
    causes = {type(a) for name, a in found.items() if name in needed and isinstance(a, _DEPENDENT)}
    told: list[Check] = []
    left_out: list[str] = []
    late: list[str] = []
    for name in asked:
        answer = found.get(name)
        if isinstance(answer, Check):
            told.append(answer)
        elif answer is None:
            late.append(name)
        elif (name not in needed and type(answer) in causes) or any(c.what.endswith(answer.what) for c in told):
            left_out.append(name)
        else:
            told.append(failed(name, answer, blocks=name in needed))
    if late and AwsUnreachable in causes:  # the same cause, which some have not met yet
        left_out += late
    elif late:
        state: State = "blocked" if set(late) & set(needed) else "warning"
        told.append(Check("no answer", state, f"within {waited_s:.1f} s: {', '.join(late)}", _LATE))
    if left_out:
        told.append(Check("not known", "warning", ", ".join(left_out), "Put the above right, then ask again."))
    return told


def failed(name: str, error: RunctlError, *, blocks: bool) -> Check:
    """Return the line of a check that could not be made."""
    if isinstance(error, PermissionDenied) and not blocks:
        return Check(name, "warning", f"Not known. {error.what}", error.to_resolve)
    return Check(name, "blocked" if blocks else "warning", error.what, error.to_resolve)
