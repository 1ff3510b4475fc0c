"""Figures of the log: nothing lost at any rate, and what runner and keeper cost. Not a test: it prints a table.

``python tests/bench/logs.py [--seconds 60] [--gb 2]`` (needs the extras ``sandbox`` and ``test``). Every job is a real
one on a plain machine of the sandbox, which runs on the same cores: S3 itself takes most of the CPU time of a flood.
CPU shares are those of the runner and its keeper alone, while the script prints.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runctl_jupyter.run_record import AttemptKeys, from_iso
from runctl_jupyter.run_record.layout import CHUNK_TIME
from tests.bench.sandboxed import Meter, attempt_folder, load, machine_with, sandbox, show

COLUMNS = ("what", "measured", "runner + keeper", "requests", "beside it", "aim", "load")
PUT_USD = 0.005 / 1000
LATE_S = 120
FIRST_S, LAST_S = 10.0, 5.0

PRINTER = """\
import json, os, sys, time
rate, seconds, size, result = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
pad = b"x" * (size - 29) + b"\\n"
count, tick, write = int(rate * seconds), max(1, int(rate / 100)), os.write
began, wall, done = time.monotonic(), time.time(), 0
while done < count:
    behind = began + done / rate - time.monotonic()
    if behind > 0:
        time.sleep(behind)
    stamp = b" %.6f " % time.time()
    for i in range(done, min(count, done + tick)):
        write(1, b"%09d%s%s" % (i, stamp, pad))
    done += tick
ended = time.monotonic()
with open(result, "w") as stream:
    json.dump({"began": began, "ended": ended}, stream)
"""
"""Numbered lines at a steady rate, each in a write of its own as Python's unbuffered ``print`` does it."""

FLOOD = """\
import json, os, sys, time
count, result = int(sys.argv[1]), sys.argv[2]
body = b"".join(b"%06d %s\\n" % (i, b"loss 0.1234 " * 8) for i in range(600))
began = time.monotonic()
for i in range(count):
    data = memoryview(b"block %d\\n" % i + body)
    while data:
        data = data[os.write(1, data):]
ended = time.monotonic()
with open(result, "w") as stream:
    json.dump({"began": began, "ended": ended, "block": len(body)}, stream)
"""
"""As fast as the pipe takes it; the same bytes whenever it runs."""

FOLLOWER = """\
import json, psutil, re, sys, time
from runctl_jupyter.orchestration import Runctl
stamped = re.compile(rb"^\\d{9} (\\d+\\.\\d{6}) ", re.MULTILINE)
job = Runctl(target="sandbox", cwd=sys.argv[1]).jobs.get(sys.argv[2])
me = psutil.Process()
began, ages, size, rss = None, [], 0, [me.memory_info().rss]
for chunk in job.logs(follow=True):
    seen = time.time()
    began = began or seen
    size += len(chunk)
    rss.append(me.memory_info().rss)
    first, last = stamped.search(chunk), None
    if first and float(first[1]) > began:
        for last in stamped.finditer(chunk, max(0, len(chunk) - 4096)):
            pass
        ages += [seen - float(first[1]), seen - float((last or first)[1])]
used = me.cpu_times()
print(json.dumps({"ages": ages, "size": size, "before_mb": rss[0] / 1e6, "peak_mb": max(rss) / 1e6,
                  "cpu_s": used.user + used.system}))
"""
"""Follows a job; ages of the first and the last line of each chunk when it is seen, once it has caught up."""


