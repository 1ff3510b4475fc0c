"""`doctor`: looks at everything that a launch depends on, side by side, in less than two seconds."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.account.checkup import Answer, Ask, Check, DoctorReport, failed, run_checks
from runctl_jupyter.orchestration.account.launch_checks import LaunchChecks, MachineToCheck
from runctl_jupyter.orchestration.account.place_checks import PlaceChecks, credentials_told
from runctl_jupyter.orchestration.aws.credentials import CredentialFacts, credential_facts, metadata_alone_is_left
from runctl_jupyter.orchestration.aws.failures import no_credentials
from runctl_jupyter.orchestration.units import size_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession
    from runctl_jupyter.orchestration.config import Settings

TIMEOUT_S = 1.5
"""So that with the start of Python and the import of boto3 two seconds suffice."""
FIRST_LOOK_S = 1.5
_LITTLE_DISK = 1 << 30


def examine(
    session: Callable[[], AwsSession],
    machine: Callable[[AwsSession], MachineToCheck],
    settings: Settings,
    instance_type: str,
    *,
    timeout: float = TIMEOUT_S,
) -> DoctorReport:
    """Check an account on AWS, or what stands for it.

    Parameters
    ----------
    session
        How the target is reached; raises what keeps it from being reached.
    machine
        What is known of `instance_type`, asked with the session it is given.
    timeout
        Seconds for all of it: what has not answered by then is said to be late.
    """
    begun = time.monotonic()
    deadline = begun + timeout

    def told(checks: list[Check]) -> DoctorReport:
        return DoctorReport(settings.target, instance_type, checks, time.monotonic() - begun)

    # First by itself: without credentials there is nothing to ask, and what provides them may be slow.
    facts: list[tuple[AwsSession, CredentialFacts]] = []

    def credentials() -> Answer:
        found = session().in_a_hurry(timeout)
        facts.append((found, credential_facts(found)))
        _ = found.region  # none set: AWS cannot be asked
        return credentials_told(facts[0][1])

    first = run_checks({"credentials": credentials}, deadline=deadline, needed=("credentials",))
    if not facts:
        # Elsewhere than on a machine of AWS's, its metadata service is an address that may never answer.
        connection = session().connection
        if first[0].name != "credentials" and not connection.env and metadata_alone_is_left(connection.profile):
            first = [failed("credentials", no_credentials(), blocks=True)]
        return told(first)
    hurried = facts[0][0]
    if first[0].state == "blocked":
        return told([Check("credentials", *credentials_told(facts[0][1])), _renamed(first[0], "region")])
    place = PlaceChecks(hurried, settings)
    launch = LaunchChecks(hurried, settings.launch, machine(hurried), timeout=timeout)
    checks: dict[str, Ask] = {
        "identity": place.identity,
        "clock": place.clock,
        "region": place.region,
        "bucket": place.bucket,
        "role": place.role,
        "rights of the role": place.rights,
        "image": launch.image,
        "launch": launch.launch,
        "network": launch.network,
        "quota on demand": launch.on_demand_quota,
        "quota spot": launch.spot_quota,
        "role for spot": place.spot_role,
        "price": launch.price,
    }
    return told(first + run_checks(checks, deadline=deadline, needed=("identity",)))


def _renamed(check: Check, name: str) -> Check:
    return Check(name, check.state, check.what, check.fix)


def examine_this_computer(settings: Settings, record: Path) -> DoctorReport:
    """Check what jobs on this computer need: Python, and a folder for their record with room in it."""
    begun = time.monotonic()

    def folder() -> Answer:
        there = next(each for each in (record, *record.parents) if each.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            return "blocked", f"{there} cannot be written", "Make it writable, or set XDG_DATA_HOME to another place."
        free = shutil.disk_usage(there).free
        said = f"{record}, {size_text(free)} free"
        return ("warning", said, "Free some disk space.") if free < _LITTLE_DISK else ("ok", said)

    checks: Mapping[str, Ask] = {
        "python": lambda: ("ok", f"{sys.version.split()[0]}, {sys.executable}"),
        "record": folder,
    }
    found = run_checks(checks, deadline=begun + TIMEOUT_S)
    return DoctorReport(settings.target, "", found, time.monotonic() - begun)


def first_look(session: Callable[[], AwsSession], *, timeout: float = FIRST_LOOK_S) -> str:
    """Return what is missing before AWS can be asked anything, and what to do about it; empty when nothing is.

    Parameters
    ----------
    timeout
        Seconds to wait for what provides credentials; if it takes longer, nothing is said.
    """

    def look() -> Answer:
        found = session()
        found.check()
        _ = found.region
        return "ok", found.connection.bucket or ""

    (check,) = run_checks({"credentials": look}, deadline=time.monotonic() + timeout, needed=("credentials",))
    if check.state == "ok":
        return "" if check.what else "No bucket is set for the run record.\nMake one: runctl setup"
    return f"{check.what}\n{check.fix}" if check.name == "credentials" else ""
