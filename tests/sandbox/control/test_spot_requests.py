"""Persistent Spot requests: who may stop and start, what comes back, and how it is ended for good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runctl_jupyter.sandbox import faults_client
from runctl_jupyter.sandbox.connection import Connection
from tests.sandbox.control.conftest import Account
from tests.sandbox.control.test_launch_templates import refusal
from tests.sandbox.control.test_users import acting

PERSISTENT = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}


@pytest.fixture(autouse=True)
def no_fault_stays(sandbox: Connection) -> Iterator[None]:
    yield
    faults_client.clear(sandbox)


def spot(**options: Any) -> dict[str, Any]:
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


class Request:
    """A Spot request and its instance."""

    def __init__(self, account: Account, **changes: Any) -> None:
        self.account, self.ec2 = account, account.ec2
        self.first = account.launch(**spot(**PERSISTENT), **changes)
        self.id = account.describe(self.first)["SpotInstanceRequestId"]

    def seen(self) -> dict[str, Any]:
        (found,) = self.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[self.id])["SpotInstanceRequests"]
        return dict(found)

    def words(self) -> tuple[str, str]:
        seen = self.seen()
        return seen["State"], seen["Status"]["Code"]


@pytest.fixture
def request_(account: Account) -> Iterator[Request]:
    own = [{"Key": "runctl:managed", "Value": "true"}]
    kinds = ("instance", "volume", "spot-instances-request")
    found = Request(account, TagSpecifications=[{"ResourceType": kind, "Tags": own} for kind in kinds])
    yield found
    if found.seen()["State"] not in ("cancelled", "closed"):
        account.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[found.id])
    last = found.seen()["InstanceId"]
    if last not in account.launched:
        account.launched.append(last)


def test_a_persistent_instance_can_be_stopped_and_started(account: Account, request_: Request) -> None:
    assert request_.words() == ("active", "fulfilled")
    shown = request_.seen()
    assert (shown["Type"], shown["InstanceInterruptionBehavior"]) == ("persistent", "stop")
    account.await_state(request_.first, "running")
    account.ec2.stop_instances(InstanceIds=[request_.first])
    assert request_.words() == ("disabled", "instance-stopped-by-user")
    account.await_state(request_.first, "stopped")
    account.ec2.start_instances(InstanceIds=[request_.first])
    account.await_state(request_.first, "running")
    assert request_.words() == ("active", "fulfilled")


def test_a_terminated_persistent_instance_is_replaced_until_its_request_is_cancelled(
    account: Account, request_: Request, sandbox: Connection
) -> None:
    faults_client.add(sandbox, "no-capacity", market="spot")
    account.ec2.terminate_instances(InstanceIds=[request_.first])
    account.await_state(request_.first, "terminated")
    account.until(lambda: request_.words() == ("open", "capacity-not-available"))
    faults_client.clear(sandbox)
    account.until(lambda: request_.words() == ("active", "fulfilled"))
    second = request_.seen()["InstanceId"]
    assert second != request_.first
    account.launched.append(second)
    before, after = (account.describe(one) for one in (request_.first, second))
    for name in ("InstanceType", "Placement", "SpotInstanceRequestId", "Tags"):
        assert after[name] == before[name]
    account.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request_.id])
    assert request_.words() == ("cancelled", "request-canceled-and-instance-running")
    account.ec2.terminate_instances(InstanceIds=[second])
    account.await_state(second, "terminated")
    assert request_.words() == ("cancelled", "instance-terminated-by-user")
    assert request_.seen()["InstanceId"] == second


@pytest.mark.machineless
def test_what_can_no_longer_be_launched_ends_the_request(account: Account, sandbox: Connection) -> None:
    env = faults_client.admin_env(sandbox)
    iam, ec2 = (acting(sandbox, env, name) for name in ("iam", "ec2"))
    iam.create_instance_profile(InstanceProfileName="goes")
    iam.add_role_to_instance_profile(InstanceProfileName="goes", RoleName="runctl-instance")
    asked = account.request(IamInstanceProfile={"Name": "goes"}, **spot(**PERSISTENT))
    (made,) = ec2.run_instances(**asked)["Instances"]
    account.launched.append(made["InstanceId"])
    iam.remove_role_from_instance_profile(InstanceProfileName="goes", RoleName="runctl-instance")
    iam.delete_instance_profile(InstanceProfileName="goes")
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])

    def seen() -> tuple[str, str, str]:
        ids = [made["SpotInstanceRequestId"]]
        (found,) = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=ids)["SpotInstanceRequests"]
        return found["State"], found["Status"]["Code"], found["InstanceId"]

    account.until(lambda: seen() == ("closed", "bad-parameters", made["InstanceId"]))
    filters = [{"Name": "spot-instance-request-id", "Values": [made["SpotInstanceRequestId"]]}]
    (only,) = (one for each in ec2.describe_instances(Filters=filters)["Reservations"] for one in each["Instances"])
    assert only["InstanceId"] == made["InstanceId"]


@pytest.mark.machineless
def test_a_request_that_waits_too_long_is_closed(account: Account, sandbox: Connection) -> None:
    until = datetime.now(UTC) + timedelta(seconds=6)
    first = account.launch(**spot(**PERSISTENT, ValidUntil=until))
    request_id = account.describe(first)["SpotInstanceRequestId"]
    faults_client.add(sandbox, "no-capacity", market="spot")
    account.ec2.terminate_instances(InstanceIds=[first])

    def words() -> tuple[str, str]:
        found = account.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])
        (request,) = found["SpotInstanceRequests"]
        return request["State"], request["Status"]["Code"]

    shown = account.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request_id])
    assert abs(shown["SpotInstanceRequests"][0]["ValidUntil"] - until) < timedelta(seconds=1)
    account.until(lambda: words() == ("open", "capacity-not-available"))
    account.until(lambda: words() == ("closed", "schedule-expired"))


def test_cancelling_the_request_of_a_stopped_instance_terminates_it(account: Account, request_: Request) -> None:
    account.await_state(request_.first, "running")
    account.ec2.stop_instances(InstanceIds=[request_.first])
    account.await_state(request_.first, "stopped")
    account.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request_.id])
    account.await_state(request_.first, "terminated")
    assert request_.words()[0] == "cancelled"


def test_an_interruption_stops_and_only_ec2_starts_again(
    account: Account, request_: Request, sandbox: Connection
) -> None:
    account.await_state(request_.first, "running")
    faults_client.add(sandbox, "no-capacity", market="spot")  # what is taken away is needed elsewhere
    said = faults_client.reclaim(sandbox, request_.first, notice_s=5.0)
    assert said.action == "stop"
    assert (request_.words(), account.state(request_.first)) == (("active", "marked-for-stop"), "running")
    account.await_state(request_.first, "stopped")
    assert account.describe(request_.first)["StateReason"]["Code"] == "Server.SpotInstanceShutdown"
    assert request_.words()[0] == "open"
    assert refusal(account.ec2.start_instances, InstanceIds=[request_.first]) == "IncorrectSpotRequestState"
    faults_client.clear(sandbox)
    account.await_state(request_.first, "running")
    assert request_.words() == ("active", "fulfilled")


def test_a_persistent_instance_that_powers_itself_off_is_stopped(account: Account, request_: Request) -> None:
    account.until(lambda: account.online(request_.first))
    account.send(request_.first, "shutdown -h now")
    account.await_state(request_.first, "stopped")
    assert request_.words() == ("disabled", "instance-stopped-by-user")


@pytest.mark.machineless
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"SpotInstanceType": "persistent"}, "InvalidParameterCombination"),
        ({"InstanceInterruptionBehavior": "stop"}, "InvalidParameterCombination"),
        ({"ValidUntil": "2030-01-01T00:00:00Z"}, "InvalidParameterCombination"),
        ({"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "hibernate"}, "UnsupportedOperation"),
        ({"BlockDurationMinutes": 60}, "UnsupportedOperation"),
        ({"MaxPrice": "0.0005"}, "InvalidParameterValue"),
    ],
)
def test_what_a_spot_request_may_not_ask(account: Account, options: dict[str, Any], code: str) -> None:
    block = {"InstanceMarketOptions": {"MarketType": "capacity-block"}}
    assert refusal(account.ec2.run_instances, **account.request(**block)) == "UnsupportedOperation"
    assert refusal(account.ec2.run_instances, **account.request(**spot(**options))) == code
