"""What a machine does at its first boot, run as each shell would: with programs that note what they are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_jupyter.orchestration.instances.user_data import LIMIT_BYTES, user_data
from runctl_jupyter.orchestration.targets.bootstrap import bootstrap_script

SHELLS = [shell for shell in ("bash", "dash") if shutil.which(shell)]
PROGRAMS = {
    "systemd-run": 'echo "systemd-run $*" >> "$NOTES"',
    "systemctl": """
echo "systemctl $*" >> "$NOTES"
case "$1 $2" in
  "cat $AGENT.service") exit 0 ;;
  cat*) exit 1 ;;
  "restart $AGENT") : > "$BIN/restarted" ;;
esac
exit 0
""",
    "apt-get": "exit 0",
    "sleep": 'echo "sleep $*" >> "$NOTES"; [ "$1" = 20 ]',
    "pgrep": 'echo "pgrep $*" >> "$NOTES"; [ -e "$BIN/restarted" ] || [ -n "$REGISTERED" ]',
    "curl": """
echo "curl $*" >> "$NOTES"
case "$*" in
  *api/token) echo TOKEN ;;
  *"X-aws-ec2-metadata-token: TOKEN"*security-credentials/) [ -n "$ROLE" ] ;;
  *) exit 22 ;;
esac
""",
    "setsid": '"$@"; echo over >> "$NOTES"',
    "shutdown": 'echo "shutdown $*" >> "$NOTES"',
}

Boot = Callable[..., list[str]]


@pytest.fixture(params=SHELLS)
def boot(request: pytest.FixtureRequest, tmp_path: Path) -> Boot:
    """Run user data; return what its programs were told, once its watch over the agent is over."""

    def run(script: str, **environ: str) -> list[str]:
        programs, notes = tmp_path / "bin", tmp_path / "notes"
        programs.mkdir()
        for name, text in PROGRAMS.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        (programs / "sh").symlink_to(shutil.which(request.param) or "")
        env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "BIN": str(programs),
            "NOTES": str(notes),
            "RUNCTL_ROOT": str(tmp_path / "root"),
            **dict.fromkeys(("AGENT", "ROLE", "REGISTERED"), ""),
            **environ,
        }
        path = tmp_path / "user-data"
        path.write_text(script)
        done = subprocess.run([request.param, path], env=env, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        said = _notes(notes)
        while environ.get("AGENT") and "over" not in said:
            time.sleep(0.01)
            said = _notes(notes)
        return said

    return run


def _notes(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_the_time_limit_comes_first(boot: Boot) -> None:
    said = boot(user_data(7200))
    assert said[0] == "systemctl stop runctl-ttl.timer"
    assert said[1] == "systemd-run --unit=runctl-ttl --on-active=7200s shutdown -h now"
    assert "systemctl --no-block disable --now unattended-upgrades.service" in said
    assert not [line for line in said if line.startswith(("pgrep", "curl"))]  # no agent, nothing to watch


@pytest.mark.parametrize("agent", ["amazon-ssm-agent", "snap.amazon-ssm-agent.amazon-ssm-agent"])
def test_an_agent_that_came_before_its_role_is_started_anew(boot: Boot, agent: str) -> None:
    said = boot(user_data(7200), AGENT=agent, ROLE="runctl-instance")
    assert said.count(f"systemctl restart {agent}") == 1  # then its worker is there
    assert "pgrep -x ssm-agent-worke" in said


def test_an_agent_that_is_registered_is_left_alone(boot: Boot) -> None:
    said = boot(user_data(7200), AGENT="amazon-ssm-agent", ROLE="runctl-instance", REGISTERED="yes")
    assert not [line for line in said if "restart" in line or line.startswith("curl")]


def test_without_a_role_a_new_start_would_not_help(boot: Boot) -> None:
    said = boot(user_data(7200), AGENT="amazon-ssm-agent")
    assert not [line for line in said if "restart amazon" in line]
    assert len([line for line in said if line == "sleep 20"]) == 15  # five minutes


def test_a_job_that_cannot_be_started_ends_the_machine(boot: Boot) -> None:
    assert "shutdown -h now" in boot(user_data(7200, "exit 3"))


@pytest.mark.parametrize("shell", SHELLS)
def test_everything_at_once_fits_and_can_be_read(shell: str, tmp_path: Path) -> None:
    url = "https://bucket.s3.us-east-1.amazonaws.com/" + "x" * 1900  # presigned, by a role with a long token
    bootstrap = bootstrap_script(url, "0" * 64, ["--record", "s3://bucket/prefix", "--job", "j" * 40])
    made = user_data(7200, bootstrap, 1800)
    assert made.startswith("#!/bin/sh\n")
    assert len(made.encode()) <= LIMIT_BYTES
    path = tmp_path / "user-data"
    path.write_text(made)
    subprocess.run([shell, "-n", path], check=True)
