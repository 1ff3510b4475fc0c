"""``shutdown``, ``poweroff``, ``halt`` and ``reboot`` of a sandbox machine, as far as EC2 users need them."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path


def seconds_until(when: str, now: dt.datetime) -> float:
    """Seconds from `now` for ``now``, ``+minutes`` or ``hh:mm`` as shutdown(8) takes them; ValueError otherwise."""
    if when == "now":
        return 0
    if when.startswith("+"):
        return 60 * int(when[1:])
    hour, minute = map(int, when.split(":"))
    at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (at - now).total_seconds() if at > now else (at - now + dt.timedelta(days=1)).total_seconds()


def main() -> int:
    """Tell the machine's first process when to end."""
    parser = argparse.ArgumentParser(prog=sys.argv[2], description="Power off this sandbox machine.", add_help=False)
    parser.add_argument("power_fifo", type=Path)
    parser.add_argument("name")
    parser.add_argument(
        "-h", "-P", "-H", "-p", "-f", "--poweroff", "--halt", "--force", action="store_true", dest="off"
    )
    parser.add_argument("-r", "--reboot", action="store_true")
    parser.add_argument("-c", action="store_true", dest="cancel")
    parser.add_argument("when", nargs="?")
    parser.add_argument("wall", nargs="*")
    options = parser.parse_intermixed_args()  # `shutdown -h now` has its time after the flags
    again = options.reboot or options.name == "reboot"
    default = "+1" if options.name == "shutdown" else "now"  # shutdown(8): one minute when no time is given
    try:
        seconds = seconds_until(options.when or default, dt.datetime.now().astimezone())
    except ValueError:
        sys.stderr.write(f"{options.name}: cannot read time {options.when!r}\nUse now, +minutes or hh:mm.\n")
        return 1
    with options.power_fifo.open("w") as fifo:
        fifo.write("cancel\n" if options.cancel else f"{'reboot' if again else 'off'}:{seconds}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
