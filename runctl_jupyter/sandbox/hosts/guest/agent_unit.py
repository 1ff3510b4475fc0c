"""``systemctl`` and ``snap`` of a sandbox machine, which know one service: the SSM agent.

There is no systemd, and the host's must not be reached. The agent is part of the machine's first process; a restart
lets it ask for its registration anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

AGENT = "amazon-ssm-agent"
UNITS = (AGENT, f"snap.{AGENT}.{AGENT}", f"{AGENT}.{AGENT}")
"""Names of packages of deb and rpm, of the snap's unit, and of the snap's service."""


def main() -> int:
    """Do what can be done for the agent, and refuse the rest as a machine without systemd does."""
    power_fifo, name, *arguments = sys.argv[1:]
    words = [one for one in arguments if not one.startswith("-")]
    verb, units = (words[0], words[1:]) if words else ("", [])
    if not units or not all(one.removesuffix(".service") in UNITS for one in units):
        sys.stderr.write(f"{name}: systemd does not run on this sandbox machine\n")
        return 1
    if verb in ("restart", "try-restart", "start", "reload-or-restart"):
        with Path(power_fifo).open("w") as fifo:
            fifo.write("agent-restart\n")
        return 0
    texts = {
        "is-active": "active",
        "is-enabled": "enabled",
        "status": f"{AGENT} - part of the first process of this sandbox machine\n   Active: active (running)",
        "cat": f"[Unit]\nDescription={AGENT}, part of the first process of this sandbox machine",
        "services": f"Service  Startup  Current  Notes\n{AGENT}.{AGENT}  enabled  active  -",
        "list": f"Name  Version  Rev  Tracking  Publisher  Notes\n{AGENT}  3.3  1  latest/stable  aws  classic",
    }
    if verb not in texts:
        sys.stderr.write(f"{name}: {verb} cannot be done on this sandbox machine\n")
        return 1
    sys.stdout.write(f"{texts[verb]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
