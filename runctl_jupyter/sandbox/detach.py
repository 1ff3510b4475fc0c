"""Leave the process that started the server, so that the server belongs to nobody and leaves no zombie."""

from __future__ import annotations

import os


def detach() -> bool:
    """Fork; True in the child, which leads a session of its own, False in the parent, which has to end now.

    Called before threads and heavy imports exist, so the fork is safe and cheap.
    """
    if os.fork():
        return False
    os.setsid()
    return True
