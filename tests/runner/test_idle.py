"""What counts as idle: real processes under a clock and a network of the test's own."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.instances.user_data import LIMIT_BYTES, user_data
from runctl_jupyter.run_record import JobState, Limits
from runctl_jupyter.runner.activity import (
    QUIET_JOB,
    GpuGauge,
    Process,
    QuietSpell,
    Usage,
    in_use,
    process,
    processes,
    usage,
)
from runctl_jupyter.runner.idle import IdleWatch
from runctl_jupyter.runner.idle_guard import MachineWatch, below, logged_in, visitor_by_command
from runctl_jupyter.runner.stops import StopSignal
from tests.runner.machines import until

DEV = """\
Inter-|   Receive                            |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: {lo} 1 0 0 0 0 0 0 {lo} 1 0 0 0 0 0 0
  ens5: {down} 1 0 0 0 0 0 0 {up} 1 0 0 0 0 0 0
"""
BUSY = "while True: pass"
SLEEP = "import time; time.sleep(600)"
SHA = "0" * 64


class NoGpu(GpuGauge):
    def percent(self) -> float:
        return 0.0


class World:
    """A machine that holds only the processes of the test: ``/proc`` of these, a network and a clock to set."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.now = 100.0
        self.lo = self.down = self.up = 0
        self.printed = 0
        self.pids: list[int] = []
        self.started: list[subprocess.Popen[bytes]] = []
        self.stop = StopSignal()
        (proc / "net").mkdir(parents=True)
        (proc / "self").symlink_to("/proc/self")
        self.network()

    def network(self, lo: int = 0, down: int = 0, up: int = 0) -> None:
        self.lo, self.down, self.up = self.lo + lo, self.down + down, self.up + up
        (self.proc / "net/dev").write_text(DEV.format(lo=self.lo, down=self.down, up=self.up))

    def run(self, source: str) -> int:
        """Start a program and wait until it has begun."""
        begun = self.proc / f"begun-{len(self.started)}"
        code = f"import pathlib; pathlib.Path({str(begun)!r}).touch()\n{source}"
        child = subprocess.Popen([sys.executable, "-S", "-c", code], cwd=self.proc)
        self.started.append(child)
        until(begun.exists)
        return self.add(child.pid)

    def add(self, pid: int) -> int:
        (self.proc / str(pid)).symlink_to(f"/proc/{pid}")
        self.pids.append(pid)
        return pid

    def watch(self, idle_stop_s: float = 60.0, gpu: GpuGauge | None = None) -> IdleWatch:
        return IdleWatch(
            Limits(idle_stop_s=idle_stop_s, grace_s=7.0),
            self.stop,
            30.0,
            processes=lambda: self.pids,
            printed=lambda: self.printed,
            proc=self.proc,
            clock=lambda: self.now,
            gpu=gpu or NoGpu(),
        )

    def settle(self, watch: IdleWatch) -> None:
        """Look until what processes needed to begin lies behind."""
        for _ in range(2):
            self.now += 1.0
            watch.look()

    def passes(self, watch: IdleWatch, seconds: float) -> bool:
        """Let time pass in steps; return whether the job was told to end."""
        end = self.now + seconds
        while self.now < end and self.stop.reason is None:
            self.now = min(end, self.now + 3.0)
            watch.look()
        return self.stop.reason is not None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path / "proc")
    yield found
    for child in found.started:
        child.kill()
        child.wait()


def cpu_s(pid: int) -> float:
    found = process(pid)
    assert found is not None
    return found.cpu_s


def test_a_script_that_sleeps_is_idle(world: World) -> None:
    world.run(SLEEP)
    watch = world.watch()
    world.settle(watch)
    assert not world.passes(watch, 55)
    assert world.passes(watch, 10)
    reason = world.stop.reason
    assert reason is not None
    assert (reason.state, reason.cause.kind, reason.grace_s, reason.save_s) == (JobState.CAPPED, "idle", 7.0, 30.0)
    assert "60 s" in reason.cause.message


