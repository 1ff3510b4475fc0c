"""Flags that several S3 verbs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runctl_jupyter.orchestration.errors import RunctlError

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.options import S3Options

F = TypeVar("F", bound=Callable[..., Any])


class TransferInterrupted(RunctlError):
    """A user stopped a transfer."""

    exit_status = 130  # what shells report after Ctrl-C


@contextmanager
def interruptible(goes_on: str) -> Iterator[None]:
    """Say after Ctrl-C what it has left, and how to go on.

    Parameters
    ----------
    goes_on
        The second line.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise TransferInterrupted(
            "Interrupted: no half object and no half file is left under its name.", goes_on
        ) from None


def selection_options(function: F) -> F:
    """Add ``--include`` and ``--exclude``."""
    for name, text in (("--exclude", "Leave out what matches"), ("--include", "Take only what matches")):
        function = click.option(
            name, metavar="GLOB", multiple=True, help=f"{text}, as in .gitignore; may be given several times."
        )(function)
    return function


def access_options(function: F) -> F:
    """Add who pays, and which S3."""
    function = click.option("--endpoint-url", metavar="URL", help="An S3 that is not the target's own.")(function)
    return click.option("--request-payer", is_flag=True, help="Pay for requests (Requester Pays buckets).")(function)


def writing_options(function: F) -> F:
    """Add how S3 keeps what is uploaded."""
    function = click.option("--store-checksum", is_flag=True, help="Have S3 keep a SHA-256 of each object.")(function)
    function = click.option("--sse-kms-key-id", metavar="KEY", help="Key for --sse aws:kms.")(function)
    return click.option("--sse", type=click.Choice(["AES256", "aws:kms"]), help="Encryption at rest.")(function)


def options_of(given: dict[str, Any]) -> S3Options:
    """Return what `access_options` and `writing_options` were given."""
    from runctl_jupyter.orchestration.storage.options import S3Options

    return S3Options(**given)
