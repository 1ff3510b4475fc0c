"""What a machine does at its first boot: arm its limits, then start its job, if it has one."""

from __future__ import annotations

import base64
import io
import zipfile
from functools import cache
from importlib import resources

_TTL = """\
# The time limit comes first, so that it holds whatever else fails.
systemctl stop runctl-ttl.timer 2>/dev/null
if ! systemd-run --unit=runctl-ttl --on-active={seconds}s shutdown -h now 2>/dev/null; then
  setsid sh -c 'sleep {seconds}; shutdown -h now' </dev/null >/dev/null 2>&1 &
fi
"""

_QUIET = """\
# Upgrades in the background hold the lock of packages, and may change a GPU's driver under a run.
if command -v apt-get >/dev/null 2>&1; then
  for unit in apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service; do
    systemctl --no-block disable --now "$unit" 2>/dev/null
  done
  systemctl --no-block stop apt-daily.service apt-daily-upgrade.service 2>/dev/null
fi
"""

# What the agent does: aws/amazon-ssm-agent 3.3, core/app: first credentials, then its workers.
_AGENT = """\
# An SSM agent that has asked before its role could be used asks again after half an hour: start it anew instead.
# It starts ssm-agent-worker when its credentials work, and not before; names of processes have 15 letters.
agent=
for unit in amazon-ssm-agent snap.amazon-ssm-agent.amazon-ssm-agent; do
  if systemctl cat "$unit.service" >/dev/null 2>&1; then agent=$unit; fi
done
if [ -n "$agent" ]; then
  RUNCTL_AGENT=$agent setsid sh -s <<'RUNCTL_WATCH' >/dev/null 2>&1 &
imds="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}/latest"
tries=0
while [ "$tries" -lt 15 ]; do
  tries=$((tries + 1))
  sleep 20
  if pgrep -x ssm-agent-worke >/dev/null; then break; fi
  token=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$imds/api/token") || continue
  if curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "$imds/meta-data/iam/security-credentials/" >/dev/null; then
    systemctl restart "$RUNCTL_AGENT"
  fi
done
RUNCTL_WATCH
fi
"""

_IDLE = """\
# Nothing of this needs the network: the program that watches is here.
idle="${{RUNCTL_ROOT:-/var/lib/runctl}}/idle"
mkdir -p "$idle"
base64 -d > "$idle/guard.pyz" <<'RUNCTL_GUARD'
{program}
RUNCTL_GUARD
cat > "$idle/runctl-idle.service" <<RUNCTL_UNIT
[Unit]
Description=runctl: power off this machine when nothing has used it for {seconds} s
[Service]
ExecStart="$(command -v python3)" "$idle/guard.pyz" --idle-stop {seconds}
Restart=on-failure
RestartSec=30
[Install]
WantedBy=multi-user.target
RUNCTL_UNIT
# A unit, so that it starts at each boot. Without systemd it comes back when runctl starts the instance.
if ! {{ systemctl enable "$idle/runctl-idle.service" && systemctl restart runctl-idle.service; }} 2>/dev/null; then
  setsid python3 "$idle/guard.pyz" --idle-stop {seconds} </dev/null >>"$idle/guard.log" 2>&1 &
fi
"""

_GUARD = ("__init__.py", "activity.py", "idle_guard.py", "power.py")
_GUARD_MAIN = """\
import sys

from runctl_jupyter.runner.idle_guard import main

sys.exit(main())
"""
_LINE = 76

_UNFINISHED = """\
# Runners that a power-off has cut off save what they have left on the disk.
for each in "${RUNCTL_ROOT:-/var/lib/runctl}"/jobs/*/*/unfinished; do
  [ ! -f "$each" ] || sh "$each"
done
"""

_JOB = """\
# The job starts from here and not by a command from outside: a laptop that dies now cannot strand it.
if ! sh -s <<'RUNCTL_BOOTSTRAP'
{bootstrap}
RUNCTL_BOOTSTRAP
then
  echo "runctl: the job could not be started; the machine ends itself"
  shutdown -h now
fi
"""


def limits(ttl_s: float, idle_stop_s: float | None = None) -> str:
    """Return a script that arms the limits of the machine; to be run after each boot, which forgets the time limit.

    Parameters
    ----------
    ttl_s
        Seconds after which it powers itself off.
    idle_stop_s
        Seconds without any use after which it powers itself off; None to stay.
    """
    text = _TTL.format(seconds=int(ttl_s))
    if idle_stop_s is not None:
        text += _IDLE.format(seconds=int(idle_stop_s), program=_guard())
    return text


def after_start(ttl_s: float, idle_stop_s: float | None) -> str:
    """Return a script for a machine that was started again: arm its `limits`, finish what was cut off."""
    return limits(ttl_s, idle_stop_s) + _UNFINISHED


@cache
def _guard() -> str:
    """Return the program that watches for idleness as lines of base64: a zip that Python runs as it is."""
    folder = resources.files("runctl_jupyter").joinpath("runner")
    sources = {f"runctl_jupyter/runner/{name}": folder.joinpath(name).read_text() for name in _GUARD}
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in {"__main__.py": _GUARD_MAIN, "runctl_jupyter/__init__.py": "", **sources}.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    encoded = base64.b64encode(raw.getvalue()).decode()
    return "\n".join(encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE))


LIMIT_BYTES = 16 * 1024
"""EC2 User Guide, "Run commands when you launch an EC2 instance with user data input"."""


def user_data(ttl_s: float, bootstrap: str | None = None, idle_stop_s: float | None = None) -> str:
    """Return the user data of a machine with these `limits`.

    Parameters
    ----------
    bootstrap
        Shell script that starts the job's runner; None for a machine that waits for work.
    """
    text = "#!/bin/sh\n" + limits(ttl_s, idle_stop_s) + _QUIET + _AGENT
    if bootstrap is not None:
        text += _JOB.format(bootstrap=bootstrap)
    return text
