"""Arrays of NumPy, alone and in archives, and archives that were made to do harm."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.contents.model import Contents
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import cost, in_memory, named, on_disk, values

KINDS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"]


def npy(array: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def npz(save: Callable[..., None] = np.savez, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def arrays() -> dict[str, np.ndarray]:
    found = {
        f"{order}{kind}": np.arange(24).reshape(2, 3, 4).astype(f"{order}{kind}") for kind in KINDS for order in "<>"
    }
    found |= {f"fortran {name}": np.asfortranarray(each) for name, each in list(found.items())}
    return {**found, "0-d": np.array(7.5), "none": np.zeros((3, 0)), "one": np.zeros(1, "<f4")}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives(save: Callable[..., None]) -> None:
    wanted = arrays()
    contents = read(in_memory(x__npz=npz(save, **wanted)))
    assert (contents.format, contents.notes) == ("numpy", ())
    found = named(contents)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("<").name
        assert (values(found[name]) == array).all(), name
        if array.size == 24:
            assert (values(found[name], 5, 17) == array.reshape(-1)[5:17]).all(), name


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_a_lone_array(version: tuple[int, int]) -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3, order="F")
    contents = read(in_memory(weights__npy=npy(array, version=version)))
    (found,) = contents.tensors
    assert found.name == "weights"
    assert (values(found) == array).all()


def test_step_and_epoch() -> None:
    contents = read(in_memory(x__npz=npz(step=np.array(120, ">i8"), epoch=np.array([3.0]), w=np.zeros(2))))
    assert (contents.step, contents.epoch) == (120, 3)
    contents = read(in_memory(**{"step-5__npz": npz(np.savez_compressed, global_step=np.array(9), w=np.zeros(2))}))
    assert contents.step == 9
    assert read(in_memory(**{"step-5__npz": npz(step=np.zeros(3))})).step == 5


def test_what_is_none_of_tensors() -> None:
    found = {
        "objects": np.array([1, "x", None], object),
        "texts": np.array(["ab", "c"]),
        "times": np.array(["2026-01-01"], "M8[s]"),
        "records": np.zeros(4, [("shape", "<f4"), ("descr", "<i4", (2,))]),
    }
    contents = read(in_memory(x__npz=npz(**found)))
    assert [(each.name, each.dtype, each.shape, each.place) for each in contents.tensors] == [
        ("objects", "object", (3,), None),
        ("texts", "U2", (2,), None),
        ("times", "M8[s]", (1,), None),
        ("records", "structured", (4,), None),
    ]
    assert contents.notes == (
        "arrays of objects, which were not unpickled: objects",
        "arrays of a type that is none of tensors: texts, times, records",
    )


def test_small_arrays_are_read_many_at_once_and_of_large_ones_the_beginning(tmp_path: Path) -> None:
    files = in_memory(x__npz=npz(**{f"a{n}": np.zeros(10) for n in range(1000)}))
    assert len(read(files).tensors) == 1000
    assert files.requests < 20
    path = tmp_path / "big.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(20):
            archive.writestr(f"a{n}.npy", npy(np.full(1_000_000, n)))
    files = on_disk(path)
    found = named(read(files))
    assert files.bytes_read < 200_000
    requests = files.requests
    assert values(found["a7"], 0, 3).tolist() == [7, 7, 7]
    assert files.requests == requests + 1


def headed(text: str, data: bytes = b"", version: int = 1) -> bytes:
    raw = text.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(raw)) + raw + data


def told(descr: str = "'<f4'", order: str = "False", shape: str = "(2,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff",
        headed("x" * 50),
        headed(told(shape="(3,)"), bytes(8)),
        headed(told(shape="(-1,)"), bytes(8)),
        headed(told(shape="(" + "9" * 30 + ",)"), bytes(8)),
        headed(told(shape="(" + "1," * 65 + ")"), bytes(8)),
        headed(told(shape="(1, , 1)"), bytes(8)),
        headed(told(shape="(1.0,)"), bytes(8)),
        headed(told(shape="(999999999999999999, 999999999999999999, 0x1)"), bytes(8)),
        headed(told(order="None"), bytes(8)),
        headed(told(descr="__import__('os')"), bytes(8)),
        headed("(" * 60_000, bytes(8)),
        headed("-" * 60_000, bytes(8)),
        headed(" " * 100_000 + told(), bytes(8), version=2),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", (1 << 32) - 1) + bytes(100),
    ],
)
def test_what_lies_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointUnreadable) as raised:
        read(in_memory(x__npy=data))
    assert len(str(raised.value).splitlines()) == 2
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.npy", data)
    with pytest.raises(CheckpointUnreadable):
        read(in_memory(x__npz=archive.getvalue()))


def test_a_header_of_another_writer() -> None:
    text = """{"shape": (2, ), "fortran_order": False, "descr": "<f4"}\n"""
    (found,) = read(in_memory(x__npy=headed(text, np.array([1, 2], "<f4").tobytes()))).tensors
    assert values(found).tolist() == [1, 2]


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return stream.getvalue()


def patched(data: bytes, field: int, value: int, *, size: int = 4) -> bytes:
    """Return an archive whose first entry says something else in the directory."""
    at = data.index(b"PK\x01\x02") + field
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


ARRAY = npy(np.arange(1000))
ZEROS = npy(np.zeros(50_000_000, np.uint8))


def overlapping() -> bytes:
    """Return an archive of which each entry is the same bytes."""
    data = zipped({"a.npy": npy(np.zeros(100_000))})
    at = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[at:end]
    entries = b"".join(entry.replace(b"a.npy", b"%c.npy" % (97 + n)) for n in range(20))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 20, 20, len(entries), at, 0)
    return data[:at] + entries + tail


def million_entries() -> bytes:
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    entries = entry * 1_000_000
    zip64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1_000_000, 1_000_000, len(entries), 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(entries), 1)
    return (
        entries + zip64 + locator + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    )


HARMFUL: dict[str, Callable[[], bytes]] = {
    "cut": lambda: npz(a=np.zeros(100))[:-30],
    "no directory": lambda: b"PK\x03\x04" + bytes(1000),
    "claims less than it unpacks to": lambda: patched(zipped({"a.npy": ZEROS}), 24, 200),
    "claims more than it unpacks to": lambda: patched(zipped({"a.npy": ZEROS[:200]}), 24, len(ZEROS)),
    "stored of two sizes": lambda: patched(zipped({"a.npy": ZEROS[:200]}, zipfile.ZIP_STORED), 24, 1 << 30),
    "stored beyond the end": lambda: patched(
        patched(zipped({"a.npy": ZEROS[:200]}, zipfile.ZIP_STORED), 24, 1 << 30), 20, 1 << 30
    ),
    "encrypted": lambda: patched(zipped({"a.npy": ZEROS}), 8, 1, size=2),
    "packed otherwise": lambda: zipped({"a.npy": ZEROS}, zipfile.ZIP_BZIP2),
    "placed elsewhere": lambda: patched(zipped({"a.npy": ZEROS, "b.npy": ZEROS}), 42, 30),
    "overlapping": overlapping,
    "a million entries": million_entries,
    "twice the same name": lambda: zipped({"a.npy": ZEROS, "b.npy": ZEROS}).replace(b"b.npy", b"a.npy"),
    "no deflate": lambda: zipped({"a.npy": ARRAY}).replace(zlib.compress(ARRAY)[2:20], b"\xff" * 18),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMFUL)
def test_harmful_archives(name: str) -> None:
    data = HARMFUL[name]()
    files = in_memory(x__npz=data)

    def ends() -> None:
        for tensor in read(files).tensors:
            assert tensor.place is not None
            tensor.place.read(tensor.elements - 1, tensor.elements)

    def look() -> None:
        with pytest.raises(CheckpointUnreadable):
            ends()

    seconds, memory = cost(look)
    assert memory < 100 << 20
    assert seconds < 10


def test_a_bomb_is_unpacked_a_piece_at_a_time() -> None:
    data = zipped({"a.npy": npy(np.zeros(300_000_000, np.uint8))})
    assert len(data) < 2_000_000

    def look() -> None:
        (found,) = read(in_memory(x__npz=data)).tensors
        assert found.place is not None
        assert found.place.read(299_999_990, 300_000_000) == bytes(10)

    seconds, memory = cost(look)
    assert memory < 50 << 20
    assert seconds < 20


def test_names_that_would_leave_a_folder_are_but_names() -> None:
    contents = read(in_memory(x__npz=zipped({"../../etc/a.npy": npy(np.ones(1)), "b.txt": b"x"})))
    assert [each.name for each in contents.tensors] == ["../../etc/a"]
    assert contents.notes == ("1 entries that are no arrays",)


def test_names_with_ends_of_lines_make_no_longer_errors() -> None:
    data = zipped({"a\n\r\x1b[31m\u2028.npy": b"x"})
    with pytest.raises(CheckpointUnreadable) as raised:
        read(in_memory(x__npz=data))
    assert len(str(raised.value).splitlines()) == 2
    assert "\x1b" not in str(raised.value)


@given(st.binary(max_size=200), st.sampled_from(["raw", "npy", "npz", "in npz"]))
def test_any_bytes(data: bytes, form: str) -> None:
    made = {
        "raw": data,
        "npy": headed(told(), data),
        "npz": b"PK\x03\x04" + data,
        "in npz": zipped({"a.npy": headed("", data)}),
    }[form]
    found: list[Contents] = []
    with suppress(CheckpointUnreadable):
        found.append(read(in_memory(x__npz=made)))
    assert all(each.format == "numpy" for each in found)


@given(st.data())
def test_any_byte_of_an_archive_changed(data: st.DataObject) -> None:
    made = bytearray(npz(a=np.arange(6.0), b=np.array([1, "x"], object)))
    for _ in range(data.draw(st.integers(1, 3))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CheckpointUnreadable):
        for tensor in read(in_memory(x__npz=bytes(made))).tensors:
            if tensor.place is not None and tensor.elements < 1000:
                assert len(tensor.place.read(0, tensor.elements)) == tensor.size
