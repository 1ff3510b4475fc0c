"""What ``%load_ext runctl_jupyter`` and ``%unload_ext runctl_jupyter`` do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runctl_jupyter import __version__
from runctl_jupyter.display import formatters
from runctl_jupyter.magics.completer import completer_for
from runctl_jupyter.magics.runctl_magic import RunctlMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MAGIC = "runctl"
_KEPT_AS = "_runctl_magics"


def load(shell: InteractiveShell) -> None:
    """Register magics, completer and formatters in `shell`, and say so in one line. No network, no engine."""
    if hasattr(shell, _KEPT_AS):
        unload(shell)
    magics = RunctlMagics(shell)
    shell.register_magics(magics)
    magics.matcher = completer_for(magics.door)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(magics.matcher)
    shell.input_transformers_cleanup.append(keep_empty_body)
    formatters.install(shell, magics.cards.show_result)
    shell.events.register("post_run_cell", magics.after_cell)
    setattr(shell, _KEPT_AS, magics)
    target = os.environ.get("RUNCTL_TARGET")
    chosen = f"target {target}" if target else "target from .runctl.toml, else sandbox"
    print(f"runctl-jupyter {__version__} · {chosen} · next: %runctl")


def unload(shell: InteractiveShell) -> None:
    """Take everything back out of `shell`; jobs go on."""
    magics = getattr(shell, _KEPT_AS, None)
    if magics is None:
        return
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(MAGIC, None)
    if shell.Completer is not None and magics.matcher in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(magics.matcher)
    if keep_empty_body in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(keep_empty_body)
    shell.events.unregister("post_run_cell", magics.after_cell)
    formatters.remove(shell)
    magics.cards.close()
    delattr(shell, _KEPT_AS)


def keep_empty_body(lines: list[str]) -> list[str]:
    """Give a ``%%runctl`` cell without body an empty line, so that our own error says what is missing."""
    if len(lines) == 1 and lines[0].split()[:1] == [f"%%{MAGIC}"]:
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines
