"""A widget whose view talks to the engine: messages in, answers and events out, through one feed."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from runctl_jupyter.panels import Feed
from runctl_jupyter.widgets.bundles import bundle, named

if TYPE_CHECKING:
    from runctl_jupyter.panels import Panels

_log = logging.getLogger(__name__)


class ConnectedWidget(anywidget.AnyWidget):
    """Base of the widgets.

    A view's messages each have an ``id``. The kernel says at once that it has taken one up (``received``): a view
    that does not hear it knows that the kernel is busy or gone. ``ping`` asks for no more than that, ``view`` for the
    view's code: that is no part of the widget's state, which notebooks save and pages get that show no view.

    Parameters
    ----------
    view
        Name of the view's code, without its suffix.
    panels
        What answers.
    traits
        State that the view begins with.
    """

    _esm = bundle("loader.js")

    view = traitlets.Unicode().tag(sync=True)

    def __init__(self, view: str, panels: Panels, **traits: Any) -> None:
        self._script = f"{view}.js"
        self._panels = panels
        self._feed: Feed | None = None
        self._closed = False
        # Messages may come in on several threads: front ends use subshells.
        self._guard = threading.Lock()
        super().__init__(view=named(view), **traits)
        self.on_msg(_receive)

    @traitlets.observe("comm")
    def _watch_comm(self, change: Any) -> None:
        if change["new"] is not None:
            gone = weakref.WeakMethod(self.close)
            change["new"].on_close(lambda _: _call(gone))

    @property
    def watched(self) -> bool:
        """Whether a page has shown it alive."""
        return self._feed is not None

    def receive(self, message: Any) -> None:
        """Take a message of a view."""
        if not isinstance(message, dict) or not isinstance(message.get("id"), str):
            _log.warning("a view sent something that is no message: %.200r", message)
            return
        if message.get("type") == "view":
            texts = {"script": bundle(self._script), "style": bundle("style.css")}
            self.send({"type": "view", "id": message["id"], **texts})
            return
        feed = self._opened()
        if feed is not None:
            self.send({"type": "received", "id": message["id"]})
            if message.get("type") != "ping":
                feed.receive(message)

    def close(self) -> None:
        """End the feed, and take the views away."""
        # Also called for a widget whose making has failed.
        guard = getattr(self, "_guard", None)
        if guard is not None:
            with guard:
                feed, self._feed, self._closed = self._feed, None, True
            if feed is not None:
                feed.close()
        super().close()

    def _opened(self) -> Feed | None:
        """Return the feed, which a widget that nobody looks at does not need; None when the widget is closed."""
        with self._guard:
            if self._feed is None and not self._closed:
                self._feed = Feed(self._panels, _sender(self))
            return self._feed


def _receive(widget: ConnectedWidget, message: Any, _buffers: object) -> None:
    widget.receive(message)


def _sender(widget: ConnectedWidget) -> Callable[[dict[str, Any]], None]:
    """Return what sends to the views, without keeping the widget alive for the feed's threads."""
    reference = weakref.ref(widget)

    def send(message: dict[str, Any]) -> None:
        alive = reference()
        if alive is not None:
            alive.send(message)

    return send


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    alive = method()
    if alive is not None:
        alive()
