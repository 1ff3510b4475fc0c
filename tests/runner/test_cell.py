"""A script under `cell.py` does what it does under `python`; its variables are brought before and stored after."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runctl_jupyter.run_record import (
    AttemptKeys,
    NotFound,
    RemoteFailure,
    StoredValue,
    StoreError,
    VariableSet,
    blob_key,
    values,
)
from runctl_jupyter.runner import cell
from runctl_jupyter.runner.files import FolderFiles, StoredFile
from runctl_jupyter.runner.variables import VariablesError, cell_command, fetch_inputs, store_results

KEYS = AttemptKeys("job-1", 1)
Done = subprocess.CompletedProcess[bytes]


class Desk:
    """A working directory, a store, and a machine's cache."""

    def __init__(self, tmp_path: Path) -> None:
        self.work, self.blobs = tmp_path / "work", tmp_path / "blobs"
        self.inputs, self.outputs = tmp_path / "inputs", tmp_path / "variables"
        self.store = FolderFiles(tmp_path / "record")
        self.scratch = tmp_path / "scratch"
        self.work.mkdir()

    def send(self, **variables: Any) -> list[StoredValue]:
        """Store values as the engine does."""
        sent = []
        for name, value in variables.items():
            written = values.dump(value, self.scratch)
            data = self.scratch.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            self.store.put(blob_key(digest), data)
            sent.append(StoredValue(name, written.format, digest, len(data), written.type))
        return sent

    def python(self, source: str, *arguments: str) -> Done:
        (self.work / "script.py").write_text(source)
        return self._run([sys.executable, "-u", "script.py", *arguments])

    def cell(self, source: str, *arguments: str, names: str = "", python: str = sys.executable, **inputs: Any) -> Done:
        (self.work / "script.py").write_text(source)
        if inputs:
            fetch_inputs(self.store, self.send(**inputs), self.blobs, self.inputs)
        wanted = names.split(",") if names else []
        return self._run(
            cell_command(
                python,
                "script.py",
                arguments,
                inputs=self.inputs if inputs else None,
                outputs=self.outputs,
                names=wanted,
            )
        )

    def _run(self, command: list[str]) -> Done:
        return subprocess.run(command, cwd=self.work, capture_output=True, timeout=60, check=False)

    def stored(self, names: str) -> tuple[VariableSet, list[str]]:
        problems = store_results(self.store, KEYS, self.outputs, names.split(","), time.monotonic() + 5)
        return VariableSet.from_json(self.store.get(KEYS.variables).data), problems

    def value(self, found: VariableSet, name: str) -> Any:
        (value,) = (each for each in found.values if each.name == name)
        return values.load(value.format, self.store.path(blob_key(value.sha256)))

    @property
    def failure(self) -> RemoteFailure:
        return RemoteFailure.from_json((self.outputs / cell.FAILURE).read_bytes())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


ALIKE = {
    "what a script sees": """
import sys
import __main__
print(__name__, __file__, sys.argv, sys.path, __package__, __spec__, __doc__, type(__loader__), __builtins__)
print(__main__.__dict__ is globals(), sorted(globals()), sorted(n for n in sys.modules if "runctl" in n))
""",
    "an exception": "# %%runctl train\ndef f(x):\n    return 1 / x\n\nf(0)\n",
    "a chain": "try:\n    {}['a']\nexcept KeyError as error:\n    raise RuntimeError('two\\nlines') from error\n",
    "a group": "raise ExceptionGroup('some', [ValueError(1), TypeError(2)])\n",
    "an exception in a library": "import json\njson.loads('{')\n",
    "a syntax error": "x = 1\ny = (\n",
    "a syntax error elsewhere": "import pathlib\npathlib.Path('m.py').write_text('(')\nimport m\n",
    "a wrong indent": "if 1:\nx\n",
    "an exit code": "import sys\nsys.exit(7)\n",
    "an exit message": "raise SystemExit('no data')\n",
    "exit": "exit(3)\n",
    "os._exit": "import os\nos._exit(5)\n",
    "an interrupt": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n",
    "a signal": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass\n",
    "a hook": "import sys\nsys.excepthook = lambda *args: print('hook', args[:2], args[2].tb_lineno)\n1/0\n",
    "atexit and threads": """
import atexit, threading, time
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
raise ValueError("first")
""",
    "an exception without text": """
class Odd(Exception):
    def __str__(self): raise RuntimeError
raise Odd
""",
    "a changed directory": "import os\nos.chdir('/')\nraise ValueError('far')\n",
    "latin-1": "# -*- coding: latin-1 -*-\nraise ValueError('caf\\xe9')\n",
    "processes": """
import multiprocessing
def double(x): return 2 * x
if __name__ == "__main__":
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(1) as pool:
            print(way, pool.map(double, [1, 2]))
""",
    "a dataclass": """
import dataclasses, pickle, inspect
@dataclasses.dataclass
class Point:
    x: int
print(pickle.loads(pickle.dumps(Point(1))), Point.__module__, inspect.getsource(Point))
""",
    "a warning": "import warnings\nwarnings.warn('old', DeprecationWarning)\n",
}


