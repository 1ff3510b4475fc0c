"""Which kind of machine the sandbox makes."""

from __future__ import annotations

from pathlib import Path

from runctl_jupyter.sandbox.hosts.base import HostError, HostFactory

MODES = ("plain", "isolated", "auto")


def choose_factory(mode: str, state_dir: Path) -> HostFactory:
    """Make the factory for `mode`: ``plain``, ``isolated``, or ``auto`` (isolated where the machine can).

    Raises
    ------
    HostError
        Unknown mode, or isolated machines cannot be made here; two lines: what, and what to do.
    """
    from runctl_jupyter.sandbox.hosts.plain import PlainHostFactory

    if mode not in MODES:
        raise HostError(f"unknown sandbox mode {mode!r}\nUse one of: {', '.join(MODES)}.")
    if mode == "plain":
        return PlainHostFactory(state_dir)
    from runctl_jupyter.sandbox.hosts.isolated import IsolatedHostFactory, why_not_isolated

    obstacle = why_not_isolated(state_dir)
    if obstacle is None:
        return IsolatedHostFactory(state_dir)
    if mode == "auto":
        return PlainHostFactory(state_dir)
    raise HostError(
        f"isolated sandbox machines cannot run here: {obstacle}\nUse the plain mode, or run as root on Linux."
    )
