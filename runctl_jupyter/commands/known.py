"""Names that Tab offers: what the engine listed a moment ago. Asking happens beside; a key press never waits long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Runctl

_FRESH_S = 5.0
_MOST_OBJECTS = 1000
"""More names than S3 gives at once help nobody who types."""
_PATIENCE_S = 0.4
"""A completion that takes longer than half a second is felt as a hang."""


@dataclass
class _Entry:
    names: list[str] = field(default_factory=list)
    asked: float = 0.0
    asking: threading.Thread | None = None


class KnownNames:
    """Remembers names by what they are names of."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def names(self, rc: Runctl, kind: str, prefix: str = "") -> list[str]:
        """Return names known now, after asking for at most 0.4 s.

        Parameters
        ----------
        kind
            ``types``, ``instances``, ``jobs``, or ``s3`` (then `prefix` is the address so far).
        """
        if kind == "types":
            return rc.completions("types")
        if not _reachable(rc):
            return []
        place = prefix[: prefix.rfind("/") + 1]
        key = f"{rc.settings!r} {kind} {place}"
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            stale = time.monotonic() - entry.asked > _FRESH_S or entry.asked == 0.0
            if stale and (entry.asking is None or not entry.asking.is_alive()):
                entry.asking = threading.Thread(
                    target=_ask, args=(entry, lambda: _list(rc, kind, place)), name=f"runctl-names-{kind}", daemon=True
                )
                entry.asking.start()
        if entry.asking is not None:
            entry.asking.join(_PATIENCE_S)
        return list(entry.names)


def _ask(entry: _Entry, list_names: Callable[[], Sequence[str]]) -> None:
    from runctl_jupyter.orchestration.errors import RunctlError

    try:
        entry.names = list(dict.fromkeys(list_names()))
    except RunctlError:
        # Tab is the wrong moment to say that AWS cannot be reached: the line itself will. What was known stays.
        return
    finally:
        entry.asked = time.monotonic()


def _list(rc: Runctl, kind: str, place: str) -> list[str]:
    if kind == "instances":
        instances = rc.instances.list()
        return [i.name for i in instances if i.name] + [i.id for i in instances]
    if kind == "jobs":
        jobs = rc.jobs.list(limit=50)
        return [job.name for job in jobs] + [job.id for job in jobs]
    if place.count("/") < 3:  # not even a bucket yet: only ours is known without asking for all
        bucket = rc.connection.bucket
        return [f"s3://{bucket}/"] if bucket else []
    return [found.uri for found in rc.storage.list(place, limit=_MOST_OBJECTS)]


def _reachable(rc: Runctl) -> bool:
    """Return whether asking would start nothing: a key press must not start a sandbox."""
    if rc.settings.target != "sandbox":
        return True
    from runctl_jupyter.orchestration.connection import sandbox_home

    return (sandbox_home() / "connection.json").exists()
