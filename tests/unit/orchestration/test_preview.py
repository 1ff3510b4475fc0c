"""What is shown of an object: text, JSON, tensors; nothing of it is run, and nothing of it can break who shows it."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from runctl_jupyter.orchestration import Runctl
from runctl_jupyter.orchestration.errors import InvalidRequest, ObjectMissing
from runctl_jupyter.orchestration.model import ObjectPage, Preview
from runctl_jupyter.orchestration.storage.folder import ListableFolder
from runctl_jupyter.orchestration.storage.objects import FolderObjects
from runctl_jupyter.orchestration.storage.preview import preview
from runctl_jupyter.orchestration.storage.store import ObjectPart

KB = 1024


class Shelf(FolderObjects):
    """Objects in a folder; knows what was read of them."""

    def __init__(self, root: Path) -> None:
        self.store = ListableFolder(root)
        super().__init__(self.store)
        self.read: list[tuple[int, int]] = []

    def part(self, uri: str, start: int, end: int) -> ObjectPart:
        self.read.append((start, end))
        return super().part(uri, start, end)

    def show(self, name: str, data: bytes) -> Preview:
        path = self.store.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        shown = preview(self.store.uri_of(name), self)
        json.dumps(shown.to_dict(), ensure_ascii=False).encode()
        return shown


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def test_text(shelf: Shelf) -> None:
    shown = shelf.show("a.txt", "héllo\r\n\tworld \x1b[31mred\x1b[0m".encode())
    assert (shown.kind, shown.text, shown.truncated) == ("text", "héllo\r\n\tworld \x1b[31mred\x1b[0m", False)
    assert dict(shown.facts)["size"] == "27 B"
    assert shelf.show("empty", b"").text == ""
    assert shelf.show("bom.csv", b"\xef\xbb\xbfa,b").text == "a,b"


def test_the_beginning_of_long_text_ends_with_a_whole_character(shelf: Shelf) -> None:
    shown = shelf.show("a.log", b"x" + "é".encode() * 50 * KB)
    assert (shown.kind, shown.truncated, shown.size) == ("text", True, 100 * KB + 1)
    assert shown.text == "x" + "é" * (32 * KB - 1)
    assert shelf.read == [(0, 64 * KB)]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\x00b", b"caf\xe9", "é".encode()[:1]])
def test_binary(shelf: Shelf, data: bytes) -> None:
    shown = shelf.show("x", data)
    assert (shown.kind, shown.text) == ("binary", "")


def test_json(shelf: Shelf) -> None:
    shown = shelf.show("a.json", '{"b":[1,{"ä":null}],"a":NaN}'.encode())
    assert shown.kind == "json"
    assert shown.text == '{\n  "b": [\n    1,\n    {\n      "ä": null\n    }\n  ],\n  "a": NaN\n}'


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1',  # half
        '{"a": 1}\n{"a": 2}\n',  # lines of it
        "[" * 30_000,
        "[" * 30_000 + "]" * 30_000,
        '{"\\ud800": 1}',  # half a character, which no UTF-8 can carry
        "[" + "1" * 5000 + "]",  # more digits than Python reads
        "[" * 400 + ",".join("1" * 9000) + "]" * 400,  # indented it would be megabytes
        "just words",
        "12",
    ],
)
def test_what_cannot_be_shown_as_json_is_text(shelf: Shelf, text: str) -> None:
    shown = shelf.show("a.json", text.encode())
    assert (shown.kind, shown.text) == ("text", text)


def test_tensors(shelf: Shelf) -> None:
    tensors = {"fc.weight": np.zeros((10, 64), np.float32), "b": np.zeros(3, np.int64), "n": np.zeros((), np.float16)}
    shown = shelf.show("step.safetensors", save(tensors, metadata={"step": "6100", "note": "a\nb"}))
    assert shown.kind == "tensors"
    assert sorted(shown.text.splitlines()) == [
        "b          int64    [3]",
        "fc.weight  float32  [10, 64]",
        "n          float16  []",
    ]
    facts = dict(shown.facts)
    assert (facts["tensors"], facts["parameters"], facts["step"], facts["note"]) == ("3", "644", "6,100", "a�b")
    assert shelf.read == [(0, 64 * KB)]


def test_a_long_header_is_read_and_no_more(shelf: Shelf) -> None:
    tensors = {f"layer.{n:05d}.weight": np.zeros(4, np.float32) for n in range(3000)}
    data = save(tensors)
    header = int.from_bytes(data[:8], "little")
    shown = shelf.show("big.safetensors", data)
    assert (shown.kind, shown.truncated, len(shown.text.splitlines())) == ("tensors", True, 2000)
    assert dict(shown.facts)["tensors"] == "3,000"
    assert shelf.read == [(0, 64 * KB), (64 * KB, 8 + header)]


def headed(header: Any, length: int | None = None) -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(data) if length is None else length).to_bytes(8, "little") + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x01",
        headed(b"[]"),
        headed(b"{}x", 300),
        headed({"a": 1}),
        headed({"a": {"dtype": "F32"}}),
        headed({"a": {"dtype": 1, "shape": []}}),
        headed({"a": {"dtype": "F32", "shape": ["x"]}}),
        headed(b"\xff\xff"),
        headed(b"[" * 5000),
        (1 << 63).to_bytes(8, "little") + b"{}",
    ],
)
def test_what_only_calls_itself_safetensors(shelf: Shelf, data: bytes) -> None:
    assert shelf.show("x.safetensors", data).kind in ("binary", "text")


class Bomb:
    """Goes off when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("it was unpickled",))


