"""What a log costs: few requests for a fast printer, few wake-ups for a steady one, and still every byte."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runctl_jupyter.run_record import Pacing
from runctl_jupyter.runner.output_pipe import OutputPipe, into
from tests.runner.machines import until
from tests.runner.test_log import close, open_log, stream


def test_without_tokens_a_fast_printers_chunks_grow(tmp_path: Path) -> None:
    store, log = open_log(tmp_path, Pacing(flush_s=0.4, flush_burst=2, flush_quick_s=0.01))
    began, printed = time.monotonic(), 0
    while time.monotonic() - began < 1.2:
        log.write(b"x" * 99_999 + b"\n")
        printed += 100_000
        time.sleep(0.01)
    assert close(log)
    took = time.monotonic() - began
    # Two tokens at first and one more every 0.4 s, chunks that are full, and the last.
    assert store.puts <= 2 + took / 0.4 + printed / (4 << 20) + 2
    assert len(stream(store)) == printed


def test_a_full_chunk_waits_for_no_token(tmp_path: Path) -> None:
    _, log = open_log(tmp_path, Pacing(flush_s=3600, flush_burst=1, flush_quick_s=0.01, chunk_bytes=1000))
    log.write(b"first\n")
    until(lambda: log.stored == (1, 6))
    log.write(b"x" * 999)
    log.write(b"\n")
    until(lambda: log.stored == (2, 1006))
    assert close(log)


def test_a_steady_printer_is_gathered_and_a_burst_is_whole() -> None:
    taken: list[bytes] = []
    output = OutputPipe(into(taken.append))
    writing = output.open_for_writing()
    output.start()
    began, printed = time.monotonic(), b""
    for number in range(500):
        line = b"line %d\n" % number
        os.write(writing, line)
        printed += line
        time.sleep(0.001)
    reads, took = len(taken), time.monotonic() - began
    burst = os.urandom(3_000_000)
    left = memoryview(burst)
    while left:
        left = left[os.write(writing, left) :]
    output.close_for_writing()
    output.join(20)
    assert b"".join(taken) == printed + burst
    # Each read has been waited for, or has been gathered, for 10 ms.
    assert reads <= took / 0.01 + 2