@pytest.mark.parametrize("source", ALIKE.values(), ids=ALIKE)
def test_a_script_does_what_it_does_under_python(desk: Desk, source: str) -> None:
    plain = desk.python(source, "--lr", "0.1")
    here = desk.cell(source, "--lr", "0.1")
    assert here.stdout.decode() == plain.stdout.decode()
    assert here.stderr.decode() == plain.stderr.decode()
    assert here.returncode == plain.returncode


def other_pythons() -> list[str]:
    """Interpreters of this computer that start; a version manager leaves names that do not."""
    found = [shutil.which(f"python3.{version}") for version in (9, 10, 12, 13, 14)]
    return [each for each in found if each and subprocess.run([each, "-V"], check=False).returncode == 0]


@pytest.mark.parametrize("python", [sys.executable, *other_pythons()])
def test_other_pythons_run_it(desk: Desk, python: str) -> None:
    """A machine's Python is older or newer than ours; those that this computer has are tried."""
    done = desk.cell("y = {'x': x + [1.5]}\n", names="y", python=python, x=[1, 2])
    assert done.stderr == b""
    assert done.returncode == 0
    assert desk.value(desk.stored("y")[0], "y") == {"x": [1, 2, 1.5]}
    failed = desk.cell("def f():\n    raise ValueError('é')\nf()\n", python=python)
    assert failed.returncode == 1
    assert b"cell.py" not in failed.stderr
    assert desk.failure.line == 2
    assert desk.failure.traceback == failed.stderr.decode()


def test_variables_go_in_and_come_out(desk: Desk) -> None:
    source = (
        "total = float(array.sum()) + config['add']\narray[:] = 0\nclass Net:\n    w = 3\nmodel = Net()\nimport sys\n"
    )
    source += "print(sorted(n for n in sys.modules if n.startswith('runctl')))\n"
    done = desk.cell(source, names="total,array,model", array=np.arange(4.0), config={"add": 0.5})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"[]\n", b"")
    found, problems = desk.stored("total,array,model")
    assert problems == []
    assert [(value.name, value.format) for value in found.values] == [
        ("total", "json"),
        ("array", "npy"),
        ("model", "cloudpickle"),
    ]
    assert desk.value(found, "total") == 6.5
    assert desk.value(found, "array").tolist() == [0.0] * 4
    assert desk.value(found, "model").w == 3


@pytest.mark.parametrize(
    "end", ["raise SystemExit", "import sys; sys.exit(0)", "exit()", "quit(0)", "import os; os.chdir('/')"]
)
def test_variables_come_out_of_a_script_that_leaves_well(desk: Desk, end: str) -> None:
    assert desk.cell(f"x = 1\n{end}\n", names="x").returncode == 0
    assert desk.value(desk.stored("x")[0], "x") == 1


def test_a_forked_child_leaves_no_variables(desk: Desk) -> None:
    source = """
import os
x = "parent"
if pid := os.fork():
    os.waitpid(pid, 0)
else:
    x = "child"
    raise ValueError
"""
    assert desk.cell(source, names="x").returncode == 0
    assert desk.value(desk.stored("x")[0], "x") == "parent"
    assert not (desk.outputs / cell.FAILURE).exists()


def test_what_cannot_come_out_says_why(desk: Desk) -> None:
    done = desk.cell("good = 1\nbad = (i for i in 'a')\n", names="good,bad,missing")
    assert (done.returncode, done.stderr) == (0, b"")
    found, problems = desk.stored("good,bad,missing")
    assert [value.name for value in found.values] == ["good"]
    assert problems == [
        "the variable bad was not brought back: it cannot be written: TypeError: cannot pickle 'generator' object",
        "the variable missing was not brought back: the cell does not define it",
    ]
    assert set(found.problems) == {"bad", "missing"}


