"""What a checkpoint holds: `checkpoints info`, `checkpoints diff`, `checkpoints download`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runctl_jupyter.commands.parameters import JOB, S3_URI, json_option
from runctl_jupyter.commands.request import Request, pass_request
from runctl_jupyter.commands.s3_options import interruptible

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from runctl_jupyter.orchestration import CheckpointDiff, CheckpointInfo, Listing, TensorInfo, Transfer


class CheckpointSource(click.ParamType[str]):
    """A job, a checkpoint of one, an ``s3://`` address, or a path."""

    name = "checkpoint"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return jobs and addresses; paths, once it is plain that one is meant."""
        from runctl_jupyter.orchestration.storage.uris import begins_as_path

        if begins_as_path(incomplete):
            from click.shell_completion import CompletionItem

            return [CompletionItem(incomplete, type="file")]
        return [*JOB.shell_complete(ctx, param, incomplete), *S3_URI.shell_complete(ctx, param, incomplete)]


SOURCE = CheckpointSource()
_META = "JOB|JOB/NAME|URI|PATH"


@click.command()
@click.argument("source", metavar=_META, type=SOURCE)
@click.option("--tensors", is_flag=True, help="A row for each tensor.")
@json_option
@pass_request
def info(request: Request, source: str, tensors: bool) -> CheckpointInfo | Listing[TensorInfo]:
    """Look into a checkpoint: tensors, modules, step, optimizer.

    JOB means its newest. Reads kilobytes of it by ranges, wherever it lies; nothing is unpickled.
    """
    found = request.runctl().checkpoints.info(source)
    return found.tensor_listing() if tensors else found


@click.command()
@click.argument("a", metavar="A", type=SOURCE)
@click.argument("b", metavar="B", type=SOURCE)
@click.option("--structure", is_flag=True, help="Names, types and shapes only: reads no values.")
@json_option
@pass_request
def diff(request: Request, a: str, b: str, structure: bool) -> CheckpointDiff:
    """Compare two checkpoints: structure, and how far each tensor has moved.

    Each is a JOB (its newest), JOB/NAME, an s3:// URI or a path; their formats may differ.
    """
    with request.progress("comparing") as on_progress:
        return request.runctl().checkpoints.diff(a, b, values=not structure, on_progress=on_progress)


@click.command()
@click.argument("source", metavar=_META, type=SOURCE)
@click.argument("destination", metavar="DST", type=click.Path(), default=".")
@json_option
@pass_request
def download(request: Request, source: str, destination: str) -> Transfer:
    """Bring a checkpoint into the folder DST (default: here), and verify it."""
    with (
        interruptible("Run it again: large files go on where they were."),
        request.progress("downloading") as on_progress,
    ):
        return request.runctl().checkpoints.download(source, destination, on_progress=on_progress)
