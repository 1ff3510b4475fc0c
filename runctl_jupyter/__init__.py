"""Put ``%%runctl train`` over a notebook cell and it trains on a machine in your own AWS account.

Imports nothing heavy: the kernel, the terminal and the machine a job runs on all import this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from runctl_jupyter.orchestration import Checkpoint, Instance, Job, Runctl, RunctlError

__version__ = "0.1.0"

__all__ = [
    "Checkpoint", "Instance", "Job", "Runctl", "RunctlError", "__version__",
    "load_ipython_extension", "unload_ipython_extension",
]  # fmt: skip

_ENGINE = ("Checkpoint", "Instance", "Job", "Runctl", "RunctlError")


def __getattr__(name: str) -> Any:
    if name not in _ENGINE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runctl_jupyter import orchestration

    _teach_running_shell()
    return getattr(orchestration, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ENGINE})


def _teach_running_shell() -> None:
    """In a notebook without ``%load_ext``, let the shell show the engine's values all the same."""
    import sys

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        from runctl_jupyter.display import formatters

        formatters.install(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell JupyterLab where the prebuilt extension lies; `jupyter-builder develop` links it from here."""
    return [{"src": "labextension", "dest": "runctl-jupyter"}]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Tell the Jupyter server which module to load."""
    return [{"module": "runctl_jupyter"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    """Add the routes that the panels ask."""
    from runctl_jupyter.server.extension import load

    load(server_app)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Handle ``%load_ext runctl_jupyter``: magics, completion, formatters and one line of welcome."""
    from runctl_jupyter.magics.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Handle ``%unload_ext runctl_jupyter``."""
    from runctl_jupyter.magics.extension import unload

    unload(shell)
