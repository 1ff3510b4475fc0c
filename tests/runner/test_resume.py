"""The checkpoint an attempt goes on from: found, fetched, and whole before anybody sees it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from runctl_jupyter.run_record import (
    Cause,
    CheckpointFile,
    CheckpointManifest,
    JobKeys,
    JobState,
    LatestCheckpoint,
    ResumeFrom,
)
from runctl_jupyter.runner import downloads
from runctl_jupyter.runner.credentials import CredentialSource
from runctl_jupyter.runner.files import FileStore, FolderFiles
from runctl_jupyter.runner.resume import ResumeError, candidates_for_resume, fetch_checkpoint, latest_of
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.sigv4 import Credentials
from runctl_jupyter.runner.stops import Stopped, StopReason, StopSignal
from tests.runner.services import BUCKET, Front

KEYS = Credentials("AKID", "secret", "token")
JOB = "job-1"
NEWEST = ResumeFrom()
FILE = {"epoch.pt": b"weights"}
FOLDER = {"config.json": b"{}", "deep/model.safetensors": bytes(range(256))}


class Record:
    """A job's checkpoints in a store."""

    def __init__(self, store: FileStore, tmp_path: Path) -> None:
        self.store, self.target = store, tmp_path / "resume"
        self.keys = JobKeys(JOB)
        self.lines: list[str] = []
        self.stop = StopSignal()

    def save(
        self, attempt: int, seq: int, name: str, files: dict[str, bytes], *, at: int = 0, point: bool = True
    ) -> None:
        listed = [CheckpointFile(p, len(d), hashlib.sha256(d).hexdigest()) for p, d in files.items()]
        size = sum(file.size for file in listed)
        created_at = f"2026-01-01T00:{attempt:02d}:{at or seq:02d}.000Z"
        manifest = CheckpointManifest(name, attempt, seq, created_at, "torch", size, listed)
        for path, data in files.items():
            self.store.put(self.keys.checkpoint_data(attempt, seq) + path, data)
        self.store.put(self.keys.checkpoint_manifest(attempt, seq), manifest.to_json())
        if point:
            self.store.put(self.keys.latest_checkpoint, LatestCheckpoint(attempt, seq, created_at).to_json())

    def spoil(self, attempt: int, seq: int, path: str, data: bytes = b"WEIGHTS") -> None:
        self.store.put(self.keys.checkpoint_data(attempt, seq) + path, data)

    def fetch(self, resume: ResumeFrom = NEWEST) -> Path:
        return fetch_checkpoint(self.store, resume, JOB, self.target, say=self.lines.append, stop=self.stop)

    def fails(self, resume: ResumeFrom = NEWEST) -> str:
        with pytest.raises(ResumeError) as caught:
            self.fetch(resume)
        assert len(str(caught.value).splitlines()) == 2, "what failed, and what to do"
        assert files_in(self.target) == {}
        return str(caught.value)

    def candidates(self) -> list[tuple[int | None, int | None]]:
        return [(one.attempt, one.seq) for one in candidates_for_resume(self.store, JOB)]


