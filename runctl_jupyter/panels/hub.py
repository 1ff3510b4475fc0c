"""What is being followed: one poll for each thing, however many listen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from runctl_jupyter.panels.followed import Followed, Listener, Topic, Upstream
from runctl_jupyter.panels.job_topics import CardTopic, SeriesTopic
from runctl_jupyter.panels.log_topic import LogTopic
from runctl_jupyter.panels.parameters import Nothing, OfJob, Parameters, checked
from runctl_jupyter.panels.tables import CostsTopic, InstancesTopic, JobsTopic
from runctl_jupyter.panels.troubles import unknown

if TYPE_CHECKING:
    from runctl_jupyter.panels.handles import Handles

_Key = tuple["str | None", str, Parameters]

_TOPICS: Mapping[str, tuple[type[Parameters], Callable[[Handles, str | None, Parameters], Topic]]]


class Hub:
    """Reference-counted topics.

    Parameters
    ----------
    handles
        How topics reach the engine.
    """

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._followed: dict[_Key, Followed] = {}
        self._lock = threading.RLock()

    def follow(self, topic: object, params: object, place: str | None, listener: Listener) -> Callable[[], None]:
        """Follow a topic until the returned function is called.

        Raises
        ------
        InvalidRequest
            There is no such topic, or it is not asked for like this.
        """
        if not isinstance(topic, str) or topic not in _TOPICS:
            raise unknown("topic", topic, list(_TOPICS))
        model, _ = _TOPICS[topic]
        key = (self._handles.engines.identity_of(place), topic, checked(model, params, f"Topic {topic}"))
        with self._lock:
            followed = self._enter(key, place)
            followed.add(listener)
        return partial(self._leave, key, followed, listener)

    def hurry(self, place: str | None) -> None:
        """Let everything of a place look at once, and more often for a while: something was done there."""
        identity = self._handles.engines.identity_of(place)
        with self._lock:
            for (where, _, _), followed in self._followed.items():
                if where == identity:
                    followed.wake(hurry=True)

    def _enter(self, key: _Key, place: str | None) -> Followed:
        followed = self._followed.get(key)
        if followed is not None:
            return followed
        identity, name, params = key
        topic = _TOPICS[name][1](self._handles, place, params)
        followed = self._followed[key] = Followed(topic, name)
        upstream = {}
        for needed in topic.needs:
            source = self._enter((identity, needed, params), place)
            upstream[needed] = Upstream(source, followed.wake)
        topic.upstream = upstream
        for each in upstream.values():
            each.source.add(each)
        followed.begin()
        return followed

    def _leave(self, key: _Key, followed: Followed, listener: Listener) -> None:
        with self._lock:
            if not followed.remove(listener):
                return
            followed.end()
            del self._followed[key]
            identity, _, params = key
            for name, each in followed.topic.upstream.items():
                self._leave((identity, name, params), each.source, each)


def _of_job(params: Parameters) -> str:
    if not isinstance(params, OfJob):
        raise TypeError(f"{params!r} names no job")
    return params.job


_TOPICS = {
    "jobs": (Nothing, lambda handles, place, _: JobsTopic(handles, place)),
    "instances": (Nothing, lambda handles, place, _: InstancesTopic(handles, place)),
    "costs": (Nothing, lambda _handles, _place, _: CostsTopic()),
    "card": (OfJob, lambda handles, place, params: CardTopic(handles, place, _of_job(params))),
    "series": (OfJob, lambda _handles, _place, _: SeriesTopic()),
    "log": (OfJob, lambda _handles, _place, _: LogTopic()),
}
