"""Quotas of EC2 in vCPUs: the Service Quotas service that tells them, and launches that go beyond them.

Sources: EC2 User Guide ("Amazon EC2 service quotas": which types count to which quota; running on-demand instances,
running Spot Instances and open Spot requests count), Service Quotas API reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from runctl_jupyter.sandbox.control.ec2.launch_rules import refuse
from runctl_jupyter.sandbox.control.ec2.machines import Machine
from runctl_jupyter.sandbox.control.ec2.paging import page
from runctl_jupyter.sandbox.control.faults.faults import QUOTA, Faults
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION

SERVICE = "ec2"
_NAME = "Amazon Elastic Compute Cloud (Amazon EC2)"


@dataclass(frozen=True)
class Quota:
    """A quota on the vCPUs of some families in one market."""

    code: str
    name: str
    value: float
    """In the account of the sandbox, unless a fault says otherwise."""
    default: float = 0.0
    """Of a new account."""


_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
_QUOTAS: Mapping[tuple[str, str], Quota] = {
    ("standard", "on-demand"): Quota("L-1216C47A", f"Running On-Demand {_STANDARD} instances", 8192, 5),
    ("standard", "spot"): Quota("L-34B43A08", f"All {_STANDARD} Spot Instance Requests", 8192, 5),
    ("g", "on-demand"): Quota("L-DB2E81BA", "Running On-Demand G and VT instances", 768),
    ("g", "spot"): Quota("L-3819A6DF", "All G and VT Spot Instance Requests", 768),
    ("p", "on-demand"): Quota("L-417A185B", "Running On-Demand P instances", 768),
    ("p", "spot"): Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", 768),
    ("p5", "spot"): Quota("L-C4BD4855", "All P5 Spot Instance Requests", 768),
    ("f", "on-demand"): Quota("L-74FC7D96", "Running On-Demand F instances", 0),
    ("f", "spot"): Quota("L-88CF9481", "All F Spot Instance Requests", 0),
    ("inf", "on-demand"): Quota("L-1945791B", "Running On-Demand Inf instances", 0),
    ("inf", "spot"): Quota("L-B5D1601B", "All Inf Spot Instance Requests", 0),
    ("trn", "on-demand"): Quota("L-2C3B7624", "Running On-Demand Trn instances", 0),
    ("trn", "spot"): Quota("L-6B0D517C", "All Trn Spot Instance Requests", 0),
    ("x", "on-demand"): Quota("L-7295265B", "Running On-Demand X instances", 0),
    ("x", "spot"): Quota("L-E3A00192", "All X Spot Instance Requests", 0),
}
_BY_CODE = {quota.code: quota for quota in _QUOTAS.values()}
_FAMILIES = {"g": "g", "gr": "g", "vt": "g", "p": "p", "f": "f", "inf": "inf", "trn": "trn", "x": "x",
             **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), "standard")}  # fmt: skip


def quota_of(instance_type: str, market: str) -> Quota | None:
    """Give the quota that a type counts to; None for families that the sandbox does not limit."""
    letters = re.match(r"[a-z]+", instance_type)
    family = _FAMILIES.get(letters[0] if letters else "", "")
    if family == "p" and market == "spot" and instance_type.startswith("p5"):
        family = "p5"
    return _QUOTAS.get((family, market))


def _vcpus(instance_type: str) -> int:
    return int(INSTANCE_TYPES[instance_type]["VCpuInfo"]["DefaultVCpus"])


class Quotas:
    """The account's quotas.

    Parameters
    ----------
    counted
        Gives the machines that count: pending and running ones, and those that have ended a moment ago.
    """

    def __init__(self, faults: Faults, counted: Callable[[], Iterable[Machine]]) -> None:
        self._faults = faults
        self._counted = counted

    def room(self, instance_type: str, market: str) -> int | None:
        """Give how many more instances of a type may run; None for no limit."""
        quota = quota_of(instance_type, market)
        if quota is None:
            return None
        used = sum(
            _vcpus(machine.instance.instance_type)
            for machine in self._counted()
            if quota_of(machine.instance.instance_type, machine.market) is quota
        )
        return max(0, int(self._value(quota) - used)) // _vcpus(instance_type)

    def check(self, instance_type: str, market: str, count: int = 1) -> None:
        """Refuse to run `count` more instances of a type when its quota has no room for them."""
        room = self.room(instance_type, market)
        if room is None or count <= room:
            return
        quota = quota_of(instance_type, market)
        self._faults.take(QUOTA, lambda rule: quota is not None and rule.code == quota.code)
        if market == "spot":
            raise refuse("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        raise refuse(
            "VcpuLimitExceeded",
            f"You have requested more vCPU capacity than your current vCPU limit of "
            f"{self._value(quota) if quota else 0:g} allows for the instance bucket that the specified instance type "
            "belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this "
            "limit.",
        )

    def _value(self, quota: Quota) -> float:
        told = [rule.value for rule in self._faults.rules(QUOTA) if rule.code == quota.code and rule.value is not None]
        return told[-1] if told else quota.value

    def answer(self, call: ServiceCall, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a call of the Service Quotas service."""
        applied = not call.action.startswith(("GetAWSDefault", "ListAWSDefault"))
        if call.action in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
            quota = _BY_CODE.get(parameters["QuotaCode"])
            if parameters["ServiceCode"] != SERVICE or quota is None:
                raise _no_such_resource("The request failed because the specified quota or service does not exist.")
            return {"Quota": self._shown(quota, applied=applied)}
        if call.action in ("ListServiceQuotas", "ListAWSDefaultServiceQuotas"):
            if parameters["ServiceCode"] != SERVICE:
                raise _no_such_resource("The request failed because the specified service does not exist.")
            wanted = parameters.get("QuotaCode")
            found = [self._shown(one, applied=applied) for one in _QUOTAS.values() if wanted in (None, one.code)]
            shown, following = page(found, parameters, least=1, most=100)
            return {"Quotas": shown, **({"NextToken": following} if following else {})}
        if call.action == "ListServices":
            return {"Services": [{"ServiceCode": SERVICE, "ServiceName": _NAME}]}
        raise ServiceError("UnknownOperationException", f"The sandbox does not implement servicequotas:{call.action}.")

    def _shown(self, quota: Quota, *, applied: bool) -> dict[str, Any]:
        owner = ACCOUNT_ID if applied else ""
        return {
            "ServiceCode": SERVICE,
            "ServiceName": _NAME,
            "QuotaArn": f"arn:aws:servicequotas:{REGION}:{owner}:{SERVICE}/{quota.code}",
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": float(self._value(quota) if applied else quota.default),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
            **({"QuotaAppliedAtLevel": "ACCOUNT"} if applied else {}),
        }


def known_quota(code: str) -> bool:
    """Whether there is a quota with this code."""
    return code in _BY_CODE


def _no_such_resource(message: str) -> ServiceError:
    return ServiceError("NoSuchResourceException", message)
