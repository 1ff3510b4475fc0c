"""What a script runs with: packages made once for a machine, secrets that are seen by the script alone."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from pathlib import Path

import pytest

from runctl_jupyter.orchestration import Instance, Job, Runctl
from tests.runner.test_environment import locked_project, wheel
from tests.sandbox.conftest import Boto
from tests.sandbox.doors.conftest import Terminal
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import end_of, printed, said, stored, succeeded, terminal

__all__ = ["terminal"]

SCRIPT = """\
import os, pathlib, sys, tinypkg
root = pathlib.Path(os.environ["RUNCTL_OUTPUT_DIR"]).parents[3]
print("tinypkg", tinypkg.VERSION, pathlib.Path(sys.prefix).name)
print(len(list((root / "envs").glob("*/.complete"))), "environments")
"""
BLOCK = """\
# /// script
# requires-python = ">=3.9"
# dependencies = ["tinypkg"]
#
# [tool.uv]
# no-index = true
# find-links = ["wheels"]
# ///
"""


def project(engine: Engine, tmp_path: Path, way: str) -> Runctl:
    """Return the engine in a project that needs one package, which lies in the project: nothing is fetched."""
    rc = engine({"t.py": SCRIPT})
    folder = tmp_path / "project"
    if way == "uv.lock":
        for name, data in locked_project(tmp_path / "locked").items():
            if name != "train.py":
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
        return rc
    (folder / "wheels").mkdir()
    if way == "requirements.txt":
        (folder / way).write_text(f"./wheels/{wheel(folder / 'wheels', '2.0').name}\n")
    else:
        wheel(folder / "wheels", "3.0")
        (folder / "t.py").write_text(BLOCK + SCRIPT)
    return rc


@pytest.mark.parametrize(("way", "version"), [("uv.lock", "1.0"), ("requirements.txt", "2.0"), ("block", "3.0")])
def test_packages_are_installed_once(
    engine: Engine, dev: Instance, boto: Boto, tmp_path: Path, way: str, version: str
) -> None:
    rc = project(engine, tmp_path, way)
    first, again = (succeeded(rc.jobs.train("t.py", on=dev.id)) for _ in range(2))
    package, count = printed(first)
    assert package.startswith(f"tinypkg {version} ")
    assert printed(again) == [package, count]
    assert any("installing" in line for line in said(first)), said(first)
    assert said(again) == []
    found = json.loads(stored(boto, f"runctl/jobs/{again.id}/attempts/1/environment.json")[""])
    assert found["packages"]["tinypkg"] == version
    assert found["python"].count(".") == 2
    assert found["instance_type"] == "m5.large"


SEES = """\
import hashlib, os
for name in ("TOKEN", "KEY", "PART", "PLAIN"):
    print(name, hashlib.sha256(os.environ[name].encode()).hexdigest())
"""


def test_a_secret_is_seen_by_the_script_alone(engine: Engine, dev: Instance, boto: Boto, terminal: Terminal) -> None:
    rc = engine({"t.py": SEES})
    name = uuid.uuid4().hex
    token, key, part = (f"value-{kind}-{uuid.uuid4().hex}" for kind in ("token", "key", "part"))
    boto("ssm").put_parameter(Name=f"/runctl/{name}", Value=token, Type="SecureString")
    boto("secretsmanager").create_secret(Name=f"runctl/{name}", SecretString=key)
    boto("secretsmanager").create_secret(Name=f"runctl/{name}/json", SecretString=json.dumps({"part": part}))
    env = {
        "TOKEN": f"ssm:/runctl/{name}",
        "KEY": f"secretsmanager:runctl/{name}",
        "PART": f"secretsmanager:runctl/{name}/json#part",
        "PLAIN": "as it is",
    }
    values = {"TOKEN": token, "KEY": key, "PART": part, "PLAIN": "as it is"}
    expected = [f"{name} {hashlib.sha256(value.encode()).hexdigest()}" for name, value in values.items()]
    job = succeeded(rc.jobs.train("t.py", on=dev.id, env=env))
    assert printed(job) == expected
    words = [word for pair in env.items() for word in ("--env", "=".join(pair))]
    out, _ = terminal.run("train", "t.py", "--on", dev.id, "--name", "secret", *words, "--wait")
    assert out.decode().splitlines() == expected
    shown = terminal.json("show", "secret")
    everything = {"shown": json.dumps(shown).encode(), "text": terminal.run("show", "secret")[0]}
    for prefix in ("runctl/blobs/", f"runctl/jobs/{job.id}/", f"runctl/jobs/{shown['id']}/"):
        everything |= {prefix + name: data for name, data in stored(boto, prefix).items()}
    assert len([name for name in everything if name.endswith("provenance.json")]) == 2
    assert any(env["TOKEN"].encode() in data for data in everything.values())  # by its name it is known
    for value in (token, key, part):
        for form in (value.encode(), base64.b64encode(value.encode()).rstrip(b"=")):
            assert [at for at, data in everything.items() if form in data] == []


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("ssm:/other/key", "parameter /other/key may not be read"),
        ("ssm:/runctl/none", "parameter /runctl/none does not exist"),
        ("secretsmanager:other/key", "secret other/key may not be read"),
    ],
)
def test_a_secret_that_cannot_be_had_fails_the_job(engine: Engine, dev: Instance, secret: str, words: str) -> None:
    job: Job = end_of(engine({"t.py": "print('begun')"}).jobs.train("t.py", on=dev.id, env={"TOKEN": secret}))
    assert job.to_dict()["state"] == "failed"
    cause = job.to_dict()["cause"]
    assert cause["kind"] == "secret"
    assert cause["message"].startswith(f"variable TOKEN: {words}")
    assert (job.exit_code, printed(job)) == (None, [])
