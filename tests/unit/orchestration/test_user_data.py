"""The machine's limits, as its own shells understand them: at the first boot, after a reboot, after a stop."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.instances.user_data import after_start, user_data

# Off CI those that are there; on CI one that is missing fails.
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell) or os.environ.get("CI")]
TTL = 28800


class Guest:
    """A folder that is a machine's disk, with a systemd that notes what it is told."""

    def __init__(self, folder: Path, shell: str, *, systemd: bool = True) -> None:
        self.root, self._shell = folder / "var/lib/runctl", shell
        self.notes, self._programs = folder / "notes", folder / "bin"
        self._programs.mkdir(parents=True)
        for name in ("systemctl", "systemd-run", "shutdown", "setsid"):
            self.program(name, f'echo {name} "$@" >> "{self.notes}"\nexit {0 if systemd else 1}')
        self._environ = {"PATH": f"{self._programs}:{os.environ['PATH']}", "RUNCTL_ROOT": str(self.root)}

    def program(self, name: str, text: str) -> None:
        """Give the machine a program."""
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def said(self) -> list[str]:
        """Return what the machine's programs were asked so far."""
        return self.notes.read_text().splitlines()

    def run(self, script: str, *, wait: bool = True) -> list[str]:
        """Return what was asked of the system; `wait` until something was."""
        self.notes.write_text("")
        subprocess.run([self._shell], input=script, text=True, env=self._environ, check=True)
        end = time.monotonic() + 5
        # What is started in the background may be about to say so.
        while wait and not self.said() and time.monotonic() < end:
            time.sleep(0.01)
        return self.said()

    def boot(self) -> list[str]:
        """Do what cloud-init does at each boot."""
        (script,) = (self.root.parent / "cloud/scripts/per-boot").iterdir()
        assert os.access(script, os.X_OK)
        return self.run(script.read_text())

    def ends_in(self, seconds: int) -> None:
        """Let the limit end so long from now."""
        (self.root / "ends-at").write_text(str(int(time.time()) + seconds))


def armed(said: list[str]) -> int:
    """Return the seconds of the timer that systemd was told to make, the last if there are several."""
    timers = [line for line in said if line.startswith("systemd-run --unit=runctl-ttl")]
    assert timers, said
    (word,) = (word for word in timers[-1].split() if word.startswith("--on-active="))
    return int(word.partition("=")[2].removesuffix("s"))


@pytest.fixture(params=SHELLS)
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Guest:
    return Guest(tmp_path, request.param)


def test_the_limit_is_armed_before_anything_else(guest: Guest) -> None:
    said = guest.run(user_data(TTL, None, 1800.0))
    assert said[0] == "systemctl stop runctl-ttl.timer"
    assert said[1] == f"systemd-run --unit=runctl-ttl --on-active={TTL}s shutdown -h now"


def test_after_a_reboot_the_rest_of_the_limit_holds(guest: Guest) -> None:
    guest.run(user_data(TTL))
    guest.ends_in(3600)
    assert 3595 <= armed(guest.boot()) <= 3600
    assert 3590 <= armed(guest.boot()) <= 3600  # and again


@pytest.mark.parametrize(("left", "expected"), [(-1, TTL), (-86400, TTL), (10, 300), (10 * TTL, TTL)])
def test_after_a_stop_it_counts_anew(guest: Guest, left: int, expected: int) -> None:
    guest.run(user_data(TTL))
    guest.ends_in(left)
    assert armed(guest.boot()) == expected
    assert expected - 5 <= armed(guest.boot()) <= expected


def test_a_start_by_runctl_overrides_what_the_boot_has_armed(guest: Guest) -> None:
    guest.run(user_data(TTL))
    guest.ends_in(1000)
    guest.boot()
    assert armed(guest.run(after_start(TTL, None))) == TTL
    assert TTL - 5 <= armed(guest.boot()) <= TTL


def test_the_idle_guard_and_unfinished_runners_come_back_with_a_boot(guest: Guest) -> None:
    guest.run(user_data(TTL, None, 1800.0))
    unfinished = guest.root / "jobs/j/1/unfinished"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_text("systemctl runner-again")
    said = guest.boot()
    assert "systemctl runner-again" in said
    assert "systemctl restart runctl-idle.service" in said
    assert not any("idle" in line for line in Guest.run(guest, user_data(TTL)))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_lost_note_costs_no_more_than_one_limit(tmp_path: Path, shell: str) -> None:
    guest = Guest(tmp_path, shell)
    guest.run(user_data(TTL))
    (guest.root / "ends-at").unlink()
    assert armed(guest.boot()) == TTL


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("ends_in", "expected"), [(3600, ["sleep 3600", "shutdown -h now"]), (-1, ["shutdown -h now"])]
)
def test_without_systemd_a_process_waits_and_a_later_limit_overrides_it(
    tmp_path: Path, shell: str, ends_in: int, expected: list[str]
) -> None:
    guest = Guest(tmp_path, shell, systemd=False)
    # Sleeping takes no time, but it is later then; and programs in the background are waited for.
    guest.program(
        "sleep", f'[ "$1" -le 1 ] || {{ echo sleep "$1" >> "{guest.notes}"; echo 0 > "{guest.root}/ends-at"; }}'
    )
    guest.program("setsid", 'until [ -e "$6.ready" ]; do [ -e "$6.held" ] || exit 1; done; exec "$@"')
    (guest.root).mkdir(parents=True)
    held = guest.root / "ends-at.held"
    held.touch()
    guest.run(user_data(1), wait=False)
    guest.ends_in(ends_in)
    (guest.root / "ends-at.ready").touch()
    try:
        end = time.monotonic() + 10
        while (said := guest.said())[-1:] != ["shutdown -h now"]:
            assert time.monotonic() < end, said
            time.sleep(0.01)
    finally:
        held.unlink()
    assert [line for line in said if line.startswith(("sleep", "shutdown"))] == expected
