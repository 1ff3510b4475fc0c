"""The wheel, made as a user's pip makes it: from a checkout, on a machine without node."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "runctl_jupyter"
PACKED_NOTEBOOK = f"{PACKAGE}/commands/01_quickstart.ipynb"
"""Where the wheel carries the quickstart, so that `runctl demo` can name it without a checkout."""
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "venv", "node_modules", "lib", ".yarn", "dist", "build", "__pycache__", ".*_cache", ".hypothesis"
)

# The first build downloads node and the packages of yarn.lock.
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Built:
    """A source distribution and the wheel made from it."""

    sdist: Path
    wheel: Path

    @property
    def wheel_names(self) -> set[str]:
        """Names of the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}


def without_node(folder: Path) -> dict[str, str]:
    """Return an environment whose PATH has no program at all, so that no node but the build's own can be found."""
    empty = folder / "no-programs"
    empty.mkdir(exist_ok=True)
    env = os.environ | {"PATH": str(empty)}
    assert shutil.which("node", path=env["PATH"]) is None
    return env


def build(kind: str, source: Path, out: Path, env: Mapping[str, str]) -> Path:
    """Build one distribution in isolation and return its path."""
    argv = [sys.executable, "-m", "build", f"--{kind}", "--outdir", str(out), str(source)]
    done = subprocess.run(argv, env=env, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (made,) = out.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Checkout -> sdist with the node of PyPI; sdist -> wheel with no way to npm's registry."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    shutil.copytree(ROOT, checkout, ignore=NOT_SOURCE, ignore_dangling_symlinks=True)
    for made in (checkout / PACKAGE / "labextension", checkout / PACKAGE / "widgets" / "static"):
        shutil.rmtree(made, ignore_errors=True)
    env = without_node(folder)
    sdist = build("sdist", checkout, folder, env)

    shutil.unpack_archive(sdist, folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    no_npm = {"YARN_NPM_REGISTRY_SERVER": "http://127.0.0.1:9", "YARN_GLOBAL_FOLDER": str(folder / "no-cache")}
    wheel = build("wheel", unpacked, folder, env | no_npm)
    assert not (unpacked / "labextension" / "node_modules").exists()
    return Built(sdist, wheel)


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fresh virtual environment that holds the wheel and nothing it depends on."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(built.wheel)], check=True)
    return venv


def test_wheel_has_every_file_of_the_package(built: Built) -> None:
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.parts[len(ROOT.parts) + 1] != "labextension"
    }
    packed = {name for name in built.wheel_names if name.startswith(f"{PACKAGE}/")}
    assert packed == source | {PACKED_NOTEBOOK}
    assert f"{PACKAGE}/py.typed" in packed
    assert any(name.endswith(".json") for name in packed)


def test_wheel_has_the_quickstart_as_it_is(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        assert archive.read(PACKED_NOTEBOOK) == (ROOT / "notebooks" / "01_quickstart.ipynb").read_bytes()


def test_wheel_has_the_labextension_and_nothing_of_its_making(built: Built) -> None:
    data = re.compile(r"[^/]+\.data/data/share/jupyter/labextensions/runctl-jupyter/(.+)")
    extension = {match[1] for name in built.wheel_names if (match := data.fullmatch(name))}
    assert {"install.json", "package.json", "static/style.js"} <= extension
    assert sum(bool(re.fullmatch(r"static/remoteEntry\.\w+\.js", name)) for name in extension) == 1

    rooms = {name.split("/")[0] for name in built.wheel_names}
    assert {room.split("-")[0] for room in rooms} == {PACKAGE}
    assert not [name for name in built.wheel_names if re.search(r"node_modules|\.tsx?$|tsbuildinfo|yarn|/tests/", name)]
    assert not [name for name in built.wheel_names if name.startswith(f"{PACKAGE}/labextension")]


def test_wheel_has_the_widgets_and_switches_the_server_extension_on(built: Built) -> None:
    assert {f"{PACKAGE}/widgets/static/{name}" for name in ("loader.js", "card.js", "panel.js", "style.css")} <= (
        built.wheel_names
    )
    (config,) = (name for name in built.wheel_names if name.endswith(f"jupyter_server_config.d/{PACKAGE}.json"))
    with zipfile.ZipFile(built.wheel) as archive:
        assert json.loads(archive.read(config)) == {"ServerApp": {"jpserver_extensions": {PACKAGE: True}}}


def test_sdist_has_sources_and_built_extension_and_is_small(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    assert {"pyproject.toml", "LICENSE", "labextension/yarn.lock", "labextension/src/index.ts"} <= names
    assert f"{PACKAGE}/labextension/package.json" in names
    assert not [name for name in names if re.search(r"node_modules|\.yarn/|labextension/lib/|__pycache__", name)]
    assert built.sdist.stat().st_size < 1_200_000


def test_one_version_everywhere(built: Built) -> None:
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    typescript = json.loads((ROOT / "labextension" / "package.json").read_text())
    assert typescript["version"] == python["version"]
    assert built.wheel.name.split("-")[:2] == [PACKAGE, python["version"]]
    assert typescript["name"] == python["name"]


def test_front_door_opens_without_any_dependency(installed: Path) -> None:
    probe = f"import {PACKAGE}, importlib.resources as r; print(r.files({PACKAGE!r}).joinpath('py.typed').is_file())"
    python = str(installed / "bin" / "python")
    done = subprocess.run([python, "-I", "-c", probe], cwd=installed, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert os.access(installed / "bin" / "runctl", os.X_OK)


def test_jupyterlab_lists_the_extension_as_enabled_and_ok(installed: Path, tmp_path: Path) -> None:
    share = installed / "share" / "jupyter"
    env = os.environ | {
        "JUPYTER_PATH": str(share),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
    }
    jupyter = Path(sysconfig.get_path("scripts")) / "jupyter-labextension"
    done = subprocess.run([jupyter, "list"], env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    _, _, after = plain.partition(f"{share / 'labextensions'}\n")
    listed = next((line.strip() for line in after.splitlines() if "runctl-jupyter" in line), plain)
    assert re.match(r"runctl-jupyter v\S+ enabled OK \(python, runctl-jupyter\)", listed), plain
