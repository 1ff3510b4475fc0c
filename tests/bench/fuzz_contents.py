"""Long runs of changed files against the readers of checkpoints. Not a test: it prints a table, keeps what it finds.

``python tests/bench/fuzz_contents.py [--minutes 10] [--only torch] [--keep FOLDER]`` (needs the extra ``test``; h5py,
onnx and torch for files of theirs). Each kind of file has a process of its own. With atheris installed coverage guides
the changes, without it they are random ones of real files. For each input: nothing but `CheckpointUnreadable` is
raised, within 5 s and 512 MB; an audit hook sees nothing imported, compiled, executed, opened or started meanwhile.
"""

from __future__ import annotations

import argparse
import codecs
import importlib.util
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.fuzz_seeds import Seed, seeds
from tests.bench.sandboxed import show

LIMIT_S = 5
MEMORY_BYTES = 512 << 20
MOST_INPUT = 100_000
MOST_FINDINGS = 20
VALUES = 1000
"""Elements that are read of a tensor."""
# What a program does to the world, or with code; "object.__getattr__" and the like are everyday life.
FORBIDDEN = (
    "compile", "exec", "import", "open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "marshal.", "pickle.",
    "code.", "function.", "tempfile.", "urllib.", "webbrowser.",
)  # fmt: skip
NUMBERS = [n.to_bytes(size, order) for size in (1, 2, 4, 8) for order in ("little", "big") for n in (
    0, 1, 127, 128, 255, *((1 << bits) - 1 for bits in (15, 16, 31, 32, 63, 64) if bits <= 8 * size))]  # fmt: skip


class TooLongError(BaseException):
    """An input has taken its seconds; no reader catches it."""


class Fuzzed:
    """One kind of file under fire, in a process of its own."""

    def __init__(self, seed: Seed, keep: Path, report: Path) -> None:
        self.seed, self._keep, self._report = seed, keep, report
        self.inputs, self.refused, self.slowest_s = 0, 0, 0.0
        self.findings: dict[str, str] = {}
        self._seen: list[str] = []
        self._is_watching = False
        # What is loaded at first use is loaded now.
        for encoding in ("cp437", "raw-unicode-escape", "latin-1"):
            codecs.lookup(encoding)
        for example in seed.examples:
            if self._look(example):
                raise SystemExit(f"an example of {seed.what} is refused as it is")
        sys.addaudithook(self._watch)
        signal.signal(signal.SIGALRM, self._too_long)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (pages + MEMORY_BYTES, resource.RLIM_INFINITY))

    def _watch(self, event: str, args: tuple[Any, ...]) -> None:
        if self._is_watching and event.startswith(FORBIDDEN):
            self._seen.append(f"{event} {args!r:.100}")

    def _too_long(self, *_: object) -> None:
        raise TooLongError

    def __call__(self, data: bytes) -> None:
        """Read one input, and note what must not be."""
        self.inputs += 1
        self._seen.clear()
        error: BaseException | None = None
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        self._is_watching = True
        try:
            self.refused += self._look(data)
        except BaseException as raised:
            error = raised
        finally:
            self._is_watching = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
        for each in [*self._seen, *([] if error is None else [_told(error)])]:
            if each and each not in self.findings and len(self.findings) < MOST_FINDINGS:
                self.findings[each] = name = f"{self.seed.what}-{len(self.findings)}".replace(" ", "-").replace(":", "")
                (self._keep / name).write_bytes(data)
        if self.inputs % 200 == 0:
            self.save()

    def _look(self, data: bytes) -> bool:
        """Return whether an input is refused."""
        from runctl_jupyter.orchestration.contents.files import Files
        from runctl_jupyter.orchestration.contents.model import ITEM_BYTES
        from runctl_jupyter.orchestration.contents.reading import read
        from runctl_jupyter.orchestration.errors import CheckpointUnreadable

        held = self.seed.files(data)
        files = Files({n: len(d) for n, d in held.items()}, lambda name, start, end: held[name][start:end])
        try:
            contents = read(files)
        except CheckpointUnreadable as error:
            _check_lines(error)
            return True
        json.dumps(
            [contents.metadata, contents.optimizer, contents.notes], allow_nan=False, ensure_ascii=False
        ).encode()
        for tensor in contents.tensors[:20]:
            tensor.name.encode()
            count = min(tensor.elements, VALUES)
            if tensor.place is not None:
                try:
                    for start in (0, tensor.elements - count):
                        values = tensor.place.read(start, start + count)
                        assert len(values) == count * ITEM_BYTES[tensor.dtype], "other values than asked for"
                except CheckpointUnreadable as error:
                    _check_lines(error)
        return False

    def save(self) -> None:
        """Write what is known so far: the process may be ended at any time."""
        told = {"inputs": self.inputs, "refused": self.refused, "slowest": self.slowest_s, "findings": self.findings}
        self._report.write_text(json.dumps(told))


def _check_lines(error: Exception) -> None:
    if len(str(error).splitlines()) != 2:
        raise AssertionError(f"an error of other than two lines: {error}")


