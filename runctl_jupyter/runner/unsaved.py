"""Environments whose files may not have reached the disk yet: after a power-off they are made anew.

A machine can lose power at any time (a spot instance does so by design), and files written shortly before may then be
empty, in an environment and in uv's cache, whose files the environment links to. Waiting for the disk would hold up
the training by up to a minute, so it is noted down beforehand what is unsaved, and the disk is awaited in the
background.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

from runctl_jupyter.runner.folders import RootFolders

_SUFFIX = ".unsaved"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Unsaved:
    """Notes beside the environments: one for each installation that may not be on the disk, naming the boot."""

    def __init__(self, folders: RootFolders) -> None:
        self._folders = folders
        self._boot = _boot()

    def survived(self, place: Path) -> bool:
        """Whether the environment at `place` is as it was left: all of it on the disk, or no power-off since."""
        return all(_text(note) == self._boot for note in self._notes(place))

    def begin(self, place: Path) -> None:
        """Note, on the disk, that an installation into `place` begins; call it with the environment's lock held.

        What an earlier boot left unsaved is removed first, and the cache with it: its files may be empty.
        """
        self._drop_lost()
        note = place.with_name(f"{place.name}.{os.getpid()}{_SUFFIX}")
        with note.open("w", encoding="ascii") as stream:
            stream.write(self._boot)
            stream.flush()
            os.fsync(stream.fileno())
        folder = os.open(note.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def save(self, place: Path) -> None:
        """Get what was written for `place` to the disk, in the background; does nothing when it is there."""
        notes = self._notes(place)
        if notes:
            threading.Thread(target=_save, args=(notes,), name="disk", daemon=True).start()

    def _notes(self, place: Path) -> list[Path]:
        return list(place.parent.glob(f"{place.name}.*{_SUFFIX}"))

    def _drop_lost(self) -> None:
        folder = self._folders.environments
        with (folder / "notes").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # nobody may begin to fill the cache while it is removed
            lost = [note for note in folder.glob(f"*{_SUFFIX}") if _text(note) != self._boot]
            if lost:
                shutil.rmtree(self._folders.uv_cache, ignore_errors=True)
            for note in lost:
                shutil.rmtree(folder / note.name.partition(".")[0], ignore_errors=True)
                note.unlink()


def _save(notes: list[Path]) -> None:
    os.sync()  # one call: an fsync for each of ten thousand files would keep the disk from the training
    for note in notes:
        try:
            note.unlink()
        except FileNotFoundError:
            continue  # by another job that uses the environment


def _boot() -> str:
    """Return what names the time since the machine was switched on; the same text always where nothing does."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return "unknown"


def _text(note: Path) -> str:
    try:
        return note.read_text("ascii", "replace")
    except FileNotFoundError:  # saved meanwhile, or removed by whoever makes it anew
        return _boot()
