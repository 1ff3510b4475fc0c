"""The policies that `setup` writes and prints."""

from __future__ import annotations

import json

import pytest

from runctl_jupyter.orchestration.account import policies
from runctl_jupyter.orchestration.errors import ConfigInvalid
from runctl_jupyter.sandbox.control.access import policies as sandbox
from runctl_jupyter.sandbox.control.settings import BUCKET, ROLE_NAME

LONGEST_BUCKET = "b" * 63


def test_the_sandbox_enforces_what_setup_would_write() -> None:
    assert policies.user_policy(BUCKET) == sandbox.user_policy()
    assert policies.instance_policy(BUCKET) == sandbox.instance_role_policy()
    assert policies.trust_policy() == sandbox.instance_trust_policy()
    assert policies.ROLE == ROLE_NAME


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_they_fit_into_iam(partition: str) -> None:
    user = policies.user_policy(LONGEST_BUCKET, partition=partition)
    assert len(policies.written(user, policies.MANAGED_POLICY_CHARACTERS)) <= 6_144
    role = policies.instance_policy(LONGEST_BUCKET, partition=partition)
    assert len(policies.written(role, policies.ROLE_POLICIES_CHARACTERS)) <= 10_240
    assert "arn:aws:" not in json.dumps([user, role]) or partition == "aws"


def test_one_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="6,144"):
        policies.written(policies.user_policy("b" * 4000), policies.MANAGED_POLICY_CHARACTERS)


def test_a_machine_may_do_less_than_the_person_whose_commands_it_runs() -> None:
    """Who sends commands to a machine is root there, and so has the rights of its role."""
    bucket = "some-bucket"
    agents = {"Agent"}
    machine = {s["Sid"]: s for s in policies.instance_policy(bucket)["Statement"] if s["Sid"] not in agents}
    person = {s["Sid"]: s for s in policies.user_policy(bucket)["Statement"]}
    for sid, statement in machine.items():
        assert statement["Resource"] == person[sid]["Resource"]
        assert set(statement["Action"]) <= set(person[sid]["Action"])


def test_every_statement_has_a_name_of_its_own() -> None:
    sids = [statement["Sid"] for statement in policies.user_policy("b")["Statement"]]
    assert len(sids) == len(set(sids))
