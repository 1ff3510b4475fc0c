"""Where the runner's AWS keys come from: both key variables if they are set, else the role of the instance."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Callable, Optional

from runctl_jupyter.run_record import StoreError, from_iso
from runctl_jupyter.runner.imds import Imds, ImdsError
from runctl_jupyter.runner.sigv4 import Credentials

_RENEW_BEFORE_S = 600.0  # new keys appear in the metadata at least 5 minutes before the old ones end
_RENEW_PAUSE_S = 30.0
_BOOT_PATIENCE_S = 120.0  # a fresh instance may have no role keys for a while
_BOOT_PAUSE_S = 0.5


class NoCredentials(StoreError):
    """The machine has no usable keys."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=True)


class CredentialSource:
    """Keys, renewed before they end; safe to use from several threads.

    Parameters
    ----------
    load
        Fetches keys; raises `NoCredentials` when there are none yet.
    patience_s
        Seconds to wait for the very first keys.
    """

    def __init__(self, load: Callable[[], Credentials], patience_s: float = _BOOT_PATIENCE_S) -> None:
        self._load = load
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._current: Optional[Credentials] = None
        self._renew_at = 0.0

    def get(self) -> Credentials:
        """Return keys that are valid now.

        Raises
        ------
        NoCredentials
            None could be had.
        """
        with self._lock:
            current = self._current
            if current is None:
                return self._adopt(self._load_first())
            if current.expires_at is None or time.time() < self._renew_at:
                return current
            try:
                return self._adopt(self._load())
            except NoCredentials:
                self._renew_at = time.time() + _RENEW_PAUSE_S
                if current.expires_at <= time.time():
                    raise
                return current

    def renew(self, refused: Credentials) -> None:
        """Fetch new keys because S3 refused `refused`; does nothing if another thread has done so."""
        with self._lock:
            if self._current is refused:
                self._adopt(self._load())

    def _adopt(self, fresh: Credentials) -> Credentials:
        self._current = fresh
        self._renew_at = (fresh.expires_at or 0.0) - _RENEW_BEFORE_S
        if self._renew_at <= time.time():
            # So close to their end already: ask again soon, not at each request.
            self._renew_at = time.time() + _RENEW_PAUSE_S
        return fresh

    def _load_first(self) -> Credentials:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self._load()
            except NoCredentials:
                if time.monotonic() >= until:
                    raise
                time.sleep(_BOOT_PAUSE_S)


def credential_source(environ: Mapping[str, str], imds: Optional[Imds]) -> CredentialSource:
    """Return the source that fits this machine."""
    access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key:
        keys = Credentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN") or None)
        return CredentialSource(lambda: keys)
    if imds is None:
        raise NoCredentials("no AWS keys: neither key variables nor an instance role are there")
    service = imds
    return CredentialSource(lambda: role_credentials(service))


def role_credentials(imds: Imds) -> Credentials:
    """Fetch the keys of the instance's role (EC2 user guide, "Retrieve security credentials from instance metadata").

    Raises
    ------
    NoCredentials
        No role, no keys yet, or the metadata service is silent.
    """
    path = "meta-data/iam/security-credentials/"
    try:
        roles = (imds.get(path) or "").split()
        if not roles:
            raise NoCredentials("the instance has no role: launch it with the profile that `runctl setup` makes")
        found = json.loads(imds.get(path + roles[0]) or "{}")
    except ImdsError as error:
        raise NoCredentials(str(error)) from error
    except ValueError:
        raise NoCredentials(f"the keys of role {roles[0]} cannot be read") from None
    if found.get("Code", "Success") != "Success" or "AccessKeyId" not in found:
        raise NoCredentials(f"role {roles[0]} gives no keys: {found.get('Code')} {found.get('Message', '')}".strip())
    expires = found.get("Expiration")
    return Credentials(
        found["AccessKeyId"],
        found["SecretAccessKey"],
        found.get("Token") or None,
        from_iso(expires).timestamp() if expires else None,
    )
