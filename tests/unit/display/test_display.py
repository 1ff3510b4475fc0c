"""What a person sees: cards, tables, masks, the end of a log."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.display.card import JobView, card_html, card_text, view_of
from runctl_jupyter.display.log_text import Tail, collapsed, visible_line
from runctl_jupyter.display.masks import cut_middle, mask
from runctl_jupyter.display.values import listing_html, notebook_bundle, value_text
from runctl_jupyter.orchestration.jobs.job import Job
from runctl_jupyter.orchestration.jobs.record import Seen
from runctl_jupyter.orchestration.listing import Column, Listing
from runctl_jupyter.orchestration.model import (
    Checkpoint,
    EndedInstance,
    Instance,
    LaunchPlan,
    StatusReport,
    StorageObject,
    SyncReport,
    Transfer,
    Value,
)
from runctl_jupyter.run_record import Cause, JobSpec, JobState, Status, now, to_iso
from runctl_jupyter.run_record.schemas import Limits

VIEW = JobView("running", "digits", "261124-100000-7k2f", 1, (("Machine", "m5.large"),), "training", "")


class Tags(HTMLParser):
    """Collects tags, and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: str) -> set[str]:
    parser = Tags()
    parser.feed(html)
    assert parser.open == []
    return set(parser.seen)


HOSTILE = "<script>alert('x')</script><img src=x onerror=y>"


def test_nothing_remote_becomes_markup() -> None:
    view = JobView(
        "failed", HOSTILE, HOSTILE, 1, (("Machine", HOSTILE),), HOSTILE, HOSTILE, (HOSTILE,), 1,
        ((HOSTILE, HOSTILE, HOSTILE, HOSTILE),), 1, HOSTILE, (HOSTILE,),
    )  # fmt: skip
    html = card_html(view)
    assert not {"script", "img", "style", "link"} & tags(html)
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("character", ["x", "<", "'", "é", "\U0001f600"])
def test_card_is_small_whatever_is_logged(character: str) -> None:
    tail = Tail(20)
    for _ in range(10_000):
        tail.feed((character * 300 + "\n").encode())
    rows = tuple((character * 300, "1", character * 300, "1 B") for _ in range(10))
    view = JobView(
        "failed",
        character * 64,
        "i",
        1,
        (),
        character * 9000,
        character * 9000,
        tuple(tail.text_lines()),
        10**9,
        rows,
        10,
    )
    html = card_html(view)
    assert len(html.encode()) < 20 * 1024
    tags(html)


def test_order_of_reading() -> None:
    view = JobView(
        "running", "digits", "7k2f", 1, (("Cost", "$0.0016"),), "training", "", ("epoch=3",), 1600,
        (("epoch-003.safetensors", "126", "accuracy=0.94", "98.4 MB"),), 1,
    )  # fmt: skip
    html = card_html(view)
    for twin in (card_text(view), html[html.index(">") :]):  # the label for screen readers is the first tag's
        places = [
            twin.find(word) for word in ("running", "digits", "$0.0016", "training", "epoch=3", "epoch-003", "98.4 MB")
        ]
        assert -1 not in places
        assert places == sorted(places)


def job(state: JobState, **status: Any) -> Job:
    moment = now()
    limits = Limits(ttl_s=3600, max_cost_usd=5.0)
    spec = JobSpec(
        "261124-100000-7k2f", "digits", to_iso(moment - timedelta(seconds=72)), "me", "sandbox", "fit.py",
        limits=limits, instance_type="m5.large", price_per_hour=0.096, instance_id="i-0abc",
    )  # fmt: skip
    known = Status(spec.id, 1, state, to_iso(moment), **{"phase": "training", "claimed_at": to_iso(moment), **status})
    return Job(None, None, None, Seen(spec, 1, known, None))  # type: ignore[arg-type]  # a snapshot asks nobody


def test_snapshot_says_what_it_costs_and_when_it_ends() -> None:
    text = card_text(view_of(job(JobState.RUNNING)))
    assert "● running  digits" in text
    assert "elapsed 1 m 12 s" in text
    assert "cost $0.0016 of $5.00 cap" in text
    assert "price $0.096/h" in text
    assert "ends at the latest" in text
    assert "in 58 m" in text
    assert "phase training" in text


def test_snapshot_of_a_failure_says_why_and_masks() -> None:
    cause = Cause("upload", "s3://runctl-123456789012-us-east-1/jobs: no access for arn:aws:iam::123456789012:role/x")
    ended = job(JobState.FAILED, exit_code=1, cause=cause, ended_at=to_iso(now()), cost_usd=0.002)
    text = card_text(view_of(ended))
    assert "✗ failed" in text
    assert "exit code 1 · s3://runc…/jobs" in text
    assert "123456789012" not in text
    assert "ends at the latest" not in text


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_its_own_shape(state: JobState) -> None:
    shapes = {card_text(view_of(job(each)))[0] for each in JobState}
    assert len(shapes) == len(JobState)
    assert str(state) in card_html(view_of(job(state)))


