"""Machines of the sandbox: real processes behind every emulated EC2 instance."""

from runctl_jupyter.sandbox.hosts.choice import choose_factory

__all__ = ["choose_factory"]
