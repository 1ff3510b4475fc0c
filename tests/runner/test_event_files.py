"""TensorBoard's event files."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.runner.event_files import EventFiles
from runctl_jupyter.runner.tfevents import LONGEST_RECORD, EventFile, masked_crc, scalars
from tests.runner.event_writer import DOUBLE, FLOAT, event, field, record, simple, tensor, varint

HEAD = record(varint(1 << 3 | 1) + struct.pack("<d", 1.0) + field(3, b"brain.Event:2"))
"""As each event file begins."""
NAME = "events.out.tfevents.1700000000.host.1.0"
SINCE = 1_700_000_000.0
# What tensorboardX 2.6.5 writes for add_scalar('Loss/train', 0.5, 3, walltime=1700000000.25).
TENSORBOARD_X = bytes.fromhex(
    "1800000000000000a37f4b220970031ac06ac1da411a0d627261696e2e4576656e743a32f5b5c65020000000000000002"
    "9eda9500900001040fc54d94110032a130a110a0a4c6f73732f747261696e150000003f8fb2148b"
)
# An event of tensorboard 2.21 with a scalar of TensorFlow 2: epoch_loss 0.5 at step 4.
TENSORFLOW_2 = bytes.fromhex("0900001040fc54d94110042a1a0a180a0a65706f63685f6c6f7373420a080112002a040000003f")


def make(path: Path, *records: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(b"".join(records))
    return path


def look(files: EventFiles) -> list[tuple[str, int | None, float]]:
    return [(point.name, point.step, point.value) for point in files.look()]


def test_what_real_writers_write(tmp_path: Path) -> None:
    make(tmp_path / "runs" / NAME, TENSORBOARD_X, record(TENSORFLOW_2))
    found = EventFiles([tmp_path], SINCE).look()
    assert [(point.name, point.step, point.value) for point in found] == [
        ("Loss/train", 3, 0.5),
        ("epoch_loss", 4, 0.5),
    ]
    assert {point.time for point in found} == {SINCE + 0.25}


def test_the_tests_own_writer_writes_the_same(tmp_path: Path) -> None:
    assert event(SINCE + 0.25, 3, simple("Loss/train", 0.5)) == TENSORBOARD_X[16 + 24 + 12 : -4]
    assert masked_crc(TENSORBOARD_X[:8]) == struct.unpack("<I", TENSORBOARD_X[8:12])[0]


def test_scalars_of_all_kinds() -> None:
    values = [
        simple("a", -1.5),
        tensor("b", FLOAT, struct.pack("<f", 0.5)),
        tensor("c", DOUBLE, struct.pack("<d", 0.1)),
        tensor("a vector", FLOAT, struct.pack("<2f", 1, 2)),
        tensor("a text", 7, b"abcd"),
        simple("nan", math.nan),
    ]
    found = scalars(event(7.0, -1, *values))
    assert [(each.tag, each.step, each.time) for each in found] == [(tag, -1, 7.0) for tag in ("a", "b", "c", "nan")]
    assert [each.value for each in found] == pytest.approx([-1.5, 0.5, 0.1, math.nan], nan_ok=True)


def test_a_record_that_is_not_whole_is_read_later(tmp_path: Path) -> None:
    data = HEAD + b"".join(record(event(SINCE, step, simple("loss", 0.5))) for step in range(3))
    path = make(tmp_path / NAME)
    files = EventFiles([tmp_path], SINCE)
    steps: list[int | None] = []
    for at in range(0, len(data), 7):
        make(path, data[at : at + 7])
        steps += [point.step for point in files.look()]
    assert steps == [0, 1, 2]
    assert files.look() == []


def test_images_are_passed_over_and_a_file_that_is_none_is_left(tmp_path: Path) -> None:
    image = record(field(5, b"x" * LONGEST_RECORD))
    make(tmp_path / NAME, image, record(b"\xff\xff\xff"), record(event(SINCE, 1, simple("loss", 0.5))))
    make(tmp_path / "tfevents.txt", b"notes about tfevents, and nothing else\n")
    assert look(EventFiles([tmp_path], SINCE)) == [("loss", 1, 0.5)]


def test_what_earlier_runs_have_written_is_left_out(tmp_path: Path) -> None:
    old = make(tmp_path / "old" / NAME, record(event(SINCE - 100, 1, simple("loss", 9.0))))
    os.utime(old, (SINCE - 100, SINCE - 100))
    make(tmp_path / "again" / NAME, *(record(event(SINCE + by, 1, simple("loss", by))) for by in (-100, 1)))
    assert look(EventFiles([tmp_path], SINCE)) == [("loss", 1, 1.0)]


def test_names_tell_runs_apart(tmp_path: Path) -> None:
    for moment, folder in enumerate(("train", "validation", "first", "second")):
        path = make(tmp_path / folder / NAME, record(event(SINCE, 1, simple("epoch loss", 0.5))))
        os.utime(path, (SINCE + moment, SINCE + moment))
    found = [name for name, _, _ in look(EventFiles([tmp_path], SINCE))]
    assert found == ["train/epoch_loss", "validation/epoch_loss", "epoch_loss", "second/epoch_loss"]


def test_a_look_is_bounded(tmp_path: Path) -> None:
    make(tmp_path / NAME, *[record(event(SINCE, step, simple("loss", 0.5))) for step in range(6000)])
    for number in range(2500):
        (tmp_path / "data" / f"{number}").parent.mkdir(exist_ok=True)
        (tmp_path / "data" / f"{number}").touch()
    deep = tmp_path.joinpath(*(["d"] * 12))
    make(deep / NAME, record(event(SINCE, 1, simple("deep", 0.5))))
    files = EventFiles([tmp_path], SINCE)
    assert len(files.look()) == 5000
    assert [point.step for point in files.look()] == list(range(5000, 6000))


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    assert EventFiles([tmp_path / "none"], SINCE).look() == []


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_no_event(data: bytes) -> None:
    for each in scalars(data):
        assert isinstance(each.value, float)


@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_are_no_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = make(tmp_path_factory.mktemp("events") / NAME, data)
    assert list(EventFile(path).read(10)) == []
