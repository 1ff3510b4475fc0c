"""Asks every region for every kind, all at the same time, and judges what is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import CredentialsMissing, RunctlError
from runctl_jupyter.orchestration.instances.describe import TAG_JOB
from runctl_jupyter.orchestration.resources.judging import Found, Surroundings, judged
from runctl_jupyter.orchestration.resources.kind import Kind, Region
from runctl_jupyter.orchestration.resources.model import NotAsked, Resource
from runctl_jupyter.orchestration.storage.explained import storage_errors

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.record import JobRecord

_PARALLEL = 32
"""Requests at once: each region has limits of its own, and is asked for each kind once."""


@dataclass(frozen=True)
class Surveyed:
    """What there is, and what could not be asked."""

    regions: Sequence[str]
    found: Mapping[tuple[str, str, str], Found]
    """By region, kind and id."""
    resources: Sequence[Resource]
    around: Surroundings
    not_asked: Sequence[NotAsked]


def survey(
    asked: Iterable[tuple[Region, Kind]], record: Callable[[], JobRecord], clock: Callable[[], datetime]
) -> Surveyed:
    """Return all that is found.

    Parameters
    ----------
    asked
        Which kinds in which regions.
    record
        Tells which jobs have ended.
    clock
        Returns the time.

    Raises
    ------
    RunctlError
        Nothing at all could be asked.
    """
    pairs = list(asked)
    found: list[Found] = []
    failed: list[tuple[Region, Kind, RunctlError]] = []
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="runctl-survey") as pool:
        for (region, kind), answer in zip(pairs, pool.map(_find, pairs), strict=True):
            if isinstance(answer, RunctlError):
                failed.append((region, kind, answer))
            else:
                found += answer
    if failed and len(failed) == len(pairs):
        raise failed[0][2]
    ended, trouble = _ended_jobs(found, record)
    around = Surroundings(
        clock(),
        ended,
        machines={each.id for each in found if each.kind == "instance"},
        used={used: f"is part of {each.id}" for each in found for used in each.uses},
        untold={(region.name, kind.name) for region, kind, _ in failed},
    )
    names = list(dict.fromkeys(region.name for region, _ in pairs))
    return Surveyed(
        regions=names,
        found={(each.region, each.kind, each.id): each for each in found},
        resources=[judged(each, around) for each in found],
        around=around,
        not_asked=[*_not_asked(pairs, failed), *(NotAsked(each, "jobs", trouble) for each in names[:1] if trouble)],
    )


def _find(pair: tuple[Region, Kind]) -> list[Found] | RunctlError:
    region, kind = pair
    try:
        return kind.find(region)
    except RunctlError as error:
        return error


def _ended_jobs(found: Iterable[Found], record: Callable[[], JobRecord]) -> tuple[set[str], str]:
    """Return those jobs of tags that have ended for certain, and what hinders to know more."""
    ids = sorted({each.tags[TAG_JOB] for each in found if each.of_job and TAG_JOB in each.tags})
    if not ids:
        return set(), ""
    try:
        known = record()
        with storage_errors():
            ended = known.each(_ended_in(known), ids)
    except RunctlError as error:
        return set(), error.what
    return {job_id for job_id, over in zip(ids, ended, strict=True) if over}, ""


def _ended_in(record: JobRecord) -> Callable[[str], bool]:
    def ended(job_id: str) -> bool:
        try:
            seen = record.try_look(job_id)
        except ValueError:
            return False  # who cannot read it cannot tell
        return seen is not None and seen.status.state.ended

    return ended


def _not_asked(
    pairs: Sequence[tuple[Region, Kind]], failed: Sequence[tuple[Region, Kind, RunctlError]]
) -> list[NotAsked]:
    """Return what could not be asked; a region that answered nothing is one line."""
    kinds = Counter(region.name for region, _ in pairs)
    refused = Counter(region.name for region, _, _ in failed)
    silent = {name for name, count in refused.items() if count == kinds[name]}
    first = {region.name: error for region, _, error in reversed(failed) if region.name in silent}
    rows = [NotAsked(name, "", _why_silent(error)) for name, error in first.items()]
    rows += [
        NotAsked(region.name, kind.name, error.what) for region, kind, error in failed if region.name not in silent
    ]
    return sorted(rows, key=lambda row: (row.region, row.kind))


def _why_silent(error: RunctlError) -> str:
    """Return why a region answers nothing where another one does."""
    # With credentials that are good elsewhere (AWS General Reference, "Managing AWS Regions").
    return "the account has not enabled it" if isinstance(error, CredentialsMissing) else error.what