def test_a_script_that_does_not_reach_its_end_says_so(desk: Desk) -> None:
    desk.cell("x = 1\nimport os\nos._exit(0)\n", names="x")
    found, problems = desk.stored("x")
    assert found.problems == {"x": "the script did not come to its end"}
    assert problems == ["the variable x was not brought back: the script did not come to its end"]


def test_an_exception_is_recorded_with_its_line(desk: Desk) -> None:
    source = '# %%runctl train\nimport json\n\ndef f(text):\n    return json.loads(text)\n\nx = 1\nf("{")\n'
    done = desk.cell(source, names="x")
    failure = desk.failure
    assert (failure.type, failure.line, failure.source) == (
        "json.decoder.JSONDecodeError",
        5,
        "return json.loads(text)",
    )
    assert failure.message.startswith("Expecting property name")
    assert failure.traceback == done.stderr.decode()
    found, problems = desk.stored("x")
    assert problems == []
    assert (found.values, found.problems) == ([], {"x": "the script did not come to its end"})
    assert RemoteFailure.from_json(desk.store.get(KEYS.exception).data) == failure


@pytest.mark.parametrize(
    ("source", "kind", "line", "text"),
    [
        ("x = 1\n\ny = (\n", "builtins.SyntaxError", 3, "y = ("),
        ("class Odd(Exception): ...\nraise Odd('x')\n", "__main__.Odd", 2, "raise Odd('x')"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n", "builtins.KeyboardInterrupt", 2, "os.kill"),
        ("import asyncio\nawait asyncio.sleep(0)\n1/0\n", "builtins.ZeroDivisionError", 3, "1/0"),
    ],
)
def test_failures_name_the_line_of_the_cell(desk: Desk, source: str, kind: str, line: int, text: str) -> None:
    desk.cell(source)
    assert (desk.failure.type, desk.failure.line) == (kind, line)
    assert desk.failure.source.startswith(text)


@pytest.mark.parametrize("source", ["raise SystemExit(3)\n", "exit('no')\n"])
def test_an_exit_is_no_exception(desk: Desk, source: str) -> None:
    assert desk.cell(source, names="x").returncode != 0
    assert not (desk.outputs / cell.FAILURE).exists()


def test_a_cell_may_await(desk: Desk) -> None:
    source = "import asyncio\nx = await asyncio.sleep(0, 41)\nx += 1\nprint(__name__, asyncio.iscoroutine(x))\n"
    done = desk.cell(source, names="x")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"__main__ False\n", b"")
    assert desk.value(desk.stored("x")[0], "x") == 42


def test_a_cell_may_use_ipython_where_the_machine_has_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(desk.scratch))
    source = (
        "# %%runctl train\n%env RUNCTL_TEST=set\nshown = !echo $RUNCTL_TEST\nx = list(shown)\nprint(await nothing())\n"
    )
    done = desk.cell(f"async def nothing(): return 5\n{source}", names="x")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1] == b"5"
    assert desk.value(desk.stored("x")[0], "x") == ["set"]


def test_without_ipython_its_syntax_is_explained(desk: Desk) -> None:
    (desk.work / "IPython.py").write_text("raise ImportError('none here')")
    done = desk.cell("x = 1\n%matplotlib inline\n")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1].startswith("SyntaxError: invalid syntax (for IPython,")
    assert desk.failure.line == 2


