"""What is ours in an account that is not ours alone: found everywhere, judged, and removed as it is at that moment."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from runctl_jupyter.cli import main
from runctl_jupyter.display.values import value_text
from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.aws.owned import Owned
from runctl_jupyter.orchestration.aws.s3 import S3
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.errors import InvalidRequest, PermissionDenied
from runctl_jupyter.orchestration.resources.resources import Resources
from runctl_jupyter.run_record import JobKeys, JobState, StoredValue, blob_key, now
from runctl_jupyter.sandbox import faults_client
from tests.sandbox.control.planting import AWAY, BUCKET, HOME, ME, Garden, ours
from tests.sandbox.paper import Paper, PlayedJob, on_paper

pytestmark = pytest.mark.machineless

LATER = timedelta(days=8)
"""After that nothing planted is young any more."""
LONG = str(30 * 86400)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    with on_paper(tmp_path_factory.mktemp("paper")) as found:
        yield found


@pytest.fixture(scope="module")
def garden(paper: Paper) -> Garden:
    return Garden(paper)


@pytest.fixture(scope="module")
def engine(paper: Paper) -> Runctl:
    return paper.engine()


@pytest.fixture
def rc(paper: Paper, engine: Runctl) -> Iterator[Runctl]:
    engine.resources.clock = lambda: now() + LATER
    yield engine
    faults_client.clear(paper.connection)


@dataclass
class Planted:
    """Ids by what ought to become of them."""

    goes: dict[str, str]
    """Ours, mine, and left over or overdue; with a word of the reason."""
    stays: set[str]


@pytest.fixture(scope="module")
def planted(engine: Runctl, garden: Garden) -> Planted:
    ended, runs = PlayedJob(engine, "261101-000000-dead", "i-0"), PlayedJob(engine, "261101-000001-live", "i-0")
    ended.end(JobState.SUCCEEDED)
    mine = replace(engine.jobs.record.spec(ended.id), owner=ME)
    engine.jobs.record.store.put(JobKeys(ended.id).spec, mine.to_json())
    overdue, fresh = garden.machine(ours(ttl="60")), garden.machine(ours(ttl=LONG))
    kept_machines = {
        fresh,
        garden.machine(ours(ttl="60", protected="true")),
        garden.machine(ours("other", ttl="60")),
        garden.machine({}),
        garden.machine({"runctl:owner": "root", "runctl:ttl": "60", "runctl:managed": "false"}),
    }
    other_volume = garden.volume({})
    of_ended, of_live = ours(job=ended.id), ours(job=runs.id)
    kept_image = garden.image(of_live, fresh, "of-a-job-that-runs")
    part_of_image = garden.client("ec2").describe_images(ImageIds=[kept_image])["Images"][0]["BlockDeviceMappings"]
    snapshot_in_use = part_of_image[0]["Ebs"]["SnapshotId"]
    for key, value in of_ended.items():
        garden.tag(snapshot_in_use, key, value)
    store = engine.jobs.record.store
    lost, known, runner = b"lost", b"known", gzip.compress(b"a runner")
    for name, data in (("1" * 64, lost), ("2" * 64, known), ("3" * 64, runner)):
        store.put(blob_key(name), data)
    referring = replace(engine.jobs.record.spec(runs.id), id="261101-000002-refs")
    referring = replace(referring, inputs=[StoredValue("x", "json", "2" * 64, 5, "int")])
    engine.jobs.record.write_spec(referring)
    prefix = engine.settings.prefix
    return Planted(
        goes={
            overdue: "time limit",
            garden.volume(ours()): "no machine",
            garden.volume(ours(), AWAY): "no machine",
            garden.template(ours(), "runctl-left"): "left of a launch",
            garden.template(ours(), "runctl-left", AWAY): "left of a launch",
            garden.snapshot(of_ended, other_volume): "has ended",
            garden.image(of_ended, fresh, "of-a-job-that-ended"): "has ended",
            garden.schedule(ours(), "runctl", "ttl-i-0123456789abcdef0"): "has ended",
            garden.upload(f"{prefix}/jobs/{ended.id}/checkpoints/1-00000/w.pt"): "nobody goes on",
            garden.upload(f"{prefix}/jobs/261101-000003-none/checkpoints/1-00000/w.pt"): "nobody goes on",
            f"s3://{BUCKET}/{prefix}/blobs/": "no job refers",
        },
        stays={
            *kept_machines,
            *(garden.disk_of(machine) for machine in kept_machines),
            other_volume,
            garden.volume({}, AWAY),
            garden.volume(ours("other")),
            garden.volume(ours(protected="true")),
            garden.template({}, "somebody-elses"),
            garden.template(ours("other"), "of-somebody-here", AWAY),
            garden.snapshot(of_live, other_volume),
            garden.snapshot(ours(), other_volume),
            garden.snapshot({}, other_volume),
            kept_image,
            snapshot_in_use,
            garden.schedule(ours(), "runctl", f"ttl-{fresh}"),
            garden.schedule({}, "theirs", "ttl-i-0123456789abcdef0"),
            garden.upload(f"{prefix}/jobs/{runs.id}/checkpoints/1-00000/w.pt"),
            garden.upload("elsewhere/big.bin"),
            f"{prefix}/{blob_key('2' * 64)}",
            f"{prefix}/{blob_key('3' * 64)}",
            f"{prefix}/jobs/{runs.id}/spec.json",
            f"{prefix}/jobs/{ended.id}/spec.json",
        },
    )


EVERYWHERE: dict[str, Any] = {"regions": [HOME, AWAY]}


def test_everything_ours_is_listed_and_only_what_is_left_over_is_called_so(rc: Runctl, planted: Planted) -> None:
    found = {each.id: each for each in rc.resources.list(**EVERYWHERE)}
    wrong = {each.id for each in found.values() if each.wrong and each.owner != "other" and not each.protected}
    assert wrong == set(planted.goes)
    for resource_id, word in planted.goes.items():
        assert word in found[resource_id].reason
        assert found[resource_id].expired is resource_id.startswith("i-")
    assert all(each.tags.get("runctl:managed", "true") == "true" for each in found.values())
    assert not found.keys() & {one for one in planted.stays if "elsewhere" in one or one.startswith("theirs/")}


def test_without_a_region_only_the_one_in_force_is_asked(rc: Runctl, planted: Planted) -> None:
    assert {each.region for each in rc.resources.list()} == {HOME}
    only = rc.resources.list(regions=[AWAY], kinds=["volume"])
    assert {(each.region, each.kind) for each in only} == {(AWAY, "volume")}
    assert [each.usd_per_month for each in only] == pytest.approx([10 * 0.088] * len(only))  # 10 GiB of gp3


def test_what_is_young_is_left_over_for_nobody(rc: Runctl, planted: Planted) -> None:
    rc.resources.clock = now
    assert [each.id for each in rc.resources.list(**EVERYWHERE) if each.wrong] == []


def test_a_summary_counts_and_adds_up_what_is_known(rc: Runctl, planted: Planted) -> None:
    summary = rc.resources.summary(**EVERYWHERE)
    rows = list(rc.resources.list(**EVERYWHERE))
    by = {(each.kind, each.region): each for each in summary.totals}
    assert {key: each.count for key, each in by.items()} == {
        key: sum((row.kind, row.region) == key for row in rows) for key in {(row.kind, row.region) for row in rows}
    }
    machines = by["instance", HOME]
    assert machines.cost.usd_per_hour == pytest.approx(4 * 0.096)
    assert machines.expired == 3
    snapshots = by["snapshot", HOME]
    assert (snapshots.cost.unknown, snapshots.cost.usd_per_month) == (snapshots.count, 0)
    plain = summary.to_dict()
    assert plain["unknown_prices"] >= snapshots.count
    assert {each["id"] for each in plain["wrong"]} >= set(planted.goes)


def test_a_region_that_is_not_enabled_is_named_and_hinders_no_other(rc: Runctl, planted: Planted) -> None:
    listed = rc.resources.list(regions=[AWAY, "ap-east-1"])
    assert {each.region for each in listed} == {AWAY}
    assert listed.notes == ("not asked: ap-east-1: the account has not enabled it",)
    assert "ap-east-1" in repr(listed)
    with pytest.raises(InvalidRequest, match="eu-west-1"):
        rc.resources.list(regions=["eu-wset-1"])
    with pytest.raises(InvalidRequest, match="no kind"):
        rc.resources.list(kinds=["bananas"])


def test_all_regions_are_those_that_the_account_has(rc: Runctl, planted: Planted) -> None:
    summary = rc.resources.summary(all_regions=True, kinds=["volume"])
    assert len(summary.regions) == 17
    assert not summary.not_asked
    assert {each.region for each in summary.totals} == {HOME, AWAY}


def acting(rc: Runctl, paper: Paper, *policies: dict[str, Any]) -> Resources:
    """Return the resources as another user sees them."""
    env = {**paper.connection.env, **faults_client.plain_env(paper.connection, *policies)}
    session = AwsSession(replace(rc.connection, env=env))
    return Resources(session, rc._prices_in, lambda: rc.jobs.record, S3(session), clock=lambda: now() + LATER)


def test_what_one_may_not_ask_is_named(rc: Runctl, paper: Paper, planted: Planted) -> None:
    allow = {"Effect": "Allow", "Action": ["ec2:DescribeInstances", "ec2:DescribeVolumes"], "Resource": "*"}
    some = acting(rc, paper, {"Version": "2012-10-17", "Statement": [allow]})
    listed = some.list()
    assert {each.kind for each in listed} >= {"instance", "volume"}
    assert {note.split()[2] for note in listed.notes} >= {"snapshot", "image", "schedule", "upload"}
    with pytest.raises(PermissionDenied):
        acting(rc, paper).list(kinds=["instance"])


def test_where_a_job_cannot_be_read_no_blob_is_called_lost(rc: Runctl, garden: Garden, planted: Planted) -> None:
    store, unreadable = rc.jobs.record.store, JobKeys("261101-000009-what")
    store.put(unreadable.spec, b"{}")
    upload = garden.upload(f"{rc.settings.prefix}/{unreadable.prefix}outputs/x.bin")
    try:
        listed = rc.resources.list()
        report = rc.resources.cleanup(kinds=["upload"])
    finally:
        store.delete([unreadable.spec])
    found = {each.id: each for each in listed}
    assert found[upload].in_use == "job 261101-000009-what has not ended"
    assert upload not in {each.id for each in report.remove}
    assert not any(each.kind == "blobs" for each in listed)
    (note,) = listed.notes
    assert note.startswith("not asked: blobs in us-east-1: What the jobs of the record refer to cannot be told")
    key, _, upload_id = upload.removeprefix(f"s3://{BUCKET}/").partition("?uploadId=")
    garden.client("s3").abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload_id)


def test_a_cleanup_that_only_shows_removes_nothing(rc: Runctl, garden: Garden, planted: Planted) -> None:
    before = garden.there()
    report = rc.resources.cleanup(**EVERYWHERE)
    assert report.dry_run
    assert {each.id for each in report.remove} == set(planted.goes)
    assert garden.there() == before
    assert {each.reason for each in report.keep if each.resource.protected} == {"it is protected"}


def test_older_than_and_kinds_narrow_it(rc: Runctl, planted: Planted) -> None:
    assert not rc.resources.cleanup(older_than=9 * 86400, **EVERYWHERE).remove
    only = rc.resources.cleanup(older_than=7 * 86400, kinds=["volume", "image"], **EVERYWHERE)
    assert {each.kind for each in only.remove} == {"volume", "image"}


def test_with_unused_a_snapshot_of_ours_may_go_but_nothing_that_is_used(rc: Runctl, planted: Planted) -> None:
    report = rc.resources.cleanup(orphans_only=False, all_owners=True, **EVERYWHERE)
    going = {each.id for each in report.remove}
    assert set(planted.goes) < going
    assert all(not each.in_use or each.expired for each in report.remove)
    assert not any(each.protected for each in report.remove)


def test_protection_and_ownership_are_read_again_at_the_moment_of_removal(
    rc: Runctl, garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected, given_away, attached, goes = (garden.volume(ours(), AWAY) for _ in range(4))
    plain = Owned.volumes

    def meanwhile(self: Owned, ids: Any = None) -> Any:
        if ids is not None:
            garden.tag(protected, "runctl:protected", "true", AWAY)
            garden.tag(given_away, "runctl:managed", None, AWAY)
            garden.tag(attached, "runctl:owner", "other", AWAY)
        return plain(self, ids)

    monkeypatch.setattr(Owned, "volumes", meanwhile)
    report = rc.resources.cleanup(regions=[AWAY], kinds=["volume"], dry_run=False)
    assert goes in {each.id for each in report.remove}
    assert not {protected, given_away, attached} & {each.id for each in report.remove}
    assert {protected, given_away, attached} < garden.there()
    assert goes not in garden.there()
    assert {each.resource.id for each in report.keep} >= {protected, given_away, attached}


def test_a_failure_in_the_middle_is_reported_and_the_rest_goes_on(
    rc: Runctl, paper: Paper, garden: Garden, planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    faults_client.add(
        paper.connection, "error", service="ec2", operation="DeleteVolume", status=400, code="IncorrectState", count=1
    )
    before = garden.there()
    report = rc.resources.cleanup(dry_run=False, **EVERYWHERE)
    (failed,) = report.failed
    assert failed.resource.kind == "volume"
    assert "IncorrectState" in failed.what
    assert report.exit_status == 1
    assert {each.id for each in report.remove} == set(planted.goes) - {failed.resource.id} - _gone(before, planted)
    assert failed.resource.id in garden.there()
    again = rc.resources.cleanup(dry_run=False, **EVERYWHERE)
    assert [each.id for each in again.remove] == [failed.resource.id]
    after = garden.there()
    assert not (set(planted.goes) & after)
    assert planted.stays <= after
    assert f"{rc.settings.prefix}/{blob_key('1' * 64)}" not in after
    assert not rc.resources.cleanup(dry_run=False, **EVERYWHERE).remove


def _gone(before: set[str], planted: Planted) -> set[str]:
    """Return what earlier tests have removed."""
    return {one for one in planted.goes if not one.endswith("/blobs/")} - before


def test_a_spot_machine_and_its_request_are_one(rc: Runctl, garden: Garden) -> None:
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}}
    machine = garden.machine(ours(ttl="60"), "spot-instances-request", **spot)
    rows = {each.id: each for each in rc.resources.list(kinds=["instance", "spot-request"])}
    assert rows[machine].detail == "m5.large spot"
    assert rows[machine].expired
    (request,) = [each for each in rows.values() if each.in_use == f"has {machine}"]
    assert not request.wrong
    report = rc.resources.cleanup(kinds=["instance", "spot-request"], dry_run=False)
    assert machine in {each.id for each in report.remove}
    assert request.id not in {each.id for each in report.remove}
    assert machine not in garden.there()


def test_status_tells_of_machines_past_their_limit(rc: Runctl, garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.machine(ours(ttl="60"))
    before = rc.status().overdue_instances
    monkeypatch.setattr("runctl_jupyter.orchestration.resources.status.now", lambda: now() + timedelta(minutes=12))
    status = rc.status()
    assert (before, status.overdue_instances > 0) == (0, True)
    assert "runctl resources cleanup" in value_text(status)


def test_the_terminal_prints_arrays_and_reports(
    rc: Runctl, paper: Paper, garden: Garden, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = garden.volume(ours(), AWAY)
    assert main(["resources", "list", "--region", AWAY, "--region", "ap-east-1", "--json"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert volume in [each["id"] for each in rows]
    assert "ap-east-1" in said.err
    assert main(["resources", "summary", "--region", AWAY, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regions"] == [AWAY]
    assert main(["resources", "cleanup", "--region", AWAY, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remove"] == []  # it is young
    assert main(["resources", "list", "--region", AWAY]) == 0
    assert volume in capsys.readouterr().out
    assert volume in garden.there()
