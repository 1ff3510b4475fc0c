"""Everything tagged ours: `resources list`, `summary` and `cleanup`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runctl_jupyter.commands.parameters import DURATION, json_option
from runctl_jupyter.commands.request import Request, pass_request

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import CleanupReport, Listing, Resource, ResourceSummary

F = TypeVar("F", bound=Callable[..., Any])

KINDS = (
    "instance", "volume", "snapshot", "image", "launch-template", "fleet", "spot-request", "schedule", "upload",
    "blobs",
)  # fmt: skip


def where_options(function: F) -> F:
    """Add what says where to look, and for what."""
    for option in (
        click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this; may be repeated."),
        click.option("--all-regions", is_flag=True, help="Every region that the account has enabled."),
        click.option(
            "--region", "regions", multiple=True, metavar="R", help="Where; may be repeated. Default: the one in use."
        ),
    ):
        function = option(function)
    return function


@click.group()
def resources() -> None:
    """See and clean up all that is tagged ours, in any region."""


@resources.command("list", epilog="Example: runctl resources list --all-regions --kind volume")
@where_options
@click.option("--owner", metavar="O", help="Whose; everybody's by default.")
@json_option
@pass_request
def list_resources(
    request: Request, *, regions: tuple[str, ...], all_regions: bool, kinds: tuple[str, ...], owner: str | None
) -> Listing[Resource]:
    """List what is ours and what it costs; what is left over or overdue comes first."""
    return request.runctl().resources.list(regions=regions, all_regions=all_regions, kinds=kinds, owner=owner)


@resources.command()
@where_options
@click.option("--owner", metavar="O", help="Whose; everybody's by default.")
@json_option
@pass_request
def summary(
    request: Request, *, regions: tuple[str, ...], all_regions: bool, kinds: tuple[str, ...], owner: str | None
) -> ResourceSummary:
    """Count it and what it costs, by kind and region, and say what is wrong."""
    return request.runctl().resources.summary(regions=regions, all_regions=all_regions, kinds=kinds, owner=owner)


@resources.command(epilog="Example: runctl resources cleanup --all-regions --older-than 2d --yes")
@where_options
@click.option("--owner", metavar="O", help="Whose; yours by default.")
@click.option("--all-owners", is_flag=True, help="Everybody's.")
@click.option("--older-than", type=DURATION, metavar="D", help="What is younger stays.")
@click.option(
    "--orphans-only/--unused",
    default=True,
    help="Only what is left over or overdue (default), or whatever nothing uses now, as a stopped machine.",
)
@click.option("--yes", is_flag=True, help="Remove it; without it, it is only shown.")
@json_option
@pass_request
def cleanup(
    request: Request,
    *,
    regions: tuple[str, ...],
    all_regions: bool,
    kinds: tuple[str, ...],
    owner: str | None,
    all_owners: bool,
    older_than: float | None,
    orphans_only: bool,
    yes: bool,
) -> CleanupReport:
    """Show what nothing needs any more, and why; with --yes, remove it.

    Never what is protected, in use or not tagged ours; a running machine only when its time limit has passed.
    """
    return request.runctl().resources.cleanup(
        regions=regions,
        all_regions=all_regions,
        kinds=kinds,
        owner=owner,
        all_owners=all_owners,
        older_than=older_than,
        orphans_only=orphans_only,
        dry_run=not yes,
    )