def test_one_that_computes_is_not(world: World) -> None:
    pid = world.run(BUSY)
    watch = world.watch(idle_stop_s=5.0)
    watch.look()
    for _ in range(8):
        goal = cpu_s(pid) + 0.06
        until(lambda goal=goal: cpu_s(pid) >= goal)
        assert not world.passes(watch, 1.0)
    os.kill(pid, signal.SIGSTOP)
    assert world.passes(watch, 10)


def test_the_time_of_children_that_have_ended_counts(world: World) -> None:
    pid = world.run(
        "import os, pathlib, subprocess, sys, time\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "subprocess.run([sys.executable, '-S', '-c', 'import time\\nwhile time.process_time() < 0.2: pass'])\n"
        "pathlib.Path('went').touch()\n" + SLEEP
    )
    before = usage([found] if (found := process(pid)) else [], 0.0)
    (world.proc / "go").touch()
    until((world.proc / "went").exists)
    after = usage([found] if (found := process(pid)) else [], 3.0)
    assert in_use(before, after, QUIET_JOB) == "CPU"


def test_one_that_prints_is_not(world: World) -> None:
    world.run(SLEEP)
    watch = world.watch()
    world.settle(watch)
    for _ in range(3):
        assert not world.passes(watch, 50)
        world.printed += 1
    assert not world.passes(watch, 55)
    assert world.passes(watch, 10)


@pytest.mark.parametrize("way", ["down", "up"])
def test_one_that_downloads_is_not(world: World, way: str) -> None:
    world.run(SLEEP)
    watch = world.watch()
    world.settle(watch)
    for _ in range(5):
        world.network(**{way: 600_000})  # 200 kB/s while it lasts
        assert not world.passes(watch, 50)


def test_chatter_and_the_loopback_are_quiet(world: World) -> None:
    world.run(SLEEP)
    watch = world.watch()
    world.settle(watch)
    for _ in range(25):
        world.network(lo=10**9, down=12_000, up=8_000)
        world.passes(watch, 3)
    assert world.stop.reason is not None


def test_one_that_writes_to_disk_is_not(world: World, tmp_path: Path) -> None:
    row = world.proc / "77"
    row.mkdir()
    world.pids.append(77)

    def written(size: int) -> None:
        (row / "stat").write_text("77 (a ) b) S 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n")
        (row / "io").write_text(f"rchar: 99{size}\nwchar: 99{size}\nread_bytes: 0\nwrite_bytes: {size}\n")

    written(0)
    watch = world.watch()
    world.settle(watch)
    for total in range(1, 5):
        written(total * 1_000_000)
        assert not world.passes(watch, 50)
    assert world.passes(watch, 70)


