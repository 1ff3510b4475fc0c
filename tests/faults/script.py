"""A training of which every byte is known beforehand: the script of the fault tests, and what they compare with.

It runs on a machine as ``train.py`` (standard library, Python 3.9) and is imported by the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

BIG_PIECES = 10
BIG_PIECE_BYTES = 2 << 20
"""The big checkpoint is larger than what goes to S3 in one request."""
BIG_NAME = "big_40.bin"
BIG_LINES = range(20, 20 + 2 * BIG_PIECES, 2)
"""Lines after which a piece of it is written, under its own name: it is whole when it is closed."""
SMALL_EVERY, FOLDER_EVERY = 25, 60
TERM_EXIT_CODE = 7


def noise(name: str, size: int) -> bytes:
    """Return bytes that look like any, always the same for a name."""
    return random.Random(name).randbytes(size)


def piece(i: int, lines: int) -> bytes:
    """Return what line `i` of `lines` prints, from 1."""
    head = b"line %06d " % i
    if i == lines:
        return head + b"the last, without an end"
    if i % 25 == 10:
        return head + noise(f"long {i}", 9000).hex().encode() + b"\n"
    if i % 20 == 5:
        return head + b"".join(b"\r %3d%% [%-20s]" % (5 * k, b"#" * k) for k in range(21)) + b"\n"
    if i % 30 == 17:
        return head + noise(f"junk {i}", 700) + b"\n"
    return head + hashlib.sha256(head).hexdigest().encode() + b"\n"


def descriptor(i: int) -> int:
    """Return where line `i` is printed: standard output, or error."""
    return 2 if i % 7 == 3 else 1


def expected_log(lines: int, start: int = 1, upto: int | None = None) -> bytes:
    """Return what is printed from line `start` up to the last, or to line `upto`."""
    end = lines if upto is None else min(upto, lines)
    return b"".join(piece(i, lines) for i in range(start, end + 1))


def checkpoints_after(i: int) -> dict[str, dict[str, bytes]]:
    """Return the checkpoints that are complete when line `i` has been printed: name, then the bytes of each file."""
    made: dict[str, dict[str, bytes]] = {}
    if i and i % SMALL_EVERY == 0:
        name = f"step_{i}.bin"
        made[name] = {name: noise(name, 50_000)}
    if i and i % FOLDER_EVERY == 0:
        name = f"checkpoint-{i}"
        made[name] = {
            "config.json": json.dumps({"step": i}).encode(),
            "model.bin": noise(f"{name} model", 80_000),
            "rank0/optimizer.bin": noise(f"{name} optimizer", 30_000),
        }
    if i == BIG_LINES[-1]:
        made[BIG_NAME] = {BIG_NAME: b"".join(big_piece(k) for k in range(BIG_PIECES))}
    return made


def big_piece(k: int) -> bytes:
    """Return a piece of the big checkpoint."""
    return noise(f"big {k}", BIG_PIECE_BYTES)


def expected_checkpoints(lines: int, start: int = 1) -> dict[str, dict[str, bytes]]:
    """Return all checkpoints of a script that printed the lines from `start` to `lines`."""
    return {name: files for i in range(start, lines + 1) for name, files in checkpoints_after(i).items()}


def expected_outputs(lines: int) -> dict[str, bytes]:
    """Return the outputs of a script that ended by itself."""
    return {
        "result.json": json.dumps({"lines": lines}).encode(),
        "plots/loss.bin": noise("plot", 120_000),
        "with space & ümlaut.txt": b"text\n",
    }


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="lines a second")
    parser.add_argument("--on-term", choices=("die", "exit", "ignore"), default="die")
    options = parser.parse_args()
    outputs, checkpoints = (Path(os.environ[f"RUNCTL_{name}_DIR"]) for name in ("OUTPUT", "CHECKPOINT"))
    checkpoints.mkdir(parents=True, exist_ok=True)
    told: list[float] = []
    if options.on_term != "die":
        signal.signal(signal.SIGTERM, lambda *_: told.append(time.time()))

    first = 1 + _resumed_step()
    counter = os.open("printed", os.O_WRONLY | os.O_CREAT, 0o644)
    _note(counter, first - 1)
    began = time.monotonic()
    big = None
    for i in range(first, options.lines + 1):
        while (wait := began + (i - first) / options.rate - time.monotonic()) > 0:
            time.sleep(wait)
        if told and options.on_term == "exit":
            (outputs / "told.json").write_text(json.dumps({"at": told[0], "printed": i - 1}))
            sys.exit(TERM_EXIT_CODE)
        _print(descriptor(i), piece(i, options.lines))
        _note(counter, i)
        if i in BIG_LINES:
            big = big or (checkpoints / BIG_NAME).open("wb", buffering=0)
            big.write(big_piece(BIG_LINES.index(i)))
        if big and i == BIG_LINES[-1]:
            big.close()
        for name, files in checkpoints_after(i).items():
            if name != BIG_NAME:
                _save(checkpoints, name, files)
    for name, data in expected_outputs(options.lines).items():
        (outputs / name).parent.mkdir(parents=True, exist_ok=True)
        (outputs / name).write_bytes(data)


def _print(where: int, data: bytes) -> None:
    while data:
        data = data[os.write(where, data) :]


def _note(counter: int, i: int) -> None:
    """Write down, on the disk, that line `i` is printed."""
    os.pwrite(counter, b"%06d" % i, 0)
    os.fsync(counter)


def _save(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """Write a checkpoint under a temporary name, and rename it when it is whole."""
    whole, part = folder / name, folder / f"{name}.tmp"
    for file, data in files.items():
        place = part if name in files else part / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    part.rename(whole)


def _resumed_step() -> int:
    """Return the step of the checkpoint to go on from; 0 without one."""
    told = os.environ.get("RUNCTL_RESUME_FROM")
    return 0 if told is None else int("".join(filter(str.isdigit, Path(told).name)))


if __name__ == "__main__":
    main()
