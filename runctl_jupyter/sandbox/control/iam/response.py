"""IAM's refusals that moto does not know, and AWS's own policies and service-linked roles under their names.

Sources: IAM User Guide, "IAM and AWS STS quotas", "Grammar of the IAM JSON policy language", "Using service-linked
roles". Unknown actions are refused here; AWS accepts some of them and they then allow nothing.
"""

from __future__ import annotations

import fnmatch
import json
import re
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import NotFoundException
from moto.iam.models import AWSManagedPolicy
from moto.iam.policy_validation import IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator

from runctl_jupyter.sandbox.control.access.s3_permissions import ACTIONS as S3_ACTIONS
from runctl_jupyter.sandbox.control.iam.propagation import PropagatingProfiles
from runctl_jupyter.sandbox.control.requests.services import SERVICES, operation_names
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION

_INLINE_CHARACTERS = {"user": 2_048, "group": 5_120, "role": 10_240}
"""Of all inline policies of one together, white space not counted."""
_MANAGED_CHARACTERS = 6_144
_TRUST_CHARACTERS = 2_048
_SID = re.compile(r"[0-9A-Za-z]*")
_WITHOUT_OPERATION = {
    # Actions that are no operations of a client: permissions, and calls of the SSM agent (Service Authorization
    # Reference; AmazonSSMManagedInstanceCore).
    "iam": {"PassRole"},
    "sts": {"TagSession", "SetSourceIdentity"},
    "ssm": {"UpdateInstanceInformation", "ListInstanceAssociations", "UpdateInstanceAssociationStatus", "GetManifest",
            "PutConfigurePackageResult"},
    "ecr": {"BatchImportUpstreamImage"},
}  # fmt: skip
_LINKED_ROLES = {"spot": "AWSServiceRoleForEC2Spot", "ec2fleet": "AWSServiceRoleForEC2Fleet",
                 "spotfleet": "AWSServiceRoleForEC2SpotFleet"}  # fmt: skip


class IamRefusal(ServiceException):  # type: ignore[misc]
    """An error of IAM's."""


def check_policy(document: str) -> None:
    """Refuse a policy that is not one.

    Raises
    ------
    ServiceException
        ``MalformedPolicyDocument``.
    """
    IAMPolicyDocumentValidator(document).validate()
    for statement in _statements(document):
        _check_sid(statement)
        for action in _listed(statement.get("Action", statement.get("NotAction", []))):
            _check_action(action)


def check_trust_policy(document: str) -> None:
    """Refuse a policy that trusts nobody.

    Raises
    ------
    ServiceException
        ``MalformedPolicyDocument`` or ``LimitExceeded``.
    """
    statements = list(_statements(document))
    if not statements:
        raise IamRefusal("MalformedPolicyDocument", "Syntax errors in policy.")
    IAMTrustPolicyDocumentValidator(document).validate()
    for statement in statements:
        _check_sid(statement)
        if "Principal" not in statement:
            raise IamRefusal("MalformedPolicyDocument", "Missing required field Principal")
    if _characters(document) > _TRUST_CHARACTERS:
        raise IamRefusal("LimitExceeded", f"Cannot exceed quota for ACLSizePerRole: {_TRUST_CHARACTERS}")


def _statements(document: str) -> Iterator[Mapping[str, Any]]:
    try:
        parsed = json.loads(document)
    except ValueError:
        raise IamRefusal("MalformedPolicyDocument", "This policy contains invalid Json") from None
    if not isinstance(parsed, dict):
        raise IamRefusal("MalformedPolicyDocument", "Syntax errors in policy.")
    for one in _listed(parsed.get("Statement", [])):
        if not isinstance(one, dict):
            raise IamRefusal("MalformedPolicyDocument", "Syntax errors in policy.")
        yield one


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_sid(statement: Mapping[str, Any]) -> None:
    if not _SID.fullmatch(str(statement.get("Sid", ""))):
        raise IamRefusal(
            "MalformedPolicyDocument",
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
            "[0-9A-Za-z]*",
        )


def _check_action(action: str) -> None:
    service, _, name = action.partition(":")
    known = S3_ACTIONS if service == "s3" else _known_actions(service) if service in SERVICES else None
    if known is not None and not any(fnmatch.fnmatch(one.lower(), name.lower()) for one in known):
        raise IamRefusal("MalformedPolicyDocument", f"The action {action} is not known.")


@cache
def _known_actions(service: str) -> frozenset[str]:
    return operation_names(service) | frozenset(_WITHOUT_OPERATION.get(service, ()))


