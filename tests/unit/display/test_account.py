"""How doctor and setup look: every line with its fix, and nothing secret in a notebook."""

from __future__ import annotations

import json
import re

from runctl_jupyter.display.values import notebook_bundle, value_text
from runctl_jupyter.orchestration.account.by_hand import by_hand
from runctl_jupyter.orchestration.account.checkup import Check, DoctorReport
from runctl_jupyter.orchestration.account.policies import user_policy
from runctl_jupyter.orchestration.account.setup import SetupReport, SetupStep
from runctl_jupyter.orchestration.account.wanted import Wanted

ACCOUNT = "123456789012"
REPORT = DoctorReport(
    "aws",
    "g5.xlarge",
    [
        Check("identity", "ok", "user/ada"),
        Check("quota spot", "warning", "0 of 0 vCPUs left", "Ask AWS for more: https://console"),
        Check("bucket", "blocked", f"there is no bucket runctl-{ACCOUNT}-eu-west-1 <b>", "runctl setup"),
    ],
    0.7,
)
WANTED = Wanted(f"runctl-{ACCOUNT}-eu-west-1", "eu-west-1", ACCOUNT)
SETUP = SetupReport(
    WANTED.bucket, "eu-west-1", WANTED.role, [SetupStep("made", f"bucket {WANTED.bucket}"),
    SetupStep("found", "encryption")], WANTED.user_policy, "/home/ada/.config/runctl-jupyter/config.toml",
)  # fmt: skip


def test_a_report_names_each_check_and_its_fix_below() -> None:
    lines = value_text(REPORT).splitlines()
    assert lines[0] == "target aws: 1 blocked, 1 warning (0.7 s)"
    assert [line.split()[1] for line in lines[1:] if "→" not in line] == ["ok", "warning", "blocked"]
    assert [line.split("→ ")[1] for line in lines if "→" in line] == [
        "Ask AWS for more: https://console", "runctl setup"]  # fmt: skip
    assert (REPORT.well, REPORT.exit_status) == (False, 1)


def test_in_a_notebook_it_is_a_table_without_account_numbers_and_markup() -> None:
    bundle = notebook_bundle(REPORT)
    for form in bundle.values():
        assert ACCOUNT not in form
        assert "runctl setup" in form
    assert bundle["text/html"].count("<tr>") == 3
    assert "<b>" not in bundle["text/html"]


def test_what_setup_did_comes_with_the_policy_that_can_be_copied() -> None:
    text = value_text(SETUP)
    assert re.search(r"made +bucket", text)
    document = re.search(r"\{\"Version\".*?\n\]\}", text, re.DOTALL)
    assert document is not None
    assert json.loads(document[0]) == user_policy(WANTED.bucket)
    for form in notebook_bundle(SETUP).values():
        assert ACCOUNT not in form


def test_what_is_for_an_administrator_is_whole_and_can_be_pasted() -> None:
    text = value_text(by_hand(WANTED))
    assert text.startswith("Nothing has been done.")
    assert all(line in text.splitlines() for line in by_hand(WANTED).commands)
    assert "put-bucket-lifecycle-configuration replaces all rules" in text
    assert "LocationConstraint" in text  # not in us-east-1
