"""The machine images of the sandbox and the public SSM parameters that name them.

Names, root devices and parameter paths are those of AWS (DLAMI release notes, "Find DLAMI ID" and Ubuntu's and
Amazon Linux's pages on public parameters); the ids are the sandbox's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models.amis import Ami
from moto.ssm.models import Parameter, ssm_backends

from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION

_CANONICAL = "099720109477"
_AMAZON = "137112412989"
_DEEP_LEARNING = "898082745236"
_UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current"
_DLAMI = "/aws/service/deeplearning/ami"
_AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default"


@dataclass(frozen=True)
class MachineImage:
    """An AMI as DescribeImages shows it. `parameters` are the public SSM parameters with its id."""

    image_id: str
    name: str
    owner_id: str
    architecture: str
    root_device_name: str
    root_gib: int
    parameters: tuple[str, ...]
    created: str = "2026-10-01T00:00:00+00:00"


IMAGES = (
    MachineImage(
        "ami-0a240400000018641",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20261001",
        _CANONICAL, "x86_64", "/dev/sda1", 8, (f"{_UBUNTU}/amd64/hvm/ebs-gp3/ami-id",),
    ),
    MachineImage(
        "ami-0a2404000000a4640",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20261001",
        _CANONICAL, "arm64", "/dev/sda1", 8, (f"{_UBUNTU}/arm64/hvm/ebs-gp3/ami-id",),
    ),
    MachineImage(
        "ami-0d1a2900000024041",
        "Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.9 (Ubuntu 24.04) 20261001",
        _DEEP_LEARNING, "x86_64", "/dev/sda1", 75,
        (f"{_DLAMI}/x86_64/oss-nvidia-driver-gpu-pytorch-2.9-ubuntu-24.04/latest/ami-id",),
    ),
    MachineImage(
        "ami-0d1aba5e000024041",
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20261001",
        _DEEP_LEARNING, "x86_64", "/dev/sda1", 65,
        (f"{_DLAMI}/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",),
    ),
    MachineImage(
        "ami-0a12023000000f641", "al2023-ami-2023.9.20261001.0-kernel-6.12-x86_64",
        _AMAZON, "x86_64", "/dev/xvda", 8, (f"{_AL2023}-x86_64",),
    ),
    MachineImage(
        "ami-0a1202300000a4640", "al2023-ami-2023.9.20261001.0-kernel-6.12-arm64",
        _AMAZON, "arm64", "/dev/xvda", 8, (f"{_AL2023}-arm64",),
    ),
)  # fmt: skip


class SandboxAmi(Ami):  # type: ignore[misc]
    """moto's AMI with the root size of the real image and the block device mapping that EC2 shows for it."""

    __module__ = "moto.ec2.models.amis"  # moto derives the service from the module's name

    def __init__(self, backend: Any, image: MachineImage) -> None:
        self.root_gib = image.root_gib
        super().__init__(
            backend, image.image_id, name=image.name, description=image.name, owner_id=image.owner_id,
            owner_alias="amazon", public=True, virtualization_type="hvm", architecture=image.architecture,
            creation_date=datetime.fromisoformat(image.created), hypervisor="xen", root_device_type="ebs",
            root_device_name=image.root_device_name, image_location=f"amazon/{image.name}",
            region_name=f"{REGION}a",
        )  # fmt: skip
        self.ebs_snapshot.volume.size = image.root_gib

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        """Root volume of instances of this image."""
        ebs = {"SnapshotId": self.ebs_snapshot.id, "VolumeSize": self.root_gib, "VolumeType": "gp3",
               "DeleteOnTermination": True, "Encrypted": False}  # fmt: skip
        return [{"DeviceName": self.root_device_name, "Ebs": ebs}]


def publish_parameters() -> None:
    """Put the images' ids under their public parameter names, where GetParameter and by-path calls read them."""
    parameters = ssm_backends[ACCOUNT_ID][REGION]._parameters  # noqa: SLF001 - PutParameter refuses /aws names
    parameters.latest_amis_loaded = True  # moto's own Amazon Linux ids name images that are not here
    for image in IMAGES:
        for name in image.parameters:
            parameters[name].append(
                Parameter(
                    account_id=ACCOUNT_ID, name=name, value=image.image_id, parameter_type="String",
                    description=None, allowed_pattern=None, keyid=None, version=1, data_type="aws:ec2:image",
                    last_modified_date=datetime.now(UTC),
                )
            )  # fmt: skip
