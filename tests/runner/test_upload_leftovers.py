"""Uploads in parts that S3 did not let end when they failed: the next one that succeeds ends them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from runctl_jupyter.run_record import StoreError
from runctl_jupyter.runner.s3 import S3Store
from runctl_jupyter.runner.s3_listing import unfinished_uploads
from tests.runner.services import Fault, Front, hang_up, lose_answer, refuse
from tests.runner.test_upload import small_parts, store

__all__ = ["small_parts", "store"]

DENIED = refuse(403, "AccessDenied")
SIX_TIMES = 6


def left(store: S3Store) -> int:
    """How many uploads are neither ended nor given up."""
    query = {"uploads": "", "encoding-type": "url", "prefix": store.prefix}
    return len(unfinished_uploads(store.call("GET", None, query=query).data))


@pytest.mark.parametrize(
    "faults",
    [
        [None, DENIED, DENIED],
        [None, *[hang_up] * 2 * SIX_TIMES],
        [lose_answer] * SIX_TIMES,
    ],
    ids=["S3 refuses a part, and to give up", "S3 is out of reach", "the upload's id never comes"],
)
def test_after_a_failure(faults: Sequence[Fault | None], front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(2 << 20))
    front.faults = list(faults)
    with pytest.raises(StoreError):
        store.put_file("f", source)
    assert front.faults == []
    assert left(store) > 0
    store.put_file("f", source)
    assert left(store) == 0


def test_an_id_that_was_lost_with_its_answer(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(2 << 20))
    front.faults = [lose_answer]
    store.put_file("f", source)
    assert left(store) == 0


def test_an_upload_of_a_key_that_begins_the_same_goes_on(front: Front, store: S3Store, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(bytes(2 << 20))
    store.call("POST", "f.other", query={"uploads": ""})
    front.faults = [lose_answer]
    store.put_file("f", source)
    assert left(store) == 1
