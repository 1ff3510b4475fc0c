"""What a job ran with is found out from its own interpreter, and nothing odd stops it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from runctl_jupyter.runner.environment import ScriptPython
from runctl_jupyter.runner.imds import Imds
from runctl_jupyter.runner.packages import resolved_environment
from tests.runner.services import Metadata, serve


def distribution(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def program(path: Path, text: str) -> ScriptPython:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return ScriptPython(str(path))


def test_packages_of_the_scripts_interpreter(tmp_path: Path) -> None:
    distribution(tmp_path / "first", "Our_Package", "2.0")
    distribution(tmp_path / "second", "our-package", "1.0")
    (tmp_path / "second" / "broken-1.dist-info").mkdir()
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path / 'first'}:{tmp_path / 'second'}"}
    found = resolved_environment(ScriptPython(sys.executable), None, environ)
    assert found.packages["Our_Package"] == "2.0"
    assert "our-package" not in found.packages
    assert found.packages["pytest"] == pytest.__version__
    assert (found.python, found.executable) == (platform.python_version(), sys.executable)
    assert (found.image_id, found.instance_type) == (None, None)


def test_what_the_environment_sees_through_is_found_too(tmp_path: Path) -> None:
    """As with the packages of an image: a `.pth` file in an environment of its own."""
    import venv

    venv.create(tmp_path / "env", with_pip=False)
    distribution(tmp_path / "image", "torch-of-image", "9.0")
    (own,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (own / "runctl-image.pth").write_text(f"{tmp_path / 'image'}\n")
    found = resolved_environment(ScriptPython(str(tmp_path / "env" / "bin" / "python")), None, {})
    assert found.packages == {"torch-of-image": "9.0"}


@pytest.mark.parametrize(
    "text", ["exit 1", "echo not json", "echo 3", "kill -9 $$", "printf '\\377'", "echo '{\"packages\": 3}'"]
)
def test_an_odd_interpreter_tells_nothing(tmp_path: Path, text: str) -> None:
    odd = program(tmp_path / "python", text)
    found = resolved_environment(odd, None, os.environ)
    assert (found.python, found.executable, found.packages) == ("", odd.executable, {})
    assert found.platform == platform.platform()


def test_an_interpreter_that_prints_of_itself_is_understood(tmp_path: Path) -> None:
    chatty = program(tmp_path / "python", f'echo "hello"; exec {sys.executable} "$@"')
    assert resolved_environment(chatty, None, os.environ).python == platform.python_version()


def test_no_interpreter_at_all(tmp_path: Path) -> None:
    assert resolved_environment(ScriptPython(str(tmp_path / "none")), None, {}).packages == {}


def test_what_the_metadata_tells() -> None:
    metadata = Metadata()
    known = {"meta-data/ami-id": "ami-0123456789abcdef0", "meta-data/instance-type": "g5.xlarge"}
    text = metadata.text
    metadata.text = lambda path: known.get(path) or text(path)  # type: ignore[method-assign]
    with serve(metadata.handler()) as url:
        found = resolved_environment(ScriptPython("/nowhere/python"), Imds(url), {})
        assert (found.image_id, found.instance_type) == ("ami-0123456789abcdef0", "g5.xlarge")
        known.clear()
        assert resolved_environment(ScriptPython("/nowhere/python"), Imds(url), {}).image_id is None
    assert resolved_environment(ScriptPython("/nowhere/python"), Imds(url), {}).image_id is None
