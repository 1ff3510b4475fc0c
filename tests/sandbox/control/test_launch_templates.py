"""Launch templates: checked like launches, idempotent, and only one's own can be removed."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_users import acting

TAGS = [{"Key": "runctl:managed", "Value": "true"}]
OWN = [{"ResourceType": "launch-template", "Tags": TAGS}]


def refusal(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


class Templates:
    """Makes launch templates and removes them."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.made: list[str] = []

    def request(self, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
        name = f"t-{uuid.uuid4().hex}"
        return {"LaunchTemplateName": name, "LaunchTemplateData": data, "TagSpecifications": OWN} | changes

    def make(self, data: dict[str, Any], **changes: Any) -> str:
        made = self.ec2.create_launch_template(**self.request(data, **changes))["LaunchTemplate"]
        self.made.append(made["LaunchTemplateId"])
        return str(made["LaunchTemplateId"])

    def end(self) -> None:
        for template in self.made:
            self.ec2.delete_launch_template(LaunchTemplateId=template)


@pytest.fixture
def templates(boto: Boto) -> Iterator[Templates]:
    found = Templates(boto("ec2"))
    yield found
    found.end()


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"UserData": "#!/bin/sh in plain text"}, "InvalidUserData.Malformed"),
        ({"UserData": base64.b64encode(b"x" * 17_000).decode()}, "InvalidParameterValue"),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": 99}}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "fleet", "Tags": TAGS}]}, "InvalidParameterValue"),
        ({"SecurityGroupIds": ["sg-1"], "NetworkInterfaces": [{"DeviceIndex": 0}]}, "InvalidParameterCombination"),
    ],
)
def test_what_a_template_may_not_hold(templates: Templates, data: dict[str, Any], code: str) -> None:
    create = templates.ec2.create_launch_template
    assert refusal(create, **templates.request({"InstanceType": "m5.large", **data})) == code


@pytest.mark.machineless
def test_names_tags_and_tokens(templates: Templates) -> None:
    create, data = templates.ec2.create_launch_template, {"InstanceType": "m5.large"}
    assert refusal(create, **templates.request(data, LaunchTemplateName="a b")).startswith("InvalidLaunchTemplateName")
    other = [{"ResourceType": "instance", "Tags": TAGS}]
    assert refusal(create, **templates.request(data, TagSpecifications=other)) == "UnauthorizedOperation"
    assert refusal(create, **templates.request(data, TagSpecifications=OWN + other)) == "InvalidParameterValue"
    request = templates.request(data, ClientToken="a-token-of-a-template")
    first, again = create(**request)["LaunchTemplate"], create(**request)["LaunchTemplate"]
    templates.made.append(first["LaunchTemplateId"])
    assert (again["LaunchTemplateId"], first["Tags"]) == (first["LaunchTemplateId"], TAGS)
    changed = request | {"LaunchTemplateData": {"InstanceType": "m5.xlarge"}}
    assert refusal(create, **changed) == "IdempotentParameterMismatch"
    named = request["LaunchTemplateName"]
    assert refusal(create, **templates.request(data, LaunchTemplateName=named)).endswith("AlreadyExistsException")
    assert refusal(create, DryRun=True, **templates.request(data)) == "DryRunOperation"


@pytest.mark.machineless
def test_only_our_own_templates_can_be_removed_by_whatever_name(templates: Templates, sandbox: Connection) -> None:
    admin = acting(sandbox, faults_client.admin_env(sandbox), "ec2")
    data = {"InstanceType": "m5.large"}
    foreign = admin.create_launch_template(LaunchTemplateName="foreign", LaunchTemplateData=data)["LaunchTemplate"]
    delete = templates.ec2.delete_launch_template
    assert refusal(delete, LaunchTemplateId=foreign["LaunchTemplateId"]) == "UnauthorizedOperation"
    assert refusal(delete, LaunchTemplateName="foreign") == "UnauthorizedOperation"
    named = {"LaunchTemplateName": "foreign"}
    version = templates.ec2.create_launch_template_version
    assert refusal(version, **named, LaunchTemplateData=data) == "UnauthorizedOperation"
    admin.delete_launch_template(**named)
    assert refusal(delete, **named) == "InvalidLaunchTemplateName.NotFoundException"


@pytest.mark.machineless
def test_lists_of_templates(templates: Templates) -> None:
    ids = [templates.make({"InstanceType": "m5.large"}) for _ in range(3)]
    describe = templates.ec2.describe_launch_templates
    own = [{"Name": "tag:runctl:managed", "Values": ["true"]}]
    pages = list(templates.ec2.get_paginator("describe_launch_templates").paginate(Filters=own, MaxResults=2))
    found = [one["LaunchTemplateId"] for page in pages for one in page["LaunchTemplates"]]
    assert len(pages) > 1
    assert sorted(found) == sorted(set(found))
    assert set(ids) <= set(found)
    assert refusal(describe, LaunchTemplateIds=["lt-0123456789abcdef0"]) == "InvalidLaunchTemplateId.NotFound"
    assert refusal(describe, LaunchTemplateIds=["banana"]) == "InvalidLaunchTemplateId.Malformed"
    assert refusal(describe, LaunchTemplateNames=["nobody"]) == "InvalidLaunchTemplateName.NotFoundException"
    assert refusal(describe, MaxResults=201) == "InvalidParameterValue"


def test_an_instance_of_a_template(account: Account, templates: Templates) -> None:
    data = account.request()
    for name in ("MinCount", "MaxCount"):
        del data[name]
    template = templates.make(data)
    named, counts = {"LaunchTemplateId": template}, {"MinCount": 1, "MaxCount": 1}
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "from a template"}]}]
    made = account.ec2.run_instances(LaunchTemplate=named, TagSpecifications=tags, **counts)["Instances"][0]
    account.launched.append(made["InstanceId"])
    shown = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    assert shown["aws:ec2launchtemplate:id"] == template
    assert (shown["Name"], shown["runctl:managed"]) == ("from a template", "true")
    untagged = templates.make({name: data[name] for name in ("ImageId", "InstanceType")})
    launch = account.ec2.run_instances
    assert refusal(launch, LaunchTemplate={"LaunchTemplateId": untagged}, **counts) == "UnauthorizedOperation"
    assert refusal(launch, LaunchTemplate={**named, "Version": "7"}, **counts).endswith("VersionNotFound")
