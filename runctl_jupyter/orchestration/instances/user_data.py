"""What a machine does at its first boot: arm its time limit, then start its job, if it has one."""

from __future__ import annotations

_TTL = """\
# The time limit comes first, so that it holds whatever else fails.
systemctl stop runctl-ttl.timer 2>/dev/null
if ! systemd-run --unit=runctl-ttl --on-active={seconds}s shutdown -h now 2>/dev/null; then
  setsid sh -c 'sleep {seconds}; shutdown -h now' </dev/null >/dev/null 2>&1 &
fi
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


def time_limit(ttl_s: float) -> str:
    """Return a script that makes the machine power itself off in `ttl_s` seconds; a boot forgets an earlier one."""
    return _TTL.format(seconds=int(ttl_s))


LIMIT_BYTES = 16 * 1024
"""EC2 User Guide, "Run commands when you launch an EC2 instance with user data input"."""


def user_data(ttl_s: float, bootstrap: str | None = None) -> str:
    """Return the user data of a machine that lives `ttl_s` seconds at most.

    Parameters
    ----------
    bootstrap
        Shell script that starts the job's runner; None for a machine that waits for work.
    """
    text = "#!/bin/sh\n" + time_limit(ttl_s)
    if bootstrap is not None:
        text += _JOB.format(bootstrap=bootstrap)
    return text
