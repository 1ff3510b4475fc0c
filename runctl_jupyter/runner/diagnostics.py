"""What the runner says about itself, in its own log on the machine's disk."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

_STANDARD_ERROR = 2


class Diagnostics(io.TextIOBase):
    """Standard error that never fails.

    On a full disk what is said here is lost. With Python's own it would be an `OSError` at whatever place says it: the
    end of a heartbeat, of the keeper, of an upload that had only failed for the moment.
    """

    encoding = "utf-8"

    @classmethod
    def install(cls) -> None:
        """Let all of this process speak here."""
        sys.stderr.flush()
        sys.stderr = cls()

    def writable(self) -> bool:
        """Tell that this is for writing."""
        return True

    def write(self, text: str) -> int:
        """Write at once, as far as the disk takes it."""
        with suppress(OSError):
            os.write(_STANDARD_ERROR, text.encode(errors="backslashreplace"))
        return len(text)

    def fileno(self) -> int:
        """Return the descriptor."""
        return _STANDARD_ERROR