def test_a_value_that_cannot_be_read_ends_the_cell_before_it_begins(desk: Desk) -> None:
    (value,) = desk.send(x=1)
    other = StoredValue("x", "parquet novel", value.sha256, value.size, "pandas.DataFrame")
    fetch_inputs(desk.store, [other], desk.blobs, desk.inputs)
    (desk.work / "script.py").write_text("print('ran')")
    command = cell_command(sys.executable, "script.py", [], inputs=desk.inputs, outputs=desk.outputs, names=[])
    done = subprocess.run(command, cwd=desk.work, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    said = "RuntimeError: the variable x (pandas.DataFrame) cannot be read on this machine: its format"
    assert done.stderr.decode().startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert desk.failure.line is None


def test_a_safe_path_stays_safe(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    source = "import sys\nprint(sys.path)\n"
    assert desk.cell(source).stdout == desk.python(source).stdout


def test_a_signal_that_the_script_handles_is_handled(desk: Desk) -> None:
    source = """
import os, signal, sys
signal.signal(15, lambda *_: sys.exit(0))
x = 1
os.kill(os.getpid(), 15)
while True: pass
"""
    assert desk.cell(source, names="x").returncode == 0
    assert desk.value(desk.stored("x")[0], "x") == 1
    assert desk.cell("import os\nos.kill(os.getpid(), 9)\n").returncode == -signal.SIGKILL


class Counting(FolderFiles):
    """A store that notes what is fetched and put."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched: list[str] = []
        self.put_files: list[str] = []

    def get_file(self, key: str, path: Path) -> StoredFile:
        self.fetched.append(key)
        return super().get_file(key, path)

    def put_file(self, key: str, path: Path) -> StoredFile:
        self.put_files.append(key)
        return super().put_file(key, path)


def test_a_value_is_fetched_once_per_machine(desk: Desk) -> None:
    sent = desk.send(a=[1, 2], b=[1, 2], c="x")
    store = Counting(desk.store.root)
    for _ in range(2):
        fetch_inputs(store, sent, desk.blobs, desk.inputs)
    assert set(store.fetched) == {blob_key(value.sha256) for value in sent}
    assert len(store.fetched) <= 3
    rows = json.loads((desk.inputs / cell.INDEX).read_text())
    assert [values.load(row["format"], Path(row["file"])) for row in rows] == [[1, 2], [1, 2], "x"]
    assert not [path for path in desk.blobs.iterdir() if path.name.startswith(".")]


def test_a_damaged_value_in_the_cache_is_fetched_again(desk: Desk) -> None:
    (value,) = desk.send(a=[1, 2])
    fetch_inputs(desk.store, [value], desk.blobs, desk.inputs)
    (desk.blobs / value.sha256).write_bytes(b"[1,3]")
    fetch_inputs(desk.store, [value], desk.blobs, desk.inputs)
    assert values.load("json", desk.blobs / value.sha256) == [1, 2]


def test_a_damaged_value_in_the_store_is_refused(desk: Desk) -> None:
    (value,) = desk.send(a=[1, 2])
    desk.store.put(blob_key(value.sha256), b"[1,3]")
    with pytest.raises(VariablesError, match="the variable a arrived with other bytes"):
        fetch_inputs(desk.store, [value], desk.blobs, desk.inputs)
    assert list(desk.blobs.iterdir()) == []


def test_a_value_that_is_there_already_is_not_uploaded(desk: Desk) -> None:
    desk.cell("x = [1, 2]\ny = 3\n", names="x,y")
    desk.send(x=[1, 2])
    store = Counting(desk.store.root)
    assert store_results(store, KEYS, desk.outputs, ["x", "y"], time.monotonic() + 5) == []
    assert len(store.put_files) == 1
    assert store_results(store, KEYS, desk.outputs, ["x", "y"], time.monotonic() + 5) == []
    assert len(store.put_files) == 1


class Full(FolderFiles):
    """A store that takes no files."""

    def put_file(self, key: str, path: Path) -> StoredFile:
        raise StoreError("the disk is full", transient=True)


def test_a_store_that_fails_is_told(desk: Desk) -> None:
    desk.cell("x = 1\n", names="x")
    problems = store_results(Full(desk.store.root), KEYS, desk.outputs, ["x"], time.monotonic())
    assert problems == ["the variable x was not brought back: it was not stored: the disk is full"]


def test_a_script_without_variables_stores_nothing(desk: Desk) -> None:
    desk.cell("print(1)\n")
    assert store_results(desk.store, KEYS, desk.outputs, [], time.monotonic() + 5) == []
    for key in (KEYS.variables, KEYS.exception):
        with pytest.raises(NotFound):
            desk.store.get(key)


def test_it_starts_almost_as_fast_as_python(desk: Desk) -> None:
    """In processor time, so that it holds under load; the smallest of some, as the first ones compile."""

    def seconds(command: list[str]) -> float:
        process = subprocess.Popen(command, cwd=desk.work, stdin=subprocess.DEVNULL)
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        return used.ru_utime + used.ru_stime

    (desk.work / "script.py").write_text("pass\n")
    ours = cell_command(sys.executable, "script.py", [], inputs=None, outputs=desk.outputs, names=[])
    plain = min(seconds([sys.executable, "-u", "script.py"]) for _ in range(5))
    assert min(seconds(ours) for _ in range(5)) - plain < 0.05
