"""Catalogue and prune on the sandbox's S3: which objects are gone, and which are there byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from runctl_jupyter.cli import main
from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.errors import StorageUnavailable
from runctl_jupyter.run_record import (
    CheckpointFile,
    CheckpointManifest,
    JobKeys,
    JobSpec,
    JobState,
    LatestCheckpoint,
    ResumeFrom,
    Status,
    now,
    to_iso,
)
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

BUCKET = "runctl-sandbox"
HF = {"config.json": b"{}", "model.safetensors": b"weights", "optimizer.pt": b"o"}


class Bucket:
    """What lies below a prefix of the sandbox's bucket."""

    def __init__(self, s3: Any, prefix: str) -> None:
        self.s3, self.prefix = s3, prefix

    @property
    def uri(self) -> str:
        return f"s3://{BUCKET}/{self.prefix}"

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.s3.put_object(Bucket=BUCKET, Key=self.prefix + key, Body=data)

    def objects(self) -> dict[str, bytes]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {
            key.removeprefix(self.prefix): self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys
        }


@pytest.fixture
def bucket(boto: Boto, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(boto("s3"), f"shelf/{request.node.name}/")


@pytest.fixture
def rc(engine: Engine) -> Runctl:
    return engine({})


Save = Callable[..., str]


@pytest.fixture
def save(rc: Runctl) -> Save:
    """Write a job of a state, with checkpoints, into the record; return its id."""

    def write(job_id: str, count: int, state: JobState = JobState.SUCCEEDED, **spec: Any) -> str:
        store, keys, moment = rc.jobs.record.store, JobKeys(job_id), now()
        store.put(keys.spec, JobSpec(job_id, job_id, to_iso(moment), "me", "sandbox", "fit.py", **spec).to_json())
        ended = to_iso(moment) if state.ended else None
        status = Status(job_id, 1, state, to_iso(moment), claimed_at=to_iso(moment), ended_at=ended)
        store.put(keys.attempt(1).status, status.to_json())
        store.put(keys.attempt(1).chunk(0), b"a line of the log")
        for seq in range(count):
            created = to_iso(moment + timedelta(seconds=seq))
            files = [CheckpointFile(f"part-{n}.bin", 3, "0" * 64) for n in range(2)]
            for file in files:
                store.put(keys.checkpoint_data(1, seq) + file.path, b"%03d" % seq)
            manifest = CheckpointManifest(
                f"step_{seq}", 1, seq, created, "file", 6, files, step=seq, metrics={"acc": seq % 3}
            )
            store.put(keys.checkpoint_manifest(1, seq), manifest.to_json())
            store.put(keys.latest_checkpoint, LatestCheckpoint(1, seq, created).to_json())
        return job_id

    return write


def test_a_jobs_old_checkpoints_go_and_everything_else_stays(rc: Runctl, save: Save, boto: Boto) -> None:
    job_id, other = save("261130-100000-aaaa", 6), save("261130-100000-bbbb", 2)
    record = Bucket(boto("s3"), f"{rc.settings.prefix}/jobs/")
    before = record.objects()
    shown = rc.checkpoints.prune("aaaa", keep_last=2, keep_best=1, metric="acc")
    assert [each.seq for each in shown.remove] == [0, 1, 2, 3]
    assert shown.usd_per_month == pytest.approx(24 / 2**30 * 0.023)
    assert record.objects() == before
    rc.checkpoints.prune("aaaa", keep_last=2, keep_best=1, metric="acc", dry_run=False)
    gone = {f"{job_id}/checkpoints/1-0000{n}{end}" for n in range(4) for end in (".json", "/part-0.bin", "/part-1.bin")}
    assert record.objects() == {key: data for key, data in before.items() if key not in gone}
    assert [each.seq for each in rc.checkpoints.list(job_id)] == [4, 5]
    assert [each.seq for each in rc.checkpoints.list(other)] == [0, 1]
    listed = rc.checkpoints.list(f"s3://{BUCKET}/{rc.settings.prefix}/jobs/{job_id}/")
    assert [(each.seq, each.step, each.best, each.latest) for each in listed] == [
        (4, 4, False, False), (5, 5, True, True),
    ]  # fmt: skip


def test_what_runs_and_what_it_goes_on_from_stay(rc: Runctl, save: Save, bucket: Bucket) -> None:
    bucket.put({f"step_{n}.pt": b"%d" % n for n in range(4)})
    save("261130-110000-cccc", 3, JobState.RUNNING, resume_from=ResumeFrom(uri=f"{bucket.uri}step_1.pt"))
    before = Bucket(bucket.s3, rc.settings.prefix).objects()
    for source in ("cccc", f"s3://{BUCKET}/{rc.settings.prefix}/jobs/261130-110000-cccc"):
        assert rc.checkpoints.prune(source, keep_last=1, dry_run=False).remove == []
    rc.checkpoints.prune(bucket.uri, keep_last=1, dry_run=False)
    assert bucket.objects() == {"step_1.pt": b"1", "step_3.pt": b"3"}
    assert Bucket(bucket.s3, rc.settings.prefix).objects() == before
    # From above all of it is seen, and the record's manifests are what counts.
    report = rc.checkpoints.prune(f"s3://{BUCKET}", keep_last=1)
    assert not [each.uri for each in report.remove if each.job_id == "261130-110000-cccc"]
    assert not [each.uri for each in report.remove if "part-" in each.uri]


def test_a_foreign_prefix_needs_no_manifest(rc: Runctl, bucket: Bucket) -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": b"w" for n in (1, 2)}
    index = json.dumps({"weight_map": {str(n): name for n, name in enumerate(shards)}}).encode()
    whole = {"config.json": b"{}", "model.safetensors.index.json": index, **shards}
    for step in (1, 2, 3):
        bucket.put({f"a b/checkpoint-{step}/{name}": data for name, data in whole.items()})
    others = {"a b/\u00fc log.txt": b"log", "a b/checkpoint-4/config.json": b"{}", "data/train.npy": b"1"}
    bucket.put({f"dist/step-9/{name}": b"1" for name in (".metadata", "__0_0.distcp")} | others)
    found = {each.name: each for each in rc.checkpoints.list(bucket.uri)}
    assert sorted(found) == ["a b/checkpoint-1", "a b/checkpoint-2", "a b/checkpoint-3", "dist/step-9"]
    assert found["a b/checkpoint-3"].size == sum(map(len, whole.values()))
    assert (found["dist/step-9"].format, found["dist/step-9"].job_id) == ("dcp", None)
    before = bucket.objects()
    report = rc.checkpoints.prune(bucket.uri, keep_last=1, dry_run=False)
    assert [each.name for each in report.remove] == ["a b/checkpoint-1", "a b/checkpoint-2"]
    old = ("a b/checkpoint-1/", "a b/checkpoint-2/")
    assert bucket.objects() == {key: data for key, data in before.items() if not key.startswith(old)}


def test_an_interrupted_removal_is_finished(rc: Runctl, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from runctl_jupyter.orchestration.storage.bucket import BucketStore
    from runctl_jupyter.run_record import StoreError

    for step in (1, 2, 3):
        bucket.put({f"checkpoint-{step}/{name}": data for name, data in HF.items()})
    delete, calls = BucketStore.delete, iter(range(10))

    def cut(store: BucketStore, keys: list[str]) -> None:
        delete(store, keys[: 1 if next(calls) else None])
        if len(keys) > 3:
            raise StoreError("the connection is gone", transient=True)

    with monkeypatch.context() as patch:
        patch.setattr(BucketStore, "delete", cut)
        with pytest.raises(StorageUnavailable):
            rc.checkpoints.prune(bucket.uri, keep_last=1, dry_run=False)
    assert len(bucket.objects()) > len(HF)
    assert [each.name for each in rc.checkpoints.list(bucket.uri)] == ["checkpoint-3"]
    assert rc.checkpoints.prune(bucket.uri, keep_last=1, dry_run=False).leftovers
    assert bucket.objects() == {f"checkpoint-3/{name}": data for name, data in HF.items()}


def test_more_than_a_request_deletes(rc: Runctl, bucket: Bucket) -> None:
    bucket.put({f"step_{n}.pt": b"%d" % n for n in range(1003)})
    report = rc.checkpoints.prune(bucket.uri, keep_last=3, dry_run=False)
    assert len(report.remove) == 1000
    assert set(bucket.objects()) == {"step_1000.pt", "step_1001.pt", "step_1002.pt"}


def test_the_terminal(rc: Runctl, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"epoch-{n}.pt": b"%d" % n for n in range(4)}
    bucket.put({**files, "notes.txt": b"notes"})
    assert main(["s3", "cleanup", bucket.uri]) == 2
    assert "--keep-last" in capsys.readouterr().err
    assert main(["s3", "cleanup", bucket.uri, "--keep-last", "2", "--dry-run"]) == 0
    assert "2 checkpoints would be removed" in capsys.readouterr().out
    assert len(bucket.objects()) == 5
    assert main(["s3", "cleanup", bucket.uri, "--keep-last", "3", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["remove"]] == ["epoch-0.pt"]
    assert set(bucket.objects()) == {"epoch-1.pt", "epoch-2.pt", "epoch-3.pt", "notes.txt"}
    assert main(["checkpoints", "prune", bucket.uri, "--keep-last", "1"]) == 0
    assert "--yes" in capsys.readouterr().out
    assert len(bucket.objects()) == 4
    assert main(["checkpoints", "prune", bucket.uri, "--keep-last", "1", "--yes"]) == 0
    assert set(bucket.objects()) == {"epoch-3.pt", "notes.txt"}
    assert main(["checkpoints", "list", bucket.uri, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out.split("stay.\n")[-1])
    assert set(row) >= {"uri", "name", "step", "metrics", "size", "created_at", "format", "complete"}
    assert main(["checkpoints", "prune", bucket.uri]) == 2
