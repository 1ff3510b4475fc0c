"""Where a job came from: collected at its launch, read back from the record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.config import SyncSettings
from runctl_jupyter.orchestration.jobs.provenance import HIDDEN, collect, of_job, without_secrets, write
from runctl_jupyter.orchestration.jobs.record import JobRecord
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.project import project_files
from runctl_jupyter.run_record import (
    AttemptKeys,
    AttemptPlan,
    DataFile,
    DataManifest,
    JobKeys,
    JobState,
    Provenance,
    ResolvedEnvironment,
    ResumeFrom,
    blob_key,
)
from tests.unit.orchestration.records import Records
from tests.unit.orchestration.repositories import Project, needs_git


@pytest.fixture(autouse=True)
def no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    made.git("init", "-q", "-b", "main")
    return made


@needs_git
def test_collect_and_write(project: Project, tmp_path: Path) -> None:
    store = ListableFolder(tmp_path / "store")
    commit = project.commit(**{"fit.py": b"0\n"})
    files = project_files(project.root, SyncSettings())
    clean = collect(project.root, "print(1)\n", store, files)
    assert (clean.cell, clean.git_commit, clean.git_branch, clean.git_diff) == ("print(1)\n", commit, "main", None)
    assert set(clean.client) == {"runctl-jupyter", "python", "platform"}
    project.write("fit.py", b"1\n")
    for _ in range(2):
        changed = collect(project.root, None, store, project_files(project.root, SyncSettings()))
    assert changed.git_diff is not None
    assert b"+1\n" in store.get(blob_key(changed.git_diff)).data
    assert len(list(store.walk("blobs/"))) == 1

    record = JobRecord(store)
    write(record, "j", clean)
    write(record, "j", changed)
    assert Provenance.from_json(store.get(JobKeys("j").provenance).data) == clean


def test_collect_without_git(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    found = collect(tmp_path / "p", None, ListableFolder(tmp_path / "store"), [])
    assert (found.git_commit, found.git_branch, found.git_remote, found.git_diff) == (None, None, None, None)


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("HF_TOKEN", "x", True), ("AWS_SECRET_ACCESS_KEY", "x", True), ("PASSWORD", "x", True), ("api_key", "x", True),
        ("OPENAI_API_KEY", "x", True), ("WANDB_KEY", "x", True), ("BASIC_AUTH", "x", True),
        ("DB", "postgres://me:pass@host/db", True),
        ("HF_TOKEN", "ssm:/hf/token", False), ("max_tokens", "512", False), ("num_key_value_heads", "8", False),
        ("tokenizer", "gpt2", False), ("AUTHOR", "me", False), ("passes", "3", False), ("URL", "http://a/b@c", False),
    ],
)  # fmt: skip
def test_secrets_are_not_shown(name: str, value: str, hidden: bool) -> None:
    assert without_secrets({name: value}) == {name: HIDDEN if hidden else value}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def test_of_a_job_that_an_older_version_left(records: Records) -> None:
    records.spec("j-1")
    records.end("j-1")
    known = of_job(records.job("j-1")).to_dict()
    assert known["origin"] is None
    assert (known["script"], known["price_source"]) == ("fit.py", None)
    (attempt,) = known["attempts"]
    assert (attempt["state"], attempt["environment"], attempt["data"]) == ("succeeded", None, None)


def test_of_a_document_that_cannot_be_read(records: Records) -> None:
    records.spec("j-1")
    records.end("j-1")
    records.store.put(AttemptKeys("j-1", 1).environment, b'{"python": 3}')
    assert of_job(records.job("j-1")).attempts[0].environment is None


def test_of_a_job_with_everything(records: Records) -> None:
    records.spec(
        "j-1", env={"A": "1", "TOKEN": "hunter2"}, params={"lr": "0.1"}, instance_type="m5.large", region="us-east-1",
        price_per_hour=0.096, price_source="AWS price list, today", data_uri="s3://b/data",
    )  # fmt: skip
    write(records.record, "j-1", Provenance(git_commit="c" * 40, client={"python": "3.11"}, image_id="ami-1"))
    plan = AttemptPlan(
        2, "2026-01-02T03:06:00Z", instance_type="m5.xlarge", region="us-east-1", spot=True, price_per_hour=0.07,
        resume_from=ResumeFrom("j-1", 1, 3),
    )  # fmt: skip
    records.put(AttemptKeys("j-1", 2).plan, plan)
    records.end("j-1", 1, JobState.INTERRUPTED, cost_usd=0.5, instance_id="i-1")
    records.end("j-1", 2, cost_usd=0.25, instance_id="i-2")
    records.put(
        AttemptKeys("j-1", 2).environment,
        ResolvedEnvironment("3.12.3", "/x/python", "Linux", {"numpy": "2.1"}, "ami-2"),
    )
    files = [DataFile(f"{i}.csv", 10, f"e{i}") for i in range(8)]
    records.put(AttemptKeys("j-1", 1).data, DataManifest("s3://b/data", files))
    records.put(AttemptKeys("j-1", 2).data, DataManifest("s3://b/data", files[::-1]))

    known = of_job(records.job("j-1"))
    assert known.env == {"A": "1", "TOKEN": HIDDEN}
    assert "hunter2" not in str(known.to_dict())
    assert known.cost_usd == 0.75
    assert known.price_source == "AWS price list, today, at launch"
    first, second = known.attempts
    assert (first.instance_type, first.spot, first.image_id, first.resumed_from) == ("m5.large", False, "ami-1", None)
    assert (second.instance_type, second.spot, second.image_id) == ("m5.xlarge", True, "ami-2")
    assert second.resumed_from == ResumeFrom("j-1", 1, 3)
    assert first.data is not None
    assert first.data == second.data
    assert (first.data.count, first.data.bytes, len(first.data.first)) == (8, 80, 5)
