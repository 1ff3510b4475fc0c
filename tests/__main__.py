"""Run everything that proves this tree: ``python -m tests [STAGE ...]``.

Each stage has its own temporary home, and its environment has no AWS or runctl settings of the person who
runs it, so that no test can reach a real account. A stage that leaves a process behind has failed.

Off CI a stage whose needs are not met is left out and named in the summary; with the variable ``CI`` set it
fails. The last line counts the tests of all stages; the exit status is 0 only when every stage passed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import psutil

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
STAGE_MARK = "RUNCTL_TESTS_STAGE"
"""Variable that marks every process of a stage, so that those left behind are found."""

WORKERS = str(min(2, os.cpu_count() or 1))
TORCH = "torch==2.13.0"
WAITING = ("-n", "4")
"""These tests wait for most of their time, for faults to pass and deadlines to end."""
MACHINES = ("-n", "3")
"""These wait for half of their time, for machines that boot and programs that install."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ISOLATED_TOOLS = ("ip", "losetup", "mkfs.ext4", "mount", "unshare")
END_GRACE_S = 5.0


@dataclass(frozen=True)
class Command:
    """One program of a stage."""

    argv: Sequence[str]
    cwd: Path = ROOT


@dataclass(frozen=True)
class Stage:
    """A part of the tests that needs one kind of surroundings."""

    name: str
    what: str
    commands: Sequence[Command] = ()
    """Programs to run; empty when the stage is a pytest run."""
    tests: str = ""
    """Folder below ``tests`` for pytest."""
    options: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ordinary_user: bool = False
    """Run as an account without rights, even when root runs the tests."""
    isolated: bool = False
    own_home: bool = True
    """Off for stages that install packages and want the caches and settings of the person's home."""


@dataclass
class Outcome:
    """How a stage ended."""

    stage: str
    result: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list[str] = field(default_factory=list)


STAGES = (
    Stage(
        "lint",
        "style, types and arrows of the Python; style and types of the TypeScript",
        commands=(
            Command(("ruff", "check", ".")),
            Command(("ruff", "format", "--check", ".")),
            Command(("mypy",)),
            Command(("lint-imports",)),
            Command(("jlpm", "install"), ROOT / "labextension"),
            Command(("jlpm", "run", "lint"), ROOT / "labextension"),
        ),
        own_home=False,
    ),
    Stage(
        "views",
        "the views of card and panel, without a browser",
        commands=(
            Command(("jlpm", "install"), ROOT / "labextension"),
            Command(("jlpm", "run", "test"), ROOT / "labextension"),
        ),
        own_home=False,
    ),
    Stage("unit", "engine, doors and record, without machines", tests="unit", options=("-n", WORKERS)),
    Stage(
        "data",
        "readers of checkpoints, also of damaged and hostile ones; objects on their way, in parts, cut and changed",
        tests="data",
        options=("-n", WORKERS),
    ),
    Stage(
        "runner",
        "what runs on the machine: real processes, real installs, an S3 that misbehaves",
        tests="runner",
        options=("-n", WORKERS),
    ),
    Stage(
        "sandbox-plain",
        "real processes, as an ordinary user",
        tests="sandbox",
        options=MACHINES,
        # The machines of `tests/sandbox/hosts` are of both kinds; those that need root are the next stage's.
        env={"RUNCTL_TEST_MODE": "plain", "PYTEST_ADDOPTS": "-m 'not isolated'"},
        ordinary_user=True,
    ),
    Stage(
        "sandbox-isolated",
        "the same tests on machines with their own network, mounts and disk",
        tests="sandbox",
        options=MACHINES,
        env={"RUNCTL_TEST_MODE": "isolated", "PYTEST_ADDOPTS": "-m 'not machineless'"},
        isolated=True,
    ),
    Stage(
        "faults-plain",
        "kills, power, S3 that fails: nothing lost, doubled or misreported",
        tests="faults",
        options=WAITING,
        env={"RUNCTL_TEST_MODE": "plain"},
        ordinary_user=True,
    ),
    Stage(
        "faults-isolated",
        "the same, with full disks and machines that lose their network",
        tests="faults",
        options=WAITING,
        env={"RUNCTL_TEST_MODE": "isolated"},
        isolated=True,
    ),
    Stage(
        "browser",
        "card, panel and sidebar in JupyterLab and Notebook 7, driven in Chromium",
        commands=(Command(("jlpm", "install"), ROOT / "labextension"),),
        tests="browser",
        # A whole file to a worker: each worker has a JupyterLab and a sandbox of its own.
        options=("-n", WORKERS, "--dist", "loadfile", "--timeout", "400"),
        own_home=False,
    ),
    Stage(
        "torch",
        "tensors and their files, with PyTorch as it is for the CPU",
        # On a person's computer PyTorch is theirs to choose; with CI set it is installed.
        commands=(Command(("pip", "install", "-q", TORCH)),) if os.environ.get("CI") else (),
        tests="torch",
        own_home=False,
    ),
    Stage("packaging", "the wheel, built without node and installed", tests="packaging", own_home=False),
)


