"""Settings: precedence, partial files, and errors that name file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_jupyter.orchestration.config import load_settings, parse_duration
from runctl_jupyter.orchestration.errors import ConfigInvalid, InvalidRequest


@pytest.fixture(autouse=True)
def _no_user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write(folder: Path, text: str) -> Path:
    (folder / ".runctl.toml").write_text(text)
    return folder


def test_with_nothing_set_the_target_is_the_sandbox(tmp_path: Path) -> None:
    assert load_settings(tmp_path, env={}).target == "sandbox"


def test_argument_beats_environment_beats_file(tmp_path: Path) -> None:
    write(tmp_path, 'target = "local"\n[aws]\nbucket = "from-file"\nregion = "eu-west-1"\n')
    assert load_settings(tmp_path, env={}).target == "local"
    env = {"RUNCTL_TARGET": "aws", "RUNCTL_BUCKET": "from-env"}
    settings = load_settings(tmp_path, env=env, region="us-west-2")
    assert (settings.target, settings.aws.bucket, settings.aws.region) == ("aws", "from-env", "us-west-2")


def test_a_file_further_up_is_found_and_a_partial_one_is_enough(tmp_path: Path) -> None:
    write(tmp_path, '[launch]\nttl = "30m"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    settings = load_settings(below, env={})
    assert settings.launch.ttl == 1800
    assert settings.launch.instance_profile == "runctl-instance"


def test_project_root_in_a_file_is_relative_to_the_file(tmp_path: Path) -> None:
    write(tmp_path, 'project_root = "code"\n')
    below = tmp_path / "notebooks"
    below.mkdir()
    assert load_settings(below, env={}).project_root == str(tmp_path / "code")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('\n\n[launch]\n\ninstance_typ = "x"\n', 5, "instance_type"),
        ('[launch]\nttl = "8 hours"\n', 2, "ttl"),
        ('target = "cloud"\n', 1, "target"),
        ("[sync]\nmax_mb = -1\n", 2, "max_mb"),
        ("[sync]\n\nmax_files = 0\nmax_mb = 5\n", 3, "max_files"),
        ("[lunch]\n", 1, "launch"),
        ("a.b = 1\n", 1, "a"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigInvalid) as error:
        load_settings(tmp_path, env={})
    assert f".runctl.toml, line {line}:" in error.value.what
    assert said in str(error.value)
    assert error.value.exit_status == 2


def test_broken_toml_names_the_place(tmp_path: Path) -> None:
    write(tmp_path, 'target = "sandbox"\nregion = \n')
    with pytest.raises(ConfigInvalid, match="line 2"):
        load_settings(tmp_path, env={})


def test_an_unknown_target_suggests_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'sandbox'"):
        load_settings(tmp_path, env={}, target="sandbocks")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("8h", 28800), ("2d", 172800), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "0s", "-1h", "8 hours", "1h30m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidRequest, match="90s, 30m, 8h or 2d"):
        parse_duration(text)
