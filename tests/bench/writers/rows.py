"""What a program of this folder has written, for `real_checkpoints.py`: one line of JSON on its output."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Any


class Rows:
    """What was written, with what has to be found in it.

    Parameters
    ----------
    packages
        Whose versions are told.
    """

    def __init__(self, *packages: str) -> None:
        self._by = ", ".join(f"{name} {version(name)}" for name in packages)
        self._rows: list[dict[str, Any]] = []

    def add(self, what: str, path: object, parameters: int, step: int | None, name: str, values: Any) -> None:
        """Note a checkpoint: its model's parameters, its step, and a tensor's name and values (an array of NumPy)."""
        digest = hashlib.sha256(values.tobytes()).hexdigest()
        self._rows.append(
            {
                "what": what,
                "by": self._by,
                "path": str(path),
                "parameters": int(parameters),
                "step": step,
                "name": name,
                "sha256": digest,
            }
        )

    def tell(self) -> None:
        """Print all of it."""
        print(json.dumps(self._rows), flush=True)
