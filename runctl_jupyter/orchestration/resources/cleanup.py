"""Removes what is left over: chosen first and shown; looked at once more the moment before it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.resources.judging import Found, Surroundings, is_young, judged
from runctl_jupyter.orchestration.resources.kind import Kind, Region
from runctl_jupyter.orchestration.resources.model import CleanupReport, FailedRemoval, Kept, Money, Resource
from runctl_jupyter.orchestration.resources.survey import Surveyed

_AT_ONCE = 50
"""Things that are looked at once more together, and removed right after that."""


@dataclass(frozen=True)
class Choice:
    """What a cleanup is to remove."""

    owner: str | None = None
    """None: whoever's."""
    older_than: timedelta | None = None
    orphans_only: bool = True
    """Whether things stay that nothing uses, but that are not known to be left over."""

    def why_kept(self, resource: Resource, found: Found, moment: datetime) -> str | None:
        """Return why something stays; empty when it goes, None when nobody would have thought of it."""
        if not (resource.wrong or (not self.orphans_only and not resource.in_use)):
            return None
        if resource.protected:
            return "it is protected"
        if self.owner is not None and resource.owner != self.owner and not found.shared:
            return f"it is of {resource.owner or 'nobody known'}; --all-owners would remove it"
        created = resource.created_at
        if created is None or (self.older_than is not None and moment - created < self.older_than):
            return "it is too young"
        # What nothing uses may be part of something that is just being made; a time limit that has passed is no guess.
        if not resource.expired and is_young(found, moment):
            return "it is too young"
        return ""


def clean(
    surveyed: Surveyed,
    choice: Choice,
    kinds: Sequence[Kind],
    regions: Mapping[str, Region],
    clock: Callable[[], datetime],
    *,
    dry_run: bool,
) -> CleanupReport:
    """Remove what is chosen; see `Resources.cleanup`.

    Parameters
    ----------
    kinds
        In the order of removal: what would make new machines before machines, images before their snapshots.
    """
    going: list[Resource] = []
    kept: list[Kept] = []
    for each in surveyed.resources:
        why = choice.why_kept(each, surveyed.found[each.region, each.kind, each.id], surveyed.around.moment)
        if why == "":
            going.append(each)
        elif why is not None:
            kept.append(Kept(each, why))
    order = {kind.name: number for number, kind in enumerate(kinds)}
    going.sort(key=lambda each: (order[each.kind], each.region, each.id))
    failed: list[FailedRemoval] = []
    if not dry_run:
        removal = _Removal(choice, surveyed.around, clock)
        for kind in kinds:
            for region in regions.values():
                some = [each for each in going if (each.kind, each.region) == (kind.name, region.name)]
                for at in range(0, len(some), _AT_ONCE):
                    removal.remove(kind, region, some[at : at + _AT_ONCE])
        going, failed = removal.gone, removal.failed
        kept += removal.kept
    cost = Money.of(going)
    return CleanupReport(dry_run, going, kept, failed, cost.usd_per_month, cost.unknown, surveyed.not_asked)


class _Removal:
    """Removes things, some at a time, and notes what became of each."""

    def __init__(self, choice: Choice, around: Surroundings, clock: Callable[[], datetime]) -> None:
        self._choice, self._around, self._clock = choice, around, clock
        self.gone: list[Resource] = []
        self.kept: list[Kept] = []
        self.failed: list[FailedRemoval] = []

    def remove(self, kind: Kind, region: Region, going: Sequence[Resource]) -> None:
        """Look at things of one kind and region once more, and remove those that are still to go."""
        try:
            now_there = {each.id: each for each in kind.find(region, [each.id for each in going])}
        except RunctlError as error:
            self.failed += [_failure(each, error) for each in going]
            return
        still = list(self._still_going(going, now_there))
        try:
            failures = kind.remove(region, [found for _, found in still])
        except RunctlError as error:
            # Some of them may be gone: the next look tells.
            self.failed += [_failure(each, error) for each, _ in still]
            return
        for each, found in still:
            if found.id in failures:
                self.failed.append(_failure(each, failures[found.id]))
            else:
                self.gone.append(each)

    def _still_going(
        self, going: Sequence[Resource], now_there: Mapping[str, Found]
    ) -> Iterable[tuple[Resource, Found]]:
        around = replace(self._around, moment=self._clock())
        for each in going:
            found = now_there.get(each.id)
            if found is None:
                self.kept.append(Kept(each, "it is gone already, or no longer carries our tag"))
                continue
            again = judged(found, around)
            why = self._choice.why_kept(again, found, around.moment)
            if why == "":
                yield again, found
            else:
                self.kept.append(Kept(again, why or "it is in use again"))


def _failure(resource: Resource, error: RunctlError) -> FailedRemoval:
    return FailedRemoval(resource, error.what, error.to_resolve)
