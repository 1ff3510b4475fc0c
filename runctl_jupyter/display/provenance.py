"""How it looks where a job came from, and what two jobs differ in: text and HTML twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from runctl_jupyter.display.masks import cut_middle, mask
from runctl_jupyter.display.style import BORDER, DIM, MONO, NUMBERS, SURFACE, bundle, state_mark, table_html
from runctl_jupyter.orchestration.listing import plain, text_table
from runctl_jupyter.orchestration.units import duration_text, money_text, rate_text, size_text

if TYPE_CHECKING:
    from runctl_jupyter.orchestration.jobs.comparison import JobComparison
    from runctl_jupyter.orchestration.jobs.provenance import AttemptProvenance, JobProvenance
    from runctl_jupyter.run_record import Limits, Provenance, ResolvedEnvironment, ResumeFrom

_PACKAGES = 8
"""Packages named in text; a notebook has all of them, folded."""
_ROWS = 200
_DIFF_LINES = 400
"""Lines of a diff that a notebook keeps; the terminal and --json have all of it."""
_BODY = 20_000
"""Characters of a folded text in a notebook."""
_CELL = 64
"""Characters of a value in the table of differences."""


@dataclass(frozen=True)
class _Fact:
    """A line: `body` is unfolded in HTML and left out in text."""

    name: str
    text: str
    body: str = ""


@dataclass(frozen=True)
class _Section:
    title: str
    facts: list[_Fact]


def provenance_text(known: JobProvenance) -> str:
    """Return where a job came from, as text."""
    sections = _sections(known)
    width = max(len(fact.name) for section in sections for fact in section.facts)
    lines = ["provenance"]
    for section in sections:
        lines += [f"  {section.title}"] if section.title else []
        indent = "    " if section.title else "  "
        lines += [f"{indent}{fact.name:<{width + 6 - len(indent)}}{fact.text}" for fact in section.facts]
    return "\n".join(lines)


def provenance_facts(known: JobProvenance) -> list[tuple[str, str]]:
    """Return the same as titles and texts, for a table."""
    return [(fact.name, fact.text) for section in _sections(known) for fact in section.facts]


def provenance_html(known: JobProvenance) -> str:
    """Return where a job came from, as HTML: folded, because most who look at a job look at its state."""
    rows = []
    for section in _sections(known):
        if section.title:
            title = f'<th scope="colgroup" colspan="2" style="text-align:left">{escape(section.title)}</th>'
            rows.append(f"<tr>{title}</tr>")
        rows += [_row(fact) for fact in section.facts]
    return (
        f'<details style="border:{BORDER};border-radius:6px;box-sizing:border-box;max-width:880px;margin-top:6px;'
        f'padding:4px 12px;font-size:13px;line-height:20px"><summary style="cursor:pointer">provenance of '
        f'{escape(known.name)} <span style="{DIM};{MONO}">{escape(known.job_id)}</span></summary>'
        f'<table style="margin:4px 0"><tbody>{"".join(rows)}</tbody></table></details>'
    )


def provenance_bundle(known: JobProvenance) -> dict[str, str]:
    """Return both twins for a notebook, where bucket and account are masked."""
    return bundle(mask(provenance_text(known)), mask(provenance_html(known)))


def _row(fact: _Fact) -> str:
    text = escape(fact.text)
    if fact.body:
        body = fact.body if len(fact.body) <= _BODY else f"{fact.body[:_BODY]}\n…"
        text = (
            f'<details><summary style="cursor:pointer">{text}</summary><pre style="margin:4px 0;padding:6px 8px;'
            f'overflow-x:auto;{SURFACE};{MONO};line-height:18px">{escape(body)}</pre></details>'
        )
    return (
        f'<tr><th scope="row" style="text-align:left;vertical-align:top;font-weight:normal;white-space:nowrap;{DIM}">'
        f'{escape(fact.name)}</th><td style="text-align:left;overflow-wrap:anywhere;{NUMBERS}">{text}</td></tr>'
    )


def _sections(known: JobProvenance) -> list[_Section]:
    facts = [
        _Fact("script", " ".join([known.script, *known.arguments])),
        *_cell(known.origin),
        _Fact("params", plain(known.params)),
        _Fact("env", plain(known.env)),
        _Fact("inputs", ", ".join(f"{value.name} ({value.type}, {size_text(value.size)})" for value in known.inputs)),
        _Fact("requirements", known.requirements or ""),
        _Fact("launched", f"{known.created_at} by {known.owner}, target {known.target}"),
        *_origin(known.origin),
        _Fact("code", f"blobs/{known.tree}" if known.tree else ""),
        _Fact("data", known.data_uri or ""),
        _Fact("output", known.output_uri or ""),
        _Fact("limits", _limits(known.limits)),
        _Fact("price", _price(known)),
    ]
    attempts = [_Section(_attempt_title(attempt), _attempt(attempt)) for attempt in known.attempts]
    return [_Section("", _told(facts)), *attempts]


def _told(facts: Sequence[_Fact]) -> list[_Fact]:
    return [fact for fact in facts if fact.text]


def _cell(origin: Provenance | None) -> list[_Fact]:
    if origin is None or origin.cell is None:
        return []
    count = len(origin.cell.splitlines())
    return [_Fact("cell", f"{count:,} line{'s' if count != 1 else ''}", origin.cell)]


def _origin(origin: Provenance | None) -> list[_Fact]:
    if origin is None:
        return [_Fact("client", "not recorded: launched by an older version")]
    facts = [_Fact("client", " · ".join(f"{name} {text}" for name, text in origin.client.items()))]
    if origin.git_commit is None:
        return [*facts, _Fact("git", "none")]
    where = [f"{origin.git_commit[:10]} on {origin.git_branch or 'no branch'}", origin.git_remote or ""]
    facts.append(_Fact("git", " · ".join(part for part in where if part)))
    changes = f"differs from the commit; kept as blobs/{origin.git_diff}" if origin.git_diff else "as committed"
    return [*facts, _Fact("changes", changes)]


def _limits(limits: Limits) -> str:
    times = (("time", limits.ttl_s), ("script", limits.timeout_s), ("idle", limits.idle_stop_s))
    said = [f"{name} {duration_text(seconds)}" for name, seconds in times if seconds is not None]
    if limits.max_cost_usd is not None:
        said.append(f"cost {money_text(limits.max_cost_usd)}")
    return " · ".join(said)


def _price(known: JobProvenance) -> str:
    if known.price_per_hour is None:
        return ""
    return f"{rate_text(known.price_per_hour)}{' spot' if known.spot else ''} ({known.price_source})"


def _attempt_title(attempt: AttemptProvenance) -> str:
    code = f" ({attempt.exit_code})" if attempt.exit_code else ""
    return f"attempt {attempt.number} · {state_mark(attempt.state).shape} {attempt.state}{code}"


def _attempt(attempt: AttemptProvenance) -> list[_Fact]:
    machine = [attempt.instance_type, attempt.instance_id, attempt.region, "spot" if attempt.spot else None]
    facts = [
        _Fact("machine", " · ".join(part for part in machine if part) or "this computer"),
        _Fact("image", attempt.image_id or ""),
        _Fact("resumed from", _resumed(attempt.resumed_from)),
        *_environment(attempt.environment),
    ]
    if attempt.data is not None:
        data = attempt.data
        named = ", ".join(file.path for file in data.first) + (", …" if data.count > len(data.first) else "")
        summary = f"{data.count:,} files, {size_text(data.bytes)}, digest {data.digest[:12]}"
        facts.append(_Fact("data", f"{summary}: {named}" if named else summary))
    if attempt.cost_usd is not None:
        facts.append(_Fact("cost", f"{money_text(attempt.cost_usd)}, list price"))
    return _told(facts)


def _resumed(origin: ResumeFrom | None) -> str:
    if origin is None:
        return ""
    if origin.job_id is None and origin.attempt == 0:
        return "a checkpoint brought from the launching computer"
    return origin.uri or f"job {origin.job_id}, checkpoint {origin.attempt}-{origin.seq}"


def _environment(found: ResolvedEnvironment | None) -> list[_Fact]:
    if found is None:
        return []
    packages = [f"{name} {version}" for name, version in sorted(found.packages.items(), key=lambda p: p[0].lower())]
    more = ", …" if len(packages) > _PACKAGES else ""
    return [
        _Fact("python", f"{found.python} · {found.executable} · {found.platform}"),
        _Fact("packages", f"{len(packages)}: {', '.join(packages[:_PACKAGES])}{more}", "\n".join(packages)),
    ]


def comparison_text(compared: JobComparison, *, most_lines: int | None = None) -> str:
    """Return what two jobs differ in, as text.

    Parameters
    ----------
    most_lines
        Lines of the source's diff to show at most.
    """
    if not compared.differences and not compared.source_diff:
        return _equal(compared)
    parts = [_title(compared)]
    if compared.differences:
        parts.append(text_table([(title, False) for title in _columns(compared)], _rows(compared)))
        parts += _left_out(compared)
    if compared.source_diff:
        parts += ["", "\n".join(_diff_lines(compared, most_lines))]
    return "\n".join(parts)


def comparison_html(compared: JobComparison) -> str:
    """Return what two jobs differ in, as HTML."""
    if not compared.differences and not compared.source_diff:
        return f"<div>{escape(_equal(compared))}</div>"
    parts = [f"<strong>{escape(_title(compared))}</strong>"]
    if compared.differences:
        parts.append(table_html([(title, False) for title in _columns(compared)], _rows(compared)))
        parts += [f"<div>{escape(line)}</div>" for line in _left_out(compared)]
    if compared.source_diff:
        first, second, *changes = _diff_lines(compared, _DIFF_LINES)
        names = [f"<strong>{escape(name)}</strong>" for name in (first, second)]
        lines = "\n".join([*names, *map(_diff_line, changes)])
        parts.append(
            f'<pre role="region" aria-label="difference of the sources" tabindex="0" style="margin:6px 0 0;'
            f'padding:8px 12px;overflow-x:auto;max-width:856px;{SURFACE};{MONO};line-height:18px">{lines}</pre>'
        )
    return f'<div style="font-size:13px;line-height:20px">{"".join(parts)}</div>'


def comparison_bundle(compared: JobComparison) -> dict[str, str]:
    """Return both twins for a notebook, where bucket and account are masked."""
    text = comparison_text(compared, most_lines=_DIFF_LINES)
    return bundle(mask(text), mask(comparison_html(compared)))


def _columns(compared: JobComparison) -> list[str]:
    a, b = compared.a, compared.b
    # The end of an id is what a person types; two jobs may well have one name.
    return ["", *(f"{cut_middle(job.name, 40)} {job.id.rpartition('-')[2]}" for job in (a, b))]


def _title(compared: JobComparison) -> str:
    count = len(compared.differences)
    return f"{_names(compared)}: {count:,} difference{'s' if count != 1 else ''}"


def _equal(compared: JobComparison) -> str:
    return f"{_names(compared)} are equal in all that the record knows."


def _names(compared: JobComparison) -> str:
    return " and ".join(f"{job.name} ({job.id})" for job in (compared.a, compared.b))


def _rows(compared: JobComparison) -> list[list[str]]:
    return [
        [cut_middle(each.what, _CELL), _value(each.what, each.a), _value(each.what, each.b)]
        for each in compared.differences[:_ROWS]
    ]


def _left_out(compared: JobComparison) -> list[str]:
    count = len(compared.differences) - _ROWS
    return [f"{count:,} more; --json has them all"] if count > 0 else []


def _short(digest: Any) -> str:
    return str(digest)[:12]


_WRITTEN: Mapping[str, Callable[[Any], str]] = {
    "source": _short,
    "project": _short,
    "git commit": _short,
    "uncommitted changes": _short,
    "data bytes": size_text,
    "price": rate_text,
    "cost": money_text,
    "duration": lambda seconds: f"{seconds:g} s" if seconds < 60 else duration_text(seconds),
    "limit ttl_s": duration_text,
    "limit timeout_s": duration_text,
    "limit idle_stop_s": duration_text,
    "limit grace_s": duration_text,
    "limit max_cost_usd": money_text,
}
_DIGESTS = ("file ", "input ", "data file ")


def _value(what: str, value: Any) -> str:
    if value is None:
        return "—"
    write = _WRITTEN.get(what) or (_short if what.startswith(_DIGESTS) else None)
    if write is not None:
        return write(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return plain({name: item for name, item in value.items() if item is not None})
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    # A value with line ends would break the table.
    return cut_middle(" ".join(text.split()), _CELL) or "(empty)"


def _diff_lines(compared: JobComparison, most: int | None) -> list[str]:
    lines = compared.source_diff.removesuffix("\n").split("\n")
    if most is None or len(lines) <= most:
        return lines
    return [*lines[:most], f"… {len(lines) - most:,} more lines; --json has them all"]


def _diff_line(line: str) -> str:
    """Return a line of a diff with the colour of what it says; its sign says the same."""
    text = escape(line)
    state = {"+": "succeeded", "-": "failed", "@": "running"}.get(line[:1])
    return f'<span style="color:{state_mark(state).colour}">{text}</span>' if state else text