@dataclass(frozen=True)
class Printed:
    """What a printer says of itself."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Bench:
    """A sandbox machine, and what runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.rc = machine_with(self.project, {"printer.py": PRINTER, "flood.py": FLOOD})
        self.result = folder / "result.json"

    def start(self, script: str, *arguments: object) -> tuple[Any, Meter]:
        """Start a job whose script is told where to write down what it has done."""
        self.result.unlink(missing_ok=True)
        job = self.rc.jobs.train(script, on="bench", arguments=[*map(str, arguments), str(self.result)])
        return job, Meter.of_job(job.id)

    def printed(self) -> Printed:
        """Wait until the script has printed everything."""
        until = time.monotonic() + 20 * LATE_S
        while not self.result.exists() or not self.result.stat().st_size:
            assert time.monotonic() < until, "the script has not ended"
            time.sleep(0.05)
        said = json.loads(self.result.read_text())
        return Printed(said["began"], said["ended"])

    def bare(self, shell: str, *arguments: object) -> float:
        """Return the lines a second that the printer reaches without a job, its output going into `shell`."""
        self.result.unlink(missing_ok=True)
        words = " ".join(map(str, (sys.executable, self.project / "printer.py", *arguments, self.result)))
        subprocess.run(f"{words} {shell}", shell=True, check=True, cwd=self.folder)
        rate, seconds = (float(str(each)) for each in arguments[:2])
        return rate * seconds / self.printed().seconds

    def follower(self, job: Any) -> subprocess.Popen[bytes]:
        """Follow a job in a process of its own."""
        job.launched()
        command = [sys.executable, "-c", FOLLOWER, str(self.project), job.id]
        return subprocess.Popen(command, stdout=subprocess.PIPE)


@dataclass(frozen=True)
class Faults:
    """How a log differs from what was printed."""

    lines: int
    lost: int
    doubled: int
    out_of_order: int

    def __str__(self) -> str:
        return f"lost {self.lost}, doubled {self.doubled}, out of order {self.out_of_order}"


def compare(log: Iterable[bytes], count: int) -> Faults:
    """Compare a log with the lines 0 to `count` - 1."""
    seen = bytearray(count)
    lines = doubled = out_of_order = 0
    before, rest = -1, b""
    for chunk in log:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number = int(line[:9])
            lines += 1
            doubled += seen[number]
            out_of_order += number < before
            seen[number], before = 1, number
    assert not rest, "the last line has no end"
    return Faults(lines, seen.count(0), doubled, out_of_order)


def puts(job: Any) -> str:
    """Tell what a log's chunks cost at list price: while there are tokens, and as long as it goes on."""
    store, keys = job.record.store, AttemptKeys(job.id, 1)
    chunks = range(job.refresh().status.log_chunks)
    times = [from_iso(store.head(keys.chunk(seq)).metadata[CHUNK_TIME]) for seq in chunks]
    since_begin = [(each - times[0]).total_seconds() for each in times]
    end = since_begin[-1]
    first = sum(each < FIRST_S for each in since_begin) / min(FIRST_S, end)
    text = f"{len(times)} PUT: {first:.1f}/s at first"
    if end < 2 * FIRST_S:
        return text
    later = sum(each > end - LAST_S for each in since_begin) / LAST_S
    return f"{text}, {later:.1f}/s in the end: ${later * 3600 * PUT_USD:.3f}/h"


def percentiles(ages: list[float]) -> str:
    """Return p50, p95 and maximum in milliseconds."""
    cuts = statistics.quantiles(ages, n=20)
    return f"p50 {1000 * statistics.median(ages):.0f}, p95 {1000 * cuts[18]:.0f}, max {1000 * max(ages):.0f} ms"


def steady(bench: Bench, rate: int, seconds: float, size: int, *, beside: bool, aim: str) -> Iterator[tuple[str, ...]]:
    """Print at a steady rate and count every line; `beside` prints the same without a job, too."""
    arguments = (rate, seconds, size)
    job, meter = bench.start("printer.py", *arguments)
    printed = bench.printed()
    job.wait(LATE_S)
    stored_after = time.monotonic() - printed.ended
    meter.stop()
    busy = load()
    count = int(rate * seconds)
    faults = compare(job.logs(script_only=True), count)
    rivals = ""
    if beside:
        to_file, through_cat = bench.bare("> bare.log", *arguments), bench.bare("| cat > bare.log", *arguments)
        rivals = f"> file {to_file:,.0f}/s; | cat > file {through_cat:,.0f}/s"
    yield (
        f"{rate:,} lines/s of {size} B for {seconds:.0f} s",
        (
            f"{count:,} printed at {count / printed.seconds:,.0f}/s; {faults.lines:,} in the record: {faults}; "
            f"all stored and ended {stored_after:.1f} s after the last"
        ),
        f"{meter.cpu_percent(printed.began, printed.ended):.1f} % of a core, peak {meter.peak_mb:.0f} MB",
        puts(job),
        rivals,
        aim,
        busy,
    )


