"""From a wish to a RunInstances request: type, image, disk, tags, limits; checked before anything is launched."""

from __future__ import annotations

import difflib
import getpass
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.costs.prices import known_types, on_demand_price, type_facts
from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused
from runctl_jupyter.orchestration.instances.describe import TAG_ATTEMPT, TAG_JOB, TAG_MANAGED, TAG_OWNER, TAG_TTL
from runctl_jupyter.orchestration.instances.user_data import LIMIT_BYTES, user_data
from runctl_jupyter.orchestration.model import LaunchPlan

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.config import LaunchSettings

TAG_IDLE_STOP = "runctl:idle-stop"
"""Seconds without any use after which the machine powers itself off."""

_UBUNTU = ("/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id",)
_DEEP_LEARNING = (
    "/aws/service/deeplearning/ami/{arch}/oss-nvidia-driver-gpu-pytorch-2.12-ubuntu-24.04/latest/ami-id",
    "/aws/service/deeplearning/ami/{arch}/oss-nvidia-driver-gpu-pytorch-2.9-ubuntu-24.04/latest/ami-id",
    "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
)
"""Public parameters, the newest first (DLAMI release notes); Canonical writes amd64, AWS x86_64."""

_ROOM_GIB = 22
"""Space beside the image: environments, data, checkpoints."""


@dataclass(frozen=True)
class TypeWanted:
    """What the launch needs to know of its instance type."""

    name: str
    arch: str
    gpus: int


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    instance_type: str
    name: str
    ttl_s: float
    volume_gib: int | None = None
    job_id: str | None = None
    attempt: int = 1
    """Of the job: each gets a machine of its own."""
    idle_stop_s: float | None = None


class Launcher:
    """Plans and makes launches.

    Parameters
    ----------
    ec2, ssm
        The account.
    settings
        Table ``[launch]``.
    region
        Where.
    """

    def __init__(self, ec2: Ec2, ssm: Ssm, settings: LaunchSettings, region: str) -> None:
        self._ec2, self._ssm, self._settings, self._region = ec2, ssm, settings, region

    def check_type(self, name: str) -> TypeWanted:
        """Return facts of an instance type; asks EC2 only for those that the shipped table does not know.

        Raises
        ------
        InvalidRequest
            There is no such type.
        """
        facts = type_facts(name)
        if facts is not None:
            return TypeWanted(name, facts.arch, facts.accelerator_count)
        found = self._ec2.instance_type(name)
        if found is None:
            close = difflib.get_close_matches(name, known_types(), 1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise InvalidRequest(
                f"There is no instance type {name!r} in {self._region}.",
                f"{hint}For example: g5.xlarge, g4dn.xlarge, m5.large.",
            )
        architectures = found.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
        gpus = sum(gpu.get("Count", 0) for gpu in found.get("GpuInfo", {}).get("Gpus", []))
        return TypeWanted(name, "arm64" if "arm64" in architectures else "x86_64", gpus)

    def plan(self, wish: Wish) -> LaunchPlan:
        """Return what `launch` would do."""
        image = self._ec2.image(self._image_id(self.check_type(wish.instance_type)))
        price = on_demand_price(wish.instance_type, self._region)
        per_hour = price.per_hour if price else None
        return LaunchPlan(
            instance_type=wish.instance_type,
            image_id=image["ImageId"],
            image_name=image.get("Name", ""),
            region=self._region,
            availability_zones=[],
            volume_gib=wish.volume_gib or self._volume_gib(image),
            spot=False,
            price_per_hour=per_hour,
            price_source=price.source if price else "unknown: not in the shipped table",
            ttl_s=wish.ttl_s,
            total_at_ttl_usd=None if per_hour is None else per_hour * wish.ttl_s / 3600,
        )

    def launch(self, wish: Wish, bootstrap: str | None = None) -> Any:
        """Launch one instance and return EC2's description of it.

        Parameters
        ----------
        bootstrap
            Script that starts the job's runner at the first boot; the machine is then the job's own.

        Raises
        ------
        LaunchRefused, InvalidRequest, PermissionDenied, CredentialsMissing
            AWS did not launch it; nothing is left behind.
        """
        image = self._ec2.image(self._image_id(self.check_type(wish.instance_type)))
        script = user_data(wish.ttl_s, bootstrap, wish.idle_stop_s)
        if len(script.encode()) > LIMIT_BYTES:
            raise LaunchRefused("The machine's start script is larger than 16 KB.", "Shorten the job's arguments.")
        tags = self._tags(wish)
        root = image["RootDeviceName"]
        return self._ec2.run(
            {
                "ImageId": image["ImageId"],
                "InstanceType": wish.instance_type,
                "MinCount": 1,
                "MaxCount": 1,
                # Ours, so that botocore's own retry of a lost answer cannot launch a second machine.
                "ClientToken": f"{wish.job_id}-{wish.attempt}" if wish.job_id else uuid.uuid4().hex,
                "IamInstanceProfile": {"Name": self._settings.instance_profile},
                "InstanceInitiatedShutdownBehavior": "terminate",
                "MetadataOptions": {
                    "HttpTokens": "required",
                    "HttpEndpoint": "enabled",
                    # Two hops, or containers on a docker bridge get no credentials.
                    "HttpPutResponseHopLimit": 2,
                },
                "BlockDeviceMappings": [
                    {
                        "DeviceName": root,
                        "Ebs": {
                            "VolumeSize": wish.volume_gib or self._volume_gib(image),
                            "VolumeType": "gp3",
                            "DeleteOnTermination": True,
                        },
                    }
                ],
                "TagSpecifications": [
                    {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")
                ],
                "UserData": script,
            }
        )

    def _image_id(self, wanted: TypeWanted) -> str:
        if self._settings.ami:
            return self._settings.ami
        if wanted.gpus:
            names = [name.format(arch=wanted.arch) for name in _DEEP_LEARNING]
        else:
            names = [name.format(arch="arm64" if wanted.arch == "arm64" else "amd64") for name in _UBUNTU]
        found = self._ssm.first_parameter(names)
        if found is None:
            raise LaunchRefused(
                f"AWS names no machine image for {wanted.name} in {self._region}.",
                "Set ami under [launch] in .runctl.toml.",
            )
        return found

    def _volume_gib(self, image: Any) -> int:
        if self._settings.volume_size:
            return self._settings.volume_size
        mappings = image.get("BlockDeviceMappings", [])
        sizes = [int(m.get("Ebs", {}).get("VolumeSize", 0)) for m in mappings]
        return _ROOM_GIB + max([8, *sizes])

    def _tags(self, wish: Wish) -> list[dict[str, str]]:
        tags = {
            "Name": wish.name,
            TAG_MANAGED: "true",
            TAG_OWNER: getpass.getuser(),
            TAG_TTL: str(int(wish.ttl_s)),
        }
        if wish.job_id:
            tags[TAG_JOB], tags[TAG_ATTEMPT] = wish.job_id, str(wish.attempt)
        if wish.idle_stop_s is not None:
            tags[TAG_IDLE_STOP] = str(int(wish.idle_stop_s))
        return [{"Key": key, "Value": value} for key, value in tags.items()]
