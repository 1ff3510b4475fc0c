"""What can be done: the few things that change the world."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import InstanceBusy
from runctl_jupyter.orchestration.instances.document import instance_documents
from runctl_jupyter.orchestration.model import Instance
from runctl_jupyter.panels.calls import Answer, Call, Calls
from runctl_jupyter.panels.landing import landing_place
from runctl_jupyter.panels.line_door import LineDoor, launch
from runctl_jupyter.panels.parameters import (
    EndOfInstance,
    Line,
    OfInstance,
    OfJob,
    OfObject,
    Resumption,
)
from runctl_jupyter.panels.troubles import explained

if TYPE_CHECKING:
    from runctl_jupyter.orchestration import Runctl
    from runctl_jupyter.panels.engines import OpenRunctl
    from runctl_jupyter.panels.handles import Handles

_ANSWER_S = 20.0
"""A proxy before a Jupyter server waits some sixty seconds for an answer; a machine may take minutes."""
_LOOK_S = 1.0


class Deeds(Calls):
    """Does things.

    Parameters
    ----------
    handles
        How to reach the engine.
    open_to_launch
        Makes the engine that launches: unlike the others it may start a sandbox.
    folder
        Where downloads land.
    """

    def __init__(self, handles: Handles, open_to_launch: OpenRunctl, folder: Callable[[], Path]) -> None:
        self._handles, self._engines = handles, handles.engines
        self._open_to_launch, self._folder = open_to_launch, folder
        super().__init__(
            "action",
            {
                "cancel": Call(OfJob, self._cancel),
                "resume": Call(Resumption, self._resume),
                "start": Call(OfInstance, self._start),
                "stop": Call(EndOfInstance, self._stop),
                "terminate": Call(EndOfInstance, self._terminate),
                "download": Call(OfObject, self._download),
                "launch": Call(Line, self._launch),
            },
        )

    def _cancel(self, params: OfJob, place: str | None) -> Answer:
        with self._handles.job(place, params.job) as job:
            # Saving may take minutes: who looks on sees the end come.
            return {"job": job.cancel(wait=False).to_dict()}

    def _resume(self, params: Resumption, place: str | None) -> Answer:
        with self._handles.job(place, params.job) as job:
            going = job.resume(checkpoint=params.checkpoint)
            self._handles.launching.append(going)
            return {"job": going.to_dict()}

    def _start(self, params: OfInstance, place: str | None) -> Answer:
        with self._engines.using(place) as rc:
            instance = rc.instances.get(params.instance)
            return self._begin(rc, instance, "pending", lambda: rc.instances.start(instance.id))

    def _stop(self, params: EndOfInstance, place: str | None) -> Answer:
        with self._engines.using(place) as rc:
            instance = rc.instances.get(params.instance)

            def stop() -> Instance:
                try:
                    return rc.instances.stop(instance.id)
                except InstanceBusy:
                    if not params.force:
                        raise
                    return rc.instances.stop(instance.id, force=True)

            return self._begin(rc, instance, "stopping", stop)

    def _begin(self, rc: Runctl, instance: Instance, sign: str, act: Callable[[], Instance]) -> Answer:
        """Do what may take minutes in a thread; answer when it is done, or when EC2 shows the `sign` of it."""
        self._handles.late.pop(instance.id, None)
        done = _in_a_thread(f"runctl-{sign}-{instance.id}", act)
        for _ in range(int(_ANSWER_S / _LOOK_S)):
            if wait_for([done], timeout=_LOOK_S).done:
                return _instance(done.result())
            instance = rc.instances.get(instance.id)
            if instance.state == sign:
                break
        # It goes on without this request; what fails then is said in the instance's row.
        done.add_done_callback(lambda over: self._note_late(instance.id, over))
        return _instance(instance)

    def _note_late(self, instance_id: str, done: Future[Instance]) -> None:
        error = done.exception()
        if error is not None:
            said = explained(error)
            self._handles.late[instance_id] = f"{said['what']} {said['to_resolve']}"

    def _terminate(self, params: EndOfInstance, place: str | None) -> Answer:
        with self._engines.using(place) as rc:
            return _instance(rc.instances.terminate(params.instance, force=params.force))

    def _download(self, params: OfObject, place: str | None) -> Answer:
        folder, is_folder = self._folder(), params.uri.endswith("/")
        with self._engines.using(place) as rc, landing_place(folder, params.uri) as path:
            moved = rc.storage.download(params.uri, path, recursive=is_folder)
            return {"path": path.relative_to(folder).as_posix(), "size": moved.bytes}

    def _launch(self, params: Line, place: str | None) -> Answer:
        self._handles.forget_launched()
        door = LineDoor(self._open_to_launch(place), self._handles.launching)
        launched = launch(params.line, door)
        if isinstance(launched, Instance):
            return _instance(launched)
        return {"job": launched.to_dict()}


def _in_a_thread(name: str, act: Callable[[], Instance]) -> Future[Instance]:
    """Do something in a thread of its own, which does not hold up the process's end."""
    done: Future[Instance] = Future()

    def work() -> None:
        try:
            done.set_result(act())
        except BaseException as error:  # noqa: BLE001 - whatever it was, it belongs to who waits for it
            done.set_exception(error)

    threading.Thread(target=work, name=name, daemon=True).start()
    return done


def _instance(instance: Instance) -> Answer:
    (document,) = instance_documents([instance], [])
    return {"instance": document}
