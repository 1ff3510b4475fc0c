"""What a sandbox server is started with, and the constants of its one account."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
BUCKET = "runctl-sandbox"
USER_NAME = "runctl-sandbox-user"
ROLE_NAME = "runctl-instance"
"""Name of the instance role and of its instance profile."""

DEFAULT_PACE = 0.3
DEFAULT_IDLE_HOURS = 12.0
DEFAULT_MAX_INSTANCES = 8


@dataclass(frozen=True)
class Settings:
    """Knobs of one server."""

    home: Path
    mode: str | None = None
    pace: float = DEFAULT_PACE
    """Multiplier of the delays below; 0 means as fast as the hosts are."""
    idle_hours: float = DEFAULT_IDLE_HOURS
    max_instances: int = DEFAULT_MAX_INSTANCES

    # Delays at pace 1, in seconds. AWS takes about ten times as long; the order of events is the same.
    @property
    def pending_s(self) -> float:
        """Shortest time in `pending`."""
        return 1.0 * self.pace

    @property
    def agent_online_s(self) -> float:
        """Time from `running` to the SSM agent's registration (20-90 s on AWS)."""
        return 1.0 * self.pace

    @property
    def agent_denied_s(self) -> float:
        """Sleep of an agent whose role has no right to register (25-30 minutes on AWS)."""
        return 165.0 * self.pace

    @property
    def agent_without_profile_s(self) -> float:
        """Sleep of an agent that finds no instance profile (5 minutes, then more, on AWS)."""
        return 30.0 * self.pace

    @property
    def role_propagation_s(self) -> float:
        """Time until a change of a role's policies holds for agents (15-30 s on AWS)."""
        return 2.0 * self.pace

    @property
    def stopping_s(self) -> float:
        """Shortest time in `stopping` and `shutting-down`."""
        return 1.0 * self.pace

    @property
    def visible_s(self) -> float:
        """Time a fresh instance id stays unknown to other calls (eventual consistency)."""
        return 0.7 * self.pace

    @property
    def quota_release_s(self) -> float:
        """Time that a terminated instance still counts to its quota (up to a minute on AWS)."""
        return 2.0 * self.pace

    @property
    def spot_return_s(self) -> float:
        """Time after which EC2 looks whether it can serve a persistent Spot request again."""
        return 3.0 * self.pace

    @property
    def propagation_s(self) -> float:
        """Time until EC2 knows what IAM knows of an instance profile (about ten seconds on AWS)."""
        return 1.5 * self.pace

    @property
    def invocation_visible_s(self) -> float:
        """Time a fresh command has no invocation yet (`InvocationDoesNotExist`)."""
        return 0.3 * self.pace

    @property
    def volume_s(self) -> float:
        """Time in which a volume is created, attached or detached; a modification takes twice as long."""
        return 0.5 * self.pace

    @property
    def snapshot_s(self) -> float:
        """Time until a snapshot is completed (minutes to hours on AWS)."""
        return 3.0 * self.pace

    @property
    def spot_notice_s(self) -> float:
        """Time from the interruption notice to the termination (two minutes on AWS)."""
        return 120.0 * min(self.pace, 1.0)


def settings_from(
    home: Path | None, mode: str | None, pace: float | None, idle_hours: float | None, max_instances: int | None
) -> Settings:
    """Fill what is not given from the environment (``RUNCTL_SANDBOX_PACE``) and the defaults."""
    from runctl_jupyter.sandbox.connection import default_home

    return Settings(
        home=home or default_home(),
        mode=mode,
        pace=pace if pace is not None else float(os.environ.get("RUNCTL_SANDBOX_PACE", DEFAULT_PACE)),
        idle_hours=DEFAULT_IDLE_HOURS if idle_hours is None else idle_hours,
        max_instances=DEFAULT_MAX_INSTANCES if max_instances is None else max_instances,
    )
