"""Parameters and secrets on disk: each is there before its write is answered, and all are back after a restart.

They lie in the state file, which only the user can read, as the user's own key does.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any, ClassVar

from moto.secretsmanager.models import FakeSecret, ReplicaSecret, secretsmanager_backends
from moto.secretsmanager.responses import SecretsManagerResponse
from moto.ssm.models import Parameter, ssm_backends

from runctl_jupyter.sandbox.control.settings import ACCOUNT_ID, REGION
from runctl_jupyter.sandbox.control.store import StateStore

_READS = ("Get", "List", "Describe", "BatchGet")
_PUBLIC = "/aws/"


class SecretJournal:
    """Keeps the user's parameters and the account's secrets."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    @property
    def _parameters(self) -> Any:
        return ssm_backends[ACCOUNT_ID][REGION]._parameters  # noqa: SLF001 - moto has no other way in

    @property
    def _secrets(self) -> Any:
        return secretsmanager_backends[ACCOUNT_ID][REGION].secrets

    def restore(self) -> None:
        """Bring everything back into moto."""
        for record in self._store.fact("parameters") or []:
            moment = datetime.fromisoformat(record["last_modified_date"])
            parameter = Parameter(ACCOUNT_ID, record["name"], "", "String", None, None, None, moment, 1, "text")
            vars(parameter).update(record, last_modified_date=moment)
            self._parameters[parameter.name].append(parameter)
        for record in self._store.fact("secrets") or []:
            secret = FakeSecret(ACCOUNT_ID, REGION, record["name"], {}, "")
            vars(secret).update(record)
            self._secrets[secret.name] = secret

    def record_parameters(self) -> None:
        """Write down all parameters but the public ones."""
        with self._lock:
            rows = [
                {**vars(version), "last_modified_date": version.last_modified_date.isoformat()}
                for name, versions in list(self._parameters.items())
                if not name.startswith(_PUBLIC)
                for version in versions
            ]
            self._store.set_fact("parameters", rows)

    def record_secrets(self) -> None:
        """Write down all secrets."""
        with self._lock:
            own = [one for one in list(dict.values(self._secrets)) if not isinstance(one, ReplicaSecret)]
            self._store.set_fact("secrets", [{**vars(one), "replicas": []} for one in own])


def writes(action: str) -> bool:
    """Whether an action can change something."""
    return not action.startswith(_READS)


class SandboxSecretsManagerResponse(SecretsManagerResponse):  # type: ignore[misc]
    """Secrets Manager is moto's; what it holds outlives the process."""

    journal: ClassVar[SecretJournal]

    def call_action(self) -> Any:
        """Answer a request, and keep what it has changed."""
        answer = super().call_action()
        if writes(self._get_action()):
            self.journal.record_secrets()
        return answer
