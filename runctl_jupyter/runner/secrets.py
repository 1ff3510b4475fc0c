"""The secrets that a job's variables name, looked up with the machine's own role.

The values go from the service's answer into the environment of the script and nowhere else: no file, no log, no
message, no repr.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Callable, Optional

from runctl_jupyter.run_record.secrets import PARAMETER_STORE, SecretName, is_secret_name, parse_secret_name
from runctl_jupyter.runner.aws_json import JsonService, ServiceError
from runctl_jupyter.runner.credentials import CredentialSource

_TARGETS = {PARAMETER_STORE: "AmazonSSM"}
_ABSENT = frozenset({"ParameterNotFound", "ParameterVersionNotFound", "ResourceNotFoundException"})


class SecretFailed(Exception):
    """A secret could not be looked up; the message is for people and names the variable and the secret."""


class SecretValue(str):
    """A text that does not show in a repr, nor in that of what it is in."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


def resolve_secrets(
    env: Mapping[str, str],
    store_credentials: CredentialSource,
    region: str,
    *,
    endpoint: Optional[str],
    until: float,
    pause: Callable[[float], bool],
) -> dict[str, str]:
    """Return `env` with the values of secrets in place of their names; each is looked up once.

    Parameters
    ----------
    region
        Where secrets are that are named without an ARN.
    endpoint
        One server for all services; None for AWS's own.
    until
        `time.monotonic` after which nothing is tried again.
    pause
        Waits for seconds; returns True to stop trying.

    Raises
    ------
    SecretFailed
        One is not there, not allowed, or not to be had in time.
    ValueError
        A name is malformed; the engine has checked that it is not.
    """
    lookup = _Lookup(store_credentials, region, endpoint, until, pause)
    return {name: lookup.value(name, value) if is_secret_name(value) else value for name, value in env.items()}


class _Lookup:
    """The services that are asked, and what they have said."""

    def __init__(
        self,
        credentials: CredentialSource,
        region: str,
        endpoint: Optional[str],
        until: float,
        pause: Callable[[float], bool],
    ) -> None:
        self._credentials, self._region, self._endpoint = credentials, region, endpoint
        self._until, self._pause = until, pause
        self._services: dict[tuple[str, str], JsonService] = {}
        self._found: dict[tuple[str, str], SecretValue] = {}

    def value(self, variable: str, named: str) -> str:
        secret = parse_secret_name(named)
        what = f"variable {variable}: {_called(secret)}"
        identity = (secret.service, secret.name)
        try:
            if identity not in self._found:
                self._found[identity] = self._fetch(secret, what)
        except ServiceError as error:
            raise SecretFailed(_refusal(what, error)) from None
        text = self._found[identity]
        found = text if secret.key is None else _of_object(text, secret.key, what)
        if "\0" in found:
            raise SecretFailed(f"{what} holds a NUL byte, which no variable can hold")
        return found

    def _fetch(self, secret: SecretName, what: str) -> SecretValue:
        service = self._service(secret)
        if secret.service == PARAMETER_STORE:
            request = {"Name": secret.name, "WithDecryption": True}
            answer = service.call("GetParameter", request, until=self._until, pause=self._pause)
            parameter = answer.get("Parameter")
            value = parameter.get("Value") if isinstance(parameter, dict) else None
        else:
            answer = service.call("GetSecretValue", {"SecretId": secret.name}, until=self._until, pause=self._pause)
            value = answer.get("SecretString")
        if not isinstance(value, str):
            raise SecretFailed(f"{what} holds no text; only text can be a variable")
        return SecretValue(value)

    def _service(self, secret: SecretName) -> JsonService:
        name, region = secret.service, secret.region or self._region
        if (name, region) not in self._services:
            target = _TARGETS.get(name, name)
            self._services[name, region] = JsonService(name, target, region, self._credentials, self._endpoint)
        return self._services[name, region]


def _called(secret: SecretName) -> str:
    return f"{'parameter' if secret.service == PARAMETER_STORE else 'secret'} {secret.name}"


def _of_object(text: str, key: str, what: str) -> SecretValue:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SecretFailed(f"{what} is no JSON object, so it has no key {key}")
    if key not in found:
        raise SecretFailed(f"{what} has no key {key}")
    value = found[key]
    return SecretValue(value if isinstance(value, str) else json.dumps(value))


def _refusal(what: str, error: ServiceError) -> str:
    if error.code in _ABSENT:
        return f"{what} does not exist in this region"
    if error.code.startswith("AccessDenied"):
        # The service's own words: they tell whether the role or a KMS key is in the way.
        allowed = "`runctl setup` lets it read names under runctl/"
        return f"{what} may not be read by the machine's role; {allowed} ({error})"
    return f"{what} could not be read: {error}"