def gpus(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> GpuGauge:
    program = folder / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{name}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return GpuGauge(folder / "drm")


def test_one_that_only_uses_the_gpu_is_not(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(SLEEP)
    watch = world.watch(gpu=gpus(tmp_path, "echo 0; echo 97", monkeypatch))
    world.settle(watch)
    assert not world.passes(watch, 130)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert 10 <= len(asked) <= 14  # every ten seconds, not at each look
    assert set(asked) == {"--query-gpu=utilization.gpu --format=csv,noheader,nounits"}


@pytest.mark.parametrize("answer", ["echo 0; echo 2", "echo '[N/A]'", "echo 97; exit 9", "exit 127"])
def test_a_gpu_that_rests_or_does_not_tell(tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus(tmp_path, answer, monkeypatch).percent() <= QUIET_JOB.gpu_percent


def test_the_gpus_of_amd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for card, busy in (("card0", "3"), ("card1", "64")):
        (tmp_path / card / "device").mkdir(parents=True)
        (tmp_path / card / "device/gpu_busy_percent").write_text(f"{busy}\n")
    assert GpuGauge(tmp_path).percent() == 64.0


def test_without_a_limit_or_counters_nothing_is_looked_at(world: World, tmp_path: Path) -> None:
    blind = IdleWatch(
        Limits(idle_stop_s=1.0), world.stop, 1.0, processes=list, printed=lambda: 0, proc=tmp_path / "none"
    )
    free = IdleWatch(Limits(), world.stop, 1.0, processes=list, printed=lambda: 0, proc=world.proc)
    for watch in (blind, free):
        watch.look()
        assert watch.next_look_s() > 1000
    assert not IdleWatch.can_watch(tmp_path / "none")


@pytest.mark.parametrize(("sought", "every"), [(1800.0, 10.0), (60.0, 3.0), (2.0, 0.5)])
def test_looks_are_rare_and_often_enough(sought: float, every: float) -> None:
    assert QuietSpell(QUIET_JOB, sought, NoGpu()).look_every_s == every


def test_a_process_that_ends_hides_nothing() -> None:
    before = Usage(0.0, {(1, 1): 100.0, (2, 1): 5.0}, {}, {})
    after = Usage(1.0, {(2, 1): 6.0}, {}, {})
    assert in_use(before, after, QUIET_JOB) == "CPU"
    assert in_use(before, Usage(1.0, {(2, 1): 5.0}, {}, {}), QUIET_JOB) is None


def machine(world: World, first: int, logins: set[int] | None = None) -> MachineWatch:
    return MachineWatch(
        60.0,
        proc=world.proc,
        clock=lambda: world.now,
        gpu=NoGpu(),
        first_process=lambda: first,
        logins=lambda: logins or set(),
    )


def quiet_for(world: World, watch: MachineWatch, seconds: float) -> bool:
    """Let time pass; what the programs needed to begin is over after the first steps."""
    end, idle = world.now + seconds, False
    while world.now < end and not idle:
        world.now += 3.0
        idle = watch.idle()
    return idle


def test_a_machine_with_nothing_on_it_is_idle(world: World) -> None:
    watch = machine(world, world.run(SLEEP))
    assert not quiet_for(world, watch, 60)
    assert quiet_for(world, watch, 15)


def test_what_is_not_below_the_first_process_is_another_machine(world: World) -> None:
    first = world.run(SLEEP)
    row = world.proc / "4000000"
    row.mkdir()
    (row / "cmdline").write_text(f"python3\0/r/runner/{SHA}/main.py\0--job\0x\0")
    watch = machine(world, first, logins={4000000})

    def ran(ticks: int, parent: int) -> None:
        (row / "stat").write_text(f"4000000 (x) R {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 500 0 0\n")

    for ticks in range(30):
        ran(ticks * 1000, 1)
        if quiet_for(world, watch, 3):
            break
    else:
        pytest.fail("it was never idle")
    ran(10**6, first)
    assert not quiet_for(world, watch, 120)


@pytest.mark.parametrize(
    ("command", "who"),
    [
        (["python3", f"/var/lib/runctl/runner/{SHA}/main.py", "--root", "/r", "--detach", "--job", "a"], "job"),
        (["python3", "-m", "runctl_jupyter.runner", "--record", "/r", "--job", "a", "--attempt", "1"], "job"),
        (["python3", "/r/idle/guard.pyz", "--idle-stop", "60"], None),
        (["vim", f"/var/lib/runctl/runner/{SHA}/main.py"], None),
        (["python3", "train.py", "--job", "a"], None),
        (["sshd: ubuntu@pts/0"], "session"),
        (["sshd-session: root@notty"], "session"),
        (["sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"], None),
        (["sshd: unknown [net]"], None),
        (["/snap/amazon-ssm-agent/1/ssm-session-worker", "ubuntu-0123456789abcdef0"], "session"),
        (["/usr/bin/ssm-document-worker", "4f3e"], "session"),
        (["/usr/bin/amazon-ssm-agent"], None),
        (["/usr/bin/ssm-agent-worker"], None),
        ([""], None),
    ],
)  # fmt: skip
def test_who_keeps_a_machine(command: list[str], who: str | None) -> None:
    assert visitor_by_command("".join(f"{word}\0" for word in command)) == who


def test_a_job_keeps_the_machine_until_it_ends(world: World) -> None:
    first = world.run(
        "import subprocess, sys, time\n"
        f"command = [sys.executable, '-S', '-c', {SLEEP!r}, '-m', 'runctl_jupyter.runner', '--job', 'a']\n"
        "job = subprocess.Popen(command)\n"
        "open('job', 'w').write(str(job.pid) + '\\n')\n"
        "job.wait(); open('over', 'w').close(); time.sleep(600)"
    )
    job = world.add(int(until(lambda: text if (text := read(world.proc / "job")).endswith("\n") else "")))
    until(lambda: visitor_by_command(Path(f"/proc/{job}/cmdline").read_text()) == "job")
    watch = machine(world, first)
    assert not quiet_for(world, watch, 200)
    os.kill(job, 9)
    until((world.proc / "over").exists)
    assert not quiet_for(world, watch, 57)
    assert quiet_for(world, watch, 15)


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_login_keeps_the_machine(world: World) -> None:
    first = world.run(SLEEP)
    assert not quiet_for(world, machine(world, first, logins={first}), 200)
    assert quiet_for(world, machine(world, first, logins={1}), 80)  # a login that is over, or another machine's


def test_the_tree_below_a_process() -> None:
    rows = [Process(pid, parent, 0, 0.0) for pid, parent in ((5, 1), (6, 5), (7, 6), (8, 1), (9, 8), (1, 0))]
    assert [each.pid for each in below(5, rows)] == [5, 6, 7]
    assert {each.pid for each in below(1, rows)} == {1, 5, 6, 7, 8, 9}
    assert below(4, rows) == []


WHO = """\
ubuntu   pts/0        Jan  1 10:00   .         1234 (10.0.0.1)
root     ttyS0        2026-01-01 10:00 00:05        99
me       pts/3        2026-01-01 10:00  old      777777 (tmux(12).%0)
"""


def test_who_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "who"
    program.write_text(f"#!/bin/sh\n[ \"$1\" = -u ] && cat <<'END'\n{WHO}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert logged_in() == {1234, 99, 777777}
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert logged_in() == set()


def test_counters_of_this_very_machine() -> None:
    found = {each.pid: each for each in processes()}
    assert os.getpid() in found
    assert found[os.getpid()].parent == os.getppid()
    assert found[os.getpid()].cpu_s > 0
    now = usage(found.values(), 0.0)
    assert any(now.disk_bytes.values())
    assert "lo" not in now.network_bytes


def test_the_guard_travels_in_the_user_data_and_runs_alone(tmp_path: Path) -> None:
    text = user_data(3600, None, 1800)
    assert len(text.encode()) < LIMIT_BYTES - 2048
    assert len(user_data(3600, "exit 0").encode()) < LIMIT_BYTES - 8192  # room for what starts a job
    found = re.search(r"<<'RUNCTL_GUARD'\n(.*?)\nRUNCTL_GUARD\n", text, re.DOTALL)
    assert found is not None
    guard = tmp_path / "guard.pyz"
    guard.write_bytes(base64.b85decode(found[1].replace("\n", "")))
    assert "runctl_jupyter/runner/idle_guard.py" in zipfile.ZipFile(guard).namelist()
    said = subprocess.run([sys.executable, "-I", guard, "--help"], capture_output=True, text=True, check=False)
    assert (said.returncode, "--idle-stop SECONDS" in said.stdout) == (0, True)
    subprocess.run(["sh", "-n", "-c", text], check=True)
    assert "guard" not in user_data(3600, "exit 0")
