"""Object storage: `s3 cleanup`, which is `checkpoints prune` under its old name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runctl_jupyter.commands.parameters import S3_URI, json_option
from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.orchestration.errors import InvalidRequest

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import PruneReport


@click.command()
@click.argument("uri", metavar="URI", type=S3_URI)
@click.option("--keep-last", type=int, metavar="N", required=True, help="The newest N of each folder stay.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@json_option
@pass_request
def cleanup(request: Request, uri: str, keep_last: int, dry_run: bool) -> PruneReport:
    """Remove old checkpoints under an s3:// URI; nothing but checkpoints counts, or is removed."""
    if not uri.startswith("s3://"):
        prompt = request.door.prompt
        raise InvalidRequest(
            f"{uri!r} is not an S3 address.", f"Write s3://BUCKET/PREFIX; for anything else: {prompt} checkpoints prune"
        )
    return request.runctl().checkpoints.prune(uri, keep_last=keep_last, dry_run=dry_run)
