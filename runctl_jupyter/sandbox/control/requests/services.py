"""The services that the sandbox vouches for. Whatever else a client asks for is refused, never left to moto's guess."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MODELS: Mapping[str, str] = {
    "s3": "s3", "ec2": "ec2", "ssm": "ssm", "sts": "sts", "iam": "iam", "secretsmanager": "secretsmanager",
    "pricing": "pricing", "servicequotas": "service-quotas", "scheduler": "scheduler", "logs": "logs", "ecr": "ecr",
}  # fmt: skip
"""Name under which a request to a service is signed: name of its model in botocore."""
SERVICES = tuple(MODELS)
REST = ("scheduler",)
"""Services whose operations are method and path (S3 is one, too, with rules of its own)."""
_READS = ("Describe", "Get", "List")
_CHANGES: Mapping[str, frozenset[str]] = {
    "ec2": frozenset([
        "RunInstances", "StartInstances", "StopInstances", "RebootInstances", "TerminateInstances",
        "ModifyInstanceAttribute", "ModifyInstanceMetadataOptions", "CreateTags", "DeleteTags",
        "CreateLaunchTemplate", "CreateLaunchTemplateVersion", "DeleteLaunchTemplate", "DeleteLaunchTemplateVersions",
        "ModifyLaunchTemplate", "CreateFleet", "DeleteFleets", "CancelSpotInstanceRequests",
        "CreateVolume", "AttachVolume", "DetachVolume", "ModifyVolume", "DeleteVolume", "CreateSnapshot",
        "DeleteSnapshot", "CreateImage", "DeregisterImage",
        "CreateVpc", "DeleteVpc", "ModifyVpcAttribute", "CreateSubnet", "DeleteSubnet", "ModifySubnetAttribute",
        "CreateInternetGateway", "AttachInternetGateway", "DetachInternetGateway", "DeleteInternetGateway",
        "CreateRouteTable", "DeleteRouteTable", "AssociateRouteTable", "DisassociateRouteTable", "CreateRoute",
        "DeleteRoute", "CreateNatGateway", "DeleteNatGateway", "CreateVpcEndpoint", "DeleteVpcEndpoints",
        "CreateSecurityGroup", "DeleteSecurityGroup", "AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress",
        "RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress", "CreateKeyPair", "ImportKeyPair", "DeleteKeyPair",
    ]),
    "ssm": frozenset([
        "SendCommand", "CancelCommand", "StartSession", "PutParameter", "DeleteParameter", "DeleteParameters",
        "AddTagsToResource", "RemoveTagsFromResource",
    ]),
}  # fmt: skip
"""What can be changed in the services of which moto says yes to far more than anybody has looked at here."""


def unvouched(service: str, operation: str) -> str | None:
    """Say what there is instead, when nobody vouches for an operation; None when it may be asked for."""
    changes = _CHANGES.get(service)
    if changes is None or operation in changes or operation.startswith(_READS):
        return None
    return f"Besides {', '.join(f'{one}*' for one in _READS)} it has {', '.join(sorted(changes))}."


def model_of(service: str) -> Any:
    """Botocore's model of a service, in moto's copy, which is loaded anyway."""
    from moto.core.utils import get_service_model

    return get_service_model(MODELS[service])


@lru_cache(maxsize=16)
def operation_names(service: str) -> frozenset[str]:
    """Names of a service's operations; ``PutObject`` is one of S3's."""
    return frozenset(model_of(service).operation_names)
