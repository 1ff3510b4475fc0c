"""What two jobs differ in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.jobs.comparison import compare
from runctl_jupyter.orchestration.jobs.provenance import HIDDEN, write
from runctl_jupyter.run_record import (
    AttemptKeys,
    CheckpointFile,
    CheckpointManifest,
    DataFile,
    DataManifest,
    JobKeys,
    JobState,
    LatestCheckpoint,
    Limits,
    Provenance,
    ResolvedEnvironment,
    StoredValue,
)
from tests.unit.orchestration.records import Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def differences(records: Records, a: str = "j-1", b: str = "j-2") -> dict[str, tuple[Any, Any]]:
    found = compare(records.job(a), records.job(b)).to_dict()
    assert set(found) == {"a", "b", "differences", "source_diff"}
    return {each["what"]: (each["a"], each["b"]) for each in found["differences"]}


def test_equal_jobs_do_not_differ(records: Records) -> None:
    for job_id in ("j-1", "j-2"):
        records.spec(job_id, {"fit.py": b"print(1)\n"}, params={"lr": "0.1"})
        records.end(job_id)
    compared = compare(records.job("j-1"), records.job("j-2"))
    assert compared.differences == []
    assert compared.source_diff == ""


def test_sources_are_compared_line_by_line(records: Records) -> None:
    same = {"same.py": b"s", "model.py": b"1"}
    records.spec("j-1", {**same, "fit.py": b"a\nb\nc\n"})
    records.spec("j-2", {**same, "fit.py": b"a\nB\nc", "model.py": b"2", "new.py": b"n"})
    for job_id in ("j-1", "j-2"):
        records.end(job_id)
    found = differences(records)
    assert set(found) == {"source", "file model.py", "file new.py"}
    assert found["file new.py"][0] is None
    assert compare(records.job("j-1"), records.job("j-2")).source_diff == (
        "--- j-1/fit.py\n+++ j-2/fit.py\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n+B\n+c\n\\ No newline at end of file\n"
    )


def test_cells_are_compared_as_noted_at_launch(records: Records) -> None:
    for job_id, cell in (("j-1", "x = 1\n"), ("j-2", "x = 2\n")):
        records.spec(job_id, cell=True, script="runctl_cell.py")
        write(records.record, job_id, Provenance(cell=cell))
        records.end(job_id)
    assert "-x = 1\n+x = 2\n" in compare(records.job("j-1"), records.job("j-2")).source_diff


def test_a_source_that_is_gone_is_no_empty_one(records: Records) -> None:
    records.spec("j-1", {"fit.py": b"a\n"})
    records.spec("j-2", {"fit.py": b"b\n"})
    for job_id in ("j-1", "j-2"):
        records.end(job_id)
    trees = {records.job(job_id).spec.tree for job_id in ("j-1", "j-2")}
    for each in records.store.walk("blobs/"):
        if each.key.rpartition("/")[2] not in trees:
            records.store.path(each.key).unlink()
    compared = compare(records.job("j-1"), records.job("j-2"))
    assert [each.what for each in compared.differences] == ["source"]
    assert compared.source_diff == ""


def test_everything_else_that_differs(records: Records) -> None:
    records.spec(
        "j-1", arguments=["--epochs", "3"], params={"lr": "0.1"}, env={"A": "1", "TOKEN": "hunter2", "KEY": "same"},
        limits=Limits(ttl_s=3600), instance_type="m5.large", price_per_hour=0.096,
        inputs=[StoredValue("x", "npy", "1" * 64, 8, "numpy.ndarray")],
    )  # fmt: skip
    records.spec(
        "j-2", params={"lr": "0.2"}, env={"TOKEN": "hunter3", "KEY": "same"}, limits=Limits(ttl_s=60),
        instance_type="g5.xlarge", price_per_hour=1.006, data_uri="s3://b/d",
        inputs=[StoredValue("x", "npy", "2" * 64, 8, "numpy.ndarray")],
    )  # fmt: skip
    write(records.record, "j-1", Provenance(git_commit="1" * 40, git_branch="main"))
    write(records.record, "j-2", Provenance(git_commit="2" * 40, git_branch="main", git_diff="3" * 64))
    for number, packages in ((1, {"numpy": "1.0", "old": "1"}), (2, {"numpy": "2.0", "new": "1"})):
        keys = AttemptKeys(f"j-{number}", 1)
        records.put(
            keys.environment, ResolvedEnvironment(f"3.1{number}", "/p", "Linux", packages, image_id=f"ami-{number}")
        )
        data = [DataFile("same", 1, "e"), DataFile("changed", 1, f"e{number}"), DataFile(f"only-{number}", number, "e")]
        records.put(keys.data, DataManifest("s3://b/d", data))
        manifest = CheckpointManifest(
            "c", 1, 4, "2026-01-02T03:06:00Z", "pt", 1, [CheckpointFile("c", 1, "0" * 64)], number, {"loss": number / 2}
        )
        records.put(JobKeys(f"j-{number}").checkpoint_manifest(1, 4), manifest)
        records.put(JobKeys(f"j-{number}").latest_checkpoint, LatestCheckpoint(1, 4, "2026-01-02T03:06:00Z"))
    records.end("j-1", cost_usd=0.1, exit_code=0)
    records.end("j-2", state=JobState.FAILED, cost_usd=0.2, exit_code=1, ended_at="2026-01-02T03:05:30Z")
    found = differences(records)
    assert "hunter" not in str(found)
    assert found.pop("env TOKEN")[0] == HIDDEN
    assert found == {
        "git commit": ("1" * 40, "2" * 40),
        "uncommitted changes": (None, "3" * 64),
        "arguments": (["--epochs", "3"], []),
        "param lr": ("0.1", "0.2"),
        "env A": ("1", None),
        "input x": ("1" * 64, "2" * 64),
        "limit ttl_s": (3600.0, 60.0),
        "python": ("3.11", "3.12"),
        "package new": (None, "1"),
        "package numpy": ("1.0", "2.0"),
        "package old": ("1", None),
        "data": (None, "s3://b/d"),
        "data bytes": (3, 4),
        "data file changed": ("e1", "e2"),
        "data file only-1": ("e", None),
        "data file only-2": (None, "e"),
        "image": ("ami-1", "ami-2"),
        "instance type": ("m5.large", "g5.xlarge"),
        "price": (0.096, 1.006),
        "state": ("succeeded", "failed"),
        "exit code": (0, 1),
        "duration": (60.0, 30.0),
        "cost": (0.1, 0.2),
        "checkpoint step": (1, 2),
        "metric loss": (0.5, 1.0),
    }


def test_an_unknown_environment_is_not_an_empty_one(records: Records) -> None:
    for job_id in ("j-1", "j-2"):
        records.spec(job_id)
        records.end(job_id)
    records.put(AttemptKeys("j-2", 1).environment, ResolvedEnvironment("3.12", "/p", "Linux", {"a": "1", "b": "1"}))
    assert differences(records) == {"python": (None, "3.12"), "platform": (None, "Linux"), "packages": (None, 2)}
