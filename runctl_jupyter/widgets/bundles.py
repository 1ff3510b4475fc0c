"""Where the browser's side of the widgets lies: `labextension/widgets.mjs` builds it, the wheel carries it."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from runctl_jupyter.orchestration.errors import RunctlError

_FOLDER = Path(__file__).with_name("static")


class WidgetsNotBuilt(RunctlError):
    """A checkout whose widgets have not been built."""


@functools.cache
def bundle(name: str) -> str:
    """Return the text of a built file.

    As text, not as the path that anywidget takes too: for a path it keeps each widget for ever, to tell it of changes.

    Raises
    ------
    WidgetsNotBuilt
        It is not there.
    """
    path = _FOLDER / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise WidgetsNotBuilt(
            f"The widgets have not been built: there is no {path.name}.",
            "In the checkout: pip install -e . (or: node labextension/widgets.mjs)",
        ) from error


@functools.cache
def named(view: str) -> str:
    """Return the name of a view's code with a hash of it: what a page has loaded once it need not load again."""
    text = bundle(f"{view}.js") + bundle("style.css")
    return f"{view}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
