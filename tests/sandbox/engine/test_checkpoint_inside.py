"""Checkpoints of real jobs and of anybody in the sandbox's S3: looked into, compared, brought, gone on from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from runctl_jupyter.orchestration import Instance
from runctl_jupyter.orchestration.errors import CheckpointUnreadable, InvalidRequest, ObjectMissing
from tests.sandbox.conftest import Boto
from tests.sandbox.doors.conftest import Terminal
from tests.sandbox.engine.conftest import Engine
from tests.sandbox.engine.running import BUCKET, succeeded, terminal

__all__ = ["terminal"]

BASE = f"s3://{BUCKET}/foreign checkpoints"
SCRIPT = """\
import array, json, os, pathlib, struct
folder = pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])
source = os.environ.get("RUNCTL_RESUME_FROM")
rate = float(os.environ.get("RUNCTL_PARAM_RATE", "1"))
start = 0
if source:
    raw = pathlib.Path(source).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    start = int(json.loads(raw[8:8 + length])["__metadata__"]["step"])
for step in range(start + 1, start + 3):
    values = array.array("f", [step * rate] * 6).tobytes()
    header = json.dumps({
        "__metadata__": {"step": str(step), "loss": str(1 / step)},
        "layer.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    }).encode()
    path = folder / f"step_{step}.safetensors"
    path.with_suffix(".tmp").write_bytes(struct.pack("<Q", len(header)) + header + values)
    path.with_suffix(".tmp").rename(path)
print("from", start)
"""


def test_of_a_job(engine: Engine, dev: Instance, terminal: Terminal, tmp_path: Path) -> None:
    rc = engine({"t.py": SCRIPT})
    first = succeeded(rc.jobs.train("t.py", on=dev.id, name="inside"))
    info = rc.checkpoints.info("inside")
    assert (info.name, info.step, info.parameters, info.job_id) == ("step_2.safetensors", 2, 6, first.id)
    assert info.metrics == {"loss": 0.5}
    diff = rc.checkpoints.diff("inside/step_1.safetensors", "inside")
    assert [(row.name, row.what, row.norm) for row in diff.differences] == [
        ("layer.weight", "changed", pytest.approx(6**0.5))
    ]
    shown = terminal.json("checkpoints", "info", "inside")
    assert (shown["uri"], shown["step"], [t["name"] for t in shown["tensors"]]) == (info.uri, 2, ["layer.weight"])
    compared = terminal.json("checkpoints", "diff", "inside/step_1.safetensors", info.uri)
    assert compared["norm"] == pytest.approx(6**0.5)
    brought = terminal.json("checkpoints", "download", "inside", str(tmp_path / "here"))
    assert np.array_equal(load_file(brought["destination"])["layer.weight"], np.full((2, 3), 2, np.float32))
    # Any of them can be gone on from, in a job of its own with other parameters.
    fork = rc.jobs.train("t.py", on=dev.id, resume=rc.checkpoints.list("inside")[0].uri, params={"rate": "10"})
    assert "from 1" in succeeded(fork).logs().text()
    assert np.array_equal(rc.checkpoints.tensor(fork.id, "layer.weight"), np.full((2, 3), 30, np.float32))


def test_of_anybody(engine: Engine, boto: Boto, tmp_path: Path) -> None:
    rc = engine({})
    model = {"ä weight": np.arange(50_000, dtype=np.float32), "b": np.ones(3, np.float16)}
    s3 = boto("s3")
    prefix = BASE.removeprefix(f"s3://{BUCKET}/")
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/run 1/step=7 ü.safetensors", Body=save(model))
    for name, data in {"config.json": b'{"model_type": "tiny"}', "model.safetensors": save(model)}.items():
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/hf/{name}", Body=data)
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/hf/", Body=b"")
    alone = f"{BASE}/run 1/step=7 ü.safetensors"
    info = rc.checkpoints.info(alone)
    assert (info.step, info.parameters, info.requests) == (7, 50_003, 1)
    assert info.bytes_read == 64 << 10
    assert np.array_equal(rc.checkpoints.load(alone)["ä weight"], model["ä weight"])
    assert rc.checkpoints.info(f"{BASE}/hf").format == "huggingface"
    assert rc.checkpoints.diff(alone, f"{BASE}/hf/").differences == []
    brought = rc.checkpoints.download(f"{BASE}/hf/", tmp_path)
    assert sorted(path.name for path in Path(brought.destination).iterdir()) == ["config.json", "model.safetensors"]
    json.dumps(info.to_dict())


def test_what_cannot_be_looked_into(engine: Engine, boto: Boto) -> None:
    rc = engine({})
    whole = save({"w": np.zeros(100, np.float32)})
    prefix = BASE.removeprefix(f"s3://{BUCKET}/")
    for name, data in {"cut.safetensors": whole[:-1], "a.pt": b"not", "empty.safetensors": b""}.items():
        boto("s3").put_object(Bucket=BUCKET, Key=f"{prefix}/bad/{name}", Body=data)
    for name in ("cut.safetensors", "a.pt", "empty.safetensors"):
        with pytest.raises(CheckpointUnreadable) as raised:
            rc.checkpoints.info(f"{BASE}/bad/{name}")
        assert len(str(raised.value).splitlines()) == 2
    with pytest.raises(InvalidRequest, match="3 files"):
        rc.checkpoints.info(f"{BASE}/bad/")
    with pytest.raises(ObjectMissing):
        rc.checkpoints.info(f"{BASE}/nothing")
