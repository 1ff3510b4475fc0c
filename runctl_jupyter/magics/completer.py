"""Tab on a ``%runctl`` line: verbs, flags, ids, names, ``s3://`` addresses, from the command tree itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from runctl_jupyter.magics.notebook_door import NotebookDoor

_LINE = re.compile(r"^\s*(?:[\w.,\s]+=\s*)?%{1,2}runctl(?P<words>\s.*)?$")

Matcher = Callable[[CompletionContext], SimpleMatcherResult]


def completer_for(door: NotebookDoor) -> Matcher:
    """Return the matcher of a kernel."""

    @context_matcher(identifier="runctl")  # type: ignore[untyped-decorator]  # IPython
    def runctl_matcher(context: CompletionContext) -> SimpleMatcherResult:
        return complete(context, door)

    matcher: Matcher = runctl_matcher
    return matcher


def complete(context: CompletionContext, door: NotebookDoor) -> SimpleMatcherResult:
    """Return completions for the line of the cursor, if it is one of ours."""
    line = context.line_with_cursor[: context.cursor_position]
    first_line = context.cursor_line == 0
    found = _LINE.match(line)
    if found is None or found["words"] is None or ("%%" in line[: found.start("words")] and not first_line):
        return {"completions": []}
    from runctl_jupyter.commands import Request, candidates

    words, incomplete = _split(found["words"])
    # Jupyter replaces `token`, which ends at `:` and other signs; what precedes it stays in the cell.
    kept = incomplete[: len(incomplete) - len(context.token)] if incomplete.endswith(context.token) else ""
    completions = [
        SimpleCompletion(value.removeprefix(kept), type=kind)
        for value, kind in candidates(words, incomplete, Request(door))
        if value.startswith(kept)
    ]
    return {"completions": completions, "suppress": True}


def _split(text: str) -> tuple[list[str], str]:
    """Return the whole words before the cursor, and the word it is in."""
    if text[-1:].isspace():
        return _words(text), ""
    head, _, incomplete = text.replace("\t", " ").rpartition(" ")
    return _words(head), incomplete


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        # An open quote: it is closed by the time the line runs, and says little about what can follow.
        return text.split()