def test_nothing_is_unpickled(shelf: Shelf, tmp_path: Path) -> None:
    shown = shelf.show("a.pkl", pickle.dumps(Bomb()))
    assert (shown.kind, dict(shown.facts)["format"]) == ("binary", "pickle")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(Bomb()))
    shown = shelf.show("a.pt", (tmp_path / "a.zip").read_bytes())
    assert (shown.kind, shown.text) == ("tensors", "")
    assert "not loaded, and not run: _pytest" in dict(shown.facts)["note"]


@given(st.binary(max_size=300), st.sampled_from(["x", "x.json", "x.safetensors"]))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    shown = Shelf(tmp_path_factory.mktemp("any")).show(name, data)
    assert shown.size == len(data)


def test_folders_and_what_is_not_there(shelf: Shelf) -> None:
    shelf.show("d/x", b"1")
    for uri in (f"{shelf.store.uri}/d/", "/etc/passwd", f"{shelf.store.uri}/../secret", f"{shelf.store.uri}/.meta/x"):
        with pytest.raises(InvalidRequest):
            preview(uri, shelf)


def test_the_record_of_this_computer_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    storage = Runctl("local", cwd=tmp_path).storage
    root = ListableFolder(tmp_path / "runctl-jupyter" / "local" / "record")
    for name in ("b/x", "b/y", "a", "c", "d/z", "ca"):
        root.put(name, name.encode())

    def names(page: ObjectPage) -> list[str]:
        return [each.name for each in (*page.prefixes, *page.objects)]

    first = storage.page("", limit=2)
    assert (names(first), first.next) == (["b", "a"], "b")
    second = storage.page(first.uri, first.next, limit=2)
    assert (names(second), second.next) == (["c", "ca"], "ca")
    last = storage.page(root.uri, second.next, limit=2)
    assert (names(last), last.next) == (["d"], None)
    assert names(storage.page(first.prefixes[0].uri)) == ["x", "y"]
    assert names(storage.page("", prefix_filter="c")) == ["c", "ca"]
    assert storage.page("").to_dict()["objects"][0]["last_modified"].endswith("Z")
    assert storage.preview(f"{root.uri}/b/x").text == "b/x"
    assert names(storage.page(f"{root.uri}/nowhere/")) == []
    with pytest.raises(ObjectMissing):
        storage.preview(f"{root.uri}/b/nothing")
    for wrong in ("/etc", f"{root.uri}/../.."):
        with pytest.raises(InvalidRequest):
            storage.page(wrong)
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest):
            storage.page("", limit=limit)
