"""What comes after the script: the last uploads. A promise that is not kept changes the end."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Callable

from runctl_jupyter.run_record import Cause, JobState
from runctl_jupyter.runner.attempt import Attempt, End, stopped_end
from runctl_jupyter.runner.log import JobLog

Upload = Callable[[float], "list[str]"]
"""Uploads until a moment of `time.monotonic`; returns what could not be stored, for people."""


def save(attempt: Attempt, log: JobLog, uploads: list[Upload], end: End) -> End:
    """Do the uploads in order, then store the rest of the log; return the end that is true after that."""
    stop = attempt.stop
    began = time.monotonic()
    problems: list[str] = []
    finished = threading.Event()

    def until() -> float:
        return min(began + attempt.patience.save_s, stop.save_until)

    def upload() -> None:
        for each in uploads:
            try:
                problems.extend(each(until()))
            except Exception as error:  # noqa: BLE001 - told as the job's end
                traceback.print_exc(file=sys.stderr)
                problems.append(f"uploads failed: {error}")
        finished.set()
        stop.poke()

    threading.Thread(target=upload, name="save", daemon=True).start()
    while not finished.is_set() and time.monotonic() < until():
        stop.wait_for(finished.is_set, min(1.0, max(0.0, until() - time.monotonic())))
    if not finished.is_set():
        problems.append("uploads did not finish in time")
    for problem in problems:
        log.say(problem)
    if not log.close(max(until(), time.monotonic() + 1.0)):
        problems.append(f"the end of the log could not be stored: {log.failure}")
    if problems and end.state is JobState.SUCCEEDED:
        if stop.reason is not None:
            return stopped_end(stop, end.exit_code)
        return End(JobState.FAILED, end.exit_code, Cause("upload", problems[0]))
    return end
