"""A notebook whose kernel is killed in the middle of a training, and opened again."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
import pytest
from jupyter_client.manager import KernelManager

from runctl_jupyter.orchestration import Instance
from runctl_jupyter.sandbox.connection import Connection
from tests.faults.conftest import Row
from tests.faults.training import LogCount, run_on, wait_for
from tests.faults.victims import terminal_of
from tests.sandbox.conftest import Boto
from tests.sandbox.engine.conftest import Engine

LINES, HELD_AFTER = 120, 80
CELL = f"""\
import pathlib, time
for i in range({LINES}):
    print("line", i, flush=True)
    time.sleep(0.04 if i < {HELD_AFTER} else 0.1)
    while i == {HELD_AFTER} and not pathlib.Path("go").exists():
        time.sleep(0.05)
"""
EXPECTED = "".join(f"line {i}\n" for i in range(LINES))
Content = dict[str, Any]


class Kernel:
    """A kernel of a notebook's own, as a front end talks to it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._manager = KernelManager()
        self._manager.start_kernel(cwd=str(folder), env=env)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self.pid: int = self._manager.provisioner.pid  # type: ignore[union-attr]  # a local kernel has one
        self.said: list[tuple[str, Content]] = []
        """Type and content of each message of the cells, updates of displays among them."""
        self.run("%load_ext runctl_jupyter")

    def run(self, source: str, cell_id: str = "") -> list[tuple[str, Content]]:
        """Run a cell and return what it shows while it runs."""
        session, seen = self._client.session, len(self.said)
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        asked = session.msg("execute_request", content, metadata={"cellId": cell_id})
        self._client.shell_channel.send(asked)
        while not self._listen(asked["header"]["msg_id"]):
            continue
        for kind, told in self.said[seen:]:
            assert kind != "error", told
        return self.said[seen:]

    def await_that(self, what: str, holds: Callable[[], bool]) -> None:
        """Listen until something holds of what was said."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not come; last: {self.said[-1]}"
            self._listen("", timeout=0.5)

    def _listen(self, of_request: str, timeout: float = 60.0) -> bool:
        """Take the next message; return whether it ends the request."""
        try:
            message = self._client.get_iopub_msg(timeout=timeout)
        except Empty:
            assert not of_request, "the kernel says nothing"
            return False
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "status":
            ours = message["parent_header"].get("msg_id") == of_request
            return ours and content["execution_state"] == "idle"
        self.said.append((kind, content))
        return False

    def kill(self) -> None:
        """SIGKILL it."""
        os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let it end."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        assert not psutil.pid_exists(self.pid) or psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def open_kernel(
    sandbox: Connection, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Kernel]]:
    """Open the notebook of `engine`'s project in a new kernel."""
    engine({})
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    terminal, opened = terminal_of(sandbox, tmp_path / "project"), []

    def make() -> Kernel:
        opened.append(Kernel(terminal.folder, dict(terminal.env)))
        return opened[-1]

    yield make
    for kernel in opened:
        if psutil.pid_exists(kernel.pid) and psutil.Process(kernel.pid).status() != psutil.STATUS_ZOMBIE:
            kernel.close()


def texts(said: list[tuple[str, Content]], *kinds: str) -> list[str]:
    """Return the text form of what was displayed."""
    return [str(told["data"]["text/plain"]) for kind, told in said if kind in kinds]


def newest_card(kernel: Kernel) -> str:
    """Return the text form of what a display was last changed to."""
    return "".join(texts(kernel.said, "update_display_data")[-1:])


def printed(said: list[tuple[str, Content]]) -> str:
    """Return what was printed."""
    return "".join(told["text"] for kind, told in said if kind == "stream" and told["name"] == "stdout")


def last_line(text: str) -> int:
    """Return the number of the last line of the training that a text shows."""
    return max((int(number) for number in re.findall(r"\bline (\d+)\b", text)), default=-1)


def test_the_log_from_the_first_byte_in_a_new_kernel(
    open_kernel: Callable[[], Kernel], engine: Engine, machine: Instance, boto: Boto, row: Row
) -> None:
    first = open_kernel()
    first.run(f"%%runctl train --on {machine.id} --name night\n{CELL}", "cell-1")
    first.await_that("line 50", lambda: last_line(newest_card(first)) >= 50)
    first.kill()

    job = engine({}).jobs.get("night")
    second = open_kernel()
    second.run("listed = %runctl jobs")
    told = printed(second.run("print(*(job.name + '=' + job.state for job in listed))"))
    assert "night=running" in told.split()
    so_far, _ = texts(second.run("%runctl attach night"), "display_data")
    seen = last_line(so_far)
    assert so_far.partition("\n")[2].splitlines() == EXPECTED.splitlines()[: seen + 1]
    assert 50 <= seen <= HELD_AFTER
    run_on(boto, machine.id, f'touch "${{RUNCTL_ROOT:-/var/lib/runctl}}"/jobs/{job.id}/1/work/go')
    second.await_that("the end", lambda: "succeeded" in newest_card(second))
    lines = [last_line(text) for text in texts(second.said, "display_data", "update_display_data")]
    assert lines[-1] == LINES - 1
    assert len({line for line in lines if seen < line < LINES - 1}) >= 2, "it did not go on live"
    assert printed(second.run("%runctl logs night --raw")) == EXPECTED
    job.refresh()
    assert job.logs(script_only=True).read().decode() == EXPECTED
    row("kill -9 kernel, reopen, attach", job, LogCount(LINES, LINES, 0, 0), hits=1)


def test_the_unchanged_cell_is_not_launched_again(
    open_kernel: Callable[[], Kernel], engine: Engine, machine: Instance, row: Row
) -> None:
    rc = engine({})
    cell = f"--on {machine.id} --name once\nimport time\nprint('begun', flush=True)\ntime.sleep(300)\n"
    first = open_kernel()
    first.run(f"%%runctl train {cell}", "cell-1")
    wait_for(lambda: any(job.name == "once" for job in rc.jobs.list()), "the launch")
    wait_for(lambda: b"begun\n" in rc.jobs.get("once").logs().read(), "the first line")
    (job,) = [job for job in rc.jobs.list() if job.name == "once"]
    machines = {instance.id for instance in rc.instances.list(all=True)}
    first.kill()
    second = open_kernel()
    for kernel in (second, second):
        said = kernel.run(f"%%runctl train {cell}", "cell-1")
        assert f"goes on as job once ({job.id}), so nothing was launched" in printed(said)
        assert any(job.id in text for text in texts(said, "display_data"))
    assert [each.id for each in rc.jobs.list() if each.name == "once"] == [job.id]
    second.run(f"%%runctl train --again {cell}", "cell-1")
    wait_for(lambda: len([each for each in rc.jobs.list() if each.name == "once"]) == 2, "the second job")
    assert {instance.id for instance in rc.instances.list(all=True)} == machines
    row("kill -9 kernel, run the cell again", job.refresh(), LogCount(0, 0, 0, 0), hits=1)
    for each in rc.jobs.list():
        if each.name == "once":
            each.launched(60).cancel()