def _characters(document: str) -> int:
    return len(re.sub(r"\s", "", document))


@cache
def _aws_policies() -> Mapping[str, Any]:
    """AWS's managed policies by name, as moto ships them; read when the first one is asked for."""
    found: dict[str, Any] = json.loads(aws_managed_policies_data)
    return found


class SandboxIamResponse(PropagatingProfiles):
    """IAM's actions whose moto version accepts what IAM does not."""

    def create_role(self) -> ActionResult:
        """CreateRole: somebody must be trusted."""
        check_trust_policy(self._get_param("AssumeRolePolicyDocument"))
        return super().create_role()

    def update_assume_role_policy(self) -> ActionResult:
        """UpdateAssumeRolePolicy."""
        check_trust_policy(self._get_param("PolicyDocument"))
        return super().update_assume_role_policy()

    def put_role_policy(self) -> ActionResult:
        """PutRolePolicy."""
        role = self.backend.get_role(self._get_param("RoleName"))
        self._check_inline("role", role.name, role.policies)
        role.policies_changed_at = time.monotonic()
        return super().put_role_policy()

    def put_user_policy(self) -> ActionResult:
        """PutUserPolicy."""
        user = self.backend.get_user(self._get_param("UserName"))
        self._check_inline("user", user.name, user.policies)
        return super().put_user_policy()

    def _check_inline(self, kind: str, name: str, policies: Mapping[str, str]) -> None:
        document, most = self._get_param("PolicyDocument"), _INLINE_CHARACTERS[kind]
        check_policy(document)
        others = sum(_characters(text) for one, text in policies.items() if one != self._get_param("PolicyName"))
        if others + _characters(document) > most:
            raise IamRefusal("LimitExceeded", f"Maximum policy size of {most} bytes exceeded for {kind} {name}")

    def create_policy(self) -> ActionResult:
        """CreatePolicy."""
        self._check_managed()
        return super().create_policy()

    def create_policy_version(self) -> ActionResult:
        """CreatePolicyVersion."""
        self._check_managed()
        return super().create_policy_version()

    def _check_managed(self) -> None:
        document = self._get_param("PolicyDocument")
        check_policy(document)
        if _characters(document) > _MANAGED_CHARACTERS:
            raise IamRefusal("LimitExceeded", f"Cannot exceed quota for PolicySize: {_MANAGED_CHARACTERS}")

    def attach_role_policy(self) -> ActionResult:
        """AttachRolePolicy, of AWS's policies too."""
        self._bring_aws_policy()
        self.backend.get_role(self._get_param("RoleName")).policies_changed_at = time.monotonic()
        return super().attach_role_policy()

    def attach_user_policy(self) -> ActionResult:
        """AttachUserPolicy, of AWS's policies too."""
        self._bring_aws_policy()
        return super().attach_user_policy()

    def get_policy(self) -> ActionResult:
        """GetPolicy, of AWS's policies too."""
        self._bring_aws_policy()
        return super().get_policy()

    def get_policy_version(self) -> ActionResult:
        """GetPolicyVersion, of AWS's policies too."""
        self._bring_aws_policy()
        return super().get_policy_version()

    def _bring_aws_policy(self) -> None:
        arn = str(self._get_param("PolicyArn"))
        name = arn.rpartition("/")[2]
        if not arn.startswith("arn:aws:iam::aws:policy/") or arn in self.backend.managed_policies:
            return
        data = _aws_policies().get(name)
        if data is not None:
            policy = AWSManagedPolicy.from_data(name, ACCOUNT_ID, REGION, data)
            if policy.arn == arn:
                self.backend.managed_policies[arn] = policy

    def create_service_linked_role(self) -> ActionResult:
        """CreateServiceLinkedRole: under AWS's names, and once."""
        service = str(self._get_param("AWSServiceName"))
        name = _LINKED_ROLES.get(service.removesuffix(".amazonaws.com"))
        if name is None:
            raise NotImplementedError(f"the service-linked role of {service}")
        try:
            self.backend.get_role(name)
        except NotFoundException:
            role = self.backend.create_service_linked_role(service, self._get_param("Description") or "", "")
            del self.backend.roles[role.id]
            role.name = name
            self.backend.roles[role.id] = role
            return ActionResult({"Role": role})
        raise IamRefusal(
            "InvalidInput",
            f"Service role name {name} has been taken in this account, please try a different suffix.",
        )
