"""The requests that launch a machine, as EC2 takes them: what a machine is made of, a fleet of one, a single launch."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runctl_jupyter.orchestration.errors import LaunchRefused
from runctl_jupyter.orchestration.instances.images import Image
from runctl_jupyter.orchestration.instances.pools import Pool
from runctl_jupyter.orchestration.instances.user_data import LIMIT_BYTES
from runctl_jupyter.orchestration.instances.wish import Wish

_DISK = "gp3"
"""Said always: CreateVolume and old images take gp2 otherwise."""


@dataclass(frozen=True)
class Blueprint:
    """All that is the same wherever the machine comes from."""

    wish: Wish
    image: Image
    volume_gib: int
    profile: str
    script: str
    """User data."""
    keep_order: bool
    """Whether the types were named in an order of preference."""

    def __post_init__(self) -> None:
        size = len(self.script.encode())
        if size > LIMIT_BYTES:
            raise LaunchRefused(
                f"The machine's start script has {size:,} bytes; EC2 takes {LIMIT_BYTES:,}.",
                "Shorten the job's arguments.",
            )

    def template_data(self, *, spot: bool) -> dict[str, Any]:
        """Return the data of a launch template (EC2 API reference, RequestLaunchTemplateData)."""
        kinds = ["network-interface", *(["spot-instances-request"] if spot else [])]
        return {
            **self._common(),
            "UserData": base64.b64encode(self.script.encode()).decode(),
            # CreateFleet tags instance and volumes, and must be seen to: it is what a policy asks for. These two it
            # cannot tag.
            "TagSpecifications": self._tagged(kinds),
        }

    def fleet(self, template_id: str, pools: Sequence[Pool], number: int) -> dict[str, Any]:
        """Return a request to CreateFleet for one machine out of any of `pools`, which are of one market."""
        spot = pools[0].spot
        overrides: list[dict[str, Any]] = [
            {"InstanceType": pool.instance_type, "SubnetId": pool.subnet_id} for pool in pools
        ]
        request: dict[str, Any] = {
            "Type": "instant",
            "ClientToken": self.wish.token("fleet", template_id, number),
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": 1,
                "DefaultTargetCapacityType": "spot" if spot else "on-demand",
            },
            "TagSpecifications": self._tagged(["fleet", "instance", "volume"]),
        }
        if spot:
            request["SpotOptions"] = {
                "AllocationStrategy": "price-capacity-optimized",
                "InstanceInterruptionBehavior": "terminate",
            }
        elif self.keep_order:
            request["OnDemandOptions"] = {"AllocationStrategy": "prioritized"}
            order = list(dict.fromkeys(pool.instance_type for pool in pools))
            for override in overrides:
                override["Priority"] = float(order.index(override["InstanceType"]))
        else:
            request["OnDemandOptions"] = {"AllocationStrategy": "lowest-price"}
        specification = {"LaunchTemplateId": template_id, "Version": "1"}
        request["LaunchTemplateConfigs"] = [{"LaunchTemplateSpecification": specification, "Overrides": overrides}]
        return request

    def single(self, pool: Pool, number: int) -> dict[str, Any]:
        """Return a request to RunInstances for a machine out of one pool."""
        kinds = ["instance", "volume", "network-interface", *(["spot-instances-request"] if pool.spot else [])]
        request = {
            **self._common(),
            "InstanceType": pool.instance_type,
            **_place(pool),
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": self.wish.token(pool.instance_type, pool.subnet_id, pool.spot, number),
            "TagSpecifications": self._tagged(kinds),
            "UserData": self.script,
        }
        if pool.spot:
            # One-time: a persistent request would launch anew what has been terminated.
            options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        return request

    def _common(self) -> dict[str, Any]:
        disk = {"VolumeSize": self.volume_gib, "VolumeType": _DISK, "DeleteOnTermination": True}
        return {
            "ImageId": self.image.id,
            "IamInstanceProfile": {"Name": self.profile},
            # Power-off is the end, also where neither notebook nor SSM nor IAM work.
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {
                "HttpTokens": "required",
                "HttpEndpoint": "enabled",
                # Two hops, or containers on a docker bridge get no credentials.
                "HttpPutResponseHopLimit": 2,
            },
            "BlockDeviceMappings": [{"DeviceName": self.image.root_device, "Ebs": disk}],
        }

    def _tagged(self, kinds: Sequence[str]) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": self.wish.tags()} for kind in kinds]


def _place(pool: Pool) -> dict[str, Any]:
    if not pool.needs_address:
        return {"SubnetId": pool.subnet_id}
    # Only an interface of the request can ask for an address, and then it has the subnet (EC2 API reference,
    # RunInstances).
    interface = {
        "DeviceIndex": 0,
        "SubnetId": pool.subnet_id,
        "AssociatePublicIpAddress": True,
        "DeleteOnTermination": True,
    }
    return {"NetworkInterfaces": [interface]}
