"""Outputs: stored while the script runs, whole when it is over, and what stands in the way of that."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runctl_jupyter.run_record import StoreError
from runctl_jupyter.runner.backoff import Backoff
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.files import FileChanged, FolderFiles, StoredFile
from runctl_jupyter.runner.outputs import OutputUploader
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.sigv4 import Credentials
from tests.runner.machines import until
from tests.runner.services import BUCKET, s3_behind_front

PREFIX = "jobs/job-1/outputs/"


class WatchedStore(FolderFiles):
    """Remembers which files came, and lets something happen before and after one is taken."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.came: list[str] = []
        self.before: Callable[[str], object] = lambda _: None
        self.after: Callable[[str], object] = lambda _: None

    def put_file(self, key: str, path: Path) -> StoredFile:
        name = key.removeprefix(PREFIX)
        self.came.append(name)
        self.before(name)
        sent = super().put_file(key, path)
        self.after(name)
        return sent


class Outputs:
    """An output folder and its uploader."""

    def __init__(self, at: Path) -> None:
        self.store = WatchedStore(at / "record")
        self.path = at / "outputs"
        self.path.mkdir()
        self.said: list[str] = []
        self.uploader = OutputUploader(self.store, PREFIX, self.path, 0.02, self.said.append)

    def write(self, name: str, data: bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def stored(self) -> dict[str, bytes]:
        base = self.store.root / PREFIX
        return {p.relative_to(base).as_posix(): p.read_bytes() for p in sorted(base.rglob("*")) if p.is_file()}

    def looks_pass(self) -> None:
        """Wait until a look that began after this call is over, by what it stores."""
        for turn in ("first", "second"):
            name = f"marks/{time.monotonic_ns()}-{turn}"
            self.write(name, b"")
            until(lambda name=name: name in self.stored())  # type: ignore[misc]

    def finish(self, seconds: float = 20.0) -> list[str]:
        return self.uploader.finish(time.monotonic() + seconds)


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outputs]:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.001)
    found = Outputs(tmp_path)
    yield found
    found.store.before = lambda _: None
    found.finish(0.0)


def test_files_are_stored_while_the_script_runs_and_only_when_they_change(outputs: Outputs) -> None:
    outputs.uploader.start()
    outputs.write("a/model.bin", b"one")
    until(lambda: outputs.stored() == {"a/model.bin": b"one"})
    outputs.looks_pass()
    outputs.write("a/model.bin", b"two")
    until(lambda: outputs.stored()["a/model.bin"] == b"two")
    assert outputs.finish() == []
    assert outputs.store.came.count("a/model.bin") == 2
    assert not any(outputs.store.came.count(name) > 1 for name in outputs.stored() if name.startswith("marks/"))
    assert (outputs.uploader.count, outputs.uploader.bytes) == (3, 3)
    assert outputs.said == [f"outputs: 3 files, 3 B in {outputs.store.root}/{PREFIX.rstrip('/')}, verified"]


def test_the_first_look_comes_after_the_period(outputs: Outputs) -> None:
    uploader = OutputUploader(outputs.store, PREFIX, outputs.path, 3600.0, outputs.said.append)
    path = outputs.write("old", b"from before")
    os.utime(path, (1e9, 1e9))
    uploader.start()
    until(lambda: uploader._seen is not None)
    assert outputs.store.came == []
    assert uploader.finish(time.monotonic() + 20) == []
    assert outputs.stored() == {"old": b"from before"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which files are open")
def test_a_file_that_is_being_written_waits_until_the_end(outputs: Outputs) -> None:
    path = outputs.path / "log"
    writer = "import sys; s = open(sys.argv[1], 'w', buffering=1); s.write('half\\n'); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", writer, str(path)], stdin=subprocess.PIPE)
    try:
        until(lambda: path.is_file() and path.stat().st_size)
        outputs.uploader.start()
        outputs.looks_pass()
        assert "log" not in outputs.store.came
        assert outputs.finish() == []
        assert outputs.stored()["log"] == b"half\n"
    finally:
        process.communicate()


