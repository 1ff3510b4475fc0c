"""What the fault tests share: the training they run, what must be true of it afterwards, and who watches meanwhile."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from runctl_jupyter.orchestration import Job, Runctl
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.jobs.log import Log
from runctl_jupyter.run_record import CheckpointManifest, JobKeys, JobState, LatestCheckpoint
from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.faults import script
from tests.faults.script import expected_log
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

BUCKET, PREFIX = "runctl-sandbox", "runctl/"
_LINE = re.compile(rb"line (\d{6}) ")
_ORDER = (JobState.QUEUED, JobState.STARTING, JobState.RUNNING)


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    """Wait until `condition` holds."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, f"not within {timeout:g} s: {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Training:
    """A training of so many lines at so many a second: `lines` / `rate` is how long it takes."""

    lines: int = 200
    rate: float = 40.0
    on_term: str = "die"
    """``die``; ``exit`` after the line, with a note of when; or ``ignore``."""

    def start(self, engine: Engine, **request: Any) -> Job:
        """Submit it; `request` goes to `Jobs.train`."""
        rc = engine({"train.py": Path(script.__file__).read_text("utf-8")})
        arguments = ["--lines", str(self.lines), "--rate", str(self.rate), "--on-term", self.on_term]
        job = rc.jobs.train("train.py", arguments=arguments, **request)
        assert isinstance(job, Job)
        return job


@dataclass(frozen=True)
class LogCount:
    """What became of the lines of a log."""

    expected: int
    seen: int
    doubled: int
    missing: int


def count_lines(log: bytes, expected: Sequence[int]) -> LogCount:
    """Count the lines that were to come, came, came twice and did not come."""
    seen = Counter(int(number) for number in _LINE.findall(log))
    doubled = sum(times - 1 for times in seen.values())
    return LogCount(len(expected), len(seen), doubled, len(set(expected) - set(seen)))


def check_log(
    job: Job, training: Training, *, printed: int | None = None, start: int = 1, attempt: int | None = None
) -> LogCount:
    """Check that the log is exactly what the script printed.

    Parameters
    ----------
    printed
        Last line that was printed for certain, for a script that did not come to its end. The line after it may
        have been printed in part.
    start
        The first line: after 1 for an attempt that went on from a checkpoint.
    attempt
        Number of the attempt; all of them together by default.
    """
    log = Log(job, script_only=True, attempt=attempt).read()
    whole = expected_log(training.lines, start)
    told = count_lines(log, range(start, 1 + (training.lines if printed is None else printed)))
    if printed is None:
        assert log == whole, told
    else:
        least = len(expected_log(training.lines, start, printed))
        most = len(expected_log(training.lines, start, printed + 1))
        assert whole.startswith(log), told
        assert least <= len(log) <= most, (told, least, len(log), most)
    return told


def check_checkpoints(
    job: Job, boto: Boto, training: Training, *, printed: int | None = None, start: int = 1, attempt: int = 1
) -> int:
    """Check that every visible checkpoint is whole and every whole one is visible, once; returns how many there are.

    Parameters
    ----------
    printed
        Last line that was printed, for a script that did not come to its end. What it had saved then, except at
        that last line, must be there.
    """
    s3, keys = boto("s3"), JobKeys(job.id)
    made: list[str] = []
    objects = objects_under(boto, keys.checkpoints_prefix)
    last = training.lines if printed is None else printed
    possible = script.expected_checkpoints(min(last + 1, training.lines), start)
    certain = set(script.expected_checkpoints(last if printed is None else last - 1, start))
    names: list[str] = []
    known = {keys.latest_checkpoint}
    manifests = [k for k in objects if re.fullmatch(rf"{keys.checkpoints_prefix}{attempt}-\d+\.json", k)]
    for seq, key in enumerate(sorted(manifests)):
        manifest = CheckpointManifest.from_json(_read(s3, key))
        assert (manifest.attempt, manifest.seq) == (attempt, seq), key
        files = {}
        for file in manifest.files:
            place = keys.checkpoint_data(attempt, seq) + file.path
            data = _read(s3, place)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256), place
            files[file.path] = data
            known.add(place)
        assert manifest.name in possible, manifest.name
        assert files == possible[manifest.name], f"{manifest.name} holds other bytes than were saved"
        names.append(manifest.name)
        made.append(manifest.created_at)
        known.add(key)
    assert len(names) == len(set(names)), names
    assert certain <= set(names), certain - set(names)
    if names:
        latest = LatestCheckpoint.from_json(_read(s3, keys.latest_checkpoint))
        # Not the last that was stored: when time is short the newest goes first.
        newest = max(range(len(names)), key=lambda seq: (made[seq], seq))
        assert (latest.attempt, latest.seq) == (attempt, newest)
        (shown,) = [each for each in job.checkpoints() if each.latest]
        assert (shown.attempt, shown.name) == (attempt, names[newest])
    shown_names = [each.name for each in job.checkpoints() if each.attempt == attempt]
    # The oldest first, which is not always the order in which they were stored.
    assert shown_names == [names[seq] for seq in sorted(range(len(names)), key=lambda seq: (made[seq], seq))]
    if printed is None:
        # What is left behind of a try that failed would be paid for, for ever.
        assert {key for key in objects if key.startswith(f"{keys.checkpoints_prefix}{attempt}-")} <= known
        assert not s3.list_multipart_uploads(Bucket=BUCKET, Prefix=PREFIX + keys.prefix).get("Uploads")
    return len(names)


