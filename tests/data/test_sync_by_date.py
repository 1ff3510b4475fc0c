"""Which side is the newer, where S3's entity tags tell nothing of the content."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runctl_jupyter.orchestration.storage.names import ALL
from runctl_jupyter.orchestration.storage.sync import FolderSync
from runctl_jupyter.orchestration.storage.sync_memory import SyncMemory
from tests.data.moto_s3 import BUCKET, S3Server


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server().running() as server:
        yield server


def opaque_tags(environ: dict[str, Any], body: Iterable[bytes]) -> Iterable[bytes]:
    if "list-type" not in environ["QUERY_STRING"]:
        return body
    # As long as it was: the length has been sent.
    return [re.sub(rb"[0-9a-f]{32}", b"opaque-tag-of-another-kind-of-s3", b"".join(body))]


@pytest.mark.parametrize(("seconds", "up", "down"), [(-100, 0, 1), (0, 0, 1), (100, 1, 0)])
def test_the_newer_side_wins_and_within_a_second_nothing_is_missed(
    s3: S3Server, tmp_path: Path, seconds: int, up: int, down: int
) -> None:
    s3.client.put_object(Bucket=BUCKET, Key="p/f", Body=b"theirs")
    written = s3.client.head_object(Bucket=BUCKET, Key="p/f")["LastModified"].timestamp()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "f").write_bytes(b"mine__")
    os.utime(folder / "f", (written + seconds, written + seconds))
    s3.spoil = opaque_tags
    pair = [
        FolderSync(s3.store(), "p/", folder, ALL, SyncMemory(tmp_path / "memory", folder, f"s3://{n}")) for n in "ab"
    ]
    there = pair[0].upload(delete=False, dry_run=True, on_progress=None)
    here = pair[1].download(delete=False, dry_run=True, verify=True, on_progress=None)
    assert (len(there.moved), len(here.moved)) == (up, down)


def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    memory = SyncMemory(tmp_path, tmp_path, "s3://b/p")
    memory.save({})
    (path,) = tmp_path.iterdir()
    for text in ("", "[]", "{}", '{"of": 1}', '{"of": null, "files": 3}', "\x00"):
        path.write_text(text)
        assert memory.load() == {}