def flood(bench: Bench, gigabytes: float) -> Iterator[tuple[str, ...]]:
    """Print as fast as it goes and compare hashes."""
    block = len(b"".join(b"%06d %s\n" % (i, b"loss 0.1234 " * 8) for i in range(600)))
    count = int(gigabytes * 1e9 / block)
    job, meter = bench.start("flood.py", count)
    printed = bench.printed()
    job.wait(20 * LATE_S)
    ended = time.monotonic()
    meter.stop()
    busy = load()
    digest, size = hashlib.sha256(), 0
    for chunk in job.logs(script_only=True):
        digest.update(chunk)
        size += len(chunk)
    line = f"import sys; sys.argv[1:] = ['{count}', '/dev/null']"
    alone = subprocess.Popen([sys.executable, "-c", f"{line}\n{FLOOD}"], stdout=subprocess.PIPE)
    expected = hashlib.sha256()
    if alone.stdout is not None:
        while data := alone.stdout.read(1 << 20):
            expected.update(data)
    alone.wait()
    spool = attempt_folder(job.id) / "spool" / "stream.log"
    same = "equal by sha256" if digest.digest() == expected.digest() else "NOT EQUAL"
    took = ended - printed.began
    yield (
        f"{gigabytes:g} GB as fast as it goes",
        (
            f"{size / 1e9:.2f} GB, {same}; printed at {size / printed.seconds / 1e6:.0f} MB/s, "
            f"stored at {size / took / 1e6:.0f} MB/s"
        ),
        f"{meter.cpu_s:.1f} s of CPU, peak {meter.peak_mb:.0f} MB",
        f"{job.refresh().status.log_chunks} PUT",
        f"disk {spool.stat().st_blocks * 512 / 1e9:.2f} GB until the job's folder goes",
        "without loss, < 100 MB",
        busy,
    )


def followed(bench: Bench, rate: int, seconds: float, size: int, aim: str) -> Iterator[tuple[str, ...]]:
    """Follow a printer, in a process of the follower's own."""
    job, meter = bench.start("printer.py", rate, seconds, size)
    follower = bench.follower(job)
    printed = bench.printed()
    out, _ = follower.communicate(timeout=LATE_S)
    caught_up = time.monotonic() - printed.ended
    job.wait(LATE_S)
    meter.stop()
    said = json.loads(out)
    missing = "" if said["size"] >= size * int(rate * seconds) else " BYTES ARE MISSING"
    yield (
        f"follower of {rate:,} lines/s of {size} B for {seconds:.0f} s",
        f"printed → seen {percentiles(said['ages'])}; over {caught_up:.1f} s after the last line{missing}",
        f"{meter.cpu_percent(printed.began, printed.ended):.1f} % of a core, peak {meter.peak_mb:.0f} MB",
        puts(job),
        (
            f"follower {100 * said['cpu_s'] / printed.seconds:.0f} % of a core, "
            f"{said['peak_mb']:.0f} MB ({said['before_mb']:.0f} MB before)"
        ),
        aim,
        load(),
    )


def main() -> None:
    """Run every part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the flow of 100,000 lines a second")
    parser.add_argument("--gb", type=float, default=2.0, help="of the flood")
    parser.add_argument("--only", choices=["fast", "flood", "slow", "follow"], action="append")
    options = parser.parse_args()
    half, only = options.seconds / 2, options.only or ["fast", "flood", "slow", "follow"]
    rows: list[tuple[str, ...]] = []
    with sandbox() as folder:
        bench = Bench(folder)
        if "fast" in only:
            rows += steady(bench, 100_000, options.seconds, 60, beside=True, aim="without loss, < 100 MB")
        if "flood" in only:
            rows += flood(bench, options.gb)
        if "slow" in only:
            rows += steady(bench, 1_000, half, 60, beside=False, aim="< 2 % of a core")
            rows += steady(bench, 1_000, half, 1_000, beside=False, aim="few PUT")
        if "follow" in only:
            rows += followed(bench, 20, min(10.0, half), 60, "p95 ≤ 200 ms while tokens last")
            rows += followed(bench, 100_000, half, 60, "keeps up")
    show("The log of a job", COLUMNS, rows)


if __name__ == "__main__":
    main()
