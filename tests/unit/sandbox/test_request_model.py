"""Requests against the service models: what botocore's own serializer makes is understood, what no model has is not."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.config import Config
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.request_model import check_operation, parameters_of
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall

SESSION = get_session()
CLIENTS: dict[str, Any] = {}
TAGS = [{"Key": "runctl:managed", "Value": "true"}]


def sent(service: str, operation: str, **parameters: Any) -> ServiceCall:
    """What a client of that service puts on the wire, its own checks of values left out."""
    if service not in CLIENTS:
        CLIENTS[service] = SESSION.create_client(
            service,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(parameter_validation=False),
        )
    found = CLIENTS[service]
    model = found.meta.service_model.operation_model(operation)
    wire = found._serializer.serialize_to_request(parameters, model)
    body = wire["body"]
    raw = urlencode(body).encode() if isinstance(body, dict) else body
    headers = {name.lower(): str(value) for name, value in wire["headers"].items()}
    return ServiceCall(
        model.service_model.signing_name,
        wire["method"],
        wire["url_path"],
        urlencode(wire["query_string"]),
        headers,
        raw,
    )


def refusal(call: ServiceCall) -> str:
    with pytest.raises(ServiceError) as error:
        parameters_of(call)
    return error.value.code


RUN = {
    "ImageId": "ami-0a240400000018641", "InstanceType": "g5.xlarge", "MinCount": 1, "MaxCount": 1, "UserData": "eA==",
    "TagSpecifications": [{"ResourceType": "instance", "Tags": TAGS}], "DryRun": True,
    "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 100, "VolumeType": "gp3"}}],
    "SecurityGroupIds": ["sg-1", "sg-2"], "IamInstanceProfile": {"Name": "x"}, "ClientToken": "t",
}  # fmt: skip
FLEET = {
    "Type": "instant", "TargetCapacitySpecification": {"TotalTargetCapacity": 1}, "ClientToken": "t",
    "LaunchTemplateConfigs": [{"Overrides": [{"InstanceType": "g5.xlarge", "Priority": 1.5}]}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("ec2", "RunInstances", RUN),
        ("ec2", "CreateFleet", FLEET),
        ("ec2", "DescribeInstances", {"Filters": [{"Name": "tag:a", "Values": ["1", "2"]}], "MaxResults": 5}),
        ("ec2", "DescribeSnapshots", {"Filters": [{"Name": "tag:a", "Values": ["1"]}, {"Name": "tag-key", "Values":
            ["a"]}], "OwnerIds": ["self"]}),
        ("ec2", "CreateLaunchTemplate", {"LaunchTemplateName": "abc", "LaunchTemplateData": {
            "TagSpecifications": [{"ResourceType": "instance", "Tags": TAGS}]}, "ClientToken": "t"}),
        ("iam", "CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": "{}", "Tags": TAGS}),
        ("iam", "SimulatePrincipalPolicy", {"PolicySourceArn": "arn:aws:iam::123456789012:user/x",
            "ActionNames": ["ec2:RunInstances"], "ContextEntries": [{"ContextKeyName": "aws:sourceip",
            "ContextKeyValues": ["1"], "ContextKeyType": "ip"}]}),
        ("sts", "AssumeRole", {"RoleArn": "arn:aws:iam::123456789012:role/x", "RoleSessionName": "session"}),
        ("ssm", "SendCommand", {"DocumentName": "AWS-RunShellScript", "InstanceIds": ["i-0123456789abcdef0"],
            "Parameters": {"commands": ["a", "b"]}, "TimeoutSeconds": 60}),
        ("logs", "PutLogEvents", {"logGroupName": "g", "logStreamName": "s",
            "logEvents": [{"timestamp": 1, "message": "m"}]}),
        ("scheduler", "GetSchedule", {"Name": "x", "GroupName": "g"}),
        ("scheduler", "CreateSchedule", {"Name": "x", "ScheduleExpression": "at(2027-01-01T00:00:00)",
            "FlexibleTimeWindow": {"Mode": "OFF"}, "ClientToken": "t",
            "Target": {"Arn": "arn:x", "RoleArn": "arn:aws:iam::123456789012:role/x", "Input": "{}"}}),
    ],
)  # fmt: skip
def test_what_a_client_sends_comes_out_as_it_went_in(service: str, operation: str, parameters: dict[str, Any]) -> None:
    call = sent(service, operation, **parameters)
    assert call.action == operation
    assert parameters_of(call) == parameters


def ec2(**form: str) -> ServiceCall:
    return ServiceCall("ec2", "POST", "/", "", {}, urlencode(form).encode())


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (ec2(Action="DescribeInstances", Banana="1"), "UnknownParameter"),
        (ec2(Action="DescribeInstances", **{"Filter.1.Banana": "1"}), "UnknownParameter"),
        (ec2(Action="DescribeInstances", **{"Filter.x": "1"}), "UnknownParameter"),
        (ec2(Action="DescribeInstances", MaxResults="many"), "InvalidParameterValue"),
        (ec2(Action="DescribeInstances", DryRun="perhaps"), "InvalidParameterValue"),
        (ec2(Action="RunInstances", MinCount="1"), "MissingParameter"),
        (sent("ec2", "DescribeVolumes", Filters=[{"Name": "banana", "Values": ["x"]}]), "InvalidParameterValue"),
        (sent("ec2", "DescribeFleets", Filters=[{"Name": "tag:a", "Values": ["x"]}]), "InvalidParameterValue"),
        (ec2(Action="CreateVolume", AvailabilityZone="us-east-1a", VolumeType="gp9"), "InvalidParameterValue"),
        (sent("ssm", "SendCommand", DocumentName="AWS-RunShellScript", Comment="x" * 101), "ValidationException"),
        (sent("ssm", "SendCommand", InstanceIds=["x"]), "ValidationException"),
        (sent("iam", "CreateRole", RoleName="a b", AssumeRolePolicyDocument="{}"), "ValidationError"),
        (sent("iam", "CreateRole", RoleName="r" * 65, AssumeRolePolicyDocument="{}"), "ValidationError"),
        (sent("logs", "PutLogEvents", logGroupName="g", logStreamName="s", logEvents=[]), "InvalidParameterException"),
        (sent("scheduler", "GetSchedule", Name="a b"), "ValidationException"),
        (ServiceCall("ssm", "POST", "/", "", {"x-amz-target": "AmazonSSM.ListCommands"}, b"[1"),
         "SerializationException"),
        (ServiceCall("ssm", "POST", "/", "", {"x-amz-target": "AmazonSSM.ListCommands"}, b'{"MaxResults": "5"}'),
         "SerializationException"),
    ],
)  # fmt: skip
def test_what_a_model_does_not_allow_is_refused_in_the_words_of_the_service(call: ServiceCall, expected: str) -> None:
    assert refusal(call) == expected


def test_a_parameter_that_json_services_do_not_know_is_refused() -> None:
    call = ServiceCall("ssm", "POST", "/", "", {"x-amz-target": "AmazonSSM.ListCommands"}, b'{"Banana": 1}')
    assert refusal(call) == "ValidationException"


def test_operations_that_do_not_exist_are_refused() -> None:
    for service, expected in (("ec2", "InvalidAction"), ("iam", "InvalidAction")):
        with pytest.raises(ServiceError) as error:
            check_operation(ServiceCall(service, "POST", "/", "", {}, b"Action=Banana"))
        assert error.value.code == expected
    with pytest.raises(ServiceError) as error:
        check_operation(ServiceCall("scheduler", "GET", "/bananas", "", {}, b""))
    assert error.value.code == "UnknownOperationException"


@given(
    st.dictionaries(
        st.text(st.sampled_from("abcF.1 é"), min_size=1, max_size=12), st.text(max_size=8), max_size=6
    )
)  # fmt: skip
def test_no_form_at_all_breaks_it(form: dict[str, str]) -> None:
    call = ec2(**(form | {"Action": "RunInstances"}))
    with pytest.raises(ServiceError):
        parameters_of(call)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(
    inner, max_size=3) | st.dictionaries(st.sampled_from(["InstanceIds", "Parameters", "DocumentName", "Targets"]),
    inner, max_size=4), max_leaves=8))  # fmt: skip
def test_no_json_at_all_breaks_it(value: Any) -> None:
    headers = {"x-amz-target": "AmazonSSM.SendCommand"}
    try:
        found = parameters_of(ServiceCall("ssm", "POST", "/", "", headers, json.dumps(value).encode()))
    except ServiceError:
        return
    assert set(found) <= set(value)
