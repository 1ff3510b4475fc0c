"""An account whose answers tests choose, for launches that ask nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from botocore.exceptions import ClientError

from runctl_jupyter.orchestration.aws.launches import Answer, Refusal
from runctl_jupyter.orchestration.costs.price import Price
from runctl_jupyter.orchestration.errors import InstanceNotFound, PermissionDenied
from runctl_jupyter.orchestration.instances.images import Image
from runctl_jupyter.orchestration.instances.pools import Pool
from runctl_jupyter.orchestration.instances.requests import Blueprint
from runctl_jupyter.orchestration.instances.wish import Wish
from runctl_jupyter.run_record import MachineAsked

IMAGE = Image("ami-0a240400000018641", "ubuntu", "public parameter /aws/service/…", "/dev/sda1", 8)
Respond = Callable[[str, str, bool], str | None]
"""What becomes of a type in a zone and market: a code that refuses, or None for a machine."""


def pool(kind: str = "m5.large", zone: str = "us-east-1a", *, spot: bool = False, usd: float | None = 0.1) -> Pool:
    price = None if usd is None else Price(usd, "a test", None)
    return Pool(kind, zone, f"subnet-{zone[-1]}", spot, price)


def blueprint(script: str = "#!/bin/sh\n", *, keep_order: bool = True, **facts: Any) -> Blueprint:
    wish = Wish(MachineAsked(["m5.large"]), "a-name", 3600.0, job_id="261130-120000-abcd", **facts)
    return Blueprint(wish, IMAGE, 30, "runctl-instance", script, keep_order=keep_order)


def refused(code: str, operation: str = "RunInstances", message: str = "told to") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Market:
    """Stands for `Launches` and `Ec2`: launches what `respond` lets it; notes every request."""

    def __init__(self, respond: Respond, *, tries: int = 99, without: Sequence[str] = (), silent: bool = False) -> None:
        self.respond, self.tries, self.without, self.silent = respond, tries, without, silent
        self.fleets: list[Mapping[str, Any]] = []
        self.singles: list[Mapping[str, Any]] = []
        self.templates: list[str] = []
        self.machines: dict[str, dict[str, Any]] = {}
        self.message = "told to"
        self.dies: dict[str, str] = {}
        """Reasons by type: machines of these die while they are pending."""

    def template(self, name: str, data: Mapping[str, Any], tags: Sequence[Any]) -> AbstractContextManager[str]:
        if "CreateLaunchTemplate" in self.without:
            raise PermissionDenied("You may not make launch templates.", "Ask for it.")
        self.templates.append(name)
        return nullcontext(f"lt-{len(self.templates)}")

    def fleet(self, request: Mapping[str, Any]) -> Answer:
        self.fleets.append(request)
        if "CreateFleet" in self.without:
            return Answer(None, [Refusal(None, None, refused("UnauthorizedOperation", "CreateFleet"))])
        spot = request["TargetCapacitySpecification"]["DefaultTargetCapacityType"] == "spot"
        refusals = []
        for number, each in enumerate(request["LaunchTemplateConfigs"][0]["Overrides"]):
            kind, subnet = each["InstanceType"], each["SubnetId"]
            code = "UnfulfillableCapacity" if number >= self.tries else self.respond(kind, subnet[-1], spot)
            if code is None:
                return Answer(self._machine(kind, subnet, spot), refusals)
            refusals.append(Refusal(kind, subnet, refused(code, message=self.message), of_fleet=True))
        return Answer(None, () if self.silent else refusals)

    def run(self, request: Mapping[str, Any]) -> Answer:
        self.singles.append(request)
        kind, subnet = request["InstanceType"], request.get("NetworkInterfaces", [request])[0]["SubnetId"]
        code = self.respond(kind, subnet[-1], "InstanceMarketOptions" in request)
        if code is None:
            return Answer(self._machine(kind, subnet, "InstanceMarketOptions" in request))
        return Answer(None, [Refusal(kind, subnet, refused(code))])

    def _machine(self, kind: str, subnet: str, spot: bool) -> str:
        name = f"i-{len(self.machines)}"
        state, reason = ("terminated", {"Code": self.dies[kind]}) if kind in self.dies else ("running", {})
        self.machines[name] = {
            "InstanceId": name,
            "InstanceType": kind,
            "Placement": {"AvailabilityZone": f"us-east-1{subnet[-1]}"},
            "State": {"Name": state},
            "StateReason": reason,
            **({"InstanceLifecycle": "spot"} if spot else {}),
        }
        return name

    def new(self, instance_id: str) -> dict[str, Any]:
        return self.machines[instance_id]

    def describe_one(self, instance_id: str) -> dict[str, Any]:
        raise InstanceNotFound(f"EC2 knows no instance {instance_id}.", "A replica that lags.")
