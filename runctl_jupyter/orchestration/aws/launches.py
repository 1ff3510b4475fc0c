"""The calls that launch machines: CreateFleet of type ``instant`` with a launch template, or RunInstances.

Each is sent once by botocore, which would repeat refusals for want of capacity (they are HTTP 500); what may pass is
repeated here, with the same token: what an earlier try has launched, whose answer was lost, is what comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_random_exponential,
)

from runctl_jupyter.orchestration.aws.decoding import decode
from runctl_jupyter.orchestration.aws.failures import ASKED, PERMISSION, aws_errors, code_of, masked, may_pass

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

    from runctl_jupyter.orchestration.aws.session import AwsSession

_log = logging.getLogger(__name__)

_TRIES = 8
_UNKNOWN_TEMPLATE_S = 8.0
"""A template that has just been made may be unknown to other calls (EC2 API reference, "Eventual consistency")."""


@dataclass(frozen=True)
class Refusal:
    """Why no machine came of a type in a subnet; None for either means all that were asked for."""

    instance_type: str | None
    subnet_id: str | None
    error: ClientError
    of_fleet: bool = False
    """Whether a fleet met it on its way: nobody has tried again."""

    @property
    def code(self) -> str:
        """AWS's code."""
        return code_of(self.error)

    @property
    def message(self) -> str:
        """AWS's words."""
        return str(self.error.response.get("Error", {}).get("Message", ""))


@dataclass(frozen=True)
class Answer:
    """What came of a request for one machine."""

    instance_id: str | None
    refusals: Sequence[Refusal] = ()


class Launches:
    """Launches of one session."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    def run(self, request: Mapping[str, Any]) -> Answer:
        """Launch one machine with RunInstances."""
        from botocore.exceptions import ClientError

        place = request.get("NetworkInterfaces", [request])[0]
        kind, subnet = request["InstanceType"], place.get("SubnetId")
        with aws_errors(f"launch {kind}"):
            try:
                answer = patiently()(self._session.launcher.run_instances, **request)
            except ClientError as error:
                return Answer(None, [Refusal(kind, subnet, error)])
        return Answer(answer["Instances"][0]["InstanceId"])

    def fleet(self, request: Mapping[str, Any]) -> Answer:
        """Launch one machine with CreateFleet: an answer without one lists why (CreateFleetError)."""
        from botocore.exceptions import ClientError

        with aws_errors("launch a machine"):
            try:
                answer = patiently()(self._session.launcher.create_fleet, **request)
            except ClientError as error:
                return Answer(None, [Refusal(None, None, error)])
        refusals = [self._refusal(each) for each in answer.get("Errors", [])]
        denied = next((each for each in refusals if each.code in PERMISSION), None)
        if denied is not None:  # the first is the one that is told
            said: Any = denied.error.response["Error"]
            decode(said, self._session.decoder)
        ids = [one for each in answer.get("Instances", []) for one in each.get("InstanceIds", [])]
        return Answer(ids[0] if ids else None, refusals)

    @contextmanager
    def template(self, name: str, data: Mapping[str, Any], tags: Sequence[Mapping[str, str]]) -> Iterator[str]:
        """Give the id of a launch template that is there for as long as this lasts.

        Raises
        ------
        PermissionDenied
            And other refusals to make it.
        """
        with aws_errors("make a launch template"):
            # Unlike RunInstances, botocore does not encode user data here: `data` has it in base64.
            made = patiently()(
                self._session.launcher.create_launch_template,
                LaunchTemplateName=name,
                LaunchTemplateData=data,
                ClientToken=name,
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": list(tags)}],
            )
        template_id = str(made["LaunchTemplate"]["LaunchTemplateId"])
        try:
            yield template_id
        finally:
            self._delete_template(template_id)

    def _delete_template(self, template_id: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        def unknown(error: BaseException) -> bool:
            return isinstance(error, ClientError) and code_of(error) == "InvalidLaunchTemplateId.NotFound"

        # A launch that is refused at once leaves a template so new that it cannot be deleted yet.
        known = Retrying(
            retry=retry_if_exception(unknown),
            wait=wait_exponential(multiplier=0.25, max=2),
            stop=stop_after_delay(_UNKNOWN_TEMPLATE_S),
            reraise=True,
        )
        try:
            known(self._session.ec2.delete_launch_template, LaunchTemplateId=template_id)
        except (ClientError, BotoCoreError) as error:
            if unknown(error):
                return  # an earlier try whose answer was lost
            # It costs nothing and has our tag: what cleans up finds it. The launch is worth more.
            _log.warning("the launch template %s could not be deleted: %s", template_id, masked(str(error)))

    def find(self, tag: str, value: str) -> str | None:
        """Return the id of a machine with this tag that lives or is about to."""
        with aws_errors("look for a machine launched before"):
            answer = self._session.ec2.describe_instances(
                Filters=[
                    {"Name": f"tag:{tag}", "Values": [value]},
                    {"Name": "instance-state-name", "Values": ["pending", "running"]},
                ]
            )
        found = [i["InstanceId"] for reservation in answer["Reservations"] for i in reservation.get("Instances", [])]
        return found[0] if found else None

    def _refusal(self, described: Mapping[str, Any]) -> Refusal:
        from botocore.exceptions import ClientError

        overrides = described.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        kind = overrides.get("InstanceType")
        said: dict[str, Any] = {
            "Code": described.get("ErrorCode", "Unknown"),
            "Message": described.get("ErrorMessage", ""),
            ASKED: {
                "instance_type": kind or "",
                "region": self._session.region,
                "spot": described.get("Lifecycle") == "spot",
            },
        }
        refusal: Any = {"Error": said}
        # A fleet launches as its caller would by RunInstances, with the rights for that.
        return Refusal(kind, overrides.get("SubnetId"), ClientError(refusal, "RunInstances"), of_fleet=True)


def patiently() -> Retrying:
    """Return what tries again where that may help; botocore's own retries would also ask for capacity again."""
    return Retrying(
        retry=retry_if_exception(may_pass),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        stop=stop_after_attempt(_TRIES),
        reraise=True,
    )
