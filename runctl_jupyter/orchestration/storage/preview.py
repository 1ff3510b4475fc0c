"""The beginning of an object for people: text, JSON, what a checkpoint holds. Nothing of it is run or unpickled."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.contents.files import Files
from runctl_jupyter.orchestration.contents.model import Contents, shape_text
from runctl_jupyter.orchestration.contents.reading import read
from runctl_jupyter.orchestration.errors import CheckpointUnreadable, InvalidRequest
from runctl_jupyter.orchestration.model import Preview
from runctl_jupyter.orchestration.units import printable, size_text
from runctl_jupyter.run_record import to_iso
from runctl_jupyter.run_record.checkpoint_names import format_of

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.storage.objects import Objects
    from runctl_jupyter.orchestration.storage.store import ObjectPart

_BEGINNING = 64 << 10
_MOST_TEXT = 256 << 10
"""Indented JSON may be far longer than what it is made from."""
_MOST_TENSORS = 2000
_MOST_METADATA = 20
_MOST_FACT = 200
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
"""Characters that no text has: not among them are tabs, ends of lines and pages, and what begins a colour."""

_FORMATS = (
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x93NUMPY", "NumPy array"),
    (b"PAR1", "Parquet"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"%PDF", "PDF"),
    (b"\x80\x02", "pickle"),
    (b"\x80\x03", "pickle"),
    (b"\x80\x04", "pickle"),
    (b"\x80\x05", "pickle"),
)
"""How files begin, and what they are then."""


def preview(uri: str, objects: Objects) -> Preview:
    """Return what can be shown of an object; see `Storage.preview`."""
    if uri.endswith("/"):
        raise InvalidRequest(f"{uri} names a folder.", "Look at what lies in it.")
    beginning = objects.part(uri, 0, _BEGINNING)
    facts = _facts(beginning)
    contents = _contents(uri, beginning, objects)
    if contents is not None:
        return tensors_preview(uri, beginning.size, contents, facts)
    truncated = beginning.size > len(beginning.data)
    text = _as_text(beginning.data, truncated=truncated)
    if text is None:
        facts += [("format", name) for magic, name in _FORMATS if beginning.data.startswith(magic)]
        return Preview(uri, beginning.size, "binary", "", truncated, facts)
    pretty = None if truncated else _pretty_json(text)
    if pretty is not None:
        return Preview(uri, beginning.size, "json", pretty, truncated=False, facts=facts)
    return Preview(uri, beginning.size, "text", text, truncated, facts)


def _facts(found: ObjectPart) -> list[tuple[str, str]]:
    written = "" if found.modified is None else to_iso(found.modified)
    return [("size", size_text(found.size)), ("modified", written)]


def _as_text(data: bytes, *, truncated: bool) -> str | None:
    try:
        # What was cut may end within a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=not truncated)
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _pretty_json(text: str) -> str | None:
    """Return JSON indented; None for what is none, or cannot be shown as such."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        pretty = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        pretty.encode()  # it may name half a surrogate pair
    except (ValueError, RecursionError):
        return None
    return pretty if len(pretty) <= _MOST_TEXT else None


def _contents(uri: str, beginning: ObjectPart, objects: Objects) -> Contents | None:
    """Return what a checkpoint holds; None for what is not named as one, or cannot be read as one."""
    name = uri.rpartition("/")[2]
    if format_of(name) is None:
        return None

    def read_range(_: str, start: int, end: int) -> bytes:
        return beginning.data[start:end] if end <= len(beginning.data) else objects.part(uri, start, end).data

    try:
        return read(Files({name: beginning.size}, read_range))
    except CheckpointUnreadable:
        return None


def tensors_preview(uri: str, size: int, contents: Contents, facts: list[tuple[str, str]]) -> Preview:
    """Return what can be shown of a checkpoint: a line for each tensor, and facts.

    Parameters
    ----------
    facts
        What is known of it besides, titles and texts.
    """
    tensors = contents.tensors
    shown = [(_line(each.name), each.dtype, shape_text(each.shape)) for each in tensors[:_MOST_TENSORS]]
    wide, narrow = (max((len(row[column]) for row in shown), default=0) for column in (0, 1))
    counters = [(name, f"{n:,}") for name, n in (("step", contents.step), ("epoch", contents.epoch)) if n is not None]
    said = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in contents.metadata.items()]
    return Preview(
        uri=uri,
        size=size,
        kind="tensors",
        text="\n".join(f"{name:<{wide}}  {dtype:<{narrow}}  {shape}" for name, dtype, shape in shown),
        truncated=len(tensors) > len(shown),
        facts=[
            *facts,
            ("tensors", f"{len(tensors):,}"),
            ("parameters", f"{sum(each.elements for each in tensors if each.part == 'model'):,}"),
            *counters,
            *((_line(name), _line(value)) for name, value in said[:_MOST_METADATA] if name not in dict(counters)),
            *(("note", _line(note)) for note in contents.notes),
        ],
    )


def _line(text: str) -> str:
    """Return a name or value of a foreign file as a short line of text."""
    line = printable(text)
    return line if len(line) <= _MOST_FACT else f"{line[:_MOST_FACT]}…"
