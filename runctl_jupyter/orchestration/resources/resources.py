"""``rc.resources``: what carries our tag, wherever it is; counted, and cleaned up."""

from __future__ import annotations

import difflib
import getpass
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.aws.owned import Owned, enabled_regions, known_regions
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.instances.describe import TAG_MANAGED
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.resources.cleanup import Choice, clean
from runctl_jupyter.orchestration.resources.disks import Images, Snapshots, Volumes
from runctl_jupyter.orchestration.resources.judging import TOLD_BY
from runctl_jupyter.orchestration.resources.kind import Kind, Region
from runctl_jupyter.orchestration.resources.machines import (
    Fleets,
    Instances,
    LaunchTemplates,
    Schedules,
    SpotRequests,
)
from runctl_jupyter.orchestration.resources.model import CleanupReport, KindTotal, Money, Resource, ResourceSummary
from runctl_jupyter.orchestration.resources.objects import LostBlobs, UnfinishedUploads, Uploads
from runctl_jupyter.orchestration.resources.survey import Surveyed, survey
from runctl_jupyter.orchestration.units import age_text, duration_text, money_text
from runctl_jupyter.run_record import now

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.costs.pricing import Prices
    from runctl_jupyter.orchestration.jobs.record import JobRecord

KINDS = (
    "spot-request",
    "fleet",
    "instance",
    "schedule",
    "volume",
    "image",
    "snapshot",
    "launch-template",
    "upload",
    "blobs",
)
"""In the order of removal."""
_EVERYBODY = frozenset({"root", "jovyan", "sagemaker-user", "ubuntu", "ec2-user"})
"""Users that containers, notebook servers and images come with: as an owner they tell nobody apart."""
_IN_THE_BUCKET = ("upload", "blobs")


