"""The one account: its user, instance role and bucket, as ``runctl setup`` leaves them, and who a key belongs to."""

from __future__ import annotations

import json
import secrets
import string
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.iam.policy_validation import IAMPolicyDocumentValidator
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import sts_backends

from runctl_jupyter.sandbox.control.access.policies import (
    ADMINISTRATOR_ACCESS,
    Document,
    Permission,
    allows,
    instance_role_policy,
    instance_trust_policy,
    user_policy,
)
from runctl_jupyter.sandbox.control.requests.signature import SigningKey
from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, BUCKET, REGION, ROLE_NAME, USER_NAME
from runctl_jupyter.sandbox.control.store import StateStore
from runctl_jupyter.sandbox.hosts.base import RoleCredentials

ROLE_SESSION = timedelta(hours=6)
ROLE_RENEWAL = timedelta(minutes=15)
"""Credentials are renewed so long before they expire (EC2 promises at least five minutes)."""


@dataclass(frozen=True)
class Principal:
    """Who signed a request."""

    arn: str
    id: str
    documents: tuple[Document, ...]


def _new_key() -> list[str]:
    alphabet = string.ascii_uppercase + "234567"
    return ["AKIA" + "".join(secrets.choice(alphabet) for _ in range(16)), secrets.token_urlsafe(30)]


@lru_cache(maxsize=256)
def _parsed(document: str) -> Document:
    parsed: Document = json.loads(document)
    return parsed


class Account:
    """Keys, identities and role sessions of the account."""

    def __init__(self, store: StateStore) -> None:
        self._iam = iam_backends[ACCOUNT_ID]["aws"]
        self._sts = sts_backends[ACCOUNT_ID]["aws"]
        self._sessions: dict[str, Any] = {}
        self._admin: tuple[str, str] | None = None
        self._lock = threading.Lock()
        self.access_key_id, self.secret_access_key = self._create_user(store)
        self._create_role()
        self._create_bucket()

    def _create_user(self, store: StateStore) -> tuple[str, str]:
        pair = store.fact("user-key")
        if pair is None:
            pair = _new_key()
            store.set_fact("user-key", pair)
        self._iam.create_user(region_name=REGION, user_name=USER_NAME)
        self._iam.put_user_policy(USER_NAME, "runctl-user", json.dumps(user_policy()))
        return self._give_key(USER_NAME, pair)

    def add_user(self, policies: Sequence[Document]) -> tuple[str, str]:
        """Make one more user, with inline policies and a key; lives as long as this process.

        Raises
        ------
        ServiceException
            A policy is malformed.
        """
        documents = [json.dumps(document) for document in policies]
        for document in documents:
            IAMPolicyDocumentValidator(document).validate()
        name = f"user-{secrets.token_hex(6)}"
        self._iam.create_user(region_name=REGION, user_name=name)
        for number, document in enumerate(documents):
            self._iam.put_user_policy(name, f"policy-{number}", document)
        return self._give_key(name, _new_key())

    def admin(self) -> tuple[str, str]:
        """Give the key of the user who may do everything (AWS's policy AdministratorAccess)."""
        with self._lock:
            if self._admin is None:
                self._admin = self.add_user([ADMINISTRATOR_ACCESS])
            return self._admin

    def _give_key(self, user_name: str, pair: Sequence[str]) -> tuple[str, str]:
        key = self._iam.create_access_key(user_name)
        del self._iam.access_keys[key.physical_resource_id]
        key.access_key_id, key.secret_access_key = pair
        self._iam.access_keys[key.physical_resource_id] = key
        return pair[0], pair[1]

    def _create_role(self) -> None:
        self._iam.create_role(
            role_name=ROLE_NAME, assume_role_policy_document=json.dumps(instance_trust_policy()), path="/",
            permissions_boundary=None, description="Instances of runctl", tags=[], max_session_duration="3600",
        )  # fmt: skip
        self._iam.put_role_policy(ROLE_NAME, "runctl-instance", json.dumps(instance_role_policy()))
        self._iam.create_instance_profile(name=ROLE_NAME, path="/", role_names=[ROLE_NAME])

    @staticmethod
    def _create_bucket() -> None:
        s3 = s3_backends[ACCOUNT_ID]["aws"]
        s3.create_bucket(BUCKET, REGION)
        blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(BUCKET, dict.fromkeys(blocked, "true"))
        by_default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(BUCKET, {"Rule": by_default})
        days = 7
        s3.put_bucket_lifecycle_configuration(BUCKET, [
            {"ID": "runctl-abort-uploads", "Status": "Enabled", "Filter": {"Prefix": ""},
             "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": str(days)}},
            {"ID": "runctl-temporary", "Status": "Enabled", "Filter": {"Prefix": "runctl/tmp/"},
             "Expiration": {"Days": str(days)}},
        ])  # fmt: skip

    def key_of(self, access_key_id: str) -> SigningKey | None:
        """Secret of an access key id of a user or of a role session that has not expired."""
        key = self._iam.access_keys.get(access_key_id)
        if key is not None and key.user_name is not None and key.status == "Active":
            return SigningKey(key.secret_access_key)
        with self._lock:
            session = self._sessions.get(access_key_id)
        if session is None or session.expiration.replace(tzinfo=UTC) < datetime.now(UTC):
            return None
        return SigningKey(session.secret_access_key, session.session_token)

    def principal_of(self, access_key_id: str) -> Principal:
        """Identity and policies behind an access key id that `key_of` knows."""
        with self._lock:
            session = self._sessions.get(access_key_id)
        if session is None:
            user = self._iam.get_user(self._iam.access_keys[access_key_id].user_name)
            return Principal(user.arn, user.id, self._documents(user.policies, user.managed_policies))
        role = self._iam.get_role_by_arn(session.role_arn)
        return Principal(
            session.arn,
            f"{role.id}:{session.arn.rpartition('/')[2]}",
            self._documents(role.policies, role.managed_policies),
        )

    @staticmethod
    def _documents(inline: Mapping[str, str], managed: Mapping[str, Any]) -> tuple[Document, ...]:
        attached = (
            version.document for policy in managed.values() for version in policy.versions if version.is_default
        )
        return tuple(_parsed(document) for document in (*inline.values(), *attached))

    def profile_roles(self, profile_name: str) -> Sequence[Any]:
        """Roles of an instance profile, by its name; empty also when there is no such profile."""
        try:
            return list(self._iam.get_instance_profile(profile_name).roles)
        except NotFoundException:
            return []

    def role_credentials(
        self, profile_arn: str, session_name: str, current: RoleCredentials | None
    ) -> RoleCredentials | None:
        """Give credentials of a profile's role for one instance; `current` again while it is fresh enough."""
        now = datetime.now(UTC)
        if current is not None and datetime.fromisoformat(current.expires_at) - now > ROLE_RENEWAL:
            return current
        roles = self.profile_roles(profile_arn.rpartition("/")[2])
        if not roles:
            return None
        session = self._assume(roles[0].arn, session_name)
        return RoleCredentials(
            role_name=roles[0].name, profile_arn=profile_arn, access_key_id=session.access_key_id,
            secret_access_key=session.secret_access_key, session_token=session.session_token,
            expires_at=(now + ROLE_SESSION).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )  # fmt: skip

    def may_register(self, profile_arn: str, instance_id: str, settled_s: float) -> bool | None:
        """Whether the role of a profile lets an SSM agent register; None when the profile has no role.

        Parameters
        ----------
        settled_s
            A change of the role's policies that is younger does not hold yet.
        """
        roles = self.profile_roles(profile_arn.rpartition("/")[2])
        if not roles:
            return None
        role = roles[0]
        if time.monotonic() - getattr(role, "policies_changed_at", -settled_s) < settled_s:
            return False
        resource = f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:instance/{instance_id}"
        documents = self._documents(role.policies, role.managed_policies)
        return allows(documents, Permission("ssm:UpdateInstanceInformation", resource))

    def _assume(self, role_arn: str, session_name: str) -> Any:
        session = self._sts.assume_role(
            region_name=REGION, role_session_name=session_name, role_arn=role_arn, policy=None,
            duration=int(ROLE_SESSION.total_seconds()), external_id=None,
        )  # fmt: skip
        horizon = datetime.now(UTC) - ROLE_RENEWAL  # what was signed in time may still be on its way
        with self._lock:
            expired = [key for key, one in self._sessions.items() if one.expiration.replace(tzinfo=UTC) < horizon]
            for key in expired:
                del self._sessions[key]
            self._sessions[session.access_key_id] = session
        return session

    def trusts(self, role_arn: str, service: str) -> bool:
        """Whether a role exists and lets a service of AWS (``ec2.amazonaws.com``) take it."""
        try:
            role = self._iam.get_role_by_arn(role_arn)
        except NotFoundException:
            return False
        trust = json.loads(role.assume_role_policy_document)
        statements = trust["Statement"] if isinstance(trust["Statement"], list) else [trust["Statement"]]
        named = [one["Principal"].get("Service", []) for one in statements if one["Effect"] == "Allow"]
        return any(service == one or service in one for one in named)

    def session_of(self, role_arn: str, session_name: str) -> dict[str, str]:
        """Give what a boto3 client needs to act as a role."""
        session = self._assume(role_arn, session_name)
        return {
            "aws_access_key_id": session.access_key_id,
            "aws_secret_access_key": session.secret_access_key,
            "aws_session_token": session.session_token,
        }


