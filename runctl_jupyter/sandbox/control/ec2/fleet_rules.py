"""What CreateFleet refuses as a whole (EC2 API reference, CreateFleet; EC2 User Guide, "Instant fleet")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runctl_jupyter.sandbox.control.ec2 import launch_rules as rules
from runctl_jupyter.sandbox.control.ec2.launch_rules import Request, invalid_value, refuse

MAX_TEMPLATE_CONFIGS = 50
TAG_KINDS = ("fleet", "instance", "volume", "network-interface")
_STRATEGIES = {
    "SpotOptions": ("lowest-price", "capacity-optimized", "capacity-optimized-prioritized",
                    "price-capacity-optimized"),
    "OnDemandOptions": ("lowest-price", "prioritized"),
}  # fmt: skip
_NOT_HERE = "is not supported by the sandbox."


def check_fleet(request: Request) -> None:
    """Refuse a request for a fleet that EC2, or the sandbox, cannot make."""
    rules.check_client_token(request)
    kind = request.get("Type", "maintain")
    if kind != "instant":
        raise refuse("UnsupportedOperation", f"A fleet of type {kind} {_NOT_HERE} Ask for type instant.")
    if request.get("ReplaceUnhealthyInstances"):
        raise refuse(
            "InvalidParameterCombination",
            "ReplaceUnhealthyInstances can be specified only for fleets of type maintain.",
        )
    configs = request.get("LaunchTemplateConfigs") or []
    if not configs:
        raise refuse("MissingParameter", "The request must contain the parameter LaunchTemplateConfigs")
    if len(configs) > MAX_TEMPLATE_CONFIGS:
        raise invalid_value(f"The number of launch template configs exceeds {MAX_TEMPLATE_CONFIGS}.")
    for config in configs:
        if not config.get("LaunchTemplateSpecification"):
            raise refuse("MissingParameter", "The request must contain the parameter LaunchTemplateSpecification")
        for override in config.get("Overrides") or []:
            _check_override(override)
    targets_of(request)
    _check_options(request)
    rules.check_tags(request, spot=False, kinds=TAG_KINDS)


def targets_of(request: Request) -> dict[str, int]:
    """Give how many instances are wanted of each market."""
    asked = request.get("TargetCapacitySpecification") or {}
    if "TotalTargetCapacity" not in asked:
        raise refuse("MissingParameter", "The request must contain the parameter TotalTargetCapacity")
    total = int(asked["TotalTargetCapacity"])
    default = asked.get("DefaultTargetCapacityType", "on-demand")
    if default not in ("spot", "on-demand"):
        raise refuse("UnsupportedOperation", f"The target capacity type {default} {_NOT_HERE}")
    if total < 1:
        raise invalid_value("TotalTargetCapacity must be greater than 0.")
    if asked.get("TargetCapacityUnitType", "units") != "units":
        raise refuse("UnsupportedOperation", f"The unit {asked['TargetCapacityUnitType']} {_NOT_HERE}")
    targets = {
        "on-demand": int(asked.get("OnDemandTargetCapacity", 0)),
        "spot": int(asked.get("SpotTargetCapacity", 0)),
    }
    rest = total - sum(targets.values())
    if rest < 0 or min(targets.values()) < 0:
        raise refuse(
            "InvalidParameterCombination",
            "The sum of OnDemandTargetCapacity and SpotTargetCapacity must not exceed TotalTargetCapacity.",
        )
    targets[default] += rest
    return targets


def _check_options(request: Request) -> None:
    for name, strategies in _STRATEGIES.items():
        options: Mapping[str, Any] = request.get(name) or {}
        strategy = options.get("AllocationStrategy", "lowest-price")
        if strategy == "diversified" and name == "SpotOptions":
            raise refuse("UnsupportedOperation", f"The allocation strategy diversified {_NOT_HERE}")
        if strategy not in strategies:
            raise invalid_value(f"Invalid value '{strategy}' for {name}.AllocationStrategy.")
        for other in ("MinTargetCapacity", "MaxTotalPrice", "SingleInstanceType", "SingleAvailabilityZone",
                      "MaintenanceStrategies", "CapacityReservationOptions"):  # fmt: skip
            if options.get(other):
                raise refuse("UnsupportedOperation", f"{name}.{other} {_NOT_HERE}")
    if (request.get("SpotOptions") or {}).get("InstanceInterruptionBehavior", "terminate") != "terminate":
        raise invalid_value(
            'SpotOptions.InstanceInterruptionBehavior must be null or "terminate" for given fleet type.'
        )
    if request.get("ReservedCapacityOptions"):
        raise refuse("UnsupportedOperation", f"ReservedCapacityOptions {_NOT_HERE}")


def _check_override(override: Mapping[str, Any]) -> None:
    if override.get("SubnetId") and override.get("AvailabilityZone"):
        raise refuse("InvalidParameterCombination", "Specify either SubnetId or AvailabilityZone, but not both.")
    if override.get("InstanceRequirements"):
        raise refuse("UnsupportedOperation", f"Choosing types by InstanceRequirements {_NOT_HERE}")
    if float(override.get("WeightedCapacity", 1)) != 1:
        raise refuse("UnsupportedOperation", f"A weighted capacity {_NOT_HERE}")
    if float(override.get("Priority", 0)) < 0:
        raise invalid_value("Priority must be a number of 0 or more.")
    rules.check_max_price(override.get("MaxPrice"))
