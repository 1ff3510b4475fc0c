"""Which machine image a launch uses: the setting's, or the newest that AWS names for the type; resolved to an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.errors import InvalidRequest, LaunchRefused

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.ssm import Ssm
    from runctl_jupyter.orchestration.config import LaunchSettings
    from runctl_jupyter.orchestration.costs.prices import TypeFacts

_UBUNTU = ("/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id",)
_DEEP_LEARNING = (
    "/aws/service/deeplearning/ami/{arch}/oss-nvidia-driver-gpu-pytorch-2.12-ubuntu-24.04/latest/ami-id",
    "/aws/service/deeplearning/ami/{arch}/oss-nvidia-driver-gpu-pytorch-2.9-ubuntu-24.04/latest/ami-id",
    "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
    "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-ubuntu-24.04/latest/ami-id",
)
"""Public parameters, the newest first (DLAMI release notes); Canonical writes amd64, AWS x86_64. The last is an old
spelling that AWS's documentation still has."""

_BY_NAME = {
    True: ("898082745236", "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) *"),
    False: ("099720109477", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*"),
}
"""Owner and name of images, with GPUs and without, for where no parameter is known (DLAMI Developer Guide, "Find DLAMI
ID"; Ubuntu on AWS, "Find images")."""

_NEEDS_CLOSED_DRIVER = frozenset({"K80", "M60", "V100"})
"""GPUs of EC2 older than Turing (P2, G3, P3): NVIDIA's open kernel modules, which these images have, do not know them
(NVIDIA Technical Blog, "NVIDIA Transitions Fully Towards Open-Source GPU Kernel Modules"). AWS's last image for them
is Amazon Linux 2."""

ROOM_GIB = 22
"""Space beside the image: environments, data, checkpoints."""


@dataclass(frozen=True)
class Image:
    """A machine image."""

    id: str
    name: str
    found_by: str
    """How it was chosen: the public parameter, the name, or the setting."""
    root_device: str
    root_gib: int
    """The least its root disk can have."""

    def volume_gib(self, asked: int | None, settings: LaunchSettings) -> int:
        """Return the size of the root disk.

        Raises
        ------
        InvalidRequest
            What was asked for is smaller than the image.
        """
        wanted = asked or settings.volume_size
        if wanted is not None and wanted < self.root_gib:
            raise InvalidRequest(
                f"A disk of {wanted} GiB is too small: the image {self.name or self.id} has {self.root_gib} GiB.",
                f"Give --volume-size {self.root_gib + ROOM_GIB}, or leave it out.",
            )
        return wanted or self.root_gib + ROOM_GIB


def is_served(facts: TypeFacts) -> bool:
    """Whether the images found here drive a type's GPUs, if it has any."""
    return facts.accelerator not in _NEEDS_CLOSED_DRIVER


def find_image(ec2: Ec2, ssm: Ssm, settings: LaunchSettings, types: Sequence[TypeFacts], region: str) -> Image:
    """Return the image for types of one architecture, all with GPUs or all without.

    Raises
    ------
    LaunchRefused
        There is none.
    """
    facts = types[0]
    if settings.ami:
        described: Any = ec2.image(settings.ami)
        if described is None:
            raise LaunchRefused(
                f"There is no machine image {settings.ami} in {region}.",
                "Images belong to a region: change ami under [launch] in .runctl.toml, or leave it out.",
            )
        return _image(described, "ami under [launch]")
    unserved = next((each for each in types if not is_served(each)), None)
    if unserved is not None:
        raise LaunchRefused(
            f"AWS's current images have NVIDIA's open driver, which does not know the {unserved.accelerator} of "
            f"{unserved.name}.",
            "Set ami under [launch] in .runctl.toml to one with the proprietary driver, or take g4dn, g5 or newer.",
        )
    gpu = facts.accelerator_count > 0
    canonical = "arm64" if facts.arch == "arm64" else "amd64"
    names = [name.format(arch=facts.arch if gpu else canonical) for name in (_DEEP_LEARNING if gpu else _UBUNTU)]
    parameter = ssm.first_parameter(names)
    if parameter is not None:
        described = ec2.image(parameter[1])
        if described is not None:
            return _image(described, f"public parameter {parameter[0]}")
    owner, name = _BY_NAME[gpu]
    if facts.arch == "x86_64" or not gpu:
        described = ec2.newest_image(owner, name.format(arch=canonical))
        if described is not None:
            return _image(described, f"the newest that {owner} calls so")
    raise LaunchRefused(
        f"AWS names no machine image for {facts.name} in {region}.",
        "Set ami under [launch] in .runctl.toml.",
    )


def _image(described: Any, found_by: str) -> Image:
    root = described["RootDeviceName"]
    # Of the root alone: other disks of an image come as they are.
    sizes = [
        int(mapping.get("Ebs", {}).get("VolumeSize", 0))
        for mapping in described.get("BlockDeviceMappings", [])
        if mapping.get("DeviceName") == root
    ]
    return Image(described["ImageId"], described.get("Name", ""), found_by, root, max([8, *sizes]))
