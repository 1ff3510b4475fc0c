"""Switching the machine off."""

from __future__ import annotations

import os
import subprocess
import sys


def power_off() -> None:
    """Switch the machine off: it was launched for this job and bills until then."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    for command in (["shutdown", "-h", "now"], ["poweroff"]):
        try:
            done = subprocess.run(command, env={**os.environ, "PATH": search}, check=False)
        except OSError as error:
            sys.stderr.write(f"{command[0]}: {error}\n")
            continue
        if done.returncode == 0:
            return
