"""EC2's notice that it takes a spot instance back (EC2 user guide, "Spot Instance interruption notices")."""

from __future__ import annotations

import sys

from runctl_jupyter.run_record import Cause, JobState, now, to_iso
from runctl_jupyter.runner.imds import Imds, ImdsError
from runctl_jupyter.runner.stops import StopReason, StopSignal

_SAVE_S = 25.0
"""Of the two minutes, kept for uploads and the end."""
_LAST_WORDS_S = 3.0


class SpotWatch:
    """Asks the metadata service; a notice comes two minutes ahead at best, so it is asked often."""

    period_s = 5.0

    def __init__(self, imds: Imds, stop: StopSignal, grace_s: float) -> None:
        self._imds = imds
        self._stop = stop
        self._grace_s = grace_s

    def look(self) -> None:
        """Look once; ask for the end on a notice."""
        try:
            notice = self._imds.spot_notice()
        except ImdsError as error:
            sys.stderr.write(f"{to_iso(now())} spot: {error}\n")
            return
        if notice is None:
            return
        left_s = max(0.0, (notice.at - now()).total_seconds())
        grace_s = max(0.0, min(self._grace_s, left_s - _SAVE_S))
        cause = Cause("spot", f"EC2 takes the spot instance back ({notice.action} at {to_iso(notice.at)})")
        self._stop.request(StopReason(JobState.INTERRUPTED, cause, grace_s, max(0.0, left_s - grace_s - _LAST_WORDS_S)))