@dataclass(frozen=True)
class Account:
    """The account without rights that root lends to a stage."""

    name: str
    uid: int
    gid: int


def lent_account(stage: Stage) -> Account | None:
    """Return the account a stage must be run as, or None when it is run as whoever calls."""
    if not stage.ordinary_user or os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def run(command: Command, env: Mapping[str, str], account: Account | None) -> int:
    """Run one program to its end and return its exit status."""
    argv = [str(BIN / command.argv[0]), *command.argv[1:]]
    print(f"$ {' '.join(command.argv)}", flush=True)
    if account is None:
        return subprocess.run(argv, cwd=command.cwd, env=env, check=False).returncode
    done = subprocess.run(
        argv, cwd=command.cwd, env=env, check=False, user=account.uid, group=account.gid, extra_groups=[]
    )
    return done.returncode


def unmet_need(stage: Stage, account: Account | None) -> str | None:
    """Say why a stage cannot run here, or return None."""
    if stage.tests and not list((ROOT / "tests" / stage.tests).rglob("test_*.py")):
        return f"tests/{stage.tests} has no tests"
    if stage.name == "torch" and not stage.commands and importlib.util.find_spec("torch") is None:
        return f"needs PyTorch: pip install {TORCH}"
    if stage.name == "browser" and not any(shutil.which(name) for name in BROWSERS):
        return "needs Chromium (Debian: apt-get install chromium)"
    if stage.isolated:
        if sys.platform != "linux" or os.geteuid() != 0:
            return "needs root on Linux"
        missing = [tool for tool in ISOLATED_TOOLS if shutil.which(tool) is None]
        if missing:
            return f"needs {', '.join(missing)} (Debian: apt-get install iproute2 e2fsprogs util-linux)"
    if account is not None:
        probe = "import os, sys, pytest, runctl_jupyter; os.listdir(sys.argv[1])"
        # Through `env`, a Python that this account may not start is an exit status like any other.
        argv = ["/usr/bin/env", sys.executable, "-c", probe, str(ROOT / "tests" / stage.tests)]
        reached = subprocess.run(
            argv,
            cwd="/",
            capture_output=True,
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
        if reached.returncode != 0:
            return f"{account.name} must be able to read {ROOT} and {sys.executable} with all it links to"
    return None


def environment(stage: Stage, home: Path) -> dict[str, str]:
    """Return the variables of a stage: the caller's, less what could reach an account or a setting of theirs."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNCTL_"))}
    env["PATH"] = f"{BIN}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["HYPOTHESIS_STORAGE_DIRECTORY"] = str(home / "hypothesis")
    env["TMPDIR"] = str(home / "tmp")
    env[STAGE_MARK] = str(home)
    if stage.own_home:
        env = {name: value for name, value in env.items() if not name.startswith(("XDG_", "JUPYTER", "IPYTHON"))}
        env["HOME"] = str(home)
    return env | dict(stage.env)


def stage_home(base: Path, number: int, account: Account | None) -> Path:
    """Make an empty home for a stage. Its path is short: that of a socket below it may have 107 bytes."""
    home = base / str(number)
    (home / "tmp").mkdir(parents=True)
    if account is not None:
        for folder in (home, home / "tmp"):
            os.chown(folder, account.uid, account.gid)
    return home


def end_leftovers(home: Path) -> list[str]:
    """End what a stage left running and say what it was."""
    left: list[psutil.Process] = []
    names: list[str] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(STAGE_MARK) == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                names.append(f"pid {process.pid}: {' '.join(process.cmdline())[:120]}")
                left.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile, or belongs to someone else: not one of ours
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=END_GRACE_S)
    return names


def count(report: Path, outcome: Outcome) -> None:
    """Add the numbers of a pytest report to an outcome."""
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        tests, failures, errors, skipped = (
            int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")
        )
        outcome.failed += failures + errors
        outcome.skipped += skipped
        outcome.passed += max(tests - failures - errors - skipped, 0)


def run_stage(stage: Stage, home: Path, account: Account | None) -> Outcome:
    """Run a stage's programs, all of them even when one fails."""
    outcome = Outcome(stage.name, "passed")
    env = environment(stage, home)
    report = home / "report.xml"
    commands = list(stage.commands)
    if stage.tests:
        quiet = ("-p", "no:cacheprovider", "--junitxml", str(report))
        commands.append(Command(("python", "-m", "pytest", f"tests/{stage.tests}", *quiet, *stage.options)))
    started = time.monotonic()
    for command in commands:
        status = run(command, env, account)
        if status != 0:
            outcome.result = "failed"
            outcome.notes.append(f"{' '.join(command.argv[:3])} ended with {status}")
    outcome.seconds = time.monotonic() - started
    if report.exists():
        count(report, outcome)
    left = end_leftovers(home)
    if left:
        outcome.result = "failed"
        outcome.notes.extend(f"left behind: {name}" for name in left)
    return outcome


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return a table of the stages and, last, the line that counts their tests."""
    lines = ["", f"{'stage':<18}{'result':<9}{'time':>7}  {'passed':>7}{'failed':>7}{'skipped':>8}"]
    for one in outcomes:
        numbers = f"{one.passed:>7}{one.failed:>7}{one.skipped:>8}" if one.passed + one.failed + one.skipped else ""
        lines.append(f"{one.stage:<18}{one.result:<9}{one.seconds:>5.0f} s  {numbers}".rstrip())
        lines.extend(f"  {note}" for note in one.notes)
    passed, failed, skipped = (sum(getattr(one, key) for one in outcomes) for key in ("passed", "failed", "skipped"))
    return "\n".join([*lines, "", f"{passed} passed, {failed} failed, {skipped} skipped"])


def main() -> int:
    """Run the stages named on the command line, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests", description="Run the tests of runctl-jupyter.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="stages to run (default: all, in this order)")
    parser.add_argument("--list", action="store_true", help="show the stages and end")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{stage.name:<18}{stage.what}" for stage in STAGES))
        return 0
    unknown = set(arguments.stages) - {stage.name for stage in STAGES}
    if unknown:
        parser.error(f"no stage {', '.join(sorted(unknown))}; `python -m tests --list` shows them")

    # A shell lets its background jobs ignore the interrupt, and what they start too; tests press that key.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="rct-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        for number, stage in enumerate(STAGES):
            if arguments.stages and stage.name not in arguments.stages:
                continue
            account = lent_account(stage)
            print(f"\n=== {stage.name}: {stage.what}", flush=True)
            reason = unmet_need(stage, account)
            if reason is not None:
                outcomes.append(Outcome(stage.name, "failed" if os.environ.get("CI") else "not run", notes=[reason]))
                continue
            outcomes.append(run_stage(stage, stage_home(base, number, account), account))
    print(summary(outcomes), flush=True)
    return 1 if any(outcome.result == "failed" for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
