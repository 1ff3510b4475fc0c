"""The notebook door in a real IPython shell."""

from __future__ import annotations

import _thread
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from runctl_jupyter.cli import main
from runctl_jupyter.commands import Detached
from runctl_jupyter.display.job_mime import JOB_MIME
from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.errors import InvalidRequest, JobFailed, JobNotFound
from runctl_jupyter.orchestration.jobs.submit import Submitter
from runctl_jupyter.orchestration.targets.local import LocalTarget
from runctl_jupyter.run_record import AttemptKeys, Cause, JobState, Status


class Notebook:
    """A shell that behaves like a kernel's: displays are published, and can be updated."""

    def __init__(self) -> None:
        InteractiveShell.clear_instance()
        config = Config()
        config.HistoryManager.hist_file = ":memory:"
        self.shell = cast(Any, InteractiveShell.instance(config=config))
        self.published: Any = CapturingDisplayPublisher()  # type: ignore[no-untyped-call]  # IPython
        self.shell.display_pub = self.published
        self.shell.run_line_magic("load_ext", "runctl_jupyter")
        self.magics = self.shell._runctl_magics
        self.magics.cards.live = True

    def run(self, cell: str) -> Any:
        """Run a cell; raise what it raised, return its value."""
        result = self.shell.run_cell(cell, store_history=True)
        result.raise_error()
        return result.result

    @property
    def outputs(self) -> list[dict[str, Any]]:
        outputs: list[dict[str, Any]] = self.published.outputs
        return outputs

    def texts(self) -> list[str]:
        return [output["data"]["text/plain"] for output in self.outputs]


@pytest.fixture
def notebook(local: Runctl) -> Iterator[Notebook]:
    notebook = Notebook()
    yield notebook
    notebook.shell.run_line_magic("unload_ext", "runctl_jupyter")
    InteractiveShell.clear_instance()


def end(write_job_id: str, local: Runctl, state: JobState, exit_code: int) -> None:
    """Do what a runner does at the end."""
    record = local.jobs.record
    seen = record.look(write_job_id)
    moment = seen.status.updated_at
    ended = Status(
        write_job_id, 1, state, moment, exit_code=exit_code, started_at=moment, ended_at=moment,
        log_chunks=seen.status.log_chunks, log_bytes=seen.status.log_bytes,
    )  # fmt: skip
    assert record.update(seen, ended)


def await_text(notebook: Notebook, text: str, limit_s: float = 20) -> str:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if notebook.outputs and text in notebook.texts()[-1]:
            return notebook.texts()[-1]
        time.sleep(0.02)
    raise AssertionError(f"{text!r} did not appear; last: {notebook.texts()[-1:]}")


def test_bare_line_says_where_you_are(notebook: Notebook) -> None:
    text = notebook.run("%runctl").text
    assert "target local" in text
    assert "%%runctl train" in text


def test_results_are_objects(notebook: Notebook, write_job: Any) -> None:
    job_id = write_job()
    notebook.run("jobs = %runctl jobs")
    assert [job.id for job in notebook.shell.user_ns["jobs"]] == [job_id]
    assert notebook.run("%runctl jobs;") is None


def test_a_job_is_shown_once_per_cell_and_is_the_value(notebook: Notebook, write_job: Any) -> None:
    job_id = write_job(b"epoch=1\n", checkpoints=1)
    job = notebook.run("%runctl attach digits")
    assert job.id == job_id
    await_text(notebook, "epoch-000.safetensors")
    shown = [output for output in notebook.outputs if not output["update"]]
    assert len(shown) == 1
    assert set(shown[0]["data"]) == {"text/plain", "text/html", JOB_MIME}
    assert shown[0]["data"][JOB_MIME]["job"] == job_id
    assert notebook.shell.user_ns["_"].id == job_id
    notebook.run("_")
    assert len([output for output in notebook.outputs if not output["update"]]) == 2


