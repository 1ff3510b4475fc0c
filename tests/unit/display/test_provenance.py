"""How it looks where a job came from, and what two jobs differ in."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from runctl_jupyter.display.values import notebook_bundle, value_text
from runctl_jupyter.orchestration.jobs.comparison import ComparedJob, Difference, JobComparison
from runctl_jupyter.orchestration.jobs.provenance import AttemptProvenance, DataSummary, JobProvenance
from runctl_jupyter.run_record import DataFile, Limits, Provenance, ResolvedEnvironment, ResumeFrom, StoredValue

HOSTILE = "<script>alert('x')</script><img src=x onerror=y>"


class Markup(HTMLParser):
    """Collects tags, attributes and visible text, and checks that tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def environment(**packages: str) -> ResolvedEnvironment:
    return ResolvedEnvironment("3.12.3", "/venv/bin/python", "Linux-6.8", packages)


FIRST = AttemptProvenance(
    1, "interrupted", None, None, None, None, "i-0abc", "m5.large", "us-east-1", True, 0.096, 0.0016, "ami-1", None,
    environment(**{f"package-{i:02d}": f"1.{i}" for i in range(12)}),
    DataSummary("s3://my-bucket/data", 12, 98_400_000, "d" * 64, [DataFile("a.csv", 1, "e")]),
)  # fmt: skip
SECOND = replace(FIRST, number=2, state="failed", exit_code=3, spot=False, resumed_from=ResumeFrom("j", 1, 4))
KNOWN = JobProvenance(
    "260102-030405-7k2f", "digits", "me", "aws", "2026-01-02T03:04:05Z", "fit.py", True, ["--epochs", "3"],
    {"TOKEN": "(not shown)"}, {"lr": "0.1"}, "requirements.txt", "checkpoints", Limits(ttl_s=28800, max_cost_usd=5.0),
    "s3://my-bucket/data", None, "latest", [StoredValue("frame", "parquet", "0" * 64, 1000, "pandas.DataFrame")], [],
    "c" * 64, "m5.large", "us-east-1", True, 0.096, "list price in the table", 0.0032,
    Provenance("import x\nprint(1)\n", "a" * 40, "main", "https://example.com/p.git", "b" * 64, {"python": "3.11"}),
    [FIRST, SECOND],
)  # fmt: skip


def test_text_says_everything_in_lines_of_their_own() -> None:
    lines = value_text(KNOWN).splitlines()
    facts = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert lines[0] == "provenance"
    assert facts["script"] == "fit.py --epochs 3"
    assert facts["cell"] == "2 lines"
    assert facts["git"] == "aaaaaaaaaa on main · https://example.com/p.git"
    assert facts["changes"] == f"differs from the commit; kept as blobs/{'b' * 64}"
    assert facts["limits"] == "time 8 h · cost $5.00"
    assert facts["price"] == "$0.096/h spot (list price in the table)"
    assert facts["inputs"] == "frame (pandas.DataFrame, 1.0 kB)"
    assert "  attempt 1 · ▲ interrupted" in lines
    assert "  attempt 2 · ✗ failed (3)" in lines
    assert facts["packages"].startswith("12: package-00 1.0, package-01 1.1")
    assert facts["packages"].endswith("package-07 1.7, …")
    assert facts["resumed"] == "from job j, checkpoint 1-4"
    assert "import x" not in value_text(KNOWN)


def test_values_stand_below_each_other() -> None:
    starts = {
        line.index(word)
        for line in value_text(KNOWN).splitlines()
        for word in ("aaaaaaaaaa on", "3.12.3")
        if word in line
    }
    assert len(starts) == 1


def test_html_is_folded_and_has_what_text_leaves_out() -> None:
    markup = Markup(notebook_bundle(KNOWN)["text/html"])
    assert [tag[0] for tag in markup.tags[:2]] == ["div", "details"]
    assert all("open" not in attributes for tag, attributes in markup.tags if tag == "details")
    for words in ("import x\nprint(1)", "package-11 1.11", "attempt 2", "aaaaaaaaaa on main"):
        assert words in markup.text


def test_a_notebook_does_not_carry_the_bucket_away() -> None:
    for text in notebook_bundle(KNOWN).values():
        assert "my-bucket" not in text
        assert "s3://my-b…/data" in text
    assert "s3://my-bucket/data" in value_text(KNOWN)


def test_what_is_not_known_is_not_said() -> None:
    bare = replace(
        FIRST, instance_id=None, instance_type=None, region=None, spot=False, image_id=None, environment=None,
        data=None, cost_usd=None,
    )  # fmt: skip
    text = value_text(
        replace(KNOWN, origin=None, env={}, params={}, inputs=[], tree=None, price_per_hour=None, attempts=[bare])
    )
    assert "not recorded: launched by an older version" in text
    assert "machine" in text
    assert "this computer" in text
    for word in ("env ", "params", "inputs", "code", "price", "python", "packages", "None"):
        assert word not in text


