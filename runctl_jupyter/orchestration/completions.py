"""Words for Tab: names and ids, remembered, never waited for longer than a person notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from runctl_jupyter.orchestration.errors import RunctlError

_FRESH_S = 5.0
_PATIENCE_S = 0.4


class Completions:
    """Lists of words by kind, refreshed in the background.

    Parameters
    ----------
    sources
        For each kind a function from a prefix to words; it may use the network.
    """

    def __init__(self, sources: Mapping[str, Callable[[str], list[str]]]) -> None:
        self._sources = sources
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="runctl-complete")
        self._known: dict[tuple[str, str], tuple[float, list[str]]] = {}
        self._asking: dict[tuple[str, str], Future[list[str]]] = {}

    def get(self, kind: str, prefix: str = "") -> list[str]:
        """Return words of `kind`; after 0.4 s without an answer, those of an earlier time."""
        key = (kind, prefix)
        at, words = self._known.get(key, (0.0, []))
        if time.monotonic() - at < _FRESH_S and at:
            return words
        asking = self._asking.get(key)
        if asking is None or asking.done():
            asking = self._asking[key] = self._pool.submit(self._ask, key)
        # Tab has no place for an error: whoever runs the command sees it.
        with suppress(RunctlError, TimeoutError):
            return asking.result(_PATIENCE_S)
        return words

    def _ask(self, key: tuple[str, str]) -> list[str]:
        kind, prefix = key
        words = self._sources[kind](prefix)
        self._known[key] = (time.monotonic(), words)
        return words