class AccountInventory:
    """The account's resources, as far as permissions depend on them (`permissions.Inventory`)."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def tags_of(self, resource_id: str) -> Mapping[str, str] | None:
        """Tags of an EC2 resource in any region; None when it does not exist."""
        for backend in list(ec2_backends[ACCOUNT_ID].values()):
            collections = (
                backend.volumes, backend.snapshots, backend.spot_instance_requests, backend.launch_templates,
                backend.fleets, backend.amis,
            )  # fmt: skip
            there = any(resource_id in one for one in collections)
            if there or backend.get_instance_by_id(resource_id) is not None:
                return dict(backend.tags.get(resource_id, {}))
        return None

    def role_arns_of_profile(self, name: str) -> Sequence[str]:
        """ARNs of the roles in an instance profile."""
        return [role.arn for role in self._account.profile_roles(name)]

    def launch_template_ids(self, name: str) -> Sequence[str]:
        """Ids of the launch templates with this name, one a region at most."""
        ids = [backend.launch_template_name_to_ids.get(name) for backend in list(ec2_backends[ACCOUNT_ID].values())]
        return [one for one in ids if one is not None]

    def secret_arn(self, secret_id: str) -> str | None:
        """ARN of a secret by name or ARN; None when it does not exist."""
        secret = secretsmanager_backends[ACCOUNT_ID][REGION].secrets.get(secret_id)
        return None if secret is None else str(secret.arn)

    def default_subnet_ids(self) -> Sequence[str]:
        """Ids of the default subnets, first zone first."""
        subnets = ec2_backends[ACCOUNT_ID][REGION].get_default_subnets()
        return [subnets[zone].id for zone in sorted(subnets)]
