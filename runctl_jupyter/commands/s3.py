"""Object storage: `s3 list`, `s3 upload`, `s3 download`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.cleanup import cleanup
from runctl_jupyter.commands.parameters import S3_URI, json_option
from runctl_jupyter.commands.request import Request, pass_request

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Listing, StorageObject, Transfer


@click.group()
def s3() -> None:
    """Objects in S3."""


@s3.command("list")
@click.argument("uri", metavar="URI", type=S3_URI)
@click.option("--recursive", "-r", is_flag=True, help="Everything below, not only one level.")
@json_option
@pass_request
def list_objects(request: Request, uri: str, recursive: bool) -> Listing[StorageObject]:
    """List what lies under an s3:// URI."""
    return request.runctl().storage.list(uri, recursive=recursive)


@s3.command()
@click.argument("source", metavar="SRC", type=click.Path())
@click.argument("uri", metavar="URI", type=S3_URI)
@click.option("--recursive", "-r", is_flag=True, help="A folder with everything in it.")
@json_option
@pass_request
def upload(request: Request, source: str, uri: str, recursive: bool) -> Transfer:
    """Upload the file or folder SRC to an s3:// URI."""
    return request.runctl().storage.upload(source, uri, recursive=recursive)


@s3.command()
@click.argument("uri", metavar="URI", type=S3_URI)
@click.argument("destination", metavar="DST", type=click.Path())
@click.option("--recursive", "-r", is_flag=True, help="Everything under the URI.")
@json_option
@pass_request
def download(request: Request, uri: str, destination: str, recursive: bool) -> Transfer:
    """Download an s3:// URI to the file or folder DST."""
    return request.runctl().storage.download(uri, destination, recursive=recursive)


s3.add_command(cleanup)
