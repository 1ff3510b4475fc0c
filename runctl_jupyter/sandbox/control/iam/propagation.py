"""How IAM's changes reach EC2: not at once. EC2 does not know an instance profile that was just made or changed.

Source: IAM User Guide, "Changes that I make are not always immediately visible".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse


class Propagation:
    """What EC2 does not know yet.

    Parameters
    ----------
    seconds
        Time that a change takes to arrive.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._changed: dict[str, float] = {}

    def note(self, profile: str) -> None:
        """Take down that an instance profile changes now."""
        self._changed[profile] = self._clock()

    def arrived(self, profile: str) -> bool:
        """Whether EC2 knows an instance profile as IAM does."""
        changed = self._changed.get(profile)
        return changed is None or self._clock() - changed >= self._seconds


class PropagatingProfiles(IamResponse):  # type: ignore[misc]
    """IAM's actions that change instance profiles."""

    propagation: ClassVar[Propagation]

    def create_instance_profile(self) -> ActionResult:
        """CreateInstanceProfile."""
        return self._noted(super().create_instance_profile())

    def add_role_to_instance_profile(self) -> ActionResult:
        """AddRoleToInstanceProfile."""
        return self._noted(super().add_role_to_instance_profile())

    def remove_role_from_instance_profile(self) -> ActionResult:
        """RemoveRoleFromInstanceProfile."""
        return self._noted(super().remove_role_from_instance_profile())

    def _noted(self, done: ActionResult) -> ActionResult:
        self.propagation.note(self._get_param("InstanceProfileName"))
        return done
