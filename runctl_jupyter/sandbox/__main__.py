"""``python -m runctl_jupyter.sandbox start|stop|status``. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from runctl_jupyter.sandbox import service
from runctl_jupyter.sandbox.connection import Connection, default_home


def main(arguments: list[str] | None = None) -> int:
    """Run one command of the sandbox and give its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    home: Path = options.home or default_home()
    try:
        if options.command == "start":
            knobs = service.StartOptions(options.pace, options.idle_hours, options.max_instances)
            _print_connection(service.start(home, options.mode, knobs), options.json)
        elif options.command == "stop":
            _print_stopped(service.stop(home), options.json)
        elif options.command == "status":
            _print_status(service.status(home), options.json)
        else:
            return _serve(options)
    except service.SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runctl_jupyter.sandbox", description="AWS in a box.")
    commands = parser.add_subparsers(dest="command", required=True)
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--home", type=Path, help="folder of its state (default: RUNCTL_SANDBOX_HOME or user data)")
    place.add_argument("--json", action="store_true", help="print JSON")
    knobs = argparse.ArgumentParser(add_help=False)
    knobs.add_argument("--mode", choices=("plain", "isolated"))
    knobs.add_argument("--pace", type=float, help="multiplier of AWS-like delays (0: as fast as possible)")
    knobs.add_argument("--idle-hours", type=float, help="end after so many hours without requests and instances")
    knobs.add_argument("--max-instances", type=int, help="live instances allowed at a time")
    commands.add_parser("start", parents=[place, knobs], help="start it, or find the one that runs")
    commands.add_parser("stop", parents=[place], help="end it; disks and S3 objects stay")
    commands.add_parser("status", parents=[place], help="say whether it runs, in which mode, and what that lacks")
    serve = commands.add_parser("serve", parents=[place, knobs], help="be the server (used by start)")
    serve.add_argument("--ready-fd", type=int, required=True, help="pipe that gets `ready` or an error")
    return parser


def _serve(options: argparse.Namespace) -> int:
    from runctl_jupyter.sandbox.detach import detach

    if not detach():
        return 0
    from runctl_jupyter.sandbox.control.server import serve
    from runctl_jupyter.sandbox.control.settings import settings_from

    return serve(
        settings_from(options.home, options.mode, options.pace, options.idle_hours, options.max_instances),
        options.ready_fd,
    )


def _print_connection(connection: Connection, as_json: bool) -> None:
    if as_json:
        print(json.dumps(connection.to_dict()))
        return
    print(f"The sandbox runs in {connection.mode} mode at {connection.endpoint_url} (pid {connection.pid}).")
    for limit in connection.cannot:
        print(f"  cannot: {limit}")


def _print_stopped(was_running: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"running": False, "was_running": was_running}))
    else:
        print("The sandbox has ended." if was_running else "No sandbox was running.")


def _print_status(status: service.Status, as_json: bool) -> None:
    connection, health = status.connection, status.health
    if connection is None or health is None:
        print(json.dumps({"running": False}) if as_json else "No sandbox runs. `runctl sandbox start` starts one.")
        return
    if as_json:
        print(json.dumps({
            **connection.to_dict(), "running": True, "instances": health.instances,
            "lost_at_restart": list(health.lost_at_restart),
        }))  # fmt: skip
        return
    _print_connection(connection, as_json=False)
    print(f"  instances: {health.instances}")
    for loss in health.lost_at_restart:
        print(f"  lost at restart: {loss}")


if __name__ == "__main__":
    sys.exit(main())
