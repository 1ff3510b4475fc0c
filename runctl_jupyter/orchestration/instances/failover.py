"""From pools to a machine: the next zone, then the next type, then on-demand where that is allowed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_exponential

from runctl_jupyter.orchestration.aws.failures import CAPACITY, PASSING, QUOTA, VCPU_QUOTA, masked, translated
from runctl_jupyter.orchestration.aws.families import family_of
from runctl_jupyter.orchestration.errors import CapacityUnavailable, LaunchRefused, PermissionDenied, Tried
from runctl_jupyter.orchestration.waiting import wait_until

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.aws.ec2 import Ec2
    from runctl_jupyter.orchestration.aws.launches import Answer, Launches, Refusal
    from runctl_jupyter.orchestration.instances.pools import Pool
    from runctl_jupyter.orchestration.instances.requests import Blueprint

_log = logging.getLogger(__name__)

_EARLY_S = 120.0
"""A profile that has just been made is unknown to EC2 for some seconds, at worst for minutes (IAM User Guide,
"Changes that I make are not always immediately visible"); a launch template for a moment."""
_UNKNOWN_TEMPLATE = frozenset(
    {
        "InvalidLaunchTemplateId.NotFound",
        "InvalidLaunchTemplateId.VersionNotFound",
        "InvalidLaunchTemplateName.NotFoundException",
    }
)
_PASSING_TRIES = 5
_PENDING_S = 60.0
_DIED_FOR_CAPACITY = "Server.InsufficientInstanceCapacity"
_OUR_ENDS = ("Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown", "User initiated")


@dataclass(frozen=True)
class Got:
    """A machine, and the pool it came from."""

    described: Any
    pool: Pool


class Failover:
    """One launch.

    Parameters
    ----------
    settles
        Whether to stay until the machine has left ``pending``: until then it may still die for want of capacity.
    new_profile
        Whether the instance profile may be so new that EC2 does not know it yet.
    """

    def __init__(
        self, ec2: Ec2, launches: Launches, blueprint: Blueprint, *, settles: bool, new_profile: Callable[[], bool]
    ) -> None:
        self._ec2, self._launches, self._blueprint = ec2, launches, blueprint
        self._settles, self._new_profile = settles, new_profile
        self._tried: list[Tried] = []
        self._over_quota: Refusal | None = None
        self._number = 0

    def run(self, markets: Sequence[Sequence[Pool]]) -> Got:
        """Return a machine out of the first of `markets` that has one.

        Raises
        ------
        CapacityUnavailable
            None has; it says what was tried.
        LaunchRefused, PermissionDenied, CredentialsMissing, AwsRefused
            AWS refuses for a reason that another pool would not change.
        """
        for pools in markets:
            with ExitStack() as stack:
                ask = self._asker(pools, stack)
                found = self._in_market(pools, ask)
            if found is not None:
                return found
        over_quota = self._over_quota
        if over_quota is not None and all(tried.code in QUOTA for tried in self._tried):
            raise translated(over_quota.error, "launch a machine") from over_quota.error
        raise CapacityUnavailable(
            self._tried,
            could_fall_back=all(pool.spot for pools in markets for pool in pools),
            over_quota="" if over_quota is None else translated(over_quota.error, "launch a machine").to_resolve,
        )

    def _asker(self, pools: Sequence[Pool], stack: ExitStack) -> Callable[[Sequence[Pool]], Answer]:
        """Return what asks for a machine out of some of `pools`: a fleet, or one launch after the other."""
        blueprint, spot = self._blueprint, pools[0].spot
        if any(pool.needs_address for pool in pools):
            # A template asks for an address in every subnet of its fleet or in none.
            return self._one_by_one
        name = f"runctl-{blueprint.wish.token('template', spot, self._number)}"
        try:
            template = stack.enter_context(
                self._launches.template(name, blueprint.template_data(spot=spot), blueprint.wish.tags())
            )
        except PermissionDenied as error:
            _log.info("no launch template, so each zone is asked by itself: %s", error.what)
            return self._one_by_one

        def fleet(left: Sequence[Pool]) -> Answer:
            answer = self._launches.fleet(blueprint.fleet(template, left, self._number))
            refused = answer.refusals[0] if answer.refusals and answer.instance_id is None else None
            if refused is not None and refused.error.operation_name == "CreateFleet" and _is_denied(refused):
                _log.info("no fleet, so each zone is asked by itself: %s", refused.code)
                return self._one_by_one(left)
            return answer

        return fleet

    def _one_by_one(self, left: Sequence[Pool]) -> Answer:
        return self._launches.run(self._blueprint.single(left[0], self._number))

    def _in_market(self, pools: Sequence[Pool], ask: Callable[[Sequence[Pool]], Answer]) -> Got | None:
        """Return a machine; None where no pool has one."""
        left = list(pools)
        while left:
            answer = self._asked_with_patience(left, ask)
            refusals = _of_tried(answer.refusals)
            out = [pool for refusal in refusals for pool in left if _rules_out(refusal, pool)]
            if answer.instance_id is not None:
                got = self._settled(answer.instance_id, left)
                if isinstance(got, Got):
                    return got
                out = [got]
            else:
                self._judge(refusals, left)
            if not out:
                break
            left = [pool for pool in left if pool not in out]
        return None

    def _asked_with_patience(self, left: Sequence[Pool], ask: Callable[[Sequence[Pool]], Answer]) -> Answer:
        """Ask, each time with another token: again while what is new is not known yet, or a fleet met what may pass."""

        def once() -> Answer:
            self._number += 1
            return ask(left)

        # A profile or the template are new.
        def too_early(answer: Answer) -> bool:
            if answer.instance_id is not None:
                return False
            if any(refusal.code in _UNKNOWN_TEMPLATE for refusal in answer.refusals):
                return True
            unknown = any("Invalid IAM Instance Profile" in refusal.message for refusal in answer.refusals)
            return unknown and self._new_profile()

        over_time = stop_after_delay(_EARLY_S)

        def enough(state: RetryCallState) -> bool:
            answer = state.outcome.result() if state.outcome else None
            often = state.attempt_number >= _PASSING_TRIES
            return over_time(state) or (often and answer is not None and _passes(answer))

        tries = Retrying(
            retry=retry_if_result(lambda answer: too_early(answer) or _passes(answer)),
            wait=wait_exponential(multiplier=0.5, max=10),
            stop=enough,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        return tries(once)

    def _judge(self, refusals: Sequence[Refusal], left: Sequence[Pool]) -> None:
        """Note refusals for want of capacity and for a quota; raise what no other pool would change."""
        for refusal in refusals:
            for pool in left:
                if _is_about(refusal, pool):
                    self._tried.append(_tried(pool, refusal.code, refusal.message))
        fatal = next(iter(_unchangeable(refusals)), None)
        if fatal is not None:
            raise translated(fatal.error, "launch a machine") from fatal.error
        self._over_quota = self._over_quota or next((each for each in refusals if each.code in QUOTA), None)

    def _settled(self, instance_id: str, left: Sequence[Pool]) -> Got | Pool:
        """Return the machine; the pool it came from when it has died for want of capacity."""
        described: Any = self._ec2.new(instance_id)
        if self._settles:
            described = wait_until(
                # Another replica of EC2 may not know the id yet: the machine runs all the same.
                lambda: self._ec2.new(instance_id),
                lambda seen: seen["State"]["Name"] != "pending",
                timeout=_PENDING_S,
                what=f"Instance {instance_id} is pending for more than {_PENDING_S:.0f} s.",
                to_resolve=f"It may still come: runctl wait {instance_id}",
                else_last=True,
            )
        pool = _pool_of(described, left)
        reason = described.get("StateReason", {})
        if described["State"]["Name"] not in ("shutting-down", "terminated") or reason.get("Code") in _OUR_ENDS:
            return Got(described, pool)
        code, message = str(reason.get("Code", "Unknown")), str(reason.get("Message", ""))
        if code != _DIED_FOR_CAPACITY:
            raise LaunchRefused(
                f"EC2 has ended {instance_id} before it began [{code}]: {masked(message).rstrip('.')}.",
                "A disk's key, a snapshot or a quota of disks may be the cause; see the reason, then try again.",
            )
        self._tried.append(_tried(pool, code, message))
        return pool


def _of_tried(refusals: Sequence[Refusal]) -> Sequence[Refusal]:
    """Return the refusals of pools that a fleet has really tried.

    It tries few of them and says of the others that they cannot be fulfilled, which then says nothing about them.
    """
    tried = [each for each in refusals if each.code != "UnfulfillableCapacity"]
    return tried or refusals


def _unchangeable(refusals: Sequence[Refusal]) -> list[Refusal]:
    """Return those that are neither about capacity nor about a quota."""
    return [each for each in refusals if each.code not in QUOTA and not _is_capacity(each)]


def _passes(answer: Answer) -> bool:
    """Whether a fleet launched nothing for what may pass; such a failure of a whole request was tried again before."""
    rest = _unchangeable(answer.refusals) if answer.instance_id is None else []
    return bool(rest) and all(each.of_fleet and each.code in PASSING for each in rest)


def _is_capacity(refusal: Refusal) -> bool:
    # A fleet's word for what RunInstances calls Unsupported.
    elsewhere = refusal.code == "InvalidFleetConfiguration" and "not supported in your requested" in refusal.message
    return refusal.code in CAPACITY or elsewhere


def _is_denied(refusal: Refusal) -> bool:
    return isinstance(translated(refusal.error, "launch"), PermissionDenied)


def _is_about(refusal: Refusal, pool: Pool) -> bool:
    return refusal.instance_type in (pool.instance_type, None) and refusal.subnet_id in (pool.subnet_id, None)


def _rules_out(refusal: Refusal, pool: Pool) -> bool:
    """Whether a pool need not be asked any more; quotas are of a family of types and a market, or of all."""
    if _is_about(refusal, pool):
        return True
    if refusal.code not in QUOTA or refusal.instance_type is None:
        return False
    if refusal.code not in VCPU_QUOTA:
        return True
    theirs, its = family_of(refusal.instance_type), family_of(pool.instance_type)
    return theirs is not None and its is not None and theirs.code(spot=pool.spot) == its.code(spot=pool.spot)


def _tried(pool: Pool, code: str, message: str) -> Tried:
    return Tried(pool.instance_type, pool.zone, pool.spot, code, masked(message))


def _pool_of(described: Any, pools: Sequence[Pool]) -> Pool:
    kind, zone = described["InstanceType"], described.get("Placement", {}).get("AvailabilityZone")
    return next((pool for pool in pools if (pool.instance_type, pool.zone) == (kind, zone)), pools[0])
