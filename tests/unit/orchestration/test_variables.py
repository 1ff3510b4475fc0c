"""Variables are packed, checked against the machine before anything is launched, and come back; so do exceptions."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runctl_jupyter.orchestration.errors import (
    InstanceNotReady,
    InvalidRequest,
    JobFailed,
    ObjectMissing,
    RemoteError,
    StorageUnavailable,
)
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.variables import pack as packing
from runctl_jupyter.orchestration.variables.needs import (
    MachinePython,
    check_needs,
    needs,
    parse_probe,
    probe_script,
    requirement_names,
)
from runctl_jupyter.orchestration.variables.pack import PackedValue, pack, upload
from runctl_jupyter.orchestration.variables.unpack import remote_error, results
from runctl_jupyter.run_record import (
    AttemptKeys,
    JobSpec,
    RemoteFailure,
    StoredValue,
    VariableSet,
    blob_key,
    formats,
    values,
)
from runctl_jupyter.runner import variables as runner
from runctl_jupyter.runner.environment import machine_python
from runctl_jupyter.runner.files import FolderFiles

KEYS = AttemptKeys("260101-120000-abcd", 1)
HERE = formats.python_version()
SPEC = JobSpec(KEYS.job_id, "cell", "2026-01-01T00:00:00.000Z", "me", "local", "runctl_cell.py", cell=True)


class Uploads(ListableFolder):
    """A store that notes which files are put."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.files: list[str] = []

    def put_file(self, key: str, path: Path) -> int:
        self.files.append(key)
        return super().put_file(key, path)


@pytest.fixture
def store(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "record")


def packed(tmp_path: Path, **namespace: Any) -> list[PackedValue]:
    return pack(list(namespace), namespace, tmp_path / "packed")


def pickled(name: str = "model", python: str | None = None, **libraries: str) -> PackedValue:
    return PackedValue(StoredValue(name, "cloudpickle", "0" * 64, 1, "MyNet"), Path("/nowhere"), python, libraries)