class Resources:
    """What carries our tag, in one account.

    Parameters
    ----------
    session
        The account and the region in force.
    prices
        Returns the prices of a region.
    record
        Returns the run record: which jobs have ended, and what is temporary in its bucket.
    uploads
        Uploads in parts to that bucket.
    clock
        Returns the time.
    """

    def __init__(
        self,
        session: AwsSession,
        prices: Callable[[str], Prices],
        record: Callable[[], JobRecord],
        uploads: Uploads,
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._session, self._prices, self._record, self.clock = session, prices, record, clock
        kinds: list[Kind] = [
            SpotRequests(),
            Fleets(),
            Instances(),
            Schedules(),
            Volumes(),
            Images(),
            Snapshots(),
            LaunchTemplates(),
            UnfinishedUploads(record, uploads),
            LostBlobs(record, self._moment),
        ]
        self._kinds = {kind.name: kind for kind in kinds}

    def list(
        self,
        *,
        regions: Sequence[str] | None = None,
        all_regions: bool = False,
        kinds: Sequence[str] | None = None,
        owner: str | None = None,
    ) -> Listing[Resource]:
        """List what is ours; what is wrong comes first.

        Parameters
        ----------
        regions
            Where; the region in force by default.
        all_regions
            Everywhere that the account has enabled.
        kinds
            Of `KINDS`; all by default.
        owner
            Whose; everybody's by default.

        Raises
        ------
        InvalidRequest
            There is no such region or kind.
        RunctlError
            Nothing at all could be asked. What could not be asked beside others is said in the listing's notes.
        """
        surveyed = self._survey(self._places(regions, all_regions=all_regions), self._wanted(kinds))
        rows = [each for each in surveyed.resources if owner is None or each.owner == owner]
        rows.sort(key=lambda each: (not each.wrong, each.region, KINDS.index(each.kind), each.name, each.id))
        return Listing(
            rows,
            _COLUMNS,
            f"Nothing of ours in {', '.join(surveyed.regions)}.",
            notes=[str(each) for each in surveyed.not_asked],
        )

    def summary(
        self,
        *,
        regions: Sequence[str] | None = None,
        all_regions: bool = False,
        kinds: Sequence[str] | None = None,
        owner: str | None = None,
    ) -> ResourceSummary:
        """Return counts and money by kind and region, and what is wrong; see `list`."""
        surveyed = self._survey(self._places(regions, all_regions=all_regions), self._wanted(kinds))
        rows = [each for each in surveyed.resources if owner is None or each.owner == owner]
        places = sorted({(each.region, KINDS.index(each.kind)) for each in rows})
        groups = {
            (region, kind): [each for each in rows if (each.region, each.kind) == (region, KINDS[kind])]
            for region, kind in places
        }
        return ResourceSummary(
            regions=surveyed.regions,
            totals=[
                KindTotal(
                    KINDS[kind],
                    region,
                    len(group),
                    sum(each.orphan for each in group),
                    sum(each.expired for each in group),
                    Money.of(group),
                )
                for (region, kind), group in groups.items()
            ],
            cost=Money.of(rows),
            wrong=[each for each in rows if each.wrong],
            not_asked=surveyed.not_asked,
        )

    def cleanup(
        self,
        *,
        regions: Sequence[str] | None = None,
        all_regions: bool = False,
        kinds: Sequence[str] | None = None,
        owner: str | None = None,
        all_owners: bool = False,
        older_than: float | None = None,
        orphans_only: bool = True,
        dry_run: bool = True,
    ) -> CleanupReport:
        """Remove what nothing needs any more: unless `dry_run`, which is the default.

        Nothing goes that is protected, in use, or does not carry our tag the moment before; a running machine only
        when its time limit has passed. What cannot be removed is reported, and hinders nothing else.

        Parameters
        ----------
        regions, all_regions, kinds
            As of `list`.
        owner
            Whose; yours by default.
        all_owners
            Everybody's.
        older_than
            Seconds; what is younger stays.
        orphans_only
            False: also what nothing uses at present, as a stopped machine or a snapshot.

        Raises
        ------
        InvalidRequest, RunctlError
            As of `list`.
        """
        if all_owners and owner is not None:
            raise InvalidRequest(f"--owner {owner} and --all-owners exclude each other.", "Give one of them.")
        me = getpass.getuser()
        if me in _EVERYBODY and not (dry_run or orphans_only or all_owners or owner is not None):
            # What nothing uses at present may be what a colleague goes on with tomorrow.
            raise InvalidRequest(
                f"Many people are {me} on their computers, so what nothing uses now may be somebody else's.",
                f"Say whose is to go: --owner {me}, or --all-owners.",
            )
        places, wanted = self._places(regions, all_regions=all_regions), self._wanted(kinds)
        surveyed = self._survey(places, wanted)
        choice = Choice(
            owner=None if all_owners else owner or me,
            older_than=None if older_than is None else timedelta(seconds=older_than),
            orphans_only=orphans_only,
        )
        return clean(surveyed, choice, wanted, places, self.clock, dry_run=dry_run)

    def _moment(self) -> datetime:
        return self.clock()

    def _survey(self, places: Mapping[str, Region], wanted: Sequence[Kind]) -> Surveyed:
        home = self._session.region
        asked = [*wanted, *(self._kinds[name] for name in _also(wanted))]
        pairs = [
            (region, kind)
            for region in places.values()
            for kind in asked
            if kind.name not in _IN_THE_BUCKET or region.name == home
        ]
        found = survey(pairs, self._record, self.clock)
        names = {kind.name for kind in wanted}
        return Surveyed(
            found.regions,
            found.found,
            [each for each in found.resources if each.kind in names],
            found.around,
            found.not_asked,
        )

    def _wanted(self, kinds: Sequence[str] | None) -> Sequence[Kind]:
        unknown = [name for name in kinds or () if name not in self._kinds]
        if unknown:
            raise InvalidRequest(f"There is no kind {unknown[0]!r} of resources.", f"Kinds are {', '.join(KINDS)}.")
        return [self._kinds[name] for name in KINDS if not kinds or name in kinds]

    def _places(self, regions: Sequence[str] | None, *, all_regions: bool) -> dict[str, Region]:
        if all_regions and regions:
            raise InvalidRequest("--region and --all-regions exclude each other.", "Give one of them.")
        names = enabled_regions(self._session) if all_regions else list(dict.fromkeys(regions or ()))
        if regions:
            known = known_regions(self._session, names)
            for name in names:
                if name not in known:
                    close = difflib.get_close_matches(name, known, 1)
                    hint = f"Did you mean {close[0]}? " if close else ""
                    raise InvalidRequest(f"There is no region {name!r}.", f"{hint}For example: us-east-1, eu-west-1.")
        return {name: self._region(name) for name in names or [self._session.region]}

    def _region(self, name: str) -> Region:
        return Region(name, Owned(self._session.at(name), (TAG_MANAGED, "true")), self._prices(name))


def _also(wanted: Sequence[Kind]) -> Sequence[str]:
    """Return the kinds that tell whether something of the wanted ones is in use."""
    names = {kind.name for kind in wanted}
    return sorted({other for name, other in TOLD_BY.items() if name in names} - names)


def _wrong(each: Resource) -> str:
    return f"{'expired' if each.expired else 'orphan'}: {each.reason}" if each.wrong else each.in_use


def _expires(each: Resource) -> str:
    if each.expires_at is None:
        return ""
    left = (each.expires_at - now()).total_seconds()
    return f"in {duration_text(left)}" if left > 0 else f"{duration_text(-left)} ago"


def _price(each: Resource) -> str:
    return "" if each.usd_per_month == 0 else money_text(each.usd_per_month)


_COLUMNS = (
    Column[Resource]("kind", lambda each: each.kind),
    Column[Resource]("id", lambda each: each.id),
    Column[Resource]("name", lambda each: each.name),
    Column[Resource]("region", lambda each: each.region),
    Column[Resource]("state", lambda each: each.state),
    Column[Resource]("what", lambda each: each.detail),
    Column[Resource]("owner", lambda each: each.owner),
    Column[Resource]("age", lambda each: age_text(each.created_at) if each.created_at else "", right=True),
    Column[Resource]("expires", _expires, right=True),
    Column[Resource]("protected", lambda each: "protected" if each.protected else ""),
    Column[Resource]("a month", _price, right=True),
    Column[Resource]("", _wrong),
)
