"""Where emulators lie: each row of the list in reference "AWS ground truth", and the tests that show the truth here.

A row without a test, or a test that is gone, fails. The tests below the list close gaps that no other module is about.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.conftest import Boto, client
from tests.sandbox.control.conftest import Account

ROOT = Path(__file__).parents[3]
CONTROL, UNIT = "tests/sandbox/control", "tests/unit"
HERE = f"{CONTROL}/test_aws_truth.py"
TAG = {"Key": "runctl:managed", "Value": "true"}

TRUTH: dict[str, list[str]] = {
    "the same ClientToken is the same instance, volume, template or fleet; other parameters mismatch": [
        f"{CONTROL}/test_instances.py::test_the_same_token_is_the_same_machine",
        f"{CONTROL}/test_volumes.py::test_a_volume_is_gp2_by_default_and_made_once_per_token",
        f"{CONTROL}/test_launch_templates.py::test_names_tags_and_tokens",
    ],
    "states take time, and a terminated instance cannot be started (IncorrectInstanceState)": [
        f"{CONTROL}/test_instances.py::test_a_life_from_pending_to_terminated",
        f"{CONTROL}/test_capacity.py::test_a_slow_boot_stays_pending",
    ],
    "a fresh id is NotFound for a while": [f"{CONTROL}/test_pace.py::test_fresh_ids_are_unknown_and_the_limit_holds"],
    "a fresh profile is unknown to EC2, and an empty one is no use": [
        f"{CONTROL}/test_pace.py::test_a_fresh_instance_profile_is_unknown_to_ec2",
        f"{HERE}::test_an_empty_profile_is_refused",
    ],
    "a missing profile is InvalidParameterValue": [f"{CONTROL}/test_instances.py::test_what_ec2_rejects_is_rejected"],
    "MaxCount is honoured": [f"{CONTROL}/test_instances.py::test_max_count_is_honoured"],
    "unknown types and images, and architectures that do not match, are refused": [
        f"{CONTROL}/test_instances.py::test_what_ec2_rejects_is_rejected",
        f"{CONTROL}/test_instances.py::test_unknown_ids_and_types",
    ],
    "user data has 16 KB": [f"{CONTROL}/test_instances.py::test_what_ec2_rejects_is_rejected"],
    "volumes at launch have limits of IOPS, throughput, size, device name and initialization rate": [
        f"{CONTROL}/test_instances.py::test_what_ec2_rejects_is_rejected",
        f"{HERE}::test_volumes_that_cannot_be_launched",
        f"{HERE}::test_the_volumes_of_a_launch",
    ],
    "network interfaces exclude security groups, and a hop limit is 1 to 64": [
        f"{CONTROL}/test_refusals.py::test_impossible_combinations",
        f"{CONTROL}/test_instances.py::test_what_ec2_rejects_is_rejected",
    ],
    "tags: aws:, lengths, duplicates, 50, and spot requests only with spot": [
        f"{CONTROL}/test_instances.py::test_bad_tags_are_rejected",
        f"{CONTROL}/test_refusals.py::test_impossible_combinations",
        f"{HERE}::test_tag_specifications_that_are_refused",
    ],
    "spot: requests, their states, what cannot be stopped, what persists, what is taken away": [
        f"{CONTROL}/test_instances.py::test_one_time_spot_cannot_be_stopped",
        f"{CONTROL}/test_spot_requests.py::test_a_persistent_instance_can_be_stopped_and_started",
        f"{CONTROL}/test_spot_requests.py::test_a_terminated_persistent_instance_is_replaced_until_its_request_is_cancelled",
        f"{CONTROL}/test_spot_requests.py::test_cancelling_the_request_of_a_stopped_instance_terminates_it",
        f"{CONTROL}/test_spot_requests.py::test_what_a_spot_request_may_not_ask",
        f"{CONTROL}/test_pace.py::test_a_spot_machine_is_taken_away_with_notice",
    ],
    "spot prices are of now and by zone; placement scores": [
        f"{CONTROL}/test_spot_market.py::test_the_price_now_is_one_per_zone_and_below_on_demand",
        f"{CONTROL}/test_spot_market.py::test_a_history_has_what_was_in_force",
        f"{CONTROL}/test_spot_market.py::test_scores_by_region_and_zone",
    ],
    "capacity reservations and blocks can be asked for": [f"{HERE}::test_reservations_and_blocks_can_be_asked_for"],
    "CreateFleet instant looks at capacity, goes on, and tells of failures in an answer of 200": [
        f"{CONTROL}/test_fleets.py::test_a_fleet_that_finds_nothing_says_why_pool_by_pool",
        f"{CONTROL}/test_fleets.py::test_a_fleet_goes_on_to_the_next_pool",
        f"{CONTROL}/test_fleets.py::test_prices_and_rights_are_errors_of_pools",
        f"{CONTROL}/test_fleets.py::test_what_a_fleet_may_not_ask",
    ],
    "attaching looks at zone, name and use; snapshots are pending, five per volume": [
        f"{CONTROL}/test_volumes.py::test_attach",
        f"{CONTROL}/test_volumes.py::test_what_takes_time_is_pending_meanwhile",
        f"{CONTROL}/test_volumes.py::test_create_volume_refuses",
    ],
    "a root mapping that is given ends with its instance, others do not": [f"{HERE}::test_the_volumes_of_a_launch"],
    "no capacity is a server error": [
        f"{CONTROL}/test_capacity.py::test_no_capacity_is_a_server_error_that_botocore_repeats",
        f"{CONTROL}/test_capacity.py::test_capacity_that_is_missed_late_ends_what_was_pending",
    ],
    "quotas hold": [
        f"{CONTROL}/test_capacity.py::test_quotas_are_told_and_kept",
        f"{CONTROL}/test_capacity.py::test_what_runs_counts_and_what_is_stopped_does_not",
    ],
    "throttling, in the words of each protocol": [
        f"{CONTROL}/test_denials.py::test_throttling_in_the_words_of_each_service"
    ],
    "IAM decides, denials can be scripted, EC2 encodes why and STS decodes": [
        f"{CONTROL}/test_permissions.py::test_a_denial_wins_and_conditions_hold",
        f"{CONTROL}/test_denials.py::test_a_right_can_be_taken_away",
        f"{CONTROL}/test_denials.py::test_the_encoded_message_says_what_was_missing_to_those_who_may_decode_it",
        f"{CONTROL}/test_denials.py::test_a_message_of_nobody_is_not_decoded_and_describe_calls_have_none",
    ],
    "SendCommand: unknown instance or document, size, executionTimeout, and the script really runs": [
        f"{CONTROL}/test_commands.py::test_what_ssm_rejects",
        f"{CONTROL}/test_commands.py::test_a_request_has_a_size",
        f"{CONTROL}/test_commands.py::test_an_execution_timeout_out_of_range_is_an_hour",
        f"{CONTROL}/test_commands.py::test_output_exit_code_and_last_command_decides",
        f"{CONTROL}/test_commands.py::test_exit_194_reboots_and_runs_again",
    ],
    # The sandbox has no channel for the data of a session: what is proven of StartSession is what it refuses.
    "DescribeInstanceInformation, ListCommandInvocations, CancelCommand, GetConnectionStatus; StartSession refuses": [
        f"{CONTROL}/test_refusals.py::test_lists_of_commands",
        f"{CONTROL}/test_commands.py::test_cancel",
        f"{CONTROL}/test_commands.py::test_sessions_reach_machines_whose_agent_is_there",
        f"{CONTROL}/test_commands.py::test_a_stopped_machine_takes_no_commands",
    ],
    "an agent registers late, and sleeps for half an hour when its role could not be used": [
        f"{CONTROL}/test_agents.py::test_an_agent_that_was_refused_sleeps_until_it_is_restarted",
        f"{CONTROL}/test_refusals.py::test_one_bad_machine_refuses_the_batch_and_no_profile_means_no_agent",
    ],
    "InvocationDoesNotExist right after the send": [
        f"{CONTROL}/test_pace.py::test_fresh_ids_are_unknown_and_the_limit_holds"
    ],
    "the public parameters of DLAMIs, AL2023 and Ubuntu name images that are there": [
        f"{HERE}::test_public_parameters_name_images"
    ],
    "IAM: trust policies, malformed policies, sizes, AWS's own policies, one role in a profile": [
        f"{CONTROL}/test_iam.py::test_a_trust_policy_says_whom_it_trusts",
        f"{CONTROL}/test_iam.py::test_a_malformed_policy_is_refused",
        f"{CONTROL}/test_iam.py::test_policies_have_a_size",
        f"{CONTROL}/test_iam.py::test_policies_of_aws_can_be_attached",
        f"{CONTROL}/test_iam.py::test_an_instance_profile_has_one_role",
    ],
    "the service-linked role of spot: its name, InvalidInput the second time, and nothing without it": [
        f"{CONTROL}/test_iam.py::test_the_role_of_spot_has_its_name_and_is_made_once",
        f"{CONTROL}/test_spot_market.py::test_the_first_spot_launch_needs_its_role",
    ],
    "S3: 412 and 409, the wrong region, a missing key without ListBucket, SlowDown": [
        f"{CONTROL}/test_refusals.py::test_of_many_conditional_writers_one_wins",
        f"{CONTROL}/test_refusals.py::test_a_conditional_write_during_another_write_is_a_conflict",
        f"{CONTROL}/test_refusals.py::test_a_bucket_of_another_region_says_which",
        f"{HERE}::test_who_may_not_list_is_not_told_what_is_missing",
        f"{CONTROL}/test_denials.py::test_throttling_in_the_words_of_each_service",
    ],
    "ECR: a password of twelve hours": [
        f"{CONTROL}/test_other_services.py::test_the_password_of_the_registry_is_good_for_twelve_hours"
    ],
    "Pricing: GetProducts in its regions, by its filters": [
        f"{CONTROL}/test_price_list.py::test_the_exact_filters_give_one_price_and_looser_ones_give_what_is_not_to_be_paid",
        f"{CONTROL}/test_price_list.py::test_what_it_refuses",
        f"{CONTROL}/test_price_list.py::test_volumes_and_addresses_have_prices",
    ],
    "Service Quotas knows the quotas of GPUs": [f"{CONTROL}/test_capacity.py::test_quotas_are_told_and_kept"],
    "Scheduler: past dates, Input, roles; what is due happens": [
        f"{CONTROL}/test_other_services.py::test_schedules_that_are_refused",
        f"{CONTROL}/test_other_services.py::test_a_schedule_fires_with_the_rights_of_its_role_and_is_gone",
        f"{CONTROL}/test_volumes.py::test_attach",  # ended by a schedule
    ],
    "Logs: an event has 1 MB, a batch 1 MB and 24 hours": [
        f"{CONTROL}/test_other_services.py::test_log_events_have_a_size_and_a_span"
    ],
    "unknown filters are InvalidParameterValue": [
        f"{UNIT}/sandbox/test_request_model.py::test_what_a_model_does_not_allow_is_refused_in_the_words_of_the_service",
        f"{CONTROL}/test_refusals.py::test_what_the_sandbox_cannot_do_is_an_error_of_the_service",
    ],
    "every request is checked against the model of its operation": [
        f"{UNIT}/sandbox/test_request_model.py::test_what_a_client_sends_comes_out_as_it_went_in",
        f"{UNIT}/sandbox/test_request_model.py::test_what_a_model_does_not_allow_is_refused_in_the_words_of_the_service",
        f"{UNIT}/sandbox/test_request_model.py::test_operations_that_do_not_exist_are_refused",
    ],
    "what is not there is refused, and says what is": [
        f"{CONTROL}/test_denials.py::test_what_the_sandbox_does_not_have_is_said_with_what_it_has"
    ],
    "tokens expire in the middle of a run": [
        f"{CONTROL}/test_faults.py::test_expired_credentials_in_the_words_of_each_service",
        f"{CONTROL}/test_faults.py::test_a_machine_gets_new_credentials_for_expired_ones",
    ],
    "user data runs under dash and bash": [
        f"{UNIT}/orchestration/test_user_data.py::test_without_systemd_a_process_waits_and_a_later_limit_overrides_it"
    ],
}


@pytest.mark.machineless
def test_every_row_has_tests_that_are_there() -> None:
    named = {test for tests in TRUTH.values() for test in tests}
    there = {
        f"{name}::{one}" for name in {test.partition("::")[0] for test in named} for one in collected_in(ROOT / name)
    }
    assert named <= there, sorted(named - there)
    assert all(TRUTH.values())


SKIPS = ("mark.skip", "mark.xfail", "pytest.skip", "pytest.xfail", "pytest.importorskip")
"""How a test is left out: by a mark, or by a call in it or in its module."""


def collected_in(path: Path) -> list[str]:
    """Names of what pytest collects of a file (which no configuration of ours changes), but for what may be skipped."""
    return collected(path.read_text("utf-8"))


def collected(source: str) -> list[str]:
    body = ast.parse(source).body
    if any(skips(one) for one in body if not isinstance(one, ast.FunctionDef | ast.ClassDef)):
        return []
    return [
        one.name for one in body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_") and not skips(one)
    ]


def skips(statement: ast.stmt) -> bool:
    """Whether a statement can skip: names and calls count, texts do not."""
    called = {ast.unparse(node) for node in ast.walk(statement) if isinstance(node, ast.Attribute)}
    return any(name.endswith(one) for name in called for one in SKIPS) or any("mark.skipif" in name for name in called)


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def test_a(): pass", ["test_a"]),
        ("SAID = 'pytest.skip'\ndef test_a(): pass", ["test_a"]),
        ("@pytest.mark.skipif(True, reason='')\ndef test_a(): pass", []),
        ("def test_a():\n    if LATE:\n        pytest.skip('no')\ndef test_b(): pass", ["test_b"]),
        ("pytestmark = [pytest.mark.skip]\ndef test_a(): pass", []),
        ("if LATE:\n    pytest.skip('no', allow_module_level=True)\ndef test_a(): pass", []),
        ("x = pytest.importorskip('x')\ndef test_a(): pass", []),
    ],
)
def test_what_may_be_skipped_proves_nothing(source: str, found: list[str]) -> None:
    assert collected(source) == found


def code(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    return str(error.value.response["Error"]["Code"])


def acting(sandbox: Connection, env: dict[str, str], service: str) -> Any:
    keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
    return client(sandbox, service, **keys)


@pytest.mark.machineless
def test_an_empty_profile_is_refused(sandbox: Connection, account: Account) -> None:
    admin = faults_client.admin_env(sandbox)
    iam, ec2 = (acting(sandbox, admin, one) for one in ("iam", "ec2"))
    iam.create_instance_profile(InstanceProfileName="empty")
    request = account.request(IamInstanceProfile={"Name": "empty"})
    with pytest.raises(ClientError, match="no associated IAM Roles"):
        ec2.run_instances(**request)
    iam.delete_instance_profile(InstanceProfileName="empty")


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("device", "ebs", "expected"),
    [
        ("/dev/sda1", {"Throughput": 9_999}, "InvalidParameterValue"),
        ("/dev/sda1", {"Throughput": 2_000}, "InvalidParameterValue"),  # needs 8,000 IOPS
        ("/dev/sda1", {"VolumeInitializationRate": 1_000}, "InvalidParameterValue"),
        ("/dev/sdf", {"VolumeInitializationRate": 200}, "InvalidParameterCombination"),  # of no snapshot
        ("banana", {}, "InvalidParameterValue"),
    ],
)
def test_volumes_that_cannot_be_launched(account: Account, device: str, ebs: dict[str, Any], expected: str) -> None:
    volume = {"VolumeSize": 9, "VolumeType": "gp3"} | ebs
    request = account.request(BlockDeviceMappings=[{"DeviceName": device, "Ebs": volume}])
    assert code(account.ec2.run_instances, **request) == expected


def test_the_volumes_of_a_launch(account: Account) -> None:
    machine = account.launch(BlockDeviceMappings=[
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 9, "VolumeInitializationRate": 200}},
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2, "VolumeType": "gp3"}},
    ])  # fmt: skip
    mapped = {one["DeviceName"]: one["Ebs"] for one in account.describe(machine)["BlockDeviceMappings"]}
    ends = {device: ebs["DeleteOnTermination"] for device, ebs in mapped.items()}
    assert ends == {"/dev/sda1": True, "/dev/sdf": False}
    ids = [mapped[device]["VolumeId"] for device in ("/dev/sda1", "/dev/sdf")]
    root, other = account.ec2.describe_volumes(VolumeIds=ids)["Volumes"]
    assert (root["VolumeInitializationRate"], root["Size"], other["Size"]) == (200, 9, 2)
    account.end()
    account.ec2.delete_volume(VolumeId=ids[1])  # it has survived its instance
    assert code(account.ec2.delete_volume, VolumeId=ids[0]) == "InvalidVolume.NotFound"


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("specifications", "expected"),
    [
        ([{"ResourceType": "instance", "Tags": [TAG]}] * 2, "InvalidParameterValue"),
        ([{"ResourceType": "instance", "Tags": [TAG, *({"Key": f"k{n}", "Value": ""} for n in range(60))]}],
         "TagLimitExceeded"),
        ([{"ResourceType": "instance", "Tags": [TAG, TAG]}], "InvalidParameterValue"),
        ([{"ResourceType": one, "Tags": [TAG]} for one in ("instance", "banana")], "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_tag_specifications_that_are_refused(
    account: Account, specifications: list[dict[str, Any]], expected: str
) -> None:
    volume = {"ResourceType": "volume", "Tags": [TAG]}
    request = account.request(TagSpecifications=[*specifications, volume])
    assert code(account.ec2.run_instances, **request) == expected


@pytest.mark.machineless
def test_reservations_and_blocks_can_be_asked_for(boto: Boto) -> None:
    ec2 = boto("ec2")
    assert ec2.describe_capacity_reservations()["CapacityReservations"] == []
    unknown = {"CapacityReservationIds": ["cr-0123456789abcdef0"]}
    assert code(ec2.describe_capacity_reservations, **unknown) == "InvalidCapacityReservationId.NotFound"
    offered = ec2.describe_capacity_block_offerings
    asked = {"InstanceType": "p5.48xlarge", "InstanceCount": 1, "CapacityDurationHours": 24}
    assert offered(**asked)["CapacityBlockOfferings"] == []
    for wrong in ({"CapacityDurationHours": 25}, {"InstanceType": "m5.large"}, {"InstanceCount": 65}):
        assert code(offered, **(asked | wrong)) == "InvalidParameterValue"


@pytest.mark.machineless
@pytest.mark.parametrize(
    "name",
    [
        "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.9-ubuntu-24.04/latest/ami-id",
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    ],
)
def test_public_parameters_name_images(boto: Boto, name: str) -> None:
    image = boto("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    (found,) = boto("ec2").describe_images(ImageIds=[image])["Images"]
    assert found["RootDeviceName"] == found["BlockDeviceMappings"][0]["DeviceName"]


@pytest.mark.machineless
def test_who_may_not_list_is_not_told_what_is_missing(sandbox: Connection) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    blind = acting(sandbox, faults_client.plain_env(sandbox, policy), "s3")
    where = {"Bucket": sandbox.bucket, "Key": "never written"}
    assert code(blind.get_object, **where) == "AccessDenied"
    assert code(client(sandbox, "s3").get_object, **where) == "NoSuchKey"
