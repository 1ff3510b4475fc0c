"""Where files of ours lie on this computer, as its system has it."""

from __future__ import annotations

from pathlib import Path

_NAME = "runctl-jupyter"


def config_dir() -> Path:
    """Return the folder of the user's own settings."""
    import platformdirs

    return platformdirs.user_config_path(_NAME)


def data_dir() -> Path:
    """Return the folder of what is kept: local records, the sandbox, known places."""
    import platformdirs

    return platformdirs.user_data_path(_NAME)


def cache_dir() -> Path:
    """Return the folder of what may vanish at any time."""
    import platformdirs

    return platformdirs.user_cache_path(_NAME)
