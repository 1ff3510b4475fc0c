"""Looking at an instance again and again while EC2 may forget for a moment that it exists."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InstanceNotFound

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.model import Instance

FORGETFUL_S = 60.0
"""A fresh id may be unknown to some calls and known to others (EC2 API reference, "Eventual consistency")."""


class Sightings:
    """The newest description of an instance that has been seen before.

    Parameters
    ----------
    first
        As it was seen.
    get
        Looks again.
    clock
        Returns seconds.
    """

    def __init__(
        self, first: Instance, get: Callable[[str], Instance], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._last, self._get, self._clock = first, get, clock
        self._seen_at = clock()

    def look(self) -> Instance:
        """Return the instance as it is, or as it last was while EC2 says for a short time that it is not there.

        Raises
        ------
        InstanceNotFound
            EC2 has said so for a minute.
        """
        try:
            self._last = self._get(self._last.id)
        except InstanceNotFound:
            if self._clock() - self._seen_at > FORGETFUL_S:
                raise
        else:
            self._seen_at = self._clock()
        return self._last
