"""Failures as the views want them: a word for programs, what failed, what to do."""

from __future__ import annotations

import logging
from typing import Any

from runctl_jupyter.orchestration.errors import InvalidRequest, RunctlError
from runctl_jupyter.run_record import NotFound, StoreError

ErrorDocument = dict[str, Any]
"""Keys ``error``, ``what`` and ``to_resolve``."""

_log = logging.getLogger(__name__)


class Upset(Exception):
    """A failure that has been explained already: what something else is made from cannot be read."""

    def __init__(self, document: ErrorDocument) -> None:
        super().__init__(document["what"])
        self.document = document


def explained(error: BaseException) -> ErrorDocument:
    """Return the failure as a document; one that nobody foresaw is logged, and its details stay in the log."""
    if isinstance(error, Upset):
        return error.document
    if isinstance(error, RunctlError):
        return {"error": error.code, "what": error.what, "to_resolve": error.to_resolve}
    if isinstance(error, NotFound):
        return {
            "error": "object-missing",
            "what": f"There is {error}.",
            "to_resolve": "It may have been deleted: look again.",
        }
    if isinstance(error, StoreError):
        return {
            "error": "storage-unavailable",
            "what": f"{error}.",
            "to_resolve": "Try again; if it stays, check the network and the bucket.",
        }
    _log.error("a panel's request failed", exc_info=error)
    return {
        "error": "internal",
        "what": "Something in runctl-jupyter failed that should not.",
        "to_resolve": "Try again. The log of the Jupyter server, or of the kernel, says more: please report it.",
    }


def unknown(kind: str, name: object, known: list[str]) -> InvalidRequest:
    """Return the error for a name that is none of the `known` ones."""
    return InvalidRequest(f"There is no {kind} {name!r}.", f"Use one of: {', '.join(known)}.")