def test_attach_shows_a_long_log_from_its_first_byte(notebook: Notebook, write_job: Any) -> None:
    write_job(b"".join(b"line %d\n" % i for i in range(50)), JobState.RUNNING)
    notebook.run("%runctl attach digits")
    so_far = notebook.outputs[0]["data"]
    assert so_far["text/plain"].splitlines()[1:] == [f"line {i}" for i in range(50)]
    assert "line 0\nline 1\n" in so_far["text/html"]
    await_text(notebook, "line 49")


def test_attach_shows_both_ends_of_a_huge_log(notebook: Notebook, write_job: Any) -> None:
    write_job(b"".join(b"line %06d\n" % i for i in range(30_000)), chunk_bytes=100_000)
    notebook.run("%runctl attach digits")
    text = notebook.outputs[0]["data"]["text/plain"]
    assert "\nline 000000\n" in text
    assert text.endswith("line 029999")
    assert "are left out here" in text
    assert len(text) < 150_000


def test_a_launching_cell_returns_at_once_with_a_live_card(
    notebook: Notebook, write_job: Any, local: Runctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = write_job(b"epoch=1\n", JobState.RUNNING)
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/lab/train.ipynb")  # as the Jupyter server tells its kernels
    asked: dict[str, Any] = {}

    def train(script: str | None, **kwargs: Any) -> Any:
        asked.update(kwargs, script=script)
        return local.jobs.get(job_id)

    nouns = type("Nouns", (), {"train": staticmethod(train), "running": staticmethod(lambda _: None)})
    monkeypatch.setattr(Runctl, "jobs", nouns)
    job = notebook.run("lr = 0.5\n")
    began = time.monotonic()
    job = notebook.run("%%runctl train --param lr={lr} --param 'cfg={\"lr\": 1}' -- --epochs 3\nprint('{kept}')\n")
    assert time.monotonic() - began < 1
    first, body = asked["cell"].split("\n", 1)
    assert first.startswith("# %%runctl train --param lr={lr}")
    assert body == "print('{kept}')\n"
    assert asked["params"] == {"lr": "0.5", "cfg": '{"lr": 1}'}
    assert asked["origin"].notebook == "/home/me/lab/train.ipynb"
    assert asked["arguments"] == ("--epochs", "3")
    assert "● running" in await_text(notebook, "epoch=1")
    store = local.jobs.record.store
    store.put(AttemptKeys(job.id, 1).chunk(1), b"epoch=2\n", create_only=True)
    await_text(notebook, "epoch=2")
    end(job.id, local, JobState.SUCCEEDED, 0)
    assert "epoch=2" in await_text(notebook, "✓ succeeded")
    first, *updates = notebook.outputs
    assert not first["update"]
    assert all(output["update"] for output in updates)
    assert {output["transient"]["display_id"] for output in notebook.outputs} == {first["transient"]["display_id"]}


def test_a_program_that_executes_notebooks_gets_the_last_card(
    notebook: Notebook, write_job: Any, local: Runctl
) -> None:
    job_id = write_job(b"", JobState.RUNNING)
    notebook.run("%runctl attach digits")
    end(job_id, local, JobState.SUCCEEDED, 0)
    await_text(notebook, "✓ succeeded")
    before = len(notebook.outputs)
    notebook.run("1 + 1")
    (again,) = notebook.outputs[before:]
    assert again["update"]
    assert "✓ succeeded" in again["data"]["text/plain"]
    notebook.run("1 + 1")
    assert len(notebook.outputs) == before + 1


def test_the_next_cell_knows_a_job_that_is_still_being_launched(
    notebook: Notebook, local: Runctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    launch = Submitter._launch

    def launch_late(*arguments: Any) -> None:
        hold.wait(30)
        launch(*arguments)

    monkeypatch.setattr(Submitter, "_launch", launch_late)
    monkeypatch.setattr(LocalTarget, "start", lambda *_: None)
    job = notebook.run("%%runctl train --name fresh\nprint(1)")
    for reference in ("fresh", job.id, job.id[-4:]):
        assert notebook.run(f"%runctl show {reference}") is job
    assert len(notebook.run("%runctl checkpoints list fresh")) == 0
    with pytest.raises(JobNotFound):
        local.jobs.get("fresh")
    again = notebook.run("%%runctl train --name fresh\nprint(1)")
    assert again is job
    hold.set()
    job.launched(30)
    assert notebook.run("%runctl show fresh").id == job.id == local.jobs.get("fresh").id


def test_wait_blocks_and_fails_the_cell(notebook: Notebook, write_job: Any, local: Runctl) -> None:
    job_id = write_job(b"epoch=1\n", JobState.RUNNING)
    later = threading.Timer(0.5, end, (job_id, local, JobState.FAILED, 7))
    later.start()
    with pytest.raises(JobFailed) as caught:
        notebook.run("%runctl wait digits")
    later.join()
    assert caught.value.what == f"Job digits ({job_id}) failed with exit code 7."
    assert "✗ failed" in notebook.texts()[-1]


def test_wait_has_a_time_limit(notebook: Notebook, write_job: Any) -> None:
    write_job(b"", JobState.RUNNING)
    with pytest.raises(Exception, match="has not ended within 1 s; it goes on"):
        notebook.run("%runctl wait digits --timeout 1s")


def test_interrupt_detaches_and_the_job_goes_on(
    notebook: Notebook, write_job: Any, local: Runctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runctl_jupyter.magics.live_card import LiveCard

    job_id = write_job(b"", JobState.RUNNING)

    look = LiveCard._refresh

    def press_stop_while_waiting(self: LiveCard, **how: bool) -> None:
        look(self, **how)
        if threading.current_thread() is threading.main_thread():
            _thread.interrupt_main()  # what the kernel does when a person presses the button

    monkeypatch.setattr(LiveCard, "_refresh", press_stop_while_waiting)
    with pytest.raises(Detached, match="goes on"):
        notebook.run("%runctl wait digits")
    assert local.jobs.get(job_id).state is JobState.RUNNING
    end(job_id, local, JobState.SUCCEEDED, 0)
    await_text(notebook, "✓ succeeded")  # the card was not left behind


def test_log_of_an_ended_job_is_the_value(notebook: Notebook, write_job: Any) -> None:
    write_job(b"a\r50%\r100%\n<script>\n")
    log = notebook.run("%runctl logs digits")
    assert log.read() == b"a\r50%\r100%\n<script>\n"
    data, _ = notebook.shell.display_formatter.format(log)
    assert data == {"text/plain": "100%\n<script>"}


def test_followed_log_is_one_display(notebook: Notebook, write_job: Any) -> None:
    write_job(b"".join(b"line %d\n" % i for i in range(1000)), chunk_bytes=512)
    assert notebook.run("%runctl logs digits --follow") is None
    last = notebook.texts()[-1].splitlines()
    assert last[-1] == "line 999"
    assert len(last) == 201
    assert "the last 200 lines of 8.9 kB" in last[0]
    assert len([output for output in notebook.outputs if not output["update"]]) == 1


def test_json_is_printed(notebook: Notebook, write_job: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write_job()
    assert notebook.run("%runctl jobs --json") is None
    assert json.loads(capsys.readouterr().out)[0]["name"] == "digits"


def test_use_holds_for_the_kernel_and_writes_nothing(notebook: Notebook, project: Path) -> None:
    assert notebook.run("%runctl use aws --region eu-west-1").region == "eu-west-1"
    assert "target aws" in notebook.run("%runctl").text
    assert "target local" in notebook.run("%runctl --target local").text
    assert "target aws" in notebook.run("%runctl").text
    assert not (project / ".runctl.toml").exists()


@pytest.mark.parametrize("line", ["lits", "list --al", "create m5.large --ttl x", "logs nothing", "s3 list nowhere"])
def test_the_same_error_at_every_door(notebook: Notebook, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(line.split())
    in_terminal = capsys.readouterr().err.splitlines()
    result = notebook.shell.run_cell(f"%runctl {line}")
    error = result.error_in_exec
    assert error is not None
    rendered = error._render_traceback_()
    assert len(rendered) == len(in_terminal) == 2
    # Each door calls itself by its own name; nothing else differs.
    assert [text.replace("%runctl", "runctl") for text in rendered] == in_terminal


def test_errors_reach_the_notebook_as_two_lines(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.shell.run_cell("%runctl lits")
    assert capsys.readouterr().out.strip().splitlines() == [
        "There is no verb 'lits' under %runctl.", "Did you mean list?",
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["%%runctl train", "%%runctl train\n", "%%runctl train --name x\n\n   \n"])
def test_an_empty_cell_is_our_own_error(notebook: Notebook, cell: str) -> None:
    with pytest.raises(InvalidRequest, match="The cell is empty"):
        notebook.run(cell)


def test_a_cell_body_belongs_to_train_only(notebook: Notebook) -> None:
    with pytest.raises(InvalidRequest, match="list takes no cell body"):
        notebook.run("%%runctl list\nprint(1)")


def test_an_unknown_name_in_braces_is_said_before_anything_is_launched(notebook: Notebook) -> None:
    with pytest.raises(InvalidRequest, match="NameError"):
        notebook.run("%runctl train fit.py --param lr={nowhere}")


def test_expressions_of_a_function_are_seen(notebook: Notebook, write_job: Any) -> None:
    job_id = write_job()
    code = "def f():\n    ref = 'digits'\n    return get_ipython().run_line_magic('runctl', 'show {ref}').id\nf()"
    assert notebook.run(code) == job_id


def test_a_failed_job_shows_why(notebook: Notebook, write_job: Any) -> None:
    write_job(b"boom\n", JobState.FAILED, exit_code=1, cause=Cause("exit", "the script ended with exit code 1"))
    notebook.run("%runctl show digits")
    text = await_text(notebook, "boom")
    assert "✗ failed" in text
    assert "the script ended with exit code 1" in text


def test_unload_takes_everything_back(local: Runctl) -> None:
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance()
    before = (len(shell.Completer.custom_matchers), len(shell.input_transformers_cleanup))
    shell.run_line_magic("load_ext", "runctl_jupyter")
    assert shell.find_line_magic("runctl") is not None
    shell.run_line_magic("unload_ext", "runctl_jupyter")
    assert shell.find_line_magic("runctl") is None
    assert shell.find_cell_magic("runctl") is None
    assert (len(shell.Completer.custom_matchers), len(shell.input_transformers_cleanup)) == before
    InteractiveShell.clear_instance()


def test_loading_is_light_and_says_one_line() -> None:
    code = (
        "from IPython.core.interactiveshell import InteractiveShell; import sys; s = InteractiveShell.instance();"
        "s.run_line_magic('load_ext', 'runctl_jupyter');"
        "print([m for m in ('boto3', 'click', 'pydantic', 'rich', 'obstore', 'ipywidgets') if m in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    welcome, heavy = done.stdout.splitlines()
    assert welcome.startswith("runctl-jupyter 0.")
    assert "%runctl" in welcome
    assert heavy == "[]"


def test_objects_render_without_load_ext(write_job: Any) -> None:
    write_job()
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance()
    shell.run_cell("from runctl_jupyter import Runctl\nrc = Runctl('local')").raise_error()
    data, _ = shell.display_formatter.format(shell.user_ns["rc"].jobs.list())
    assert "<table>" in data["text/html"]
    data, _ = shell.display_formatter.format(shell.user_ns["rc"].jobs.get("digits"))
    assert "succeeded" in data["text/html"]
    InteractiveShell.clear_instance()
