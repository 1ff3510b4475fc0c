"""Waiting for a state, with polls that grow from quick to polite, and for storage that fails to come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_delay,
    stop_never,
    wait_exponential,
)

from runctl_jupyter.orchestration.errors import StorageUnavailable, WaitTimedOut

T = TypeVar("T")


def wait_until(
    look: Callable[[], T],
    done: Callable[[T], bool],
    *,
    timeout: float | None,
    what: str,
    to_resolve: str,
    first_s: float = 0.1,
    longest_s: float = 3.0,
    else_last: bool = False,
) -> T:
    """Call `look` until `done` likes what it returns, and return that.

    Parameters
    ----------
    timeout
        Seconds; None waits for ever.
    what, to_resolve
        The error's two lines.
    else_last
        When the time is over, return what was seen last instead.

    Raises
    ------
    WaitTimedOut
        `timeout` passed. Whatever `look` or `done` raises ends the wait too.
    """
    polls = Retrying(
        retry=retry_if_result(lambda found: not done(found)),
        wait=wait_exponential(multiplier=first_s, max=longest_s),
        stop=stop_never if timeout is None else stop_after_delay(timeout),
    )
    try:
        return polls(look)
    except RetryError as error:
        if else_last:
            return cast("T", error.last_attempt.result())
        raise WaitTimedOut(what, to_resolve) from error


def persist(action: Callable[[], T], *, timeout: float) -> T:
    """Do `action`, again while storage fails in a way that passes by itself; after `timeout` seconds raise that."""
    tries = Retrying(
        retry=retry_if_exception(is_passing),
        wait=wait_exponential(multiplier=0.2, max=3.0),
        stop=stop_after_delay(timeout),
        reraise=True,
    )
    return tries(action)


def is_passing(error: BaseException) -> bool:
    """Whether storage has failed in a way that passes by itself."""
    return isinstance(error, StorageUnavailable) and bool(getattr(error.__cause__, "transient", False))
