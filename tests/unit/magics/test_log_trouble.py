"""A card whose log cannot be read for a while: it says so, and goes on where it was."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from runctl_jupyter.magics.card_views import CardViews
from runctl_jupyter.magics.live_card import LiveCard
from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.jobs import log_requests
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.run_record import AttemptKeys, JobState, StoredObject, StoreError


def await_card(card: LiveCard, words: str) -> None:
    deadline = time.monotonic() + 30
    while words not in card._bundle()["text/plain"]:
        assert time.monotonic() < deadline, card._bundle()["text/plain"]
        time.sleep(0.01)


def test_the_card_says_it_and_goes_on(local: Runctl, write_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_requests, "_LONGEST_PAUSE_S", 0.05)
    job_id = write_job(b"first\n", JobState.RUNNING)
    down = threading.Event()
    get = ListableFolder.get
    reads: list[str] = []

    def failing(self: ListableFolder, key: str) -> StoredObject:
        if down.is_set() and "/logs/" in key:
            raise StoreError("S3 failed", transient=True)
        reads.append(key)
        return get(self, key)

    monkeypatch.setattr(ListableFolder, "get", failing)
    job = local.jobs.get(job_id)
    card = LiveCard(job, CardViews(job, local, widgets=False, launching=[]))
    card.follow_in_background()
    try:
        await_card(card, "first")
        down.set()
        await_card(card, "the job goes on, the log will catch up")
        await_card(card, "first")
        local.jobs.record.store.put(AttemptKeys(job_id, 1).chunk(1), b"second\n")
        down.clear()
        await_card(card, "second")
        assert "catch up" not in card._bundle()["text/plain"]
        assert reads.count(AttemptKeys(job_id, 1).chunk(0)) == 1, "it began anew"
    finally:
        card.close()
