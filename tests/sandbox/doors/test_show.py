"""`show` of a real job: where it came from, and what another run of it did differently."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

GIT = shutil.which("git")
SCRIPT = "import sys\nprint('trained with', sys.argv[1:])\n"


@pytest.fixture
def history(place: Any) -> str:
    """The project under git, with one commit; returns it."""
    if GIT is None:
        pytest.skip("there is no git here")

    def git(*words: str) -> str:
        who = ("-c", "user.name=me", "-c", "user.email=me@example.com")
        return subprocess.run(
            [str(GIT), *who, *words], cwd=place.folder, env=dict(place.env), check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q", "-b", "main")
    (place.folder / "fit.py").write_text(SCRIPT)
    git("add", "-A", "-f")
    git("commit", "-q", "--allow-empty", "-m", "x")
    return git("rev-parse", "HEAD")


def test_where_a_job_came_from(place: Any, history: str) -> None:
    place.run(
        "train", "fit.py", *place.on, "--name", "told", "--env", "API_TOKEN=hunter2", "--param", "lr=0.1", "--wait"
    )
    shown = place.json("show", "told")
    assert (shown["name"], shown["state"], shown["exit_code"]) == ("told", "succeeded", 0)
    known = shown["provenance"]
    assert known["params"] == {"lr": "0.1"}
    assert known["attempts"][0]["state"] == "succeeded"
    assert known["origin"]["git_commit"] == history
    assert known["origin"]["git_diff"] is None
    assert known["attempts"][0]["environment"]["python"].startswith("3.")
    assert "hunter2" not in json.dumps(shown)
    text = place.run("show", "told")[0].decode()
    assert "✓ succeeded  told" in text
    assert f"{history[:10]} on main" in text
    assert "hunter2" not in text


def test_what_two_jobs_differ_in(place: Any, history: str) -> None:
    ids = []
    for script, learning_rate in ((SCRIPT, "0.1"), (SCRIPT.replace("trained", "fitted"), "0.2")):
        (place.folder / "fit.py").write_text(script)
        words = ("--name", "twice", "--param", f"lr={learning_rate}")
        place.run("train", "fit.py", *place.on, *words, "--wait")
        ids.append(place.json("show", "twice")["id"])
    found = place.json("show", ids[0], "--diff", ids[1])
    assert (found["a"]["id"], found["b"]["id"]) == tuple(ids)
    changed = {each["what"]: (each["a"], each["b"]) for each in found["differences"]}
    assert changed["param lr"] == ("0.1", "0.2")
    assert {"source", "uncommitted changes"} <= set(changed)
    assert not {"git commit", "arguments", "state", "python"} & set(changed)
    assert "-print('trained with', sys.argv[1:])\n+print('fitted with', sys.argv[1:])\n" in found["source_diff"]
    text = place.run("show", ids[0], "--diff", ids[1])[0].decode()
    assert "+print('fitted with'" in text
    same = place.run("show", ids[0], "--diff", ids[0])[0].decode()
    assert same.count("\n") == 1
    assert "are equal" in same


@pytest.mark.parametrize(
    "line", ["show {job} --diff nothing", "show {job} --diff {machine}", "show {machine} --diff {job}"]
)
def test_what_cannot_be_compared(place: Any, line: str) -> None:
    (place.folder / "one.py").write_text("print(1)\n")
    place.run("train", "one.py", *place.on, "--name", "one", "--wait")
    words = line.format(job="one", machine="i-0123456789abcdef0").split()
    process = place.start(*words)
    out, error = process.communicate(timeout=60)
    assert process.returncode in (1, 2)
    assert out == b""
    assert len(error.decode().splitlines()) == 2
