"""What is left over, what goes first, and what a removal does when something changes or fails under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from botocore.stub import Stubber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runctl_jupyter.commands.resources import KINDS as WORDS
from runctl_jupyter.display.values import notebook_bundle, value_text
from runctl_jupyter.orchestration.aws.owned import Owned, _in_groups
from runctl_jupyter.orchestration.aws.s3 import S3
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.connection import Connection
from runctl_jupyter.orchestration.costs.pricing import Prices
from runctl_jupyter.orchestration.errors import AwsRefused, InvalidRequest, RunctlError
from runctl_jupyter.orchestration.instances.describe import TAG_JOB, TAG_OWNER, TAG_PROTECTED, to_instance
from runctl_jupyter.orchestration.resources.cleanup import Choice, clean
from runctl_jupyter.orchestration.resources.judging import LAUNCH, POWERING_OFF, Found, Surroundings, judged
from runctl_jupyter.orchestration.resources.kind import Failures, Region
from runctl_jupyter.orchestration.resources.machines import Instances
from runctl_jupyter.orchestration.resources.model import Money, NotAsked, Resource, ResourceSummary
from runctl_jupyter.orchestration.resources.resources import KINDS, Resources
from runctl_jupyter.orchestration.resources.survey import survey

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
OLD = NOON - timedelta(days=3)


def found(kind: str = "volume", resource_id: str = "vol-1", **facts: Any) -> Found:
    tags = {TAG_OWNER: "me", **facts.pop("tags", {})}
    plain = {"region": "us-east-1", "state": "available", "created_at": OLD, "left_over": "no machine has it"}
    return Found(kind, resource_id, tags=tags, **{**plain, **facts})


AROUND = Surroundings(
    NOON,
    ended_jobs={"done"},
    machines={"i-1"},
    used={"snap-1": "is part of ami-1"},
    untold={("eu-west-1", "instance"), ("eu-west-1", "image")},
)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (found(), "no machine has it"),
        (found(in_use="attached to i-1"), ""),
        (found(created_at=NOON - LAUNCH / 2), ""),
        (found(created_at=None), ""),
        (found("snapshot", "snap-2", left_over="", of_job=True, tags={TAG_JOB: "done"}), "job done has ended"),
        (found("snapshot", "snap-2", left_over="", of_job=True, tags={TAG_JOB: "runs"}), ""),
        (found("snapshot", "snap-2", left_over="", of_job=True), ""),
        (found("snapshot", "snap-1", left_over="", of_job=True, tags={TAG_JOB: "done"}), ""),
        (found("instance", "i-2", left_over="", tags={TAG_JOB: "done"}), ""),
        (found("schedule", "s", left_over="", machine="i-1"), ""),
        (found("schedule", "s", left_over="", machine="i-2", region="eu-west-1"), ""),
        (found("snapshot", "s", left_over="", of_job=True, tags={TAG_JOB: "done"}, region="eu-west-1"), ""),
        (found("volume", "v", region="eu-west-1"), "no machine has it"),
        (found("schedule", "s", left_over="", machine="i-2"), "its machine i-2 has ended"),
    ],
)
def test_what_nothing_uses_and_nobody_is_just_making_is_left_over(one: Found, reason: str) -> None:
    verdict = judged(one, AROUND)
    assert (verdict.orphan, verdict.reason) == (bool(reason), reason)


def test_a_machine_is_overdue_some_minutes_after_its_limit() -> None:
    limit = NOON - POWERING_OFF
    machine = found("instance", "i-1", left_over="", in_use="is running", expires_at=limit)
    assert not judged(machine, AROUND).expired
    overdue = judged(replace(machine, expires_at=limit - timedelta(seconds=1)), AROUND)
    assert overdue.expired
    assert not overdue.orphan
    assert "10 m" in overdue.reason


@pytest.mark.parametrize(
    ("value", "protected"),
    [("true", True), ("True", True), ("yes", True), ("1", True), ("", True), ("false", False)],
)
def test_a_protection_that_nobody_knows_protects(value: str, protected: bool) -> None:
    assert judged(found(tags={TAG_PROTECTED: value}), AROUND).protected is protected
    assert to_instance(described(value)).protected is protected
    assert not judged(found(), AROUND).protected


def described(protected: str) -> Any:
    """Return a machine with a tag as EC2 describes it."""
    tags = [{"Key": TAG_PROTECTED, "Value": protected}]
    return {"InstanceId": "i-1", "State": {"Name": "running"}, "InstanceType": "t3.micro", "LaunchTime": OLD,
            "Tags": tags}  # fmt: skip


class Shelf:
    """A kind whose things lie in a dict; the test changes them."""

    def __init__(self, name: str, log: list[str], *things: Found) -> None:
        self.name, self.log = name, log
        self.there = {each.id: each for each in things}
        self.refuses: dict[str, RunctlError] = {}
        self.silent: RunctlError | None = None
        self.meanwhile: Callable[[Shelf], object] = lambda _: None
        """Happens between the look and the removal."""

    def find(self, region: Region, ids: Sequence[str] | None = None) -> list[Found]:
        if self.silent is not None:
            raise self.silent
        return list(self.there.values())

    def remove(self, region: Region, going: Sequence[Found]) -> Failures:
        gone = [each.id for each in going if each.id not in self.refuses]
        for each in gone:
            self.log.append(each)
            del self.there[each]
        return {each.id: self.refuses[each.id] for each in going if each.id in self.refuses}


REGION = Region("us-east-1", cast(Owned, None), cast(Prices, None))


MINE = Choice("me")


def cleaned(kinds: Sequence[Shelf], choice: Choice = MINE, *, dry_run: bool = False) -> Any:
    surveyed = survey([(REGION, kind) for kind in kinds], lambda: cast(Any, None), lambda: NOON)
    for kind in kinds:
        kind.meanwhile(kind)
    return clean(surveyed, choice, kinds, {"us-east-1": REGION}, lambda: NOON, dry_run=dry_run)


def test_things_go_in_the_order_of_their_kinds() -> None:
    log: list[str] = []
    shelves = [Shelf(name, log, found(name, f"{name}-1", in_use="", left_over="left")) for name in KINDS]
    report = cleaned(shelves)
    assert log == [f"{name}-1" for name in KINDS]
    assert [each.id for each in report.remove] == log
    assert KINDS.index("spot-request") < KINDS.index("instance") < KINDS.index("volume") < KINDS.index("blobs")
    assert KINDS.index("image") < KINDS.index("snapshot")
    assert set(WORDS) == set(KINDS)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tags": {TAG_OWNER: "me", TAG_PROTECTED: "true"}}, "it is protected"),
        ({"in_use": "attached to i-9"}, "it is in use again"),
        ({"tags": {TAG_OWNER: "you"}}, "it is of you; --all-owners would remove it"),
        (None, "it is gone already, or no longer carries our tag"),
    ],
)
def test_what_has_changed_since_it_was_shown_stays(change: dict[str, Any] | None, why: str) -> None:
    def meanwhile(shelf: Shelf) -> None:
        one = shelf.there.pop("vol-1")
        if change is not None:
            shelf.there["vol-1"] = replace(one, **change)

    shelf = Shelf("volume", [], found(), found(resource_id="vol-2"))
    shelf.meanwhile = meanwhile
    report = cleaned([shelf])
    assert shelf.log == ["vol-2"]
    assert [(each.resource.id, each.reason) for each in report.keep] == [("vol-1", why)]


def test_what_fails_is_said_and_hinders_nothing() -> None:
    log: list[str] = []
    volumes = Shelf("volume", log, found(), found(resource_id="vol-2"))
    volumes.refuses["vol-1"] = AwsRefused("AWS refused.", "Try again.")
    unreadable = Shelf("snapshot", log, found("snapshot", "snap-2"))

    def falls_silent(shelf: Shelf) -> None:
        shelf.silent = AwsRefused("AWS could not be reached.", "Check the network.")

    unreadable.meanwhile = falls_silent
    templates = Shelf("launch-template", log, found("launch-template", "lt-1"))
    report = cleaned([volumes, unreadable, templates])
    assert log == ["vol-2", "lt-1"]
    assert [(each.resource.id, each.what) for each in report.failed] == [
        ("vol-1", "AWS refused."),
        ("snap-2", "AWS could not be reached."),
    ]
    assert report.exit_status == 1


def test_machines_that_run_go_only_when_overdue_and_stopped_ones_only_when_asked_for() -> None:
    past = NOON - timedelta(days=1)
    machines = Shelf(
        "instance",
        [],
        found("instance", "i-overdue", left_over="", in_use="is running", expires_at=past),
        found("instance", "i-runs", left_over="", in_use="is running", expires_at=NOON + timedelta(days=1)),
        found("instance", "i-stopped", left_over="", state="stopped"),
    )
    assert [each.id for each in cleaned([machines], dry_run=True).remove] == ["i-overdue"]
    unused = cleaned([machines], Choice("me", orphans_only=False), dry_run=True)
    assert [each.id for each in unused.remove] == ["i-overdue", "i-stopped"]


def test_what_may_be_part_of_a_launch_stays_whatever_is_asked_for() -> None:
    young = NOON - LAUNCH / 2
    past = NOON - timedelta(minutes=20)
    volumes = Shelf("volume", [], found(created_at=young, left_over=""), found(resource_id="vol-2"))
    machines = Shelf("instance", [], found("instance", "i-1", in_use="is running", created_at=young, expires_at=past))
    report = cleaned([volumes, machines], Choice("me", orphans_only=False))
    assert {each.id for each in report.remove} == {"i-1", "vol-2"}
    assert [(each.resource.id, each.reason) for each in report.keep] == [("vol-1", "it is too young")]


def test_a_call_that_fails_whole_fails_its_own_things_only() -> None:
    class Refusing(Shelf):
        def remove(self, region: Region, going: Sequence[Found]) -> Failures:
            raise AwsRefused("AWS could not list Spot requests.", "Try again.")

    log: list[str] = []
    machines = Refusing("instance", log, found("instance", "i-1", left_over="it is left"))
    report = cleaned([machines, Shelf("volume", log, found())])
    assert log == ["vol-1"]
    assert [each.id for each in report.remove] == ["vol-1"]
    assert [(each.resource.id, each.what) for each in report.failed] == [("i-1", "AWS could not list Spot requests.")]


def test_who_is_called_as_everybody_says_whose_unused_things_go(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = None
    resources = Resources(nothing, nothing, nothing, nothing)
    for name in ("jovyan", "root"):
        monkeypatch.setattr("getpass.getuser", lambda name=name: name)
        with pytest.raises(InvalidRequest, match=name) as caught:
            resources.cleanup(orphans_only=False, dry_run=False)
        assert f"--owner {name}" in caught.value.to_resolve


def test_an_upload_that_ends_while_uploads_are_listed_has_no_size() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIDUNIT", "AWS_SECRET_ACCESS_KEY": "secret"}
    session = AwsSession(Connection("aws", "us-east-1", None, env=keys))
    with Stubber(session.s3) as s3:
        s3.add_client_error("list_parts", "NoSuchUpload", http_status_code=404)
        assert S3(session).uploaded_bytes("b", "key", "u-1") is None


def test_a_persistent_spot_request_is_cancelled_before_its_machine_ends() -> None:
    calls: list[tuple[str, list[str]]] = []

    class Told:
        def spot_requests(self, ids: list[str]) -> list[dict[str, str]]:
            kinds = {"sir-1": "persistent", "sir-2": "one-time", "sir-3": "persistent"}
            return [{"SpotInstanceRequestId": each, "Type": kinds[each]} for each in ids]

        def cancel_spot_requests(self, ids: list[str]) -> dict[str, RunctlError]:
            calls.append(("cancel", ids))
            return {"sir-3": AwsRefused("No.", "Try again.")}

        def terminate(self, ids: list[str]) -> dict[str, RunctlError]:
            calls.append(("terminate", ids))
            return {}

    machines = [found("instance", f"i-{n}", keys=(f"sir-{n}",)) for n in (1, 2, 3)]
    failed = Instances().remove(Region("us-east-1", cast(Owned, Told()), cast(Prices, None)), machines)
    assert calls == [("cancel", ["sir-1", "sir-3"]), ("terminate", ["i-1", "i-2"])]
    assert set(failed) == {"i-3"}


def test_one_bad_id_does_not_keep_the_others_of_its_request() -> None:
    ended: list[str] = []

    def end(ids: list[str]) -> None:
        if "bad" in ids:
            from botocore.exceptions import ClientError

            raise ClientError(
                {"Error": {"Code": "OperationNotPermitted", "Message": "protected"}}, "TerminateInstances"
            )
        ended.extend(ids)

    failed = _in_groups(["a", "bad", "b"], end, "terminate")
    assert (ended, set(failed)) == (["a", "b"], {"bad"})


def test_nothing_that_could_be_asked_is_an_error_and_something_is_a_note() -> None:
    volumes, snapshots = Shelf("volume", [], found()), Shelf("snapshot", [])
    snapshots.silent = AwsRefused("You may not.", "Ask.")
    other = Region("eu-west-1", cast(Owned, None), cast(Prices, None))
    seen = survey([(REGION, volumes), (REGION, snapshots), (other, snapshots)], lambda: cast(Any, None), lambda: NOON)
    assert [(each.region, each.kind) for each in seen.not_asked] == [("eu-west-1", ""), ("us-east-1", "snapshot")]
    volumes.silent = snapshots.silent
    with pytest.raises(AwsRefused, match="You may not"):
        survey([(REGION, volumes)], lambda: cast(Any, None), lambda: NOON)


def test_unknown_prices_are_counted_and_never_taken_for_nothing() -> None:
    rows = [judged(found(usd_per_month=price), AROUND) for price in (7.3, None, None)]
    assert Money.of(rows) == Money(7.3, 2)
    assert Money.of(rows).usd_per_hour == pytest.approx(0.01)
    summary = ResourceSummary(["us-east-1"], [], Money.of(rows), rows, [NotAsked("eu-west-1", "", "no <b>")])
    text = value_text(summary)
    assert "unknown" in text
    assert "not asked: eu-west-1" in text
    html = notebook_bundle(summary)["text/html"]
    assert "no <b>" not in html


def test_a_report_says_what_would_go_and_that_nothing_has() -> None:
    shelf = Shelf("volume", [], found(usd_per_month=0.8), found(resource_id="vol-2", tags={TAG_OWNER: "you"}))
    report = cleaned([shelf], dry_run=True)
    text = value_text(report)
    assert "would go" in text
    assert "$0.80 a month" in text
    assert "--yes" in text
    assert "it is of you" in text
    assert shelf.log == []
    plain = report.to_dict()
    assert [each["id"] for each in plain["remove"]] == ["vol-1"]
    assert plain["keep"][0]["reason"].startswith("it is of you")


def test_a_listing_is_of_resources() -> None:
    row = judged(found(), AROUND)
    assert isinstance(row, Resource)
    assert row.to_dict()["created_at"] == "2026-11-27T12:00:00.000Z"


_AGES = st.one_of(st.none(), st.integers(0, 200).map(lambda hours: NOON - timedelta(hours=hours)))


@st.composite
def anything(draw: st.DrawFn) -> Found:
    """Return a thing in whatever condition."""
    return found(
        "instance" if draw(st.booleans()) else "volume",
        f"r-{draw(st.integers(0, 10**9))}",
        tags={
            TAG_OWNER: draw(st.sampled_from(["me", "you", ""])),
            **draw(st.sampled_from([{}, {TAG_PROTECTED: "true"}, {TAG_PROTECTED: "false"}, {TAG_PROTECTED: "?"}])),
        },
        created_at=draw(_AGES),
        expires_at=draw(_AGES),
        in_use=draw(st.sampled_from(["", "is running"])),
        left_over=draw(st.sampled_from(["", "no machine has it"])),
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    st.lists(anything(), max_size=12, unique_by=lambda each: each.id),
    st.builds(
        Choice,
        st.sampled_from([None, "me"]),
        st.one_of(st.none(), st.integers(0, 200).map(lambda hours: timedelta(hours=hours))),
        st.booleans(),
    ),
    st.booleans(),
)
def test_whatever_there_is_nothing_goes_that_must_not(things: list[Found], choice: Choice, dry_run: bool) -> None:
    shelves = [Shelf(kind, [], *(each for each in things if each.kind == kind)) for kind in ("instance", "volume")]
    report = cleaned(shelves, choice, dry_run=dry_run)
    left = {each_id for shelf in shelves for each_id in shelf.there}
    gone = {each.id for each in things} - left
    assert gone == (set() if dry_run else {each.id for each in report.remove})
    for each in report.remove:
        assert not each.protected
        assert each.created_at is not None
        assert choice.owner in (None, each.owner)
        assert choice.older_than is None or NOON - each.created_at >= choice.older_than
        assert each.expired or not each.in_use
        assert each.wrong or not choice.orphans_only
        assert each.expired or NOON - each.created_at >= LAUNCH
