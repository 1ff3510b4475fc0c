"""What a machine does at its first boot: arm its limits, then start its job, if it has one."""

from __future__ import annotations

from runctl_jupyter.orchestration.instances import programs
from runctl_jupyter.run_record import ATTEMPT_IS_KEPT

_TTL = """\
# The time limit comes first, so that it holds whatever else fails.
arm=$(cat <<'RUNCTL_ARM'
root="${{RUNCTL_ROOT:-/var/lib/runctl}}"
ends_in() {{
  systemctl stop runctl-ttl.timer 2>/dev/null
  systemd-run --unit=runctl-ttl --on-active="$1s" shutdown -h now 2>/dev/null || {{
    setsid sh -c '
      sleep "$1"
      while left=$(($(cat "$2") - $(date +%s))); [ $left -gt 0 ]; do sleep $left; done
      shutdown -h now' - "$1" "$root/ends-at" </dev/null >/dev/null 2>&1 &
  }}
}}
RUNCTL_ARM
)
eval "$arm"
ends_in {seconds}
mkdir -p "$root"
echo $(($(date +%s) + {seconds})) > "$root/ends-at"
# User data runs once, and a reboot forgets timers: cloud-init runs this at each further boot.
boot="$(dirname "$root")/cloud/scripts/per-boot"
mkdir -p "$boot"
{{ echo '#!/bin/sh'; echo "$arm"; cat <<'RUNCTL_BOOT'
left=$(($(cat "$root/ends-at" || echo 0) - $(date +%s)))
# Over, and yet not powered off by it: the instance was stopped meanwhile, and the limit counts from each start.
if [ $left -le 0 ] || [ $left -gt {seconds} ]; then left={seconds}; fi
[ $left -ge {least} ] || left={least}
echo $(($(date +%s) + left)) > "$root/ends-at"
ends_in $left
{watch}{unfinished}RUNCTL_BOOT
}} > "$boot/runctl"
chmod 755 "$boot/runctl"
"""
"""Without systemd a timer that is over looks whether the limit has been set to a later time since."""

_LEAST_S = 300
"""Of the limit after a boot: who has started the instance, and is about to arm it anew, comes in time."""

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
idle="$root/idle"
mkdir -p "$idle"
{decode} > "$idle/guard.pyz" <<'RUNCTL_GUARD'
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
systemctl enable "$idle/runctl-idle.service" 2>/dev/null
{watch}"""

_WATCH = """\
systemctl restart runctl-idle.service 2>/dev/null || {{
  setsid python3 "$root/idle/guard.pyz" --idle-stop {seconds} </dev/null >>"$root/idle/guard.log" 2>&1 &
}}
"""
"""Starts the guard, as a unit where there is systemd."""

_UNFINISHED = f"""\
# Runners that a power-off has cut off save what they have left on the disk. One may be at it already: cloud-init's
# script of this boot has started it.
for each in "$root"/jobs/*/*/unfinished; do
  [ ! -f "$each" ] || sh "$each" || [ $? -eq {ATTEMPT_IS_KEPT} ]
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
    """Return a script that arms the limits of the machine, and lets each further boot do so.

    Parameters
    ----------
    ttl_s
        Seconds after which it powers itself off.
    idle_stop_s
        Seconds without any use after which it powers itself off; None to stay.
    """
    seconds, watch = max(1, int(ttl_s)), "" if idle_stop_s is None else _WATCH.format(seconds=int(idle_stop_s))
    text = _TTL.format(seconds=seconds, least=min(seconds, _LEAST_S), watch=watch, unfinished=_UNFINISHED)
    if idle_stop_s is not None:
        guard = programs.as_text("idle_guard", "activity", "power")
        text += _IDLE.format(seconds=int(idle_stop_s), decode=programs.DECODE, program=guard, watch=watch)
    return text


def after_start(ttl_s: float, idle_stop_s: float | None) -> str:
    """Return a script for a machine that was started again: arm its `limits`, finish what was cut off."""
    return limits(ttl_s, idle_stop_s) + _UNFINISHED


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
