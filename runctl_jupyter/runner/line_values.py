"""Metrics in a line that a script prints: ``loss=0.31``, ``loss: 0.31``, a JSON object; what is none of them."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Optional

LONGEST_NAME = 64

Values = dict[str, float]

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|NaN|Infinity)"
# Behind a value: nothing, or what separates. So no date (2026-11-24), time (10:31), version (1.2.3), path or 12.3s.
_BEHIND = r"(?=\s*%?(?:$|[\s,;|)\]}]|\.(?:\s|$)))"
# Before a name: so none in the middle of a path, of an address's query, of an option (--lr=0.1) or a comparison.
_BEFORE = r"(?<![\w./@%&?#=<>!~+$-])"
_WHICH = (
    r"(?:(?P<which>[Tt]rain(?:ing)?|[Vv]al(?:id(?:ation)?)?|[Tt]est|[Ee]val|[Dd]ev"
    r"|[Aa]verage|[Aa]vg|[Mm]ean|[Bb]est|\w+'s)\s+)?"
)
_PAIR = re.compile(
    _BEFORE
    + _WHICH
    + r"(?P<quote>[\"']?)(?P<name>[A-Za-z_][\w./@-]*)(?P=quote)"
    + r"(?P<sep>\s*=\s*|\s*:\s*)"
    + rf"(?P<string>[\"']?)(?P<value>{_NUMBER})(?P=string)"
    + _BEHIND
)
_KNOWN = re.compile(
    _BEFORE + _WHICH + r"(?P<name>(?:[A-Za-z]\w*[_/])?"
    r"(?:[Ll]oss|[Aa]cc(?:uracy)?|ppl|[Pp]erplexity|[Ff]1|[Aa][Uu][Cc]|lr|[Rr]eward"
    r"|[Bb][Ll][Ee][Uu]|mAP|m?IoU|[Mm][Ss][Ee]|[Mm][Aa][Ee]|[Rr][Mm][Ss][Ee])(?:@\d+)?)\s+"
    + rf"(?P<value>{_NUMBER})"
    + _BEHIND
)
_WRAPPED = re.compile(r"\b(?:tensor|np\.float\d+|np\.int\d+|array)\(\s*([-+.\deEnaif]+)[^()]*\)")
_CALL = re.compile(r"\b\w+\s?\([^()]*[=:][^()]*\)")
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://\S*")
_BYTES = re.compile(r"\s*(?:[KMGT]i?)?[Bb](?:ytes?|/s)?\b")
_PROSE = re.compile(r"\s+[A-Za-z]+[.!]?\s*$")
_NOT_IN_NAMES = re.compile(r"[^\w./@-]+", re.ASCII)
_NO_METRIC = re.compile(
    r"(?:.*[_./])?(?:id|ids|pid|ppid|uid|port|seed|rank|version|v_num|timestamp|ts|lineno|line|code|status|returncode"
    r"|batch_size|hidden_size|vocab_size|world_size|year|month|day|hour|minute|eta"
    # These are axes.
    r"|steps?|iter|iters|iterations?|updates?|batch|epochs?)|num_.*",
    re.IGNORECASE,
)
_MOST_OF_A_LINE = 32


def clean_name(text: str) -> str:
    """Return a metric's name as the record writes it; empty when nothing of it is left."""
    return _NOT_IN_NAMES.sub("_", text).strip("_")[:LONGEST_NAME]


def values_of(line: str) -> Values:
    """Return the metrics of a line, in its order; numbers that merely look like some are none."""
    if line.startswith("{") and line.endswith("}"):
        found = json_values(line)
        if found is not None:
            return found
    if "://" in line:
        line = _ADDRESS.sub(" ", line)
    if "(" in line:
        # A value in its type's clothes is a value; what stands in a call is an argument: Linear(in_features=10).
        line = _CALL.sub(" ", _WRAPPED.sub(r"\1", line))
    values: Values = {}
    if "=" in line or ":" in line:
        for match in _PAIR.finditer(line):
            if len(values) < _MOST_OF_A_LINE and not _misleads(match, line):
                _add(values, match)
    if " " in line:
        for match in _KNOWN.finditer(line):
            if len(values) < _MOST_OF_A_LINE and not _BYTES.match(line, match.end()):
                _add(values, match)
    return values


def json_values(line: str) -> Optional[Values]:
    """Return the numbers of a JSON object, those of objects in it too; None when it is no JSON."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    values: Values = {}
    if isinstance(found, dict):
        _take(values, found, "")
    return values


def is_metric(name: str) -> bool:
    """Whether a number of this name may be one that is watched: a process id is not."""
    return bool(name) and _NO_METRIC.fullmatch(name) is None


def _take(values: Values, found: dict[str, Any], prefix: str) -> None:
    for key, value in found.items():
        if len(values) >= _MOST_OF_A_LINE:
            return
        if isinstance(value, dict) and not prefix:
            _take(values, value, f"{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            name = clean_name(prefix + key)
            if is_metric(name):
                values[name] = _number(value)


def _misleads(match: re.Match[str], line: str) -> bool:
    separator, value, end = match["sep"], match["value"], match.end()
    whole = value.lstrip("+-").isdigit()
    if whole and separator == ":" and not match["quote"]:
        return True  # localhost:8080, train.py:31
    if whole and "=" not in separator and _PROSE.match(line, end):
        return True  # Found: 3 files
    return _BYTES.match(line, end) is not None


def _add(values: Values, match: re.Match[str]) -> None:
    which = match["which"]
    name = clean_name(f"{which.removesuffix(chr(39) + 's')}_{match['name']}" if which else match["name"])
    if is_metric(name):
        values.setdefault(name, _number(match["value"].replace(",", "")))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
