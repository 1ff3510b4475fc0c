"""How many vCPUs of a family of types the account may still start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.aws.families import family_of, request_url
from runctl_jupyter.orchestration.aws.quotas import ServiceQuotas
from runctl_jupyter.orchestration.errors import RunctlError
from runctl_jupyter.orchestration.model import QuotaLeft

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.session import AwsSession


class Quotas:
    """vCPU quotas of the account in the session's region.

    Parameters
    ----------
    session
        Whose account.
    timeout
        Seconds that each request may take: to know a quota is never worth a long wait.
    """

    def __init__(self, session: AwsSession, *, timeout: float = 5.0) -> None:
        self._session, self._timeout = session, timeout

    def left(self, instance_type_vcpus: int, instance_type: str, *, spot: bool) -> QuotaLeft | None:
        """Return the quota that `instance_type` counts against, less what the whole account uses of it.

        Parameters
        ----------
        instance_type_vcpus
            How many vCPUs the type has.

        Returns
        -------
        QuotaLeft or None
            None when it is not known: no permission, no answer, no quota for this type.
        """
        try:
            return self.read(instance_type_vcpus, instance_type, spot=spot)
        except RunctlError:
            return None  # unknown is an answer here: a launch that goes over says so itself

    def read(self, instance_type_vcpus: int, instance_type: str, *, spot: bool) -> QuotaLeft | None:
        """Return the same, or None when the type has no quota.

        Raises
        ------
        RunctlError
            It cannot be read: no permission, no answer.
        """
        family = family_of(instance_type)
        if family is None:
            return None
        code = family.code(spot=spot)
        asked = ServiceQuotas(self._session.in_a_hurry(self._timeout))
        with ThreadPoolExecutor(3, "runctl-quota") as pool:
            limit = pool.submit(asked.limit, code)
            using = [pool.submit(asked.instances), *([pool.submit(asked.open_requests)] if spot else [])]
            named, uses = limit.result(), [use for each in using for use in each.result()]
        if named is None:
            return None
        name, value = named
        used = sum(use.vcpus for use in uses if use.spot == spot and _counts(use.instance_type, code, spot=spot))
        region = asked.region
        return QuotaLeft(
            code, name, value, used, max(value - used, 0), region, request_url(region, code), instance_type_vcpus
        )


def _counts(instance_type: str, code: str, *, spot: bool) -> bool:
    family = family_of(instance_type)
    return family is not None and family.code(spot=spot) == code
