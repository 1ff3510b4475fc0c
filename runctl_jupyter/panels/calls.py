"""What can be called by name: with which parameters, and who carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from runctl_jupyter.panels.parameters import P, checked
from runctl_jupyter.panels.troubles import unknown

Answer = dict[str, Any]


@dataclass(frozen=True)
class Call(Generic[P]):
    """What it is called with, and what carries it out at a place."""

    model: type[P]
    run: Callable[[P, str | None], Answer]


class Calls:
    """Calls by name.

    Parameters
    ----------
    kind
        What they are, for messages: ``question`` or ``action``.
    """

    def __init__(self, kind: str, calls: Mapping[str, Call[Any]]) -> None:
        self._kind, self._calls = kind, calls

    def carry_out(self, name: object, params: object, place: str | None) -> Answer:
        """Carry out the call of this name.

        Raises
        ------
        InvalidRequest
            There is none, or it is not called like this.
        RunctlError
            What the engine could not do.
        """
        call = self._calls.get(name) if isinstance(name, str) else None
        if call is None:
            raise unknown(self._kind, name, list(self._calls))
        return call.run(checked(call.model, params, f"{self._kind.capitalize()} {name}"), place)
