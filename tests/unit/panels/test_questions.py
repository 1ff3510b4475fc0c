"""Questions are answered from the record; deeds change it; neither takes what it does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from runctl_jupyter.orchestration.errors import InvalidRequest, JobNotFound, RunctlError
from runctl_jupyter.panels import Panels
from runctl_jupyter.panels.landing import landing_place
from runctl_jupyter.run_record import JobKeys, JobState
from tests.unit.panels.conftest import JOB_ID, Records


def test_a_card_is_complete(panels: Panels, records: Records) -> None:
    records.job()
    records.chunk(b"a\nb\rc\n")
    records.status(JobState.RUNNING)
    card = panels.query("card", {"job": "7k2f"})
    assert set(card) == {"job", "checkpoints", "log_tail", "series", "as_of", "note"}
    assert card["log_tail"] == ["a", "c"]
    assert (card["job"]["id"], card["note"]) == (JOB_ID, "")
    assert set(card["series"]) == {"series", "machine", "marks"}


@pytest.mark.parametrize(("start", "limit", "text"), [(0, 100, "héllo\n"), (-5, 100, "llo\n"), (3, 3, "llo")])
def test_a_page_of_a_log(panels: Panels, records: Records, start: int, limit: int, text: str) -> None:
    records.job()
    records.chunk("héllo\n".encode())
    page = panels.query("log", {"job": JOB_ID, "start": start, "limit": limit})
    assert "".join(piece["text"] for piece in page["pieces"]) == text
    assert (page["size"], page["ended"]) == (7, False)
    assert page["pieces"][0]["end"] - page["pieces"][0]["start"] == len(text.encode())


def test_a_window_that_begins_within_a_character(panels: Panels, records: Records) -> None:
    records.job()
    records.chunk("héllo\n".encode())
    (piece,) = panels.query("log", {"job": JOB_ID, "start": -5})["pieces"]
    assert (piece["start"], piece["text"]) == (3, "llo\n")


def test_the_other_questions(panels: Panels, records: Records) -> None:
    records.job(JobState.SUCCEEDED)
    assert panels.query("checkpoints", {"job": JOB_ID}) == {"checkpoints": []}
    assert panels.query("series", {"job": JOB_ID})["series"] == []
    record = panels.query("record", {"job": JOB_ID})
    assert ["script", "fit.py"] in record["facts"]
    assert "fit.py" in record["text"]
    place = panels.query("place")
    assert (place["target"], place["root"], place["bucket"]) == ("local", None, None)
    (own,) = panels.query("places")["places"]
    assert own["target"] == "local"
    types = {each["name"]: each for each in panels.query("types")["types"]}
    assert (types["m5.large"]["vcpus"], types["m5.large"]["memory_gib"], types["m5.large"]["gpus"]) == (2, 8, 0)


def test_a_checkpoint_of_many_files_is_looked_into(panels: Panels, records: Records) -> None:
    records.job(JobState.SUCCEEDED)
    prefix = JobKeys(JOB_ID).checkpoint_data(1, 0)
    files = {"config.json": b'{"model_type": "tiny"}', "model.safetensors": save({"w": np.zeros((2, 3), np.float32)})}
    for name, data in files.items():
        records.store.put(prefix + name, data)
    preview = panels.query("preview", {"uri": records.store.uri_of(prefix)})
    assert (preview["kind"], preview["text"]) == ("tensors", "w  float32  [2, 3]")
    assert ["files", "2"] in preview["facts"]
    with pytest.raises(InvalidRequest, match="not one checkpoint"):
        panels.query("preview", {"uri": records.store.uri_of(f"jobs/{JOB_ID}/attempts/")})


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("weather", {}),
        ("", {}),
        ("card", {}),
        ("card", {"job": 3}),
        ("card", {"job": ""}),
        ("card", {"job": JOB_ID, "also": 1}),
        ("card", [JOB_ID]),
        ("log", {"job": JOB_ID, "start": "0"}),
        ("log", {"job": JOB_ID, "start": 0, "limit": 1 << 30}),
        ("objects", {"uri": "s3://bucket", "limit": 0}),
        ("places", {"x": 1}),
    ],
)
def test_what_cannot_be_asked(panels: Panels, method: str, params: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        panels.query(method, params)
    assert caught.value.what
    assert caught.value.to_resolve


def test_an_unknown_job(panels: Panels) -> None:
    with pytest.raises(JobNotFound):
        panels.query("card", {"job": "nobody"})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "  ",
        "terminate dev",
        "cancel x",
        "s3 upload / s3://x/",
        "use aws",
        "sandbox stop",
        "train 'x",
        "train",
        "train fit.py --dry-run",
        "train --help",
        "--target aws train fit.py",
        "train fit.py -i x",
        "demo",
    ],
)
def test_a_panel_launches_and_nothing_else(panels: Panels, home: Path, line: str) -> None:
    (home / "fit.py").write_text("print(1)\n")
    with pytest.raises(RunctlError):
        panels.act("launch", {"line": line})
    with pytest.raises(JobNotFound):
        panels.query("card", {"job": "fit"})


def test_a_line_launches_a_job_that_is_known_at_once(panels: Panels, home: Path) -> None:
    (home / "fit.py").write_text("print('from a line')\n")
    job = panels.act("launch", {"line": "train fit.py --name lined --param lr=0.1"})["job"]
    card = panels.query("card", {"job": job["id"]})
    assert card["job"]["name"] == "lined"
    panels.handles.find(panels.engines.get(None), job["id"]).launched(60).wait(60)
    assert "from a line" in str(panels.query("card", {"job": job["id"]})["log_tail"])


def test_a_download_never_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("mine")
    with landing_place(tmp_path, "s3://bucket/a/model.pt") as path:
        assert path == tmp_path / "model-2.pt"
        path.write_text("theirs")
    with landing_place(tmp_path, "s3://bucket/a/model.pt") as path:
        assert path == tmp_path / "model-3.pt"
        path.write_text("again")
    with (
        landing_place(tmp_path, "s3://bucket/run/epoch-1/") as first,
        landing_place(tmp_path, "s3://bucket/run/epoch-1/") as second,
    ):
        assert (first.name, second.name) == ("epoch-1", "epoch-1-2")
        assert first.is_dir()
    assert (tmp_path / "model.pt").read_text() == "mine"


def test_a_download_that_fails_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "into"
    for uri in ("s3://bucket/a/model.pt", "s3://bucket/run/"):
        with pytest.raises(OSError, match="no"), landing_place(folder, uri):
            raise OSError("no")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("key", ["..", "a/..", "a/b\\c", "a/" + "x" * 300])
def test_names_that_no_file_may_have(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidRequest), landing_place(tmp_path, f"s3://bucket/{key}"):
        pytest.fail("reserved")
