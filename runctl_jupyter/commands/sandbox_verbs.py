"""AWS in a box: `sandbox start`, `sandbox stop`, `sandbox status`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from runctl_jupyter.commands.parameters import json_option
from runctl_jupyter.commands.results import Text
from runctl_jupyter.orchestration.errors import TargetUnavailable

R = TypeVar("R")


@click.group()
def sandbox() -> None:
    """AWS in a box: same calls, real processes, no account."""


def _told(call: Callable[[], R]) -> R:
    """Run `call`; what the sandbox says went wrong is said the way this package says it."""
    from runctl_jupyter.sandbox.service import SandboxError

    try:
        return call()
    except SandboxError as error:
        what, _, advice = str(error).partition("\n")
        raise TargetUnavailable(what, advice or "See: runctl sandbox status") from error


@sandbox.command()
@click.option("--mode", type=click.Choice(["plain", "isolated"]), help="How machines are made; isolated needs root.")
@json_option
def start(mode: str | None) -> Text:
    """Start it, or find the one that runs."""
    from runctl_jupyter.sandbox import service

    _told(lambda: service.start(mode=mode))
    return _report()


@sandbox.command()
@json_option
def stop() -> Text:
    """End it: machines lose power, disks and objects stay."""
    from runctl_jupyter.sandbox import service

    was_running = _told(service.stop)
    said = "The sandbox has ended; disks and objects stay." if was_running else "No sandbox was running."
    return Text(said, {"running": False, "was_running": was_running})


@sandbox.command()
@json_option
def status() -> Text:
    """Say whether it runs, in which mode, and what that cannot do."""
    return _report()


def _report() -> Text:
    from runctl_jupyter.sandbox import service

    found = _told(service.status)
    connection, health = found.connection, found.health
    if connection is None or health is None:
        return Text("No sandbox runs; runctl sandbox start starts one.", {"running": False})
    # Without the token: it lets one cut power in the sandbox, and notebooks are passed on.
    public = {key: value for key, value in connection.to_dict().items() if key != "control_token"}
    document: dict[str, Any] = {
        **public,
        "running": True,
        "instances": health.instances,
        "lost_at_restart": list(health.lost_at_restart),
    }
    lines = [
        f"sandbox running in {connection.mode} mode at {connection.endpoint_url} (pid {connection.pid})",
        f"instances: {health.instances}",
        *(f"cannot: {limit}" for limit in connection.cannot),
        *(f"lost at restart: {loss}" for loss in health.lost_at_restart),
    ]
    return Text("\n".join(lines), document)
