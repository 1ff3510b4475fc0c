"""``systemd-run`` of a sandbox machine: there is no systemd, and the host's must not be reached."""

from __future__ import annotations

import sys


def main() -> int:
    """Say so, as a machine without systemd does."""
    sys.stderr.write(f"{sys.argv[1]}: systemd does not run on this sandbox machine\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
