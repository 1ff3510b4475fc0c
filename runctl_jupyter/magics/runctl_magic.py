"""``%runctl`` and ``%%runctl``. Light to load: commands and engine come with the first line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand

from runctl_jupyter.magics.live_cards import LiveCards, log_writer
from runctl_jupyter.magics.notebook_door import NotebookDoor

if TYPE_CHECKING:
    from runctl_jupyter.commands import Outcome


@magics_class
class RunctlMagics(Magics):
    """The notebook door of runctl."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.door = NotebookDoor()
        self.cards = LiveCards(shell, self.door)
        self.matcher: Callable[..., Any] | None = None

    @no_var_expand  # we expand: IPython's way would rewrite JSON
    @needs_local_scope
    @line_cell_magic
    def runctl(self, line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        """Train on machines in your own AWS account.

        ::

            %runctl                                  where you are, and five examples
            %runctl use sandbox                      AWS in a box, no account needed
            %runctl create m5.large --name dev       a machine that stays
            %%runctl train --on dev --name digits    over a cell: its body is the job
            %runctl logs digits --follow             the log, from any kernel
            %runctl checkpoints list digits
            %runctl terminate dev

        ``%runctl help`` lists every verb, ``%runctl help train`` explains one; Tab completes verbs, flags, ids,
        names and ``s3://`` addresses. ``{expressions}`` on the line are replaced by their values; JSON in braces
        stays. A verb returns an object (``job = %runctl train fit.py``); a ``;`` at the end hides it.
        """
        from runctl_jupyter.magics.expansion import expand

        given = line
        line, hidden = _without_semicolon(line)
        namespace = {**self.cards.shell.user_ns, **(local_ns or {})}
        if cell is not None:
            # In place of the magic's own line, so that lines of the file are lines of the cell.
            cell = f"# %%runctl {given}\n{cell}"
        outcome = self._invoke(_words(expand(line, namespace)), cell, namespace)
        return self._show(outcome, hidden)

    def after_cell(self, _: object) -> None:
        """Bring cards up to date when a cell ends."""
        self.cards.tell_cell()

    def _invoke(self, words: list[str], cell: str | None, namespace: dict[str, Any]) -> Outcome:
        from runctl_jupyter.commands import Request, invoke
        from runctl_jupyter.orchestration.errors import InvalidRequest

        if cell is not None and words[:1] != ["train"]:
            verb = " ".join(words[:1]) or "runctl"
            raise InvalidRequest(
                f"{verb} takes no cell body.", f"Say %runctl {' '.join(words)} with one %, or %%runctl train."
            )
        request = Request(
            self.door, cell, self._cell_id(), _notebook(namespace), words=tuple(words), namespace=namespace
        )
        return invoke(words, request)

    def _cell_id(self) -> str:
        """Return the id of the cell that runs, as its front end tells it; empty when it does not."""
        # ipykernel's shell alone has one.
        parent: dict[str, Any] = getattr(self.cards.shell, "get_parent", dict)()
        return str(parent.get("metadata", {}).get("cellId") or "")

    def _show(self, outcome: Outcome, hidden: bool) -> Any:
        from runctl_jupyter.commands import Launched, LogView, PanelView, Shown, Story, Watched

        value = outcome.value
        prompt = self.door.prompt
        if isinstance(value, Launched):
            if value.bind_as is not None:
                self.cards.shell.user_ns[value.bind_as] = value.job
            if not (outcome.as_json or hidden) and (said := value.announcement):
                print(said)
            if value.wait:
                value = Watched(value.job, wait=True)
            else:
                return self._launched(value.job, outcome.as_json, hidden)
        if isinstance(value, Watched):
            job = self.cards.stay_with(value, prompt, quiet=hidden or outcome.as_json)
            if value.wait:
                self._bring_back(job)
            return _print_json(job) if outcome.as_json else None if hidden else job
        if isinstance(value, LogView):
            return self.cards.show_log(value, prompt, hidden)
        if isinstance(value, Story):
            return _tell(value)
        if isinstance(value, PanelView):
            return self._panel(value)
        if outcome.as_json:
            return _print_json(value)
        if isinstance(value, Shown):
            return self._shown(value, hidden)
        return None if hidden else value

    def _bring_back(self, job: Any) -> None:
        """Define the variables that a job has brought back (``-o``)."""
        if not job.spec.outputs:
            return
        found = job.results()
        self.cards.shell.user_ns.update(found.values)
        for problem in found.problems.values():
            print(f"{problem.what}\n{problem.to_resolve}")

    def _shown(self, shown: Any, hidden: bool) -> Any:
        from IPython.display import display

        from runctl_jupyter.display.values import notebook_bundle

        if hidden:
            return None
        self.cards.show(shown.job)
        display(notebook_bundle(shown.provenance), raw=True)  # type: ignore[no-untyped-call]  # IPython
        return shown.job

    def _panel(self, view: Any) -> None:
        from IPython.display import display

        from runctl_jupyter.widgets.panel import panel_view

        # Displayed and not returned: a panel that `Out` keeps would be followed for ever.
        display(panel_view(view.rc, view.script, launching=self.door.launching))  # type: ignore[no-untyped-call]  # IPython

    def _launched(self, job: Any, as_json: bool, hidden: bool) -> Any:
        if as_json:
            return _print_json(job)
        if hidden:
            return None
        self.cards.show(job)
        return job


def _without_semicolon(line: str) -> tuple[str, bool]:
    """Return the line without the ``;`` that hides a result, and whether it was there."""
    stripped = line.rstrip()
    return (stripped[:-1], True) if stripped.endswith(";") else (line, False)


def _notebook(namespace: dict[str, Any]) -> str | None:
    """Return the notebook's path, as the Jupyter server or VS Code tell a kernel; None when none does."""
    return namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or None


def _words(line: str) -> list[str]:
    from runctl_jupyter.orchestration.errors import InvalidRequest

    try:
        return shlex.split(line)
    except ValueError as error:
        raise InvalidRequest(
            f"The line cannot be read: {error}.", "Close the quotes, or escape them with \\."
        ) from error


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value.to_dict(), ensure_ascii=False))


def _tell(story: Any) -> None:
    write = log_writer()
    try:
        for piece in story:
            if isinstance(piece, bytes):
                write(piece)
            else:
                print(piece, flush=True)
    except KeyboardInterrupt:
        if not story.until_interrupted:
            raise