def refusal(value: PackedValue, found: MachinePython | None, *requirements: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        check_needs(needs([value]), found, brought=requirement_names(requirements))
    return raised.value


def test_values_are_packed_and_moved_once(tmp_path: Path, store: Uploads) -> None:
    first = packed(tmp_path, config={"lr": 0.1}, array=np.arange(3.0))
    assert [(p.stored.name, p.stored.format, p.stored.type) for p in first] == [
        ("config", "json", "dict"),
        ("array", "npy", "numpy.ndarray"),
    ]
    assert upload(store, first) == sum(p.stored.size for p in first)
    again = packed(tmp_path, config={"lr": 0.1}, same={"lr": 0.1}, array=np.arange(4.0))
    assert upload(store, again) == again[2].stored.size
    assert len(store.files) == 3
    for value in (*first, *again):
        assert store.exists(blob_key(value.stored.sha256))


def test_two_names_for_one_value_are_one_upload(tmp_path: Path, store: Uploads) -> None:
    upload(store, packed(tmp_path, a=[1], b=[1]))
    assert len(store.files) == 1


def test_an_undefined_name_is_refused_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as raised:
        pack(["frme"], {"frame": 1}, tmp_path)
    assert str(raised.value) == "There is no variable 'frme'.\nDid you mean frame?"
    with pytest.raises(InvalidRequest, match="earlier cell"):
        pack(["x"], {"frame": 1}, tmp_path)


def test_what_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as raised:
        packed(tmp_path, lock=threading.Lock())
    assert (
        raised.value.what
        == "lock is a _thread.lock and cannot be sent: TypeError: cannot pickle '_thread.lock' object."
    )


@pytest.mark.parametrize("value", [np.zeros(2000, dtype="u1"), "x" * 2000])
def test_what_is_too_big_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    monkeypatch.setattr(packing, "MOST_BYTES", 1000)
    with pytest.raises(InvalidRequest, match=r"big has 2.*\n.*--data-s3"):
        packed(tmp_path, big=value)


def test_plain_values_need_nothing(tmp_path: Path) -> None:
    asked = needs(packed(tmp_path, a={"x": 1}, b=(1, 2), c=b"x"))
    assert (asked.modules, asked.python, asked.asks) == ([], None, False)
    check_needs(asked, None)
    check_needs(asked, MachinePython("3.9", {}))


def test_formats_need_their_libraries(tmp_path: Path) -> None:
    asked = needs(packed(tmp_path, df=pd.DataFrame({"a": [1]}), array=np.zeros(1)))
    assert asked.modules == ["numpy", "pandas", "pyarrow"]
    check_needs(asked, None)
    check_needs(asked, MachinePython("3.9", {"numpy": "1.26.0", "pandas": "2.1.0", "pyarrow": ""}))
    with pytest.raises(InvalidRequest) as raised:
        check_needs(asked, MachinePython("3.9", {"numpy": "1.26.0", "pandas": None, "pyarrow": "15"}))
    assert str(raised.value) == (
        "df needs pandas on the machine, which does not have it.\nAdd pandas to the job's requirements."
    )


def test_code_needs_the_same_python() -> None:
    value = pickled(python="3.11", cloudpickle="3.1.2")
    check_needs(needs([value]), MachinePython("3.11", {"cloudpickle": "3.0.0"}))
    refused = refusal(value, MachinePython("3.12", {"cloudpickle": "3.1.2"}))
    assert refused.what == "model is a MyNet and travels as cloudpickle: Python 3.11 here, 3.12 there."


def test_objects_need_libraries_of_the_same_series() -> None:
    value = pickled(torch="2.9.1+cpu", tool="0.4.1")
    check_needs(needs([value]), MachinePython("3.12", {"torch": "2.4.0+cu124", "tool": "0.4.9"}))
    assert "torch 2.9.1+cpu here, 3.0.0 there" in str(refusal(value, MachinePython("3.12", {"torch": "3.0.0"})))
    refused = refusal(value, MachinePython("3.12", {"torch": "2.9.1", "tool": "0.5.0"}))
    assert refused.to_resolve == "Add tool==0.4.1 to the job's requirements, or send plain data."


def test_what_the_requirements_bring_is_left_to_them() -> None:
    value = pickled(dateutil="2.9.0", cloudpickle="3.1.2")
    found = MachinePython("3.11", {"dateutil": None, "cloudpickle": None})
    check_needs(
        needs([value]), found, brought=requirement_names(["python_dateutil>=2  # dates", "CloudPickle", "-e ."])
    )
    assert "needs cloudpickle" in str(refusal(value, found, "python-dateutil"))


def test_a_machine_to_be_launched_gets_no_pickles() -> None:
    refused = refusal(pickled(python="3.11", torch="2.9.1"), None)
    assert "to be read by Python 3.11, torch 2.9.1" in refused.what
    assert "--on" in refused.to_resolve


def test_the_machine_says_what_it_has() -> None:
    script = probe_script(["numpy", "dateutil", "no_such_module"])
    done = subprocess.run(
        ["sh"],
        input=script,
        env={**os.environ, "RUNCTL_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert parse_probe(f"motd\n{done.stdout}") == MachinePython(
        HERE,
        {"numpy": np.__version__, "dateutil": formats.library_version("dateutil"), "no_such_module": None},
    )


def test_the_probe_asks_the_python_that_scripts_get(tmp_path: Path) -> None:
    """As the runner chooses it: without RUNCTL_PYTHON the image's own, then python3 on the PATH."""
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(["sh"], input=probe_script([]), env=environ, capture_output=True, text=True, check=True)
    told = subprocess.run(
        [machine_python(environ), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert parse_probe(done.stdout).python == told.stdout.strip()


@pytest.mark.parametrize("output", ["", "sh: python3: not found", "[]", "{}"])
def test_a_machine_that_does_not_answer_is_told(output: str) -> None:
    with pytest.raises(InstanceNotReady, match="which Python"):
        parse_probe(output)


def run(tmp_path: Path, store: ListableFolder, source: str, names: list[str], **inputs: Any) -> int:
    """Run a cell as machine and engine do together."""
    values_in = packed(tmp_path, **inputs)
    upload(store, values_in)
    machine = FolderFiles(store.root)
    work, outputs = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    (work / "runctl_cell.py").write_text(source)
    runner.fetch_inputs(machine, [p.stored for p in values_in], tmp_path / "blobs", tmp_path / "in")
    command = runner.cell_command(
        sys.executable, "runctl_cell.py", [], inputs=tmp_path / "in", outputs=outputs, names=names
    )
    done = subprocess.run(command, cwd=work, capture_output=True, check=False)
    runner.store_results(machine, KEYS, outputs, names, time.monotonic() + 5)
    return done.returncode


def test_variables_go_to_a_machine_and_come_back(tmp_path: Path, store: Uploads) -> None:
    class Scale:
        by = 2

    Scale.__module__ = "__main__"  # as a class of a notebook
    df = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index(["x", "y"], name="k"))
    source = "out = df * scale.by\nclass Net:\n    w = 3\nmodel = Net()\nbad = (i for i in 'a')\n"
    assert run(tmp_path, store, source, ["out", "model", "bad"], df=df, scale=Scale()) == 0
    found = results(store, KEYS)
    pd.testing.assert_frame_equal(found.values["out"], df * 2)
    assert found.values["model"].w == 3
    assert list(found.values) == ["out", "model"]
    assert str(found.problems["bad"]).startswith("bad was not brought back: it cannot be written: TypeError")
    assert remote_error(store, KEYS, SPEC) is None


def test_code_of_another_python_is_not_unpickled(
    tmp_path: Path, store: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, store, "class Net: ...\nmodel, n = Net(), 1\n", ["model", "n"])
    monkeypatch.setattr("runctl_jupyter.run_record.pickles.python_version", lambda: "3.99")
    found = results(store, KEYS)
    assert found.values == {"n": 1}
    assert found.problems["model"].what == (
        f"model is a Net and cannot be read here: it holds code of Python {HERE}, and this is Python 3.99."
    )


def test_a_job_without_variables_has_no_results(store: Uploads) -> None:
    found = results(store, KEYS)
    assert (found.values, found.problems) == ({}, {})
    assert remote_error(store, KEYS, SPEC) is None


def test_bytes_that_changed_on_the_way_are_refused(tmp_path: Path, store: Uploads) -> None:
    values.dump([1], tmp_path / "v")
    store.put(blob_key("0" * 64), b"[2]")
    store.put(KEYS.variables, VariableSet([StoredValue("x", "json", "0" * 64, 3, "list")]).to_json())
    with pytest.raises(StorageUnavailable, match="other bytes"):
        results(store, KEYS)


def test_a_value_that_is_gone_is_told(store: Uploads) -> None:
    store.put(KEYS.variables, VariableSet([StoredValue("x", "json", "0" * 64, 3, "list")]).to_json())
    with pytest.raises(ObjectMissing):
        results(store, KEYS)


def test_an_exception_comes_back_with_its_line(tmp_path: Path, store: Uploads) -> None:
    source = '# %%runctl train\ndef f():\n    raise ValueError("boom")\nf()\n'
    assert run(tmp_path, store, source, []) == 1
    error = remote_error(store, KEYS, SPEC)
    assert isinstance(error, RemoteError)
    assert isinstance(error, JobFailed)
    assert error.what == 'ValueError: boom, in line 3 of the cell: raise ValueError("boom")'
    assert error.to_resolve == f"See all it printed: runctl logs {KEYS.job_id}"
    assert (error.remote_type, error.line) == ("builtins.ValueError", 3)
    assert error.remote_traceback.endswith("ValueError: boom\n")
    assert type(error.__cause__) is ValueError
    assert str(error.__cause__) == "boom"
    shown = "".join(traceback.format_exception(error))
    assert "runctl_cell.py" in shown
    assert error.to_dict()["remote"]["line"] == 3


@pytest.mark.parametrize(
    ("failure", "what", "cause"),
    [
        (
            RemoteFailure("builtins.KeyError", "'a'", "", 2, "d['a']"),
            "KeyError: 'a', in line 2 of the cell: d['a']",
            KeyError("a"),
        ),
        (
            RemoteFailure("builtins.AssertionError", "", "", 1, "assert x"),
            "AssertionError, in line 1 of the cell: assert x",
            AssertionError(""),
        ),
        (
            RemoteFailure("builtins.SyntaxError", "bad (m.py, line 1)", "", 3, "import m"),
            "SyntaxError: bad (m.py, line 1), in line 3 of the cell: import m",
            SyntaxError("bad (m.py, line 1)"),
        ),
        (RemoteFailure("builtins.UnicodeDecodeError", "bad", "", None), "UnicodeDecodeError: bad", None),
        (
            RemoteFailure("builtins.RuntimeError", "one\ntwo", "", 1),
            "RuntimeError: one, in line 1 of the cell",
            RuntimeError("one\ntwo"),
        ),
        (RemoteFailure("__main__.Odd", "x", "", 1, "y"), "Odd: x, in line 1 of the cell: y", None),
        (
            RemoteFailure("torch.OutOfMemoryError", "CUDA", "", 9, "y"),
            "torch.OutOfMemoryError: CUDA, in line 9 of the cell: y",
            None,
        ),
        (
            RemoteFailure("builtins.KeyboardInterrupt", "", "", 1, "y"),
            "KeyboardInterrupt, in line 1 of the cell: y",
            None,
        ),
        (RemoteFailure("builtins.print", "x", "", None), "print: x", None),
    ],
)
def test_exceptions_are_told_in_one_line(
    store: Uploads, failure: RemoteFailure, what: str, cause: Exception | None
) -> None:
    store.put(KEYS.exception, failure.to_json())
    error = remote_error(store, KEYS, SPEC)
    assert error is not None
    assert error.what == what
    if cause is not None:
        assert type(error.__cause__) is type(cause)
        assert str(error.__cause__) == str(cause)
    else:
        assert error.__cause__ is None


def test_a_script_is_named_by_its_file(store: Uploads) -> None:
    store.put(KEYS.exception, RemoteFailure("builtins.ValueError", "x", "", 7, "y").to_json())
    error = remote_error(store, KEYS, replace(SPEC, script="src/train.py", cell=False))
    assert error is not None
    assert error.what == "ValueError: x, in line 7 of src/train.py: y"
