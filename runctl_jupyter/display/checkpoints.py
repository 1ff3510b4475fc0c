"""How it looks what a checkpoint holds, and what two differ in: text and HTML twin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from runctl_jupyter.display.listings import ROWS, listing_html
from runctl_jupyter.display.masks import cut_middle, mask
from runctl_jupyter.display.style import DIM, bundle, facts_html, facts_text, table_html
from runctl_jupyter.orchestration.checkpoints.difference import CheckpointDiff
from runctl_jupyter.orchestration.checkpoints.inside import CheckpointInfo
from runctl_jupyter.orchestration.listing import Listing, plain, text_table
from runctl_jupyter.orchestration.units import age_text, printable, size_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_VALUE = 100
"""Characters of a value of the metadata."""
_TOLD = 24
"""Lines of metadata."""
_MODULES = (("module", False), ("tensors", True), ("parameters", True), ("types", False))

Facts = list[tuple[str, str]]


def info_text(info: CheckpointInfo) -> str:
    """Return what a checkpoint holds, as text."""
    parts = [facts_text(*_info_head(info))]
    if info.modules:
        parts.append(text_table(_MODULES, _modules(info)))
    told = _told(info)
    if told:
        parts.append(facts_text("metadata", told))
    if info.tensors:
        parts.append("Each tensor: --tensors; its values in Python: rc.checkpoints.tensor(SOURCE, NAME)")
    return "\n\n".join(parts)


def info_bundle(info: CheckpointInfo) -> dict[str, str]:
    """Return both twins for a notebook, where bucket and account are masked."""
    title, facts = _info_head(info)
    html = [facts_html(title, facts)]
    if info.modules:
        html.append(table_html(_MODULES, _modules(info)))
    told = _told(info)
    if told:
        html.append(_folded("metadata", table_html([("", False), ("", False)], told)))
    if info.tensors:
        html.append(_folded(f"{len(info.tensors):,} tensors", listing_html(info.tensor_listing())))
    return bundle(mask(info_text(info)), mask(_framed(html)))


def diff_text(diff: CheckpointDiff) -> str:
    """Return what two checkpoints differ in, as text."""
    head = facts_text(*_diff_head(diff))
    if not diff.differences:
        return head
    listing = diff.listing()
    left_out = len(listing) - ROWS
    more = f"\n{left_out:,} more; --json has them all" if left_out > 0 else ""
    return f"{head}\n\n{text_table(_columns(listing), listing.cells()[:ROWS])}{more}"


def diff_bundle(diff: CheckpointDiff) -> dict[str, str]:
    """Return both twins for a notebook, where bucket and account are masked."""
    html = [facts_html(*_diff_head(diff))]
    if diff.differences:
        html.append(listing_html(diff.listing()))
    return bundle(mask(diff_text(diff)), mask(_framed(html)))


def _info_head(info: CheckpointInfo) -> tuple[str, Facts]:
    facts: Facts = [("format", info.format)]
    facts += [(name, f"{value:,}") for name, value in (("step", info.step), ("epoch", info.epoch)) if value is not None]
    if info.metrics:
        facts.append(("metrics", plain(dict(sorted(info.metrics.items())))))
    files = f" in {info.files:,} files" if info.files > 1 else ""
    facts.append(("size", size_text(info.size) + files))
    if info.created_at is not None:
        facts.append(("age", age_text(info.created_at)))
    facts.append(("parameters", f"{info.parameters:,} in {sum(t.part == 'model' for t in info.tensors):,} tensors"))
    if info.optimizer:
        facts.append(("optimizer", cut_middle(plain(_flat(info.optimizer)), _VALUE)))
    if info.job_id is not None:
        facts.append(("job", f"{info.job_id}, attempt {info.attempt}"))
    facts += [
        ("uri", info.uri),
        ("read", f"{size_text(info.bytes_read)} in {info.requests:,} request{'s' if info.requests != 1 else ''}"),
    ]
    facts += [("note", note) for note in info.notes]
    return printable(info.name), [(name, printable(text)) for name, text in facts]


def _modules(info: CheckpointInfo) -> list[list[str]]:
    return [
        [
            cut_middle(printable(module.name), 64),
            f"{module.tensors:,}",
            f"{module.parameters:,}",
            ", ".join(module.dtypes),
        ]
        for module in info.modules[:ROWS]
    ]


def _told(info: CheckpointInfo) -> Facts:
    told = [(cut_middle(printable(name), 40), _value(value)) for name, value in list(info.metadata.items())[:_TOLD]]
    left_out = len(info.metadata) - len(told)
    return [*told, ("…", f"{left_out:,} more; --json has them all")] if left_out > 0 else told


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A value with line ends would break the table.
    return cut_middle(printable(" ".join(text.split())), _VALUE)


def _flat(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, (str, int, float)) else _value(value) for name, value in mapping.items()}


def _diff_head(diff: CheckpointDiff) -> tuple[str, Facts]:
    count = len(diff.differences)
    total = "the same in all tensors" if not count else f"{count:,} tensor{'s' if count != 1 else ''} differ"
    relative = "" if diff.relative is None else f", {diff.relative:.4g} of ‖a‖"
    facts = [("a", _named(diff.a)), ("b", _named(diff.b)), ("equal", f"{diff.equal:,} tensors")]
    if diff.norm:
        facts.append(("‖b-a‖", f"{diff.norm:.6g}{relative}, of the model"))
    return printable(f"{diff.a.name} and {diff.b.name}: {total}"), [*facts, ("read", size_text(diff.bytes_read))]


def _named(info: CheckpointInfo) -> str:
    step = "" if info.step is None else f", step {info.step:,}"
    return printable(f"{info.uri} ({info.format}{step})")


def _columns(listing: Listing[Any]) -> list[tuple[str, bool]]:
    return [(column.title, column.right) for column in listing.columns]


def _folded(title: str, body: str) -> str:
    return f'<details><summary style="cursor:pointer;{DIM}">{escape(title)}</summary>{body}</details>'


def _framed(parts: Sequence[str]) -> str:
    return f'<div style="font-size:13px;line-height:20px">{"".join(parts)}</div>'
