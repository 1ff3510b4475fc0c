"""Why a job is told to end before it ends by itself: one place where all reasons meet."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Callable, Optional

from runctl_jupyter.run_record import Cause, EndRequest, JobSpec, JobState, RecordStore, StoreError

MINIMUM_BILLED_S = 60.0
"""EC2 bills Linux instances by the second, 60 s at least (EC2 pricing page)."""

_LONGEST_WAIT_S = 3600.0  # some systems take no longer waits than 2**31 ms


class Stopped(Exception):
    """The job was told to end meanwhile."""


@dataclass(frozen=True)
class StopReason:
    """Why, and how much time there is.

    `state` is None when somebody else has written the end already: then nothing is to be reported.
    """

    state: Optional[JobState]
    cause: Cause
    grace_s: float
    """Between SIGTERM and SIGKILL."""
    save_s: float
    """For uploads after that."""
    keep_machine: bool = False
    """Whether the machine stays on: whoever asks is about to stop it."""


class StopSignal:
    """Holds the first reason; later ones can only shorten the time.

    Safe to use from a signal handler as long as the main thread uses it nowhere else.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reason: Optional[StopReason] = None
        self._disowned = False
        self._keeps_machine = False
        self._kill_at = float("inf")
        self._save_until = float("inf")

    @property
    def reason(self) -> Optional[StopReason]:
        """The first reason given, None as long as there is none."""
        return self._reason

    @property
    def disowned(self) -> bool:
        """Whether somebody else has written the attempt's end."""
        return self._disowned

    @property
    def keeps_machine(self) -> bool:
        """Whether somebody who asked for the end sees to the machine."""
        return self._keeps_machine

    @property
    def kill_at(self) -> float:
        """`time.monotonic` at which grace is over; infinite without a reason."""
        return self._kill_at

    @property
    def save_until(self) -> float:
        """`time.monotonic` at which uploads must be over; infinite without a reason."""
        return self._save_until

    def request(self, reason: StopReason) -> None:
        """Ask for the end."""
        with self._changed:
            if self._reason is None:
                self._reason = reason
            self._disowned = self._disowned or reason.state is None
            self._keeps_machine = self._keeps_machine or reason.keep_machine
            moment = time.monotonic()
            self._kill_at = min(self._kill_at, moment + reason.grace_s)
            self._save_until = min(self._save_until, moment + reason.grace_s + reason.save_s)
            self._changed.notify_all()

    def poke(self) -> None:
        """Let those who wait look at their condition again."""
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout_s: Optional[float] = None) -> bool:
        """Wait until `condition` holds; it is looked at after each `request` and `poke`."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def pause(self, seconds: float) -> bool:
        """Wait; return True at once when the end is asked for."""
        return self.wait_for(lambda: self._reason is not None, seconds)


class CancelWatch:
    """Looks for a user's request to end the attempt."""

    def __init__(self, store: RecordStore, key: str, stop: StopSignal, grace_s: float, save_s: float) -> None:
        self._store = store
        self._key = key
        self._stop = stop
        self._grace_s, self._save_s = grace_s, save_s

    def look(self) -> None:
        """Look once; a store that fails is asked again at the next look."""
        try:
            asked = self._store.get(self._key)
        except StoreError:  # not there, which is normal, or not to be had now
            return
        try:
            wish = EndRequest.from_json(asked.data)
        except ValueError:  # a newer client's, or nobody's: the wish to end is plain all the same
            wish = EndRequest("")
        cause = Cause("user", wish.message)
        state = wish.state if wish.state.ended else JobState.CANCELLED
        self._stop.request(StopReason(state, cause, self._grace_s, self._save_s, wish.keep_machine))


class LimitWatch:
    """Holds the job to its limits of time and money; needs no store and no network.

    All limits are moments that are known in advance: money is time at a price.

    Parameters
    ----------
    claimed_at
        `time.monotonic` of the claim.
    save_s
        For uploads after the script's end.
    paid_before_s
        Seconds before the claim for which the machine is paid: it was launched for this job, and had to boot.
    """

    def __init__(
        self, spec: JobSpec, claimed_at: float, stop: StopSignal, save_s: float, paid_before_s: float = 0.0
    ) -> None:
        self._limits = spec.limits
        self._stop = stop
        self._save_s = save_s
        self._deadlines: list[tuple[float, Cause]] = []
        limits = spec.limits
        if limits.ttl_s is not None:
            self._deadlines.append(
                (claimed_at + limits.ttl_s, Cause("ttl", f"the job's time to live of {limits.ttl_s:g} s is over"))
            )
        if limits.max_cost_usd is not None and spec.price_per_hour:
            beside = sum(spec.beside_per_hour.values())
            affordable_s = limits.max_cost_usd / (spec.price_per_hour + beside) * 3600
            left_s = affordable_s - paid_before_s if affordable_s >= MINIMUM_BILLED_S else 0.0
            rate = f"${spec.price_per_hour:g}{f' and ${beside:.2g} for disk and address' if beside else ''}"
            self._deadlines.append(
                (
                    claimed_at + max(0.0, left_s),
                    Cause("max-cost", f"the limit of ${limits.max_cost_usd:g} at {rate} an hour is reached"),
                )
            )

    def script_started(self, started_at: float) -> None:
        """Arm the limit of the script's own time."""
        timeout_s = self._limits.timeout_s
        if timeout_s is not None:
            self._deadlines.append((started_at + timeout_s, Cause("timeout", f"the script ran for {timeout_s:g} s")))

    def next_look_s(self) -> float:
        """Return the seconds until the nearest limit."""
        nearest = min((moment for moment, _ in self._deadlines), default=float("inf"))
        return min(_LONGEST_WAIT_S, max(0.0, nearest - time.monotonic()))

    def look(self) -> None:
        """Ask for the end if a limit is reached."""
        due = [deadline for deadline in self._deadlines if deadline[0] <= time.monotonic()]
        if due:
            cause = min(due, key=lambda deadline: deadline[0])[1]
            self._deadlines = [deadline for deadline in self._deadlines if deadline not in due]
            self._stop.request(StopReason(JobState.CAPPED, cause, self._limits.grace_s, self._save_s))


def cost_usd(price_per_hour: Optional[float], seconds: float) -> Optional[float]:
    """Return what `seconds` of an instance cost in USD, None when the price is unknown."""
    if price_per_hour is None:
        return None
    return round(max(math.ceil(seconds), MINIMUM_BILLED_S) * price_per_hour / 3600, 6)
