"""Types by name and by the GPU they have."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.aws.ec2 import Ec2
from runctl_jupyter.orchestration.aws.session import AwsSession
from runctl_jupyter.orchestration.costs.prices import known_types, type_facts
from runctl_jupyter.orchestration.errors import InvalidRequest
from runctl_jupyter.orchestration.instances.catalogue import Catalogue, GpuAsked, facts_text


def described(name: str, gpu: str | None = None, count: int = 1, mib: int = 98304) -> dict[str, Any]:
    gpus = [{"Name": gpu, "Count": count, "MemoryInfo": {"SizeInMiB": mib}}] if gpu else []
    return {
        "InstanceType": name,
        "VCpuInfo": {"DefaultVCpus": 8},
        "MemoryInfo": {"SizeInMiB": 65536},
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        **({"GpuInfo": {"Gpus": gpus}} if gpus else {}),
    }


class Account:
    """EC2 that knows some types beside the table's; counts what it is asked."""

    def __init__(self, *types: dict[str, Any]) -> None:
        self.types = {each["InstanceType"]: each for each in types}
        self.asked: list[Sequence[str]] = []
        self.ec2 = self

    def describe_instance_types(self, **request: Any) -> dict[str, Any]:
        names = request["InstanceTypes"]
        assert len(names) <= 100
        self.asked.append(names)
        if any(name not in self.types for name in names):
            raise ClientError({"Error": {"Code": "InvalidInstanceType", "Message": "told to"}}, "DescribeInstanceTypes")
        return {"InstanceTypes": [self.types[name] for name in names]}

    def get_paginator(self, name: str) -> Any:
        assert name == "describe_instance_types"
        return SimpleNamespace(paginate=self.pages)

    def pages(self, **request: Any) -> list[dict[str, Any]]:
        assert request["PaginationConfig"]["PageSize"] <= 100
        self.asked.append(request["Filters"][0]["Values"])
        return [{"InstanceTypes": [each]} for each in self.types.values()]


def catalogue(*types: dict[str, Any]) -> tuple[Catalogue, Account]:
    account = Account(*types)
    return Catalogue(Ec2(cast(AwsSession, account)), "us-east-1"), account


def names(text: str, *types: dict[str, Any]) -> list[str]:
    return [each.name for each in catalogue(*types)[0].with_gpu(text)]


def test_types_of_the_table_are_asked_of_nobody() -> None:
    types, account = catalogue()
    assert [each.name for each in types.facts(["g6.xlarge", "g5.xlarge"])] == ["g6.xlarge", "g5.xlarge"]
    assert names("A10G:1") == ["g5.xlarge", "g5.2xlarge", "g5.4xlarge"]
    assert account.asked == []


def test_other_types_are_asked_of_ec2_a_hundred_at_a_time_and_once() -> None:
    many = [f"x{number}.large" for number in range(205)]
    types, account = catalogue(*map(described, many))
    assert [each.name for each in types.facts([*many, "m5.large"])] == [*many, "m5.large"]
    assert [len(each) for each in account.asked] == [100, 100, 5]
    types.facts(many)
    assert len(account.asked) == 3


def test_an_unknown_type_is_named_also_among_others() -> None:
    types, _ = catalogue(described("x1.large"))
    with pytest.raises(InvalidRequest, match=r"no instance type 'g5\.xlrge' in us-east-1") as raised:
        types.facts(["x1.large", "g5.xlrge"])
    assert "Did you mean g5.xlarge?" in raised.value.to_resolve


@pytest.mark.parametrize(
    ("text", "first", "gpu", "count"),
    [
        ("A10G", "g5.xlarge", "A10G", 1),
        ("a10g:4", "g5.12xlarge", "A10G", 4),
        ("L40S:1", "g6e.xlarge", "L40S", 1),
        ("24GB", "g6.xlarge", "L4", 1),
        ("24gb:4", "g6.12xlarge", "L4", 4),
        ("48 GB", "g6e.xlarge", "L40S", 1),
        ("80GiB", "p5.4xlarge", "H100", 1),
        ("a100-80gb:8", "p4de.24xlarge", "A100-80GB", 8),
        ("A100:8", "p4d.24xlarge", "A100", 8),
    ],
)
def test_what_a_person_writes_for_a_gpu(text: str, first: str, gpu: str, count: int) -> None:
    found = catalogue()[0].with_gpu(text)
    assert (found[0].name, found[0].accelerator, found[0].accelerator_count) == (first, gpu, count)
    assert {each.accelerator_count for each in found} == {count}
    assert len(found) <= 6


def test_any_a100_is_an_a100() -> None:
    assert set(names("A100:8")) == {"p4d.24xlarge", "p4de.24xlarge"}


def test_a_gpu_that_the_table_does_not_know_is_looked_for_on_ec2() -> None:
    new = described("g7e.2xlarge", "RTX PRO Server 6000")
    assert names("RTX PRO Server 6000", new) == ["g7e.2xlarge"]
    assert names("rtx-pro-server-6000:1", new) == ["g7e.2xlarge"]
    account = Account(new)
    assert [each.name for each in Catalogue(Ec2(cast(AwsSession, account)), "us-east-1").with_gpu("96GB:1")] == [
        "g7e.2xlarge"
    ]


@pytest.mark.parametrize(
    ("text", "what", "how"),
    [
        ("A10", "no GPU 'A10'", "Did you mean A10G?"),
        ("banana", "no GPU 'banana'", "There are: A100"),
        ("L4:3", "No instance type has L4:3", "There are: L4:1, L4:4, L4:8."),
        ("24GB:3", "No instance type has 24GB:3", "24GB:1, 24GB:4, 24GB:8"),
        ("999GB", "No GPU on EC2 has 999 GB", "The largest has 192 GB."),
        ("A10G:0", "not a way to ask", "A10G:1"),
        ("A10G:x", "not a way to ask", "A10G:1"),
        ("", "not a way to ask", "A10G:1"),
    ],
)
def test_a_gpu_that_there_is_not(text: str, what: str, how: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        names(text)
    assert what in raised.value.what
    assert how in raised.value.to_resolve


@given(st.sampled_from([name for name in known_types() if (facts := type_facts(name)) and facts.accelerator]))
def test_every_type_with_a_gpu_can_be_asked_for_by_it(name: str) -> None:
    facts = type_facts(name)
    assert facts is not None
    assert GpuAsked.parse(f"{facts.accelerator}:{facts.accelerator_count}").fits(facts)


@given(st.text(max_size=20))
def test_whatever_is_written_is_a_gpu_or_two_lines(text: str) -> None:
    try:
        said = catalogue()[0].with_gpu(text)[0].name
    except InvalidRequest as error:
        said = error.to_resolve
    assert said


def test_what_could_take_a_types_place() -> None:
    types, _ = catalogue()
    (g5,) = types.facts(["g5.xlarge"])
    fitting = types.cheaper_fits(g5)
    assert fitting[0].name == "g6.xlarge"
    assert all((each.accelerator_memory_gib or 0) >= (g5.accelerator_memory_gib or 0) for each in fitting)
    (m5,) = types.facts(["m5.large"])
    assert types.cheaper_fits(m5)[0].name == "t3.large"
    assert facts_text(g5) == "1 A10G 22 GiB, 4 vCPU, 16 GiB"