def compared(differences: list[Difference], source_diff: str = "") -> JobComparison:
    a, b = (ComparedJob(f"260102-030405-{tail}", "digits", "succeeded") for tail in ("7k2f", "9x3m"))
    return JobComparison(a, b, differences, source_diff)


DIFF = "--- j/fit.py\n+++ k/fit.py\n@@ -1,2 +1,2 @@\n same\n--- old <b>\n+new\n"


def test_a_comparison_is_a_table_and_a_diff() -> None:
    value = compared(
        [
            Difference("git commit", "1" * 40, "2" * 40),
            Difference("param lr", "0.1", None),
            Difference("arguments", ["--epochs", "3"], []),
            Difference("price", 0.096, 1.006),
            Difference("duration", 12.5, 4000.0),
            Difference("data bytes", 10, 98_400_000),
            Difference("limit ttl_s", 3600.0, None),
            Difference("metric loss", 0.123456789, 1.0),
            Difference("resumed from", {"job_id": "j", "attempt": 1, "seq": 2, "uri": None}, None),
            Difference("spot", True, False),
        ],
        DIFF,
    )
    text = value_text(value)
    rows = {tuple(line.split("  ")[0].split()): line for line in text.splitlines()}
    assert "digits (260102-030405-7k2f) and digits (260102-030405-9x3m): 10 differences" in text
    for name, words in {
        "git commit": ["111111111111", "222222222222"], "param lr": ["0.1", "—"],
        "arguments": ["--epochs 3", "(empty)"],
        "price": ["$0.096/h", "$1.006/h"], "duration": ["12.5 s", "1 h 06 m"], "data bytes": ["10 B", "98.4 MB"],
        "limit ttl_s": ["1 h", "—"], "metric loss": ["0.123457", "1"],
        "resumed from": ["job_id=j attempt=1 seq=2", "—"], "spot": ["True", "False"],
    }.items():  # fmt: skip
        assert all(word in rows[tuple(name.split())] for word in words), (name, text)
    assert text.endswith(DIFF.rstrip("\n"))
    markup = Markup(notebook_bundle(value)["text/html"])
    assert DIFF.rstrip("\n") in markup.text
    assert "digits 7k2f" in markup.text


def test_signs_of_a_diff_have_colours_that_follow_the_theme() -> None:
    html = notebook_bundle(compared([], DIFF))["text/html"]
    coloured = {line: style for style, line in re.findall(r'<span style="color:([^"]*)">([^<]*)</span>', html)}
    assert set(coloured) == {"@@ -1,2 +1,2 @@", "--- old &lt;b&gt;", "+new"}
    assert coloured["+new"].startswith("var(--jp-success-color1,")
    assert coloured["--- old &lt;b&gt;"].startswith("var(--jp-error-color1,")


def test_equal_jobs_say_so_in_one_line() -> None:
    value = compared([])
    line = "digits (260102-030405-7k2f) and digits (260102-030405-9x3m) are equal in all that the record knows."
    assert value_text(value) == line
    assert Markup(notebook_bundle(value)["text/html"]).text == line


def test_a_notebook_keeps_a_part_of_much() -> None:
    many = [Difference(f"file f{i}.py", "1" * 64, "2" * 64) for i in range(5000)]
    diff = "--- a\n+++ b\n@@ -1 +1 @@\n" + "+line\n" * 50_000
    bundle = notebook_bundle(compared(many, diff))
    assert "4,800 more; --json has them all" in bundle["text/plain"]
    assert "49,603 more lines" in bundle["text/plain"]
    assert len(bundle["text/html"]) < 150_000
    assert value_text(compared(many, diff)).count("+line") == 50_000


@pytest.mark.parametrize(
    "value",
    [
        replace(
            KNOWN, script=HOSTILE, name=HOSTILE, env={HOSTILE: HOSTILE}, arguments=[HOSTILE],
            origin=Provenance(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
            attempts=[replace(FIRST, state=HOSTILE, environment=environment(**{HOSTILE: HOSTILE}))],
        ),
        compared([Difference(HOSTILE, HOSTILE, [HOSTILE])], f"---{HOSTILE}\n+++{HOSTILE}\n+{HOSTILE}\n"),
    ],
    ids=["provenance", "comparison"],
)  # fmt: skip
def test_nothing_of_a_job_becomes_markup(value: Any) -> None:
    markup = Markup(notebook_bundle(value)["text/html"])
    assert not {"script", "img", "style", "link"} & {tag for tag, _ in markup.tags}


def test_a_long_cell_does_not_weigh_a_notebook_down() -> None:
    origin = Provenance(cell="x = 1\n" * 100_000)
    assert len(notebook_bundle(replace(KNOWN, origin=origin))["text/html"]) < 60_000
