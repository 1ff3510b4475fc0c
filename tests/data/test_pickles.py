"""Pickles that were made to do harm: nothing of them runs, and none costs more than a bound."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.inert import Array, Refused
from runctl_jupyter.orchestration.contents.pickles import Pickles
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable
from tests.data.held_files import cost, in_memory

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def archive(data: bytes, **entries: bytes) -> bytes:
    """Return a file as PyTorch lays it out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("x/data.pkl", data)
        for name, each in entries.items():
            made.writestr(f"x/{name.replace('__', '/')}", each)
    return stream.getvalue()


def opened(data: bytes) -> Any:
    return Pickles("x").read(io.BytesIO(data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values(protocol: int) -> None:
    shared = [1, -2, 1 << 70, 0.5, True, None, "é\n\u2028", b"\x00\xff", (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]
    value = {"a": shared, "b": shared, 3: {"c": {}}, None: []}
    assert opened(pickle.dumps(value, protocol)) == value
    assert sorted(opened(pickle.dumps({1, 2}, protocol))) == [1, 2]
    assert opened(pickle.dumps(bytearray(b"ab"), protocol)) == b"ab"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_and_arrays_of_numpy(protocol: int) -> None:
    assert opened(pickle.dumps([np.float64(0.25), np.int8(-3), np.bool_(True), np.float16(2)], protocol)) == [
        0.25, -3, True, 2.0,
    ]  # fmt: skip
    array = opened(pickle.dumps(np.arange(6, dtype=">i2").reshape(2, 3).T, protocol))
    assert isinstance(array, Array)
    assert array.type is not None
    data = np.frombuffer(array.data, f"{array.type.order}i2")
    assert data.reshape(3, 2, order="F" if array.is_fortran else "C").tolist() == [[0, 3], [1, 4], [2, 5]]


class Calls:
    """Calls something when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Sets:
    def __setstate__(self, state: Any) -> None:
        Path(state["path"]).touch()


def hostile(path: Path) -> dict[str, bytes]:
    text, source = str(path), f"open({str(path)!r}, 'w').close()"
    sets = Sets()
    sets.path = text  # type: ignore[attr-defined]
    quoted = text.encode()
    return {
        "os.system": pickle.dumps(Calls(os.system, f"touch {text}")),
        "eval": pickle.dumps(Calls(eval, source)),
        "exec": pickle.dumps({"model": [Calls(exec, source)]}),
        "nested": pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system")),
        "setstate": pickle.dumps(sets),
        "inst": b"(S'touch " + quoted + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch " + quoted + b"'\no.",
        "newobj": b"\x80\x02cos\nsystem\n(S'touch " + quoted + b"'\nt\x81.",
        "newobj_ex": b"\x80\x04cpathlib\nPath.touch\n(S'" + quoted + b"'\nt}\x92.",
        "stack_global": b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93(S'"
        + source.encode()
        + b"'\nt R.".replace(b" ", b""),
        "build": b"\x80\x02cpathlib\nPath\n(S'" + quoted + b"'\ntR}S'__class__'\ncos\nsystem\nsb.",
        "extension": b"\x80\x02\x82\x01(S'touch " + quoted + b"'\ntR.",
        "persistent": b"\x80\x02(S'storage'\ncos\nsystem\nS'touch " + quoted + b"'\nS'cpu'\nK\x01tQ.",
        "persistent text": b"Pos.system\n.",
        "called persistent": b"\x80\x02(S'module'\ncos\nsystem\nNNtQ(S'touch " + quoted + b"'\ntR.",
        "subclass": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncos\nsystem\n(S'touch "
        + quoted
        + b"'\nt}tR.",
        "defaultdict": b"\x80\x02ccollections\ndefaultdict\n(cos\nsystem\ntRS'touch'\nS'" + quoted + b"'\ns.",
        "imports": b"\x80\x02cantigravity\nx\n)R.",
        "dotted": b"\x80\x04\x8c\x05torch\x8c\x11_utils.os.system\x93(S'touch " + quoted + b"'\ntR.",
        "dtype": b"\x80\x02cnumpy\ndtype\n(cos\nsystem\ntR.",
        "codecs": b"\x80\x02c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
    }


@pytest.mark.parametrize("name", hostile(Path("x")))
@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_nothing_runs(tmp_path: Path, name: str, form: str) -> None:
    sentinel = tmp_path / "ran"
    data = hostile(sentinel)[name]
    if form == "zip":
        data = archive(data)
    elif form == "legacy":
        data = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + data + data + pickle.dumps([])
    modules = set(sys.modules)
    with suppress(CheckpointUnreadable):
        assert read(in_memory(x__pt=data)).tensors == ()
    assert not sentinel.exists()
    assert "antigravity" not in sys.modules
    assert {each.split(".")[0] for each in set(sys.modules) - modules} <= {"runctl_jupyter", "encodings"}


def test_what_was_not_loaded_is_named() -> None:
    contents = read(in_memory(x__pt=archive(pickle.dumps({"a": Calls(os.system, "x"), "step": 5}))))
    assert contents.step == 5
    assert contents.notes == (f"not loaded, and not run: {os.system.__module__}.system",)


def laughs(layers: int, *, as_key: bool) -> bytes:
    """Return a tuple that holds itself twice, and so on."""
    body = b"\x80\x04K\x01" + b"".join(b"\x94h" + bytes([n]) + b"\x86" for n in range(layers))
    return b"\x80\x04}" + body[2:] + (b"K\x01s." if as_key else b"\x8c\x01a\x8c\x01b\x86s.") if as_key else body + b"."


def deep(count: int, kind: bytes) -> bytes:
    return b"\x80\x04" + {b"tuple": b"K\x01" + b"\x85" * count, b"list": b"]" * count + b"a" * (count - 1)}[kind] + b"."


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"  # noqa: E501


def tensor(offset: bytes = b"K\x00", shape: bytes = b"K\x01\x85", strides: bytes = b"K\x01\x85") -> bytes:
    return b"\x80\x02" + TENSOR + offset + shape + strides + b"\x89NtR."


COLLIDING = (1 << 61) - 1
"""Its multiples have one hash."""
BOMBS: dict[str, Callable[[], bytes]] = {
    "shared tuples": lambda: laughs(200, as_key=False),
    "shared tuples as key": lambda: laughs(200, as_key=True),
    "shared dictionaries": lambda: (
        b"\x80\x04}\x94" + b"".join(b"}\x94(K\x01h%cK\x02h%cu" % (n, n) for n in range(200)) + b"."
    ),
    "deep tuples": lambda: deep(1_000_000, b"tuple"),
    "deep lists": lambda: deep(1_000_000, b"list"),
    "deep calls": lambda: (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\nq\x00(Nt" + b"q\x010(h\x00Nh\x01t" * 100_000 + b"R."
    ),
    "itself": lambda: b"\x80\x04]\x94" + b"h\x00a" * 100_000 + b".",
    "itself by name": lambda: (
        b"\x80\x04}\x94" + b"".join(b"X\x04\x00\x00\x00%04dh\x00s" % n for n in range(9999)) + b"."
    ),
    "a long integer": lambda: b"\x80\x02\x8b" + struct.pack("<i", 10_000_000) + b"\x7f" * 10_000_000 + b".",
    "many digits": lambda: b"L" + b"9" * 1_000_000 + b"L\n.",
    "claims eight exabytes": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
    "claims two gigabytes": lambda: b"\x80\x04X" + struct.pack("<I", (1 << 31) - 1) + b"x.",
    "frame lies": lambda: b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "dictionaries": lambda: b"\x80\x04(" + b"}" * 8_000_000 + b"t.",
    "memo": lambda: b"\x80\x04N" + b"\x94" * 8_000_000 + b".",
    "memo of hashes that collide": lambda: (
        b"N" + b"".join(b"p%d\n" % (n * COLLIDING) for n in range(200_000)) + b"."
    ),
    "keys of hashes that collide": lambda: (
        b"\x80\x02}(" + b"".join(b"\x8a\x0a" + (n * COLLIDING).to_bytes(10, "little") + b"N" for n in range(200_000))
        + b"u."
    ),
    "marks": lambda: b"(" * 8_000_000 + b".",
    "wide text": lambda: b"\x80\x04X" + struct.pack("<I", 12_000_000) + b"\xf0\x9f\x98\x80" + b"x" * 11_999_996 + b".",
    "copies": lambda: (
        b"\x80\x02](" + b"N" * 1_000_000 + b"eq\x000cbuiltins\nset\nq\x010" + b"h\x01h\x00\x85R" * 100_000 + b"."
    ),
    "long keys": lambda: (
        b"\x80\x02X" + struct.pack("<I", 5_000_000) + b"k" * 5_000_000
        + b"q\x000}q\x01(" + b"(h\x00h\x00h\x00h\x00tN" * 100_000 + b"u."
    ),
    "paths": lambda: (
        b"\x80\x02X" + struct.pack("<I", 5_000_000) + b"k" * 5_000_000
        + b"q\x000cpathlib\nPosixPath\nq\x010" + (b"h\x01(" + b"h\x00" * 1000 + b"tR") * 500 + b"."
    ),
    "no end": lambda: b"\x80\x02N",
    "nothing left": lambda: b"\x80\x020000.",
    "no mark": lambda: b"\x80\x02t.",
    "no memo": lambda: b"\x80\x02h\x07.",
    "out of band": lambda: b"\x80\x05\x97.",
    "unknown opcode": lambda: b"\x80\x02\xff.",
    "appends to a number": lambda: b"\x80\x02K\x01K\x02a.",
    "sets in a list": lambda: b"\x80\x02]K\x01K\x02s.",
    "a tensor after its storage": lambda: tensor(offset=b"K\x01"),
    "a tensor before its storage": lambda: tensor(offset=b"J\xff\xff\xff\xff"),
    "a tensor of fractions": lambda: tensor(shape=b"G\x3f\xf0\x00\x00\x00\x00\x00\x00\x85"),
    "a tensor with other strides": lambda: tensor(strides=b"K\x01K\x01\x86"),
    "a tensor larger than its storage": lambda: tensor(shape=b"K\x02\x85"),
    "a tensor of a hundred dimensions": lambda: tensor(b"K\x00", *[b"(" + b"K\x01" * 100 + b"t"] * 2),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_nothing_costs_more_than_a_bound(name: str) -> None:
    data = BOMBS[name]()
    for each in (archive(data, data__0=bytes(4)), data):
        files = in_memory(x__pt=each)

        def look(files: Files = files) -> None:
            contents = []
            with suppress(CheckpointUnreadable):
                contents.append(read(files))
            assert all(found.tensors == () for found in contents)

        seconds, memory = cost(look)
        assert memory < 250 << 20  # 150 of them at most are counted, the rest is what pages and collectors add
        assert seconds < 12  # on a busy machine


@pytest.mark.parametrize("told", [None, 1000, 16 << 20])
def test_a_pickle_that_unpacks_to_gigabytes(told: int | None) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made, made.open("x/data.pkl", "w") as entry:
        for _ in range(1000):
            entry.write(b"N" * (1 << 20))
    data = stream.getvalue()
    if told is not None:
        at = data.index(b"PK\x01\x02") + 24
        data = data[:at] + struct.pack("<I", told) + data[at + 4 :]

    def look() -> None:
        with pytest.raises(CheckpointUnreadable):
            read(in_memory(x__pt=data))

    seconds, memory = cost(look)
    assert memory < 150 << 20
    assert seconds < 12


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["data.pkl"], "no pickle tells"),
        (["a/b/data.pkl"], "no pickle tells"),
        (["a/data.pkl", "b/data.pkl"], "no pickle tells"),
        (["x/data.pkl", "x/data/0"], "has 4 bytes, and should have 400"),
        (["../x/data.pkl"], "no pickle tells"),
    ],
)
def test_archives_that_are_none_of_torch(names: list[str], what: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, tensor().replace(b"cpuK\x01", b"cpuKd") if name.endswith("pkl") else bytes(4))
    with pytest.raises(CheckpointUnreadable, match=what):
        read(in_memory(x__pt=stream.getvalue()))


def test_a_tensor_of_ours_is_understood() -> None:
    contents = read(in_memory(x__pt=archive(tensor(), data__0=b"\x00\x00\x80\x3f")))
    (found,) = contents.tensors
    assert (found.dtype, found.shape) == ("float32", (1,))
    assert found.place is not None
    assert found.place.read(0, 1) == b"\x00\x00\x80\x3f"


def test_keys_that_are_no_texts() -> None:
    value = opened(pickle.dumps({("a", 1): 1, b"b": 2, 1.5: 3, 1 << 80: 4, ((),): 5}))
    assert list(value) == ["(a, 1)", "(bytes)", 1.5, str(1 << 80), "(…)"]


OPCODES = st.sampled_from(
    [bytes([each]) for each in b"()]}NKR\x81\x85\x86\x87tlduaesbQo012.\x94\x93\x8f\x90\x91\x92\x88\x89"]
    + [b"h\x00", b"q\x00", b"K\x01", b"X\x01\x00\x00\x00a", b"\x8c\x05torch", b"\x80\x04", b"\x82\x01"]
    + [b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_parameter\n", b"cos\nsystem\n"]
    + [TENSOR, b"cnumpy\ndtype\n", b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy._core.multiarray\nscalar\n"]
    + [b"ctorch._tensor\n_rebuild_from_type_v2\n", b"ctorch._utils\n_rebuild_sparse_tensor\n"]
)  # fmt: skip


@given(st.lists(OPCODES, max_size=40))
def test_any_opcodes(opcodes: list[bytes]) -> None:
    with suppress(CheckpointUnreadable):
        found = opened(b"".join(opcodes) + b".")
        assert type(found).__module__ in ("builtins", Refused.__module__)
        read(in_memory(x__pt=archive(b"".join(opcodes) + b".")))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for each in (data, archive(data), b"\x80\x02" + data, b"PK\x03\x04" + data):
        with suppress(CheckpointUnreadable):
            assert read(in_memory(x__pt=each)).format == "torch"
