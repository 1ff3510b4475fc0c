"""Object storage: the verbs of `s3`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runctl_jupyter.commands.cleanup import cleanup
from runctl_jupyter.commands.parameters import DURATION, S3_OR_PATH, S3_URI, json_option
from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.commands.s3_lines import EventLines, ObjectLines
from runctl_jupyter.commands.s3_options import (
    access_options,
    interruptible,
    options_of,
    selection_options,
    writing_options,
)

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Listing, StorageObject, SyncReport, Transfer


@click.group()
def s3() -> None:
    """Objects in S3."""


@s3.command("list")
@click.argument("uri", metavar="URI", type=S3_URI)
@click.option("--recursive", "-r", is_flag=True, help="Everything below, not only one level.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="So many at most.")
@access_options
@json_option
@pass_request
def list_objects(
    request: Request, /, uri: str, *, recursive: bool, limit: int | None, **options: Any
) -> Listing[StorageObject] | ObjectLines:
    """List what lies under an s3:// URI."""
    storage, access = request.runctl().storage, options_of(options)
    if request.door.kind == "notebook":
        return storage.list(uri, recursive=recursive, limit=limit, options=access)
    rows = storage.scan(uri, recursive=recursive, limit=limit, options=access)
    empty = f"Nothing under {uri}. Put something there: {request.door.prompt} s3 upload FILE {uri}"
    return ObjectLines(rows, empty, as_json=request.as_json)


@s3.command()
@click.argument("source", metavar="SRC", type=click.Path())
@click.argument("uri", metavar="URI", type=S3_URI)
@click.option("--recursive", "-r", is_flag=True, help="A folder with everything in it.")
@click.option("--no-clobber", "-n", is_flag=True, help="Leave alone what is there already.")
@selection_options
@writing_options
@access_options
@json_option
@pass_request
def upload(
    request: Request,
    /,
    source: str,
    uri: str,
    *,
    recursive: bool,
    no_clobber: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    **options: Any,
) -> Transfer:
    """Upload the file or folder SRC to an s3:// URI."""
    with (
        interruptible("Run it again for the rest: s3 sync moves only what is missing."),
        request.progress("uploading") as on_progress,
    ):
        return request.runctl().storage.upload(
            source,
            uri,
            recursive=recursive,
            no_clobber=no_clobber,
            include=include,
            exclude=exclude,
            options=options_of(options),
            on_progress=on_progress,
        )


@s3.command()
@click.argument("uri", metavar="URI", type=S3_URI)
@click.argument("destination", metavar="DST", type=click.Path())
@click.option("--recursive", "-r", is_flag=True, help="Everything under the URI.")
@click.option("--no-verify", is_flag=True, help="Do not compare the content with S3's checksum, only the size.")
@selection_options
@access_options
@json_option
@pass_request
def download(
    request: Request,
    /,
    uri: str,
    destination: str,
    *,
    recursive: bool,
    no_verify: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    **options: Any,
) -> Transfer:
    """Download an s3:// URI to the file or folder DST. A large file that was cut goes on where it was."""
    with (
        interruptible("Run it again: large files go on where they were; s3 sync moves only what is missing."),
        request.progress("downloading") as on_progress,
    ):
        return request.runctl().storage.download(
            uri,
            destination,
            recursive=recursive,
            verify=not no_verify,
            include=include,
            exclude=exclude,
            options=options_of(options),
            on_progress=on_progress,
        )


@s3.command()
@click.argument("source", metavar="SRC", type=S3_OR_PATH)
@click.argument("destination", metavar="DST", type=S3_OR_PATH)
@click.option("--delete", is_flag=True, help="Remove from DST what SRC does not have.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--no-verify", is_flag=True, help="Do not compare downloads with S3's checksum, only the size.")
@selection_options
@writing_options
@access_options
@json_option
@pass_request
def sync(
    request: Request,
    /,
    source: str,
    destination: str,
    *,
    delete: bool,
    dry_run: bool,
    no_verify: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    **options: Any,
) -> SyncReport:
    """Make DST like SRC: a folder and an s3:// URI in either order, or two URIs. Moves only what differs."""
    with interruptible("Run it again: it goes on with what is missing."), request.progress("syncing") as on_progress:
        return request.runctl().storage.sync(
            source,
            destination,
            delete=delete,
            dry_run=dry_run,
            verify=not no_verify,
            include=include,
            exclude=exclude,
            options=options_of(options),
            on_progress=on_progress,
        )


@s3.command()
@click.argument("uri", metavar="URI", type=S3_URI)
@click.option("--interval", metavar="D", type=DURATION, default="5s", show_default=True, help="Between two listings.")
@selection_options
@access_options
@json_option
@pass_request
def watch(
    request: Request,
    /,
    uri: str,
    *,
    interval: float,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    **options: Any,
) -> EventLines:
    """Say what is added, changed and removed under an s3:// URI, until Ctrl-C. With --json a document each."""
    events = request.runctl().storage.watch(
        uri,
        interval=interval,
        include=include,
        exclude=exclude,
        options=options_of(options),
        on_trouble=lambda text: click.echo(f"runctl: {text}", err=True),
    )
    return EventLines(events, as_json=request.as_json)


s3.add_command(cleanup)
