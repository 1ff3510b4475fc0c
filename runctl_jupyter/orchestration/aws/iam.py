"""The IAM calls we make: roles, their policies and profiles. Answers are ours, refusals too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import aws_errors, code_of

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

    from runctl_jupyter.orchestration.aws.session import AwsSession

TAG_OURS = "runctl:managed"


@dataclass(frozen=True)
class Role:
    """A role as IAM describes it."""

    name: str
    arn: str
    trust: Mapping[str, Any]
    ours: bool = False
    """Whether it carries our tag."""

    @property
    def lets_ec2_in(self) -> bool:
        """Whether EC2 may take it, for an instance."""
        statements = self.trust.get("Statement", [])
        for statement in statements if isinstance(statements, list) else [statements]:
            principal = statement.get("Principal", {})
            services = principal.get("Service", []) if isinstance(principal, dict) else []  # "*" is anybody
            named = [services] if isinstance(services, str) else services
            if statement.get("Effect") == "Allow" and any(name.startswith("ec2.amazonaws.com") for name in named):
                return True
        return False


class Iam:
    """IAM of one session."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    @property
    def _client(self) -> IAMClient:
        return self._session.iam

    def role(self, name: str) -> Role | None:
        """Return a role, or None when there is none of that name."""
        from botocore.exceptions import ClientError

        with aws_errors(f"look at role {name}"):
            try:
                found = self._client.get_role(RoleName=name)["Role"]
            except ClientError as error:
                if code_of(error) == "NoSuchEntity":
                    return None
                raise
        ours = {"Key": TAG_OURS, "Value": "true"} in found.get("Tags", [])
        return Role(found["RoleName"], found["Arn"], _document(found.get("AssumeRolePolicyDocument", {})), ours)

    def create_role(self, name: str, trust: str, description: str) -> bool:
        """Make a role; False when somebody was faster."""
        return self._made(
            f"make role {name}",
            lambda: self._client.create_role(
                RoleName=name,
                AssumeRolePolicyDocument=trust,
                Description=description,
                Tags=[{"Key": TAG_OURS, "Value": "true"}],
            ),
        )

    def set_trust(self, name: str, trust: str) -> None:
        """Say who may take a role."""
        with aws_errors(f"change who may take role {name}"):
            self._client.update_assume_role_policy(RoleName=name, PolicyDocument=trust)

    def role_policy(self, role: str, name: str) -> Mapping[str, Any] | None:
        """Return an inline policy of a role, or None when it has none of that name."""
        from botocore.exceptions import ClientError

        with aws_errors(f"read the policy of role {role}"):
            try:
                found: Any = self._client.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            except ClientError as error:
                if code_of(error) == "NoSuchEntity":
                    return None
                raise
        return _document(found)

    def set_role_policy(self, role: str, name: str, document: str) -> None:
        """Write an inline policy of a role."""
        with aws_errors(f"write the policy of role {role}"):
            self._client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)

    def profile_roles(self, name: str) -> list[str] | None:
        """Return names of the roles in an instance profile (one at most), or None when there is no such profile."""
        from botocore.exceptions import ClientError

        with aws_errors(f"look at instance profile {name}"):
            try:
                found = self._client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
            except ClientError as error:
                if code_of(error) == "NoSuchEntity":
                    return None
                raise
        return [role["RoleName"] for role in found["Roles"]]

    def create_profile(self, name: str) -> bool:
        """Make an instance profile; False when somebody was faster."""
        return self._made(
            f"make instance profile {name}",
            lambda: self._client.create_instance_profile(
                InstanceProfileName=name, Tags=[{"Key": TAG_OURS, "Value": "true"}]
            ),
        )

    def add_to_profile(self, profile: str, role: str) -> bool:
        """Put a role into a profile; False when the profile has got one meanwhile (it holds one at most)."""
        return self._made(
            f"put role {role} into instance profile {profile}",
            lambda: self._client.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role),
            there=("LimitExceeded", "EntityAlreadyExists"),
        )

    def create_service_role(self, service: str) -> bool:
        """Make a service-linked role; False when the account has it.

        IAM says ``InvalidInput`` then (API reference, CreateServiceLinkedRole).
        """
        return self._made(
            f"make the service-linked role of {service}",
            lambda: self._client.create_service_linked_role(AWSServiceName=service),
            there=("InvalidInput", "EntityAlreadyExists"),
        )

    def simulated(self, role_arn: str, actions: list[str], resource: str) -> list[str]:
        """Return which of `actions` IAM says a role may not do on `resource`."""
        with aws_errors("simulate a policy"):
            answer = self._client.simulate_principal_policy(
                PolicySourceArn=role_arn, ActionNames=actions, ResourceArns=[resource]
            )
        return [each["EvalActionName"] for each in answer["EvaluationResults"] if each["EvalDecision"] != "allowed"]

    @staticmethod
    def _made(action: str, call: Any, there: tuple[str, ...] = ("EntityAlreadyExists",)) -> bool:
        from botocore.exceptions import ClientError

        with aws_errors(action):
            try:
                call()
            except ClientError as error:
                if code_of(error) in there:
                    return False
                raise
        return True


def _document(found: Any) -> Mapping[str, Any]:
    """Return a policy as botocore gives it: decoded already, except where the type says text."""
    return json.loads(found) if isinstance(found, str) else dict(found)