def files_in(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def s3(front: Front, service: tuple[Front, str], request: pytest.FixtureRequest) -> S3Store:
    prefix = hashlib.md5(request.node.name.encode()).hexdigest()[:8]
    return S3Store(BUCKET, f"{prefix}/", "us-east-1", CredentialSource(lambda: KEYS), service[1])


@pytest.fixture(params=["s3", "folder"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> Record:
    store = request.getfixturevalue("s3") if request.param == "s3" else FolderFiles(tmp_path / "record")
    return Record(store, tmp_path)


@pytest.fixture
def on_s3(s3: S3Store, tmp_path: Path) -> Record:
    return Record(s3, tmp_path)


def test_a_checkpoint_of_one_file_keeps_its_name(record: Record) -> None:
    record.save(1, 0, "sub/epoch.pt", FILE)
    path = record.fetch(ResumeFrom(attempt=1, seq=0))
    assert path == record.target / "epoch.pt"
    assert files_in(record.target) == FILE


def test_a_checkpoint_that_is_a_folder_is_brought_as_one(record: Record) -> None:
    record.save(1, 0, "runs/checkpoint-5", FOLDER)
    path = record.fetch()
    assert path == record.target / "checkpoint-5"
    assert files_in(path) == FOLDER


def test_a_folder_of_one_file_is_a_folder(record: Record) -> None:
    record.save(1, 0, "checkpoint-5", {"config.json": b"{}"})
    assert files_in(record.fetch()) == {"config.json": b"{}"}


def test_the_checkpoint_of_another_job(record: Record) -> None:
    record.save(1, 0, "epoch.pt", FILE)
    resume = ResumeFrom(job_id=JOB)
    path = fetch_checkpoint(record.store, resume, "job-2", record.target, say=print, stop=record.stop)
    assert path.read_bytes() == b"weights"


def test_the_newest_is_taken_and_may_be_asked_for_before(record: Record) -> None:
    assert latest_of(record.store, JOB) is None
    for seq in range(3):
        record.save(1, seq, "last.pt", {"last.pt": b"%d" % seq})
    assert latest_of(record.store, JOB) == ResumeFrom(JOB, 1, 2)
    assert record.fetch().read_bytes() == b"2"


def test_without_any_there_is_nothing_to_resume_from(record: Record) -> None:
    assert "no complete checkpoint" in record.fails()
    assert "no checkpoint 7 of attempt 1" in record.fails(ResumeFrom(attempt=1, seq=7))


def test_candidates_come_newest_first_over_all_attempts(record: Record) -> None:
    for attempt, seq in [(1, 0), (1, 1), (3, 0), (3, 1), (3, 2)]:
        record.save(attempt, seq, "a", {"a": b"a"})
    assert record.candidates() == [(3, 2), (3, 1), (3, 0), (1, 1), (1, 0)]


def test_what_the_pointer_does_not_know_yet_is_found(record: Record) -> None:
    record.save(1, 0, "a", {"a": b"a"}, point=False)
    assert record.candidates() == [(1, 0)]
    record.save(1, 0, "a", {"a": b"a"})
    record.save(1, 1, "a", {"a": b"a"}, point=False)
    record.save(2, 0, "a", {"a": b"a"}, point=False)
    assert record.candidates() == [(2, 0), (1, 1), (1, 0)]


def test_the_newest_is_so_by_its_time_when_it_was_saved_before_older_ones(record: Record) -> None:
    record.save(1, 0, "a", {"a": b"a"}, at=10)
    record.save(1, 1, "a", {"a": b"a"}, at=30)
    record.save(1, 2, "a", {"a": b"a"}, at=20, point=False)
    assert record.candidates() == [(1, 1), (1, 2), (1, 0)]


def test_gaps_that_prune_leaves_hide_nothing(record: Record) -> None:
    for attempt, seq in [(1, 2), (1, 5), (2, 4), (4, 3), (4, 7), (4, 9)]:
        record.save(attempt, seq, "last.pt", {"last.pt": b"%d-%d" % (attempt, seq)}, point=(attempt, seq) <= (4, 3))
    assert record.candidates() == [(4, 9), (4, 7), (4, 3), (2, 4), (1, 5), (1, 2)]
    assert latest_of(record.store, JOB) == ResumeFrom(JOB, 4, 9)
    record.spoil(4, 9, "last.pt")
    assert record.fetch().read_bytes() == b"4-7"


def test_only_manifests_are_checkpoints(record: Record) -> None:
    record.save(1, 0, "a", {"a": b"a"})
    record.store.put(record.keys.checkpoint_data(1, 1) + "half.pt", b"half")
    record.store.put(record.keys.checkpoints_prefix + "notes.json", b"{}")
    assert record.candidates() == [(1, 0)]


@pytest.mark.parametrize("spoilt", [b"WEIGHTS", b"short", b"much longer"])
def test_a_damaged_checkpoint_is_told_with_its_file(record: Record, spoilt: bytes) -> None:
    record.save(1, 0, "checkpoint-5", {**FOLDER, "w": b"weights"})
    record.spoil(1, 0, "w", spoilt)
    assert "w of checkpoint checkpoint-5" in record.fails(ResumeFrom(attempt=1, seq=0))
    assert "w of checkpoint checkpoint-5" in record.fails()


def test_damage_on_the_way_is_repaired_by_another_try(on_s3: Record, front: Front) -> None:
    on_s3.save(1, 0, "epoch.pt", FILE)
    front.faults = [None, lambda request, _: request.answer(200, b"WEIGHTS")]  # None for the manifest
    assert on_s3.fetch(ResumeFrom(attempt=1, seq=0)).read_bytes() == b"weights"


def test_the_next_older_one_is_taken_when_the_newest_is_damaged(record: Record) -> None:
    record.save(1, 0, "first.pt", {"first.pt": b"weights"})
    record.save(2, 0, "last.pt", {"last.pt": b"weights"})
    record.save(2, 1, "last.pt", {"last.pt": b"weights"})
    record.spoil(2, 1, "last.pt")
    assert record.fetch() == record.target / "last.pt"
    assert any("last.pt of checkpoint last.pt (attempt 2)" in line for line in record.lines)
    record.spoil(2, 0, "last.pt")
    assert record.fetch() == record.target / "first.pt"
    assert files_in(record.target) == {"first.pt": b"weights"}
    record.spoil(1, 0, "first.pt")
    assert "attempt 2" in record.fails()


def test_a_manifest_that_cannot_be_read_is_damage(record: Record) -> None:
    record.save(1, 0, "epoch.pt", FILE)
    record.save(1, 1, "epoch.pt", FILE)
    record.store.put(record.keys.checkpoint_manifest(1, 1), b"{")
    assert record.fetch().read_bytes() == b"weights"
    assert any("cannot be read" in line for line in record.lines)


def test_a_file_that_is_gone_is_damage(on_s3: Record, s3: S3Store) -> None:
    on_s3.save(1, 0, "epoch.pt", FILE)
    s3.call("DELETE", on_s3.keys.checkpoint_data(1, 0) + "epoch.pt")
    assert "is gone" in on_s3.fails(ResumeFrom(attempt=1, seq=0))


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/../../x"])
def test_a_manifest_cannot_write_elsewhere(record: Record, tmp_path: Path, path: str) -> None:
    manifest = CheckpointManifest("c", 1, 0, "", "torch", 1, [CheckpointFile(path, 1, "")])
    record.store.put(record.keys.checkpoint_manifest(1, 0), manifest.to_json())
    assert "cannot be read" in record.fails(ResumeFrom(attempt=1, seq=0))


def test_large_files_come_in_pieces(on_s3: Record, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SPLIT_BYTES", 1000)
    monkeypatch.setattr(downloads, "PIECE_BYTES", 1000)
    data = bytes(n % 251 for n in range(5500))
    on_s3.save(1, 0, "epoch.pt", {"epoch.pt": data})
    front.seen.clear()
    assert on_s3.fetch(ResumeFrom(attempt=1, seq=0)).read_bytes() == data
    assert len(front.seen) == 1 + 6


def test_an_address_is_an_object_or_a_folder(on_s3: Record, s3: S3Store) -> None:
    for name, data in FOLDER.items():
        s3.put(f"mine/step-5/{name}", data)
    s3.put("mine/step-5.pt", b"weights")
    base = f"s3://{BUCKET}/{s3.prefix}mine"
    for uri in (f"{base}/step-5", f"{base}/step-5/"):
        path = on_s3.fetch(ResumeFrom(uri=uri))
        assert path == on_s3.target / "step-5"
        assert files_in(path) == FOLDER
    path = on_s3.fetch(ResumeFrom(uri=f"{base}/step-5.pt"))
    assert path == on_s3.target / "step-5.pt"
    assert path.read_bytes() == b"weights"


def test_an_address_without_anything(on_s3: Record) -> None:
    assert "no checkpoint at" in on_s3.fails(ResumeFrom(uri=f"s3://{BUCKET}/nothing/here"))
    assert "s3://BUCKET" in on_s3.fails(ResumeFrom(uri="nothing"))


def test_other_bytes_under_an_address(on_s3: Record, s3: S3Store, front: Front) -> None:
    s3.put("epoch.pt", b"weights")
    front.faults = [None, *[lambda request, _: request.answer(200, b"WEIGHTS")] * 2]
    assert "epoch.pt" in on_s3.fails(ResumeFrom(uri=f"s3://{BUCKET}/{s3.prefix}epoch.pt"))


def test_a_record_in_a_folder_has_no_s3(tmp_path: Path) -> None:
    assert "a job on this computer" in Record(FolderFiles(tmp_path / "record"), tmp_path).fails(
        ResumeFrom(uri="s3://b/x")
    )


def test_a_checkpoint_that_does_not_fit(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    record.save(1, 0, "epoch.pt", FILE)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3))
    assert "3 B are free" in record.fails()


def test_the_end_is_obeyed(record: Record) -> None:
    record.save(1, 0, "epoch.pt", FILE)
    record.stop.request(StopReason(JobState.CANCELLED, Cause("user", "cancelled"), 1.0, 1.0))
    with pytest.raises(Stopped):
        record.fetch()
    assert files_in(record.target) == {}
