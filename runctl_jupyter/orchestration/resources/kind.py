"""What a kind of resource can do: be found in a region, and be removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from runctl_jupyter.orchestration.errors import RunctlError

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.owned import Owned
    from runctl_jupyter.orchestration.costs.pricing import Prices
    from runctl_jupyter.orchestration.resources.judging import Found

_PARALLEL = 8
"""Removals at once: more would meet the limits of request rates (EC2 API reference, "Request throttling")."""

Failures = Mapping[str, RunctlError]
"""Why things could not be removed, by their ids."""


@dataclass(frozen=True)
class Region:
    """A region as the kinds see it."""

    name: str
    owned: Owned
    prices: Prices


class Kind(Protocol):
    """One kind of resources."""

    @property
    def name(self) -> str:
        """Its word in listings and flags."""

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        """Return what is ours in a region; with `ids` at least those of them that still are."""

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        """Remove things; what could not be removed is returned, and hinders nothing else."""


def one_by_one(going: Iterable[Found], remove: Callable[[Found], object]) -> dict[str, RunctlError]:
    """Remove things with a request each."""
    failed: dict[str, RunctlError] = {}

    def attempt(each: Found) -> None:
        try:
            remove(each)
        except RunctlError as error:
            failed[each.id] = error

    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="runctl-remove") as pool:
        list(pool.map(attempt, going))
    return failed
