"""How a variable's value names a secret instead of being one: ``ssm:/path/name``, ``secretsmanager:NAME#key``.

Names are of Systems Manager's Parameter Store and of Secrets Manager; a full ARN is a name too. The engine checks
the name, the runner looks the value up on the machine, and nothing else ever holds the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

PARAMETER_STORE = "ssm"
SECRETS_MANAGER = "secretsmanager"
NAME_FORMS = "ssm:/path/name, secretsmanager:NAME, or secretsmanager:NAME#KEY for one key of a JSON secret"
"""For people: what can be written."""

# Parameter Store: API reference, PutParameter; a version or label may follow. Secrets Manager: CreateSecret.
_PARAMETER = re.compile(r"/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*(?::[A-Za-z0-9_.-]+)?")
_PARAMETER_ARN = re.compile(r"arn:aws[\w-]*:ssm:[a-z0-9-]+:\d{12}:parameter/[A-Za-z0-9_./-]+(?::[A-Za-z0-9_.-]+)?")
_SECRET = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_SECRET_ARN = re.compile(r"arn:aws[\w-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+")


class SecretNameError(ValueError):
    """A value that should name a secret does not; the message is for people."""


@dataclass(frozen=True)
class SecretName:
    """Where a secret is kept."""

    service: str
    """`PARAMETER_STORE` or `SECRETS_MANAGER`."""
    name: str
    """Name or ARN."""
    key: Optional[str] = None
    """Key of the JSON object that the secret is."""

    @property
    def region(self) -> Optional[str]:
        """The region that an ARN names."""
        return self.name.split(":")[3] if self.name.startswith("arn:") else None

    def __str__(self) -> str:
        return f"{self.service}:{self.name}" + (f"#{self.key}" if self.key is not None else "")


def is_secret_name(value: str) -> bool:
    """Whether a variable's value names a secret, well or badly."""
    return value.startswith((f"{PARAMETER_STORE}:", f"{SECRETS_MANAGER}:"))


def parse_secret_name(value: str) -> SecretName:
    """Read the name of a secret.

    Raises
    ------
    SecretNameError
        It is none that AWS would take.
    """
    service, _, name = value.partition(":")
    if service == PARAMETER_STORE:
        if not (_PARAMETER.fullmatch(name) or _PARAMETER_ARN.fullmatch(name)):
            raise SecretNameError(f"{value!r} names no parameter of Systems Manager")
        return SecretName(service, name)
    name, mark, key = name.partition("#")
    if service != SECRETS_MANAGER or not (_SECRET.fullmatch(name) or _SECRET_ARN.fullmatch(name)):
        raise SecretNameError(f"{value!r} names no secret of Secrets Manager")
    if mark and not key:
        raise SecretNameError(f"{value!r} names no key after #")
    return SecretName(service, name, key or None)