def _told(error: BaseException) -> str:
    """Return what was raised, and where in our code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "runctl_jupyter" in frame.filename] or frames
    return f"{type(error).__name__} {Path(ours[-1].filename).name}:{ours[-1].lineno}: {error!s:.100}"


def with_pieces_moved(pieces: list[bytes], others: list[bytes], rng: random.Random) -> bytes:
    """Return pieces joined, after some of them were dropped, doubled, moved, or taken from elsewhere."""
    found = list(pieces)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(found) + 1)
        what = rng.randrange(4)
        if what == 0:
            del found[at : at + rng.choice((1, 1, 2, 5))]
        elif what == 1:
            found[at:at] = found[at : at + rng.choice((1, 2, 8))] * rng.choice((1, 2, 50))
        elif what == 2:
            found[at:at] = [rng.choice(others)]
        elif at < len(found):
            other = rng.randrange(len(found))
            found[at], found[other] = found[other], found[at]
    return b"".join(found)[:MOST_INPUT]


def changed(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return bytes with some of them changed, cut, doubled, or taken from another example."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(found) + 1)
        what = rng.randrange(7)
        if what == 0:
            found[at : at + 1] = bytes([rng.randrange(256)])
        elif what == 1:
            number = rng.choice(NUMBERS)
            found[at : at + len(number)] = number
        elif what == 2:
            del found[at : at + rng.choice((1, 2, 8, 64, 1 << 20))]
        elif what == 3:
            found[at:at] = found[at : at + rng.choice((1, 4, 32, 256))] * rng.choice((1, 2, 50))
        elif what == 4:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            found[at:at] = other[begin : begin + rng.choice((1, 8, 64, 512))]
        elif what == 5 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        else:
            found[at:at] = bytes(rng.choices(range(256), k=rng.choice((1, 4, 16))))
    return bytes(found[:MOST_INPUT])


def fuzz(what: str, seconds: float, keep: Path, report: Path) -> None:
    """Fuzz one kind of file in this process."""
    seed = next(each for each in seeds() if each.what == what)
    rng = random.Random(0)
    pieces = [] if seed.split is None else [piece for each in seed.examples for piece in seed.split(each)]

    def change(data: bytes) -> bytes:
        if seed.split is not None and rng.random() < 0.7:
            return with_pieces_moved(seed.split(data), pieces, rng)
        return changed(data, seed.examples, rng)

    if importlib.util.find_spec("atheris") is None:
        fuzzed = Fuzzed(seed, keep, report)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fuzzed(change(rng.choice(seed.examples)))
        fuzzed.save()
        return
    import atheris

    with _instrumented(atheris):
        fuzzed = Fuzzed(seed, keep, report)
    corpus = tempfile.mkdtemp(dir=keep)
    for n, example in enumerate(seed.examples):
        Path(corpus, str(n)).write_bytes(example)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        # libFuzzer's own changes know what comparisons look for, ours what files are made of.
        return atheris.Mutate(data, most) if number % 2 else change(data)[:most]

    options = [f"-max_total_time={seconds:.0f}", f"-max_len={MOST_INPUT}", "-rss_limit_mb=0", "-timeout=60"]
    atheris.Setup(["fuzz", *options, corpus], fuzzed, custom_mutator=mutate)
    atheris.Fuzz()


@contextmanager
def _instrumented(atheris: Any) -> Iterator[None]:
    """Instrument our readers, and the libraries of Python that they give foreign bytes to, as they are loaded."""
    for name in ("zipfile", "pickletools"):
        sys.modules.pop(name, None)
    with atheris.instrument_imports(include=["runctl_jupyter.orchestration.contents", "zipfile", "pickletools"]):
        yield


def main() -> None:
    """Fuzz all kinds of files, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", default="", help="kinds whose name begins so")
    parser.add_argument("--keep", type=Path, default=None, help="folder for inputs that found something")
    options = parser.parse_args()
    keep = options.keep or Path(tempfile.mkdtemp(prefix="runctl-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    kinds = [(each.what, each.reader) for each in seeds() if each.what.startswith(options.only)]
    there = [what for what, reader in kinds if importlib.util.find_spec(f"{READERS}.{reader}")]
    rows = []
    for what, _ in kinds:
        if what in there:
            rows.append(_fuzzed(what, 60 * options.minutes / len(there), keep))
            print(*rows[-1], flush=True)
        else:
            rows.append((what, "no reader", "", "", "", ""))
    how = "atheris" if importlib.util.find_spec("atheris") else "random changes"
    show(f"readers of checkpoints, {how}", ("kind", "inputs", "refused", "seconds", "slowest s", "findings"), rows)
    print(f"inputs that found something: {keep}")


READERS = "runctl_jupyter.orchestration.contents"


def _fuzzed(what: str, seconds: float, keep: Path) -> tuple[str, ...]:
    report = keep / "report.json"
    report.unlink(missing_ok=True)
    code = "import sys; from pathlib import Path; from tests.bench.fuzz_contents import fuzz; "
    code += "fuzz(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))"
    began = time.monotonic()
    with (keep / "log").open("wb") as log:
        command = [sys.executable, "-c", code, what, str(seconds), keep, report]
        status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    told = (
        json.loads(report.read_text()) if report.exists() else {"inputs": 0, "refused": 0, "slowest": 0, "findings": {}}
    )
    findings = [f"{each} ({name})" for each, name in told["findings"].items()]
    if status:
        tail = (keep / "log").read_text(errors="replace").strip().splitlines()[-3:]
        findings.append(f"the process ended with {status}: {' / '.join(tail)}")
    figures = f"{told['inputs']:,}", f"{told['refused']:,}", f"{time.monotonic() - began:.0f}", f"{told['slowest']:.2f}"
    return what, *figures, "\n".join(findings) or "none"


if __name__ == "__main__":
    main()
