"""Places that were used on this computer: remembered, found again, and told by an id that gives nothing away."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Runctl, places
from runctl_jupyter.orchestration.config import Settings, load_settings
from runctl_jupyter.orchestration.errors import InvalidRequest, TargetUnavailable
from runctl_jupyter.orchestration.places import known, open_place, place_id, remember

ENV: dict[str, str] = {}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("RUNCTL_SANDBOX_HOME", raising=False)
    return tmp_path


def aws(tmp_path: Path, **said: str) -> Settings:
    return load_settings(tmp_path, env=ENV, **{"target": "aws", "profile": "lab", "bucket": "lab-runs", **said})


def test_what_was_remembered_is_opened_again(tmp_path: Path) -> None:
    settings = aws(tmp_path, prefix="team-a")
    remember(settings, "eu-west-1")
    (place,) = known()
    assert (place.target, place.profile, place.region, place.bucket) == ("aws", "lab", "eu-west-1", "lab-runs")
    assert abs(place.last_used.timestamp() - time.time()) < 3600
    arguments = open_place(place.id)
    again = Runctl(**arguments, cwd=tmp_path)  # type: ignore[arg-type]
    assert (again.settings.prefix, again.settings.aws.bucket) == ("team-a", "lab-runs")
    assert place_id(again.settings, again.settings.aws.region) == place.id == place_id(settings, "eu-west-1")


def test_an_id_says_nothing_and_tells_places_apart(tmp_path: Path) -> None:
    ids = {
        place_id(aws(tmp_path, **said), region)
        for said, region in (
            ({}, "eu-west-1"),
            ({}, "eu-west-2"),
            ({"bucket": "other"}, "eu-west-1"),
            ({"profile": "own"}, "eu-west-1"),
            ({"prefix": "team-a"}, "eu-west-1"),
        )
    }
    ids |= {place_id(load_settings(tmp_path, env=ENV, target=target), None) for target in ("sandbox", "local")}
    assert len(ids) == 7
    assert all(re.fullmatch("[0-9a-f]{12}", each) for each in ids)


def test_the_last_used_first_and_written_once_a_day(tmp_path: Path, data: Path) -> None:
    remember(load_settings(tmp_path, env=ENV, target="local"), None)
    remember(aws(tmp_path), "eu-west-1")
    local, other = (
        data / "runctl-jupyter" / "places" / f"{place_id(each, region)}.json"
        for each, region in ((load_settings(tmp_path, env=ENV, target="local"), None), (aws(tmp_path), "eu-west-1"))
    )
    now = time.time()
    os.utime(local, (now - 50_000, now - 50_000))
    os.utime(other, (now - 100_000, now - 100_000))
    assert [place.target for place in known()] == ["local", "aws"]
    remember(load_settings(tmp_path, env=ENV, target="local"), None)
    assert local.stat().st_mtime == pytest.approx(now - 50_000), "less than a day old: not written again"
    remember(aws(tmp_path), "eu-west-1")
    assert [place.target for place in known()] == ["aws", "local"]


def test_another_sandbox_is_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(tmp_path, env=ENV, target="sandbox")
    remember(settings, None)
    own = place_id(settings, None)
    assert open_place(own)["target"] == "sandbox"
    monkeypatch.setenv("RUNCTL_SANDBOX_HOME", str(tmp_path / "box"))
    assert place_id(settings, None) != own
    assert known() == []
    with pytest.raises(InvalidRequest):
        open_place(own)


@pytest.mark.parametrize("said", ["0123456789ab", "../../x", "", "a" * 300])
def test_what_nobody_remembered(said: str) -> None:
    with pytest.raises(InvalidRequest, match="not known on this computer"):
        open_place(said)


def test_it_never_fails(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data / "runctl-jupyter" / "places"
    folder.mkdir(parents=True)
    (folder / "0123456789ab.json").write_text("{half")
    assert known() == []
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setattr(places, "_folder", lambda: blocked)
    remember(load_settings(tmp_path, env=ENV, target="local"), None)


def test_a_panel_starts_no_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNCTL_SANDBOX_HOME", str(tmp_path / "box"))
    rc = Runctl("sandbox", cwd=tmp_path, start_sandbox=False)
    assert rc.place
    with pytest.raises(TargetUnavailable) as caught:
        rc.jobs.list()
    assert caught.value.what == "The sandbox is not running."
    assert "%%runctl train" in caught.value.to_resolve
    assert not (tmp_path / "box").exists()


def test_a_job_of_this_computer_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runctl_jupyter.orchestration.targets.local.LocalTarget._start", lambda *_: False)
    (tmp_path / "t.py").write_text("print(1)")
    rc = Runctl("local", cwd=tmp_path, project_root=tmp_path)
    assert rc.jobs.list() is not None
    assert known() == [], "reading remembers nothing"
    job = rc.jobs.train("t.py")
    job.launched(60)  # type: ignore[union-attr]
    assert [place.id for place in known()] == [rc.place]
