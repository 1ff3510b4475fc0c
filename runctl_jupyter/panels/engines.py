"""One engine per place, made when first asked for, and made anew when the old one cannot know better."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import (
    AwsRefused,
    CredentialsMissing,
    RunctlError,
    StorageUnavailable,
    TargetUnavailable,
)

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Runctl

OpenRunctl = Callable[["str | None"], "Runctl"]
"""Makes the engine of a place, by its id; None is the door's own place."""

_STALE = (AwsRefused, CredentialsMissing, StorageUnavailable, TargetUnavailable)
"""After these a new engine may do better: people sign in, and a sandbox comes back at another address."""


class Engines:
    """The engines of a door.

    Parameters
    ----------
    open_runctl
        Makes one.
    """

    def __init__(self, open_runctl: OpenRunctl) -> None:
        self._open = open_runctl
        self._engines: dict[str | None, Runctl] = {}
        self._lock = threading.Lock()

    @contextmanager
    def using(self, place: str | None) -> Iterator[Runctl]:
        """Give the engine of a place, and drop it when it fails in a way that a new one may not.

        Raises
        ------
        RunctlError
            There is no such place, or what the engine raises.
        """
        engine = self.get(place)
        try:
            yield engine
        except _STALE:
            with self._lock:
                if self._engines.get(place) is engine:
                    del self._engines[place]
            raise

    def get(self, place: str | None) -> Runctl:
        """Return the engine of a place."""
        with self._lock:
            found = self._engines.get(place)
            if found is None:
                found = self._engines[place] = self._open(place)
            return found

    def identity_of(self, place: str | None) -> str | None:
        """Return the id that all names of a place have in common: one poll serves them all."""
        try:
            return self.get(place).place
        except RunctlError:
            # What is wrong with it is said to who asks it something.
            return place
