"""A watch while S3 does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runctl_jupyter.orchestration.errors import StorageUnavailable
from runctl_jupyter.orchestration.storage.names import ALL
from runctl_jupyter.orchestration.storage.watch import Watch
from tests.data.moto_s3 import BUCKET, S3Server


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server().running() as server:
        yield server


def test_it_says_so_once_and_goes_on(s3: S3Server) -> None:
    said: list[str] = []
    watch = Watch(s3.store(retries=0), "", ALL, 0.1, said.append)
    s3.client.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    s3.refuse, s3.refusal = "list-type=2", ("503 Slow Down", "SlowDown")
    s3.asked = []

    def recover_after_three(environ: object) -> None:
        if len(s3.asked) > 3:
            s3.refuse = ""

    s3.before = recover_after_three
    event = next(watch)
    assert (event.kind, event.key) == ("added", "k")
    assert len(said) == 1
    assert "goes on" in said[0]


def test_what_does_not_pass_by_itself_ends_it(s3: S3Server) -> None:
    watch = Watch(s3.store(retries=0), "", ALL, 0.1)
    s3.refuse = "list-type=2"
    with pytest.raises(StorageUnavailable, match="AccessDenied"):
        next(watch)
