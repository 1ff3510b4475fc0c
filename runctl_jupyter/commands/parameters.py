"""Types of flags and arguments, and the flags several verbs share. Types know how Tab completes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from runctl_jupyter.commands.request import Request

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """``90s 30m 8h 2d``, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds; InvalidRequest when it is not a duration."""
        from runctl_jupyter.orchestration import parse_duration

        return float(value) if isinstance(value, int | float) else parse_duration(value)


class KeyValue(click.ParamType[tuple[str, str]]):
    """``KEY=VALUE``, as a pair of strings."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the first ``=``."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key.strip(), text


class Names(click.ParamType[tuple[str, ...]]):
    """``df,cfg``: names of variables."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split at commas; what may be a name is for the engine to say."""
        return (
            value if isinstance(value, tuple) else tuple(name.strip() for name in str(value).split(",") if name.strip())
        )


class Known(click.ParamType[str]):
    """A name the engine remembers, e.g. of an instance or a job: completed from its cache, never by a call."""

    def __init__(self, name: str, *kinds: str) -> None:
        self.name = name
        self.kinds = kinds

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return what is known and begins with `incomplete`."""
        request = ctx.find_object(Request)
        if request is None:
            return []
        rc = request.runctl()
        known = [(kind, name) for kind in self.kinds for name in request.door.known.names(rc, kind)]
        return [
            CompletionItem(name, type=kind.removesuffix("s")) for kind, name in known if name.startswith(incomplete)
        ]


class KnownList(Known):
    """Such names with commas between them; the last one is completed."""

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return what is known and begins with what stands after the last comma."""
        before, comma, last = incomplete.rpartition(",")
        found = super().shell_complete(ctx, param, last)
        return [CompletionItem(f"{before}{comma}{each.value}", type=each.type) for each in found]


class S3Uri(click.ParamType[str]):
    """``s3://bucket/prefix``; the engine says what is wrong with a malformed one."""

    name = "s3 uri"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return URIs that begin with `incomplete`."""
        request = ctx.find_object(Request)
        if request is None or not (incomplete.startswith("s3:") or "s3://".startswith(incomplete)):
            return []
        found = request.door.known.names(request.runctl(), "s3", incomplete)
        return [CompletionItem(uri, type="s3") for uri in found if uri.startswith(incomplete)]


class S3OrPath(click.ParamType[str]):
    """An ``s3://`` address, or a path on this computer."""

    name = "s3 uri or path"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return URIs for what begins like one, else leave it to whoever completes paths."""
        if incomplete.startswith("s3:"):
            return S3_URI.shell_complete(ctx, param, incomplete)
        return [CompletionItem(incomplete, type="file")]


INSTANCE = Known("instance", "instances")
INSTANCE_TYPE = KnownList("type", "types")
JOB = Known("job", "jobs")
EITHER = Known("job or instance", "jobs", "instances")
DURATION = Duration()
KEY_VALUE = KeyValue()
NAMES = Names()
S3_URI = S3Uri()
S3_OR_PATH = S3OrPath()


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Request).as_json = True


def json_option(function: F) -> F:
    """Add ``--json``: one JSON document on stdout and nothing else."""
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_set_json, help="Print one JSON document and nothing else."
    )(function)


def machine_options(function: F) -> F:
    """Add what says which kind of machine to launch, beside its type."""
    for decorate in (
        click.option("--fallback", metavar="never|on-demand", help="What to do when there is no spot machine."),
        click.option("--spot", is_flag=True, help="A spot machine: cheaper, and EC2 may take it back."),
        click.option("--gpu", metavar="GPU", help="Any type that has it: A10G, L4:4 (four of them), 24GB."),
    ):
        function = decorate(function)
    return function


def place_options(function: F) -> F:
    """Add what says which account a line is about."""
    for name, meta, text in (
        ("--bucket", "B", "Bucket of the run record."),
        ("--region", "R", "AWS region."),
        ("--profile", "P", "Profile of the AWS configuration."),
    ):
        function = click.option(name, metavar=meta, help=text)(function)
    return function