def check_outputs(job: Job, boto: Boto, training: Training) -> None:
    """Check that the outputs of a script that came to its end are there, byte for byte, and counted."""
    s3, prefix = boto("s3"), JobKeys(job.id).outputs_prefix
    expected = script.expected_outputs(training.lines)
    found = {key.removeprefix(prefix): _read(s3, key) for key in objects_under(boto, prefix)}
    assert found == expected
    assert (job.status.output_count, job.status.output_bytes) == (len(expected), sum(map(len, expected.values())))


def check_success(job: Job, boto: Boto, training: Training, *, attempt: int = 1, start: int = 1) -> LogCount:
    """Check all of a job whose script came to its end."""
    assert (job.state, job.exit_code, job.cause) == (JobState.SUCCEEDED, 0, None)
    told = check_log(job, training, start=start, attempt=attempt)
    count = check_checkpoints(job, boto, training, start=start, attempt=attempt)
    assert job.status.checkpoint_count == count
    assert job.status.log_bytes == len(Log(job, attempt=attempt).read())
    check_outputs(job, boto, training)
    assert processes_of(job.id) == []
    return told


def objects_under(boto: Boto, prefix: str) -> list[str]:
    """Return the keys of the record under a prefix of it."""
    pages = boto("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX + prefix)
    return [str(each["Key"]).removeprefix(PREFIX) for page in pages for each in page.get("Contents", [])]


def _read(s3: Any, key: str) -> bytes:
    data: bytes = s3.get_object(Bucket=BUCKET, Key=PREFIX + key)["Body"].read()
    return data


def run_on(boto: Boto, instance_id: str, command: str) -> str:
    """Run a shell command on a machine, as its root, and return what it prints."""
    ssm = boto("ssm")
    sent = ssm.send_command(
        InstanceIds=[instance_id], DocumentName="AWS-RunShellScript", Parameters={"commands": [command]}
    )
    told: dict[str, Any] = {}

    def ended() -> bool:
        try:
            told.update(ssm.get_command_invocation(CommandId=sent["Command"]["CommandId"], InstanceId=instance_id))
        except ssm.exceptions.InvocationDoesNotExist:
            return False
        return told["Status"] in ("Success", "Failed", "TimedOut", "Cancelled")

    wait_for(ended, command)
    assert told["Status"] == "Success", told
    return str(told["StandardOutputContent"])


def printed_on(boto: Boto, job: Job, attempt: int = 1) -> int:
    """Return the last line that the script of a job has printed for certain, by its own note on the machine's disk."""
    assert job.instance_id is not None
    place = f"${{RUNCTL_ROOT:-/var/lib/runctl}}/jobs/{job.id}/{attempt}/work/printed"
    return int(run_on(boto, job.instance_id, f'cat "{place}"'))


def processes_of(job_id: str, upto_attempt: int | None = None) -> list[psutil.Process]:
    """Return the living processes of a job's script, on whatever machine of the sandbox they are."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            environ = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has ended, or belongs to somebody else
        attempt = int(environ.get("RUNCTL_ATTEMPT", "0"))
        if environ.get("RUNCTL_JOB_ID") == job_id and (upto_attempt is None or attempt <= upto_attempt):
            found.append(process)
    return found


class Follower:
    """Follows a job's script in a thread, as a notebook would: every byte once, whatever happens to S3."""

    def __init__(self, job: Job) -> None:
        self.troubles: list[str] = []
        self._log = Log(job, follow=True, script_only=True, on_trouble=self.troubles.append)
        self._got: list[bytes] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            for data in self._log:
                self._got.append(data)
        except BaseException as error:
            self._error = error

    @property
    def got(self) -> bytes:
        """What has come so far."""
        return b"".join(self._got)

    @property
    def lines(self) -> int:
        """The last line of which something has come."""
        return max((int(number) for number in _LINE.findall(self.got)), default=0)

    def await_line(self, line: int, timeout: float = 60.0) -> None:
        """Wait until a line has come."""
        wait_for(lambda: self.lines >= line or not self._thread.is_alive(), f"line {line} in the log", timeout)
        assert self.lines >= line, f"the follower ended after line {self.lines}: {self._error!r}"

    def result(self, timeout: float = 60.0) -> bytes:
        """Wait for the end of the log and return all of it."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"the follower hangs after line {self.lines}: {self.troubles}"
        if self._error is not None:
            raise self._error
        return self.got


class Watch:
    """Looks at a job as `runctl jobs --json` does, again and again, and compares that with the machine.

    A context manager; leaving it raises what was wrong.
    """

    def __init__(self, rc: Runctl, job_id: str, period_s: float = 0.3) -> None:
        self._rc, self._job_id, self._period_s = rc, job_id, period_s
        self.seen: list[Mapping[str, Any]] = []
        self.failures: list[RunctlError] = []
        """Looks that the API did not answer. That is allowed while it is broken; a wrong answer never is."""
        self.problems: list[str] = []
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join(90)
        assert not self._thread.is_alive(), "runctl jobs --json hangs"
        if kind is None:
            self._look()
        assert self.problems == [], "\n".join(self.problems)

    def states(self) -> list[str]:
        """Return the states it has seen, each change once."""
        states = [str(each["state"]) for each in self.seen]
        return [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]

    def _run(self) -> None:
        while not self._over.wait(self._period_s):
            self._look()

    def _look(self) -> None:
        self.looks += 1
        try:
            shown = [job.to_dict() for job in self._rc.jobs.list()]
        except RunctlError as error:
            self.failures.append(error)
            return
        except BaseException as error:
            self.problems.append(f"jobs --json ended with {error!r}")
            return
        rows = [each for each in shown if each["id"] == self._job_id]
        if not rows:
            if self.seen:
                self.problems.append(f"the job is not listed any more: {self.seen[-1]}")
            return
        try:
            self._compare(rows[0], self.seen[-1] if self.seen else None)
        except Exception as error:
            self.problems.append(f"{error!r} about {rows[0]}")
        self.seen.append(rows[0])

    def _compare(self, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
        state = JobState(row["state"])
        if state.ended:
            alive = processes_of(self._job_id, row["attempt"])
            if alive:
                self.problems.append(f"{state} is shown while {alive} live")
            if row["ended_at"] is None:
                self.problems.append(f"{state} without a time: {row}")
        if before is None:
            return
        was, moved = JobState(before["state"]), (before, row)
        if row["attempt"] < before["attempt"]:
            self.problems.append(f"the attempt went back: {moved}")
        elif row["attempt"] == before["attempt"]:
            if was.ended and row != before:
                self.problems.append(f"an end changed: {moved}")
            elif not was.ended and not state.ended and _ORDER.index(state) < _ORDER.index(was):
                self.problems.append(f"the state went back: {moved}")
        for name in ("log_bytes", "checkpoint_count"):
            if row[name] < before[name]:
                self.problems.append(f"{name} shrank: {moved}")


@dataclass
class FaultBox:
    """Puts faults into the sandbox and takes them out again."""

    connection: Connection
    ids: list[str] = field(default_factory=list)
    _past_hits: int = 0

    def put(self, kind: str, **rule: Any) -> str:
        """Put a fault in force; `rule` as in `faults_client.add`. Returns its id."""
        fault = faults_client.add(self.connection, kind, **rule)
        self.ids.append(fault.id)
        return fault.id

    def state(self, fault_id: str) -> faults_client.FaultState:
        """Return what a fault is about and how often it was hit."""
        (found,) = [each for each in faults_client.list(self.connection) if each.id == fault_id]
        return found

    def hits(self) -> int:
        """Return how often the faults of this test were hit, all together."""
        return self._past_hits + sum(each.hits for each in faults_client.list(self.connection) if each.id in self.ids)

    def await_hit(self, fault_id: str, timeout: float = 60.0) -> None:
        """Wait until a fault was hit."""
        wait_for(lambda: self.state(fault_id).hits > 0, f"a hit of {fault_id}", timeout)

    def await_over(self, fault_id: str, timeout: float = 120.0) -> None:
        """Wait until a fault has ended by itself."""
        wait_for(lambda: not self.state(fault_id).active, f"the end of {fault_id}", timeout)

    def clear(self) -> None:
        """End all faults of this test."""
        self._past_hits = self.hits()
        for fault_id in self.ids:
            faults_client.clear(self.connection, fault_id)
        self.ids.clear()


def table_row(path: Path, facts: Mapping[str, Any]) -> None:
    """Append a row to the table of faults; workers of a run share the file."""
    with path.open("ab", buffering=0) as table:
        table.write(json.dumps(facts, ensure_ascii=False).encode() + b"\n")
