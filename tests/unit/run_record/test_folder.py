"""The record in a folder keeps S3's conditional writes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_jupyter.run_record import (
    Cause,
    CodeFile,
    CodeTree,
    FolderStore,
    JobSpec,
    JobState,
    Limits,
    NotFound,
    PreconditionFailed,
    Status,
)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "record")


def test_read_back_with_metadata(store: FolderStore) -> None:
    etag = store.put("a/b", b"\x00data", metadata={"offset": "7"})
    found = store.get("a/b")
    assert (found.data, found.etag, dict(found.metadata)) == (b"\x00data", etag, {"offset": "7"})


def test_what_is_not_there(store: FolderStore) -> None:
    with pytest.raises(NotFound):
        store.get("a")
    store.put("a/b", b"")
    with pytest.raises(NotFound):
        store.get("a")


def test_create_once(store: FolderStore) -> None:
    store.put("a", b"1", create_only=True)
    with pytest.raises(PreconditionFailed):
        store.put("a", b"2", create_only=True)
    assert store.get("a").data == b"1"


def test_compare_and_swap(store: FolderStore) -> None:
    first = store.put("a", b"1")
    second = store.put("a", b"2", if_etag=first)
    with pytest.raises(PreconditionFailed):
        store.put("a", b"3", if_etag=first)
    with pytest.raises(PreconditionFailed):
        store.put("b", b"3", if_etag=first)
    assert store.put("a", b"4", if_etag=second)


def test_of_many_writers_one_creates(store: FolderStore) -> None:
    won: list[int] = []

    def create(i: int) -> None:
        try:
            FolderStore(store.root).put("claim", b"%d" % i, create_only=True)
        except PreconditionFailed:
            return
        won.append(i)

    threads = [threading.Thread(target=create, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("claim").data == b"%d" % won[0]


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/../b", ".", ".meta/x", "a/.lock"])
def test_keys_that_leave_the_folder_are_refused(store: FolderStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        store.put(key, b"x")


names = st.text(min_size=1, max_size=20)
files = st.builds(
    CodeFile,
    names,
    st.integers(0, 0o777),
    st.integers(0),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    names,
    st.integers(0),
)


@settings(deadline=None)
@given(st.lists(files, max_size=5))
def test_a_tree_survives_json(tree: list[CodeFile]) -> None:
    assert CodeTree.from_json(CodeTree(tree).to_json()) == CodeTree(tree)


@settings(deadline=None)
@given(
    name=names,
    params=st.dictionaries(names, st.text()),
    limit=st.none() | st.floats(0, 1e9),
    price=st.none() | st.floats(0, 1e3),
)
def test_a_spec_survives_json(name: str, params: dict[str, str], limit: float | None, price: float | None) -> None:
    spec = JobSpec("i", name, "t", "o", "aws", "s.py", params=params, limits=Limits(ttl_s=limit), price_per_hour=price)
    assert JobSpec.from_json(spec.to_json()) == spec


def test_unknown_keys_are_ignored_and_missing_ones_named() -> None:
    status = Status("j", 1, JobState.FAILED, "t", cause=Cause("exit", "exit code 3"))
    data = status.to_json().replace(b"{", b'{"later": [1],', 1)
    assert Status.from_json(data) == status
    with pytest.raises(ValueError, match="lacks 'state'"):
        Status.from_json(b'{"job_id": "j", "attempt": 1}')
    with pytest.raises(ValueError, match="attempt"):
        Status.from_json(b'{"job_id": "j", "attempt": "1", "state": "failed", "updated_at": "t"}')
