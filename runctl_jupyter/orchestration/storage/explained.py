"""What a store raises, as errors for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from runctl_jupyter.orchestration.errors import ObjectMissing, StorageUnavailable
from runctl_jupyter.run_record import NotFound, PreconditionFailed, StoreError

T = TypeVar("T")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a store raises into errors for people."""
    try:
        yield
    except PreconditionFailed:
        # Not a failure but an answer: somebody else was first. Whoever wrote conditionally asked for it.
        raise
    except NotFound as error:
        raise ObjectMissing(f"There is {error}.", "See what is there: runctl s3 list") from error
    except StoreError as error:
        raise StorageUnavailable(f"{error}.", "Try again; if it stays, check the network and the bucket.") from error


def explained(things: Iterable[T]) -> Iterator[T]:
    """Yield what a store yields, with its errors turned."""
    with storage_errors():
        yield from things