def test_what_counts_as_an_output(outputs: Outputs, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "best.bin").write_bytes(b"best")
    outputs.write("deep/er/file", b"deep")
    outputs.write("empty", b"")
    outputs.write(".hidden", b"hidden")
    (outputs.path / "link.bin").symlink_to(elsewhere / "best.bin")
    (outputs.path / "folder").symlink_to(elsewhere)
    (outputs.path / "circle").symlink_to(outputs.path)
    (outputs.path / "dangling").symlink_to("nowhere")
    os.mkfifo(outputs.path / "pipe")
    assert outputs.finish() == []
    assert outputs.stored() == {"deep/er/file": b"deep", "empty": b"", ".hidden": b"hidden", "link.bin": b"best"}


def test_names_that_are_no_utf8_are_told(outputs: Outputs) -> None:
    try:
        Path(os.fsdecode(os.fsencode(outputs.path) + b"/caf\xe9")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    outputs.write("two\nlines", b"fine")
    outputs.uploader.start()
    until(lambda: outputs.stored() == {"two\nlines": b"fine"})
    assert outputs.finish() == ["output caf\\udce9 was not stored: its name is not UTF-8"]
    assert outputs.said == [f"outputs: 1 of 2 files are NOT in {outputs.store.root}/{PREFIX.rstrip('/')}"]


def test_nothing_is_said_of_nothing(outputs: Outputs) -> None:
    assert outputs.finish() == []
    assert outputs.said == []


def test_what_is_removed_later_stays_stored(outputs: Outputs) -> None:
    outputs.uploader.start()
    path = outputs.write("a", b"a")
    until(lambda: outputs.uploader.count == 1)
    path.unlink()
    assert outputs.finish() == []
    assert outputs.stored() == {"a": b"a"}
    assert "1 file, 1 B" in outputs.said[0]


def test_an_earlier_runs_file_is_written_over(outputs: Outputs) -> None:
    outputs.store.put(PREFIX + "a", b"of an earlier run")
    outputs.write("a", b"new")
    assert outputs.finish() == []
    assert outputs.stored() == {"a": b"new"}


def test_what_has_gone_from_the_store_is_sent_again(outputs: Outputs) -> None:
    outputs.uploader.start()
    outputs.write("a", b"a")
    outputs.write("b", b"b")
    until(lambda: outputs.uploader.count == 2)
    (outputs.store.root / PREFIX / "a").unlink()
    (outputs.store.root / PREFIX / "b").write_bytes(b"somebody else's")
    assert outputs.finish() == []
    assert outputs.stored() == {"a": b"a", "b": b"b"}


def test_a_file_that_changes_while_it_is_sent_is_sent_again(outputs: Outputs) -> None:
    path = outputs.write("a", b"first")

    def change_before(name: str) -> None:
        if outputs.store.came == ["a"]:
            path.write_bytes(b"second, longer")
            raise FileChanged(name)

    def change_after(name: str) -> None:
        if len(outputs.store.came) == 2:
            path.write_bytes(b"third")

    outputs.store.before, outputs.store.after = change_before, change_after
    assert outputs.finish() == []
    assert outputs.store.came == ["a", "a", "a"]
    assert outputs.stored() == {"a": b"third"}
    assert (outputs.uploader.count, outputs.uploader.bytes) == (1, 5)


def test_a_file_that_never_rests_is_told(outputs: Outputs) -> None:
    path = outputs.write("a", b"a")

    def change(name: str) -> None:
        path.write_bytes(path.read_bytes() + b"a")
        raise FileChanged(name)

    outputs.store.before = change
    assert outputs.finish(0.2) == ["output a was not stored: it was written to all the time"]


def test_one_file_that_cannot_be_stored_does_not_hold_up_the_others(outputs: Outputs) -> None:
    def fail(name: str) -> None:
        if name.startswith("bad"):
            raise StoreError("connection lost", transient=True)

    outputs.store.before = fail
    for number in range(20):
        outputs.write(f"bad-{number:02}", b"")
    outputs.write("good", b"the largest of them, hence the last")
    assert len(outputs.finish(0.3)) == 11
    assert list(outputs.stored()) == ["good"]


def test_a_store_that_fails_for_a_while_is_waited_for(outputs: Outputs) -> None:
    def fail(name: str) -> None:
        if outputs.store.came.count(name) < 4:
            raise StoreError("connection lost", transient=True)

    outputs.store.before = fail
    for name in "abc":
        outputs.write(name, name.encode())
    assert outputs.finish() == []
    assert outputs.stored() == {"a": b"a", "b": b"b", "c": b"c"}


def test_a_refusal_is_told_once_while_the_script_runs_and_counted_at_the_end(outputs: Outputs) -> None:
    def refuse(name: str) -> None:
        if name != "good":
            raise StoreError("not allowed")

    outputs.store.before = refuse
    for number in range(13):
        outputs.write(f"bad-{number:02}", b"x")
    outputs.write("good", b"x")
    outputs.uploader.start()
    until(lambda: outputs.store.came.count("bad-03") >= 3)
    assert len(outputs.said) == 1
    assert "not allowed" in outputs.said[0]
    problems = outputs.finish(0.3)
    assert problems[0] == "output bad-00 was not stored: not allowed"
    assert problems[10:] == ["3 more outputs were not stored"]
    assert outputs.said[1:] == [f"outputs: 13 of 14 files are NOT in {outputs.store.root}/{PREFIX.rstrip('/')}"]


def test_the_end_does_not_wait_for_what_is_under_way_nor_send_it_twice(outputs: Outputs) -> None:
    gate = threading.Event()
    outputs.store.before = lambda name: name == "large" and gate.wait(20)
    outputs.uploader.start()
    outputs.write("large", b"large")
    until(lambda: "large" in outputs.store.came)
    outputs.write("late", b"late")
    problems: list[str] = []
    ending = threading.Thread(target=lambda: problems.extend(outputs.finish()))
    ending.start()
    until(lambda: outputs.stored() == {"late": b"late"})
    gate.set()
    ending.join(20)
    assert not ending.is_alive()
    assert problems == []
    assert outputs.stored() == {"large": b"large", "late": b"late"}
    assert outputs.store.came.count("large") == 1


def test_when_the_time_is_up_what_is_left_is_told(outputs: Outputs) -> None:
    outputs.write("a", b"a")
    assert outputs.finish(-1.0) == ["output a was not stored: no time was left"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(outputs: Outputs) -> None:
    outputs.write("closed/a", b"a")
    (outputs.path / "closed").chmod(0)
    try:
        assert "closed" in outputs.finish()[0]
    finally:
        (outputs.path / "closed").chmod(0o700)


def test_on_s3(tmp_path: Path) -> None:
    names = ["with space+plus&%25", "ünï/日本.bin", "plain"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    said: list[str] = []
    with s3_behind_front() as (front, url):
        keys = Credentials("AKID", "secret", "token")
        store = S3Store(BUCKET, "runs/", "us-east-1", CredentialSource(lambda: keys), url)
        uploader = OutputUploader(store, "best/", tmp_path, 0.02, said.append)
        uploader.start()
        until(lambda: uploader.count == len(names))
        assert uploader.finish(time.monotonic() + 20) == []
        assert {name: store.get(f"best/{name}").data for name in names} == {name: name.encode() for name in names}
        assert sum(method == "PUT" for method, _ in front.seen) == len(names)
    assert said == [f"outputs: 3 files, {uploader.bytes} B in s3://{BUCKET}/runs/best, verified"]