def test_masks() -> None:
    assert mask("arn:aws:sts::123456789012:user/a") == "arn:aws:sts::…9012:user/a"
    assert mask("step 123456789012 of 9") == "step 123456789012 of 9"
    assert mask("see s3://my-bucket/a/b.") == "see s3://my-b…/a/b."
    assert cut_middle("abcdefghij", 5) == "ab…ij"
    assert cut_middle("abc", 5) == "abc"


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 5))
def test_tail_is_the_end_of_the_log_however_it_is_cut(chunks: list[bytes], lines: int) -> None:
    tail = Tail(lines)
    for chunk in chunks:
        tail.feed(chunk)
    whole = b"".join(chunks)
    pieces = whole.split(b"\n")
    expected = pieces[:-1] if not pieces[-1] else pieces
    assert tail.text_lines() == [visible_line(line) for line in expected[-lines:]]
    assert tail.bytes_seen == len(whole)


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_collapsing_does_not_depend_on_chunks(chunks: list[bytes]) -> None:
    assert b"".join(collapsed(chunks)) == b"".join(collapsed([b"".join(chunks)]))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"10%\r50%\r100%\r", "100%"),
        (b"windows\r", "windows"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07x", "red x"),
        (b"a\tb\x00\x07", "a   b"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
    ],
)
def test_visible_line(raw: bytes, shown: str) -> None:
    assert visible_line(raw) == shown


MOMENT = now()
VALUES = [
    (
        Instance(
            "i-0abc", "dev", "running", "m5.large", True, "us-east-1a", MOMENT, 0.096, 0.0016, {}, expires_at=MOMENT
        ),
        ["dev (i-0abc)", "● running", "m5.large spot", "$0.096/h", "$0.0016"],
    ),
    (
        LaunchPlan(
            "m5.large", "ami-1", "ubuntu", "us-east-1", ["us-east-1a"], 30, False, 0.096, "table", 28800.0, 0.768
        ),
        ["nothing has been launched", "m5.large", "$0.096/h (table)", "8 h", "$0.77"],
    ),
    (
        StatusReport("sandbox", "us-east-1", "my-bucket", "user/me", 1, 0.096, 0.0016, 2, "0.1.0", "plain"),
        ["target sandbox (plain mode)", "us-east-1", "user/me", "1 running", "2 running"],
    ),
    (
        Checkpoint(
            "s3://my-bucket/c/1", "e-1", 1200, {"accuracy": 0.94}, 98_400_000, MOMENT, "safetensors", True, "7k2f", 1
        ),
        ["e-1", "1,200", "accuracy=0.94", "98.4 MB"],
    ),
    (Transfer("a", "s3://my-bucket/b", 1200, 98_400_000, 2.0), ["1,200 files", "98.4 MB", "49.2 MB/s"]),
    (Transfer("a", "s3://my-bucket/b", 1, 1, 2.0, 3), ["3 that were there already"]),
    (
        SyncReport("a", "s3://my-bucket/b", ["x", *map(str, range(30))], [], [], ["y"], 7, 1000, 0.5),
        ["31 uploaded, 1 deleted, 7 unchanged", "… and 11 more", "y"],
    ),
    (SyncReport("a", "s3://my-bucket/b", [], [], [], [], 7, 0, 0.5, dry_run=True), ["Would do: Nothing to do"]),
    (
        EndedInstance(
            "i-0abc",
            "dev",
            "stopping",
            "m5.large",
            False,
            "us-east-1a",
            MOMENT,
            0.096,
            None,
            {},
            state_reason="stopped by a user",
            protected=True,
            keeps=["its disks"],
            loses=["running programs"],
        ),
        ["stopping", "stopped by a user", "keeps", "its disks", "loses", "running programs", "protect i-0abc --off"],
    ),
]


@pytest.mark.parametrize(("value", "words"), VALUES, ids=[type(value).__name__ for value, _ in VALUES])
def test_values(value: Any, words: list[str]) -> None:
    bundle = notebook_bundle(value)
    # Two prices in one output are no formula between dollar signs.
    assert bundle["text/html"].startswith('<div class="mathjax_ignore tex2jax_ignore">')
    for shown in (value_text(value), bundle["text/plain"], bundle["text/html"]):
        for word in words:
            assert word in shown
    tags(bundle["text/html"])
    assert "my-bucket" not in bundle["text/html"] + bundle["text/plain"]


def test_status_names_the_bucket_in_a_terminal_only() -> None:
    status = VALUES[2][0]
    assert "my-bucket" in value_text(status)


def test_listing_is_a_table_and_says_what_it_leaves_out() -> None:
    rows = [StorageObject(f"s3://b/<{i}>", f"<{i}>", 1, None) for i in range(250)]
    html = listing_html(Listing(rows, (Column[StorageObject]("key", lambda row: row.key),), "empty"))
    assert html.count("<tr>") == 201
    assert "50 more rows" in html
    assert "<0>" not in html
    assert "nothing here" in listing_html(Listing([], (), "nothing here"))


@pytest.mark.parametrize("at", [None, now()])
def test_an_object_says_all_its_fields(at: Any) -> None:
    row = StorageObject("s3://b/k", "k", None if at is None else 5, at, is_prefix=at is None)
    assert row.to_dict() == Value.to_dict(row)
