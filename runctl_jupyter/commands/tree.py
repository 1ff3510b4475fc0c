"""The command tree: one for all doors. `invoke` runs a line and returns what the verb returned."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from runctl_jupyter.commands import old_names
from runctl_jupyter.commands.account import doctor, setup
from runctl_jupyter.commands.checkpoints import checkpoints
from runctl_jupyter.commands.cost import cost
from runctl_jupyter.commands.demo import demo
from runctl_jupyter.commands.instances import create, list_instances, processes, protect, start, stop, terminate
from runctl_jupyter.commands.jobs import attach, cancel, jobs, logs, resume, train
from runctl_jupyter.commands.panel import panel
from runctl_jupyter.commands.parameters import json_option, place_options
from runctl_jupyter.commands.place import EXAMPLES, status, use, whereabouts
from runctl_jupyter.commands.references import show, wait
from runctl_jupyter.commands.request import Choice, Request, pass_request
from runctl_jupyter.commands.resources import resources
from runctl_jupyter.commands.results import Interrupted, Text
from runctl_jupyter.commands.s3 import s3
from runctl_jupyter.commands.sandbox_verbs import sandbox
from runctl_jupyter.orchestration.errors import InvalidRequest


class Verbs(click.Group):
    """The root: lists verbs in the order of use, and knows their other and old names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which they were added."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put old words into new ones before anything else."""
        return super().parse_args(ctx, old_names.modern(args))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb by its name or another name of it."""
        return super().get_command(ctx, old_names.ALIASES.get(cmd_name, cmd_name))


@click.group(
    cls=Verbs,
    name="runctl",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"\b\nExamples:\n{EXAMPLES}",
)
@click.option("--target", metavar="T", help="sandbox, aws or local, for this line alone.")
@place_options
@click.version_option(package_name="runctl-jupyter", message="runctl-jupyter %(version)s")
@pass_request
@click.pass_context
def runctl(
    ctx: click.Context,
    request: Request,
    *,
    target: str | None,
    profile: str | None,
    region: str | None,
    bucket: str | None,
) -> Text | None:
    """Train on machines in your own AWS account, from a notebook or a terminal."""
    request.choice = Choice(target, profile, region, bucket)
    return whereabouts(request) if ctx.invoked_subcommand is None else None


@click.command("help")
@click.argument("verb", nargs=-1)
@json_option
@click.pass_context
def show_help(ctx: click.Context, verb: tuple[str, ...]) -> Text:
    """Explain the tree or one VERB."""
    command: click.Command = runctl
    parent = ctx.find_root()
    for name in verb:
        found = command.get_command(parent, name) if isinstance(command, click.Group) else None
        if found is None:
            raise click.exceptions.NoSuchCommand(name, possibilities=_names(command), ctx=parent)
        parent = click.Context(found, parent, name)
        command = found
    return Text(command.get_help(parent))


for verb in (  # in this order they are listed: the most used first of their kind
    use, status, doctor, setup,
    create, list_instances, show, start, stop, terminate, protect, processes, wait,
    train, jobs, logs, attach, cancel, resume,
    checkpoints, s3,
    cost, resources,
    panel, sandbox, demo, show_help,
):  # fmt: skip
    runctl.add_command(verb)


@dataclass(frozen=True)
class Outcome:
    """What a line led to."""

    value: Any
    """What the verb returned; None when everything has been said."""
    as_json: bool


def invoke(arguments: Sequence[str], request: Request) -> Outcome:
    """Run a line.

    Parameters
    ----------
    arguments
        The words after ``runctl``.
    request
        The door, and the cell's body if there is one.

    Raises
    ------
    InvalidRequest
        An unknown verb or flag, a missing or malformed value.
    Interrupted
        The user stopped waiting.
    RunctlError
        What the engine could not do.
    """
    try:
        value = runctl.main(list(arguments), prog_name=request.door.prompt, standalone_mode=False, obj=request)
    except (click.Abort, KeyboardInterrupt):  # click turns the second into the first in some places only
        raise Interrupted(request.door.prompt) from None
    except click.ClickException as error:
        raise _translate(error, request.door.prompt) from error
    # `--help` and `--version` have spoken for themselves; click then returns an exit status.
    return Outcome(None if isinstance(value, int) else value, request.as_json)


def _translate(error: click.ClickException, prompt: str) -> InvalidRequest:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else prompt
    help_line = f"See: {path} --help"
    if isinstance(error, click.exceptions.NoSuchCommand):
        name = error.command_name
        known = _names(context.command) if context is not None else []
        return InvalidRequest(f"There is no verb {name!r} under {path}.", _suggestion(name, known) or help_line)
    if isinstance(error, click.NoSuchOption):
        flags = _flags(context)
        return InvalidRequest(
            f"{path} has no flag {error.option_name}.", _suggestion(error.option_name, flags) or help_line
        )
    message = error.format_message().strip().rstrip(".").replace("\n", " ")
    return InvalidRequest(f"{path}: {message}.", help_line)


def _names(command: click.Command) -> list[str]:
    return list(command.commands) if isinstance(command, click.Group) else []


def _flags(context: click.Context | None) -> list[str]:
    if context is None:
        return []
    return [flag for parameter in context.command.get_params(context) for flag in parameter.opts if flag[0] == "-"]


def _suggestion(word: str, known: Sequence[str]) -> str:
    """Return ``Did you mean …?``, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}?" if close else ""
