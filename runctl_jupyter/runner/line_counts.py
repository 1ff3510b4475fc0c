"""How far a script says it is, in one line: bars of tqdm, Keras and rich, ``step 6100/10000``, ``Epoch 3/10``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

_COUNT = r"\d{1,3}(?:,\d{3})+|\d+"
_OF = rf"\s*(?:/|of)\s*(?P<total>{_COUNT})"
_BEFORE = r"(?<![\w./@%&?#=<>!~+$-])"
_TO = r"[\"']?\s*(?:[:=#]\s*)?[\"'\[(]?\s*"
_END = r"(?![\w/]|[.:]\S|-\d)"

_STEP = re.compile(
    _BEFORE
    + r"[\"']?(?P<word>(?:trainer/)?(?:global[_ ]?)?(?:_?step|iter(?:ation)?|update)|batch)"
    + _TO
    + rf"(?P<n>{_COUNT})(?:{_OF})?{_END}",
    re.IGNORECASE,
)
_STEP_TOTAL = re.compile(r"(?:total|max)_(?:steps|iters|iterations)[\"']?\s*[:=]\s*(\d+)", re.IGNORECASE)
_EPOCH = re.compile(
    _BEFORE + r"[\"']?epoch" + _TO + rf"(?P<n>{_COUNT})(?P<part>\.\d+)?(?:{_OF})?(?![\w/]|\.\d)", re.IGNORECASE
)
_LEADING = re.compile(r"(?:\[(?P<boxed>\d+)\]|(?P<bare>\d+):\t)\s*(?=\D)")
"""XGBoost and LightGBM: ``[10]  train-rmse:0.52``; CatBoost: ``10:  learn: 0.64``."""
_PART_OF = re.compile(
    rf"(?P<what>[A-Za-z]*)\s*(?:(?<=[\s\]])\[\s*(?P<n>{_COUNT})\s*/\s*(?P<total>{_COUNT})[\s(%.\d)]*\]"
    rf"|\|\s*(?P<row>{_COUNT})/\s*(?P<rows>{_COUNT})\s+(?:batches|steps|iterations)\b)"
)
"""``Epoch: [0][ 100/1251]``, ``Train Epoch: 1 [640/60000 (1%)]``, ``| 200/ 2928 batches |``."""
_COUNTED = ("epoch", "step", "iter", "iteration", "update", "batch")

_TQDM = re.compile(
    r"(?P<what>[^|]*?)\d{1,3}%\|[^|]*\|\s*(?P<n>\d+)/(?P<total>\d+)\s*"
    r"\[(?P<elapsed>[\d:]+)<(?P<left>[\d:?]+)(?:,\s*(?P<rate>[^,\]]*))?"
)
_TQDM_OPEN = re.compile(r"(?P<what>[^|\[]*?)(?P<n>\d+)it \[(?P<elapsed>[\d:]+)(?:,\s*[^,\]]*)?")
_TQDM_BYTES = re.compile(r"\d%\|[^|]*\|\s*[\d.]+[kKMGT]?i?B?/[\d.]+[kKMGTB]|[kKMGT]?i?B/s")
_KERAS = re.compile(
    r"(?P<what>\s*)(?P<n>\d+)/(?P<total>\d+)\s*(?:\[[=>.]+\]|[━╸╺]+)\s*(?:-\s*)?(?:ETA:\s*)?"
    r"(?:(?P<left>\d+(?::\d\d)+|\d+s)(?=\s))?"
)
_RICH = re.compile(
    r"(?P<what>[^━╸╺]*)[━╸╺]{3,}.*?(?P<n>\d+)/(?P<total>\d+)"
    r"(?:\s+(?P<elapsed>\d+(?::\d\d)+)\s*•)?(?:\s+(?P<left>\d+(?::\d\d)+))?"
)
_DIGITS = re.compile(r"\d+")
_WORDS = ("step", "iter", "update", "batch")

ROW = "row"
"""Key of a number that begins a line: a step only where metrics follow."""


@dataclass(frozen=True)
class Count:
    """A counter at a moment: that of a bar, or of what the script calls its steps."""

    key: str
    """Which counter: the words before it, without numbers."""
    n: int
    total: Optional[int] = None
    elapsed_s: Optional[float] = None
    left_s: Optional[float] = None


@dataclass(frozen=True)
class Counts:
    """What a line counts."""

    step: Optional[Count] = None
    bar: Optional[Count] = None
    epoch: Optional[Count] = None
    rest: str = ""
    """The line without its bar's numbers: metrics are looked for here."""


def counts_of(line: str) -> Counts:
    """Return what a line says of how far the script is."""
    bar, rest = _bar(line)
    return Counts(_step(rest), bar, _epoch(rest), rest)


def _bar(line: str) -> tuple[Optional[Count], str]:
    if "%|" in line and _TQDM_BYTES.search(line):
        return None, ""  # a download
    for mark, pattern in (("%|", _TQDM), ("it [", _TQDM_OPEN), ("━", _KERAS), ("/", _KERAS), ("━", _RICH)):
        if mark in line:
            match = pattern.match(line)
            if match is not None:
                return _bar_count(match), f"{match['what']} {line[match.end() :]}"
    for match in _PART_OF.finditer(line) if "/" in line else ():
        if match["what"].lower() not in _COUNTED:  # else the word says of what it is a part: Epoch [1/5]
            n, total = match["n"] or match["row"], match["total"] or match["rows"]
            rest = f"{line[: match.start()]} {line[match.end() :]}"
            return Count(_key(line[: match.start()]), _int(n), _int(total)), rest
    return None, line


def _bar_count(match: re.Match[str]) -> Count:
    found = match.groupdict()
    n, total = int(found["n"]), found.get("total")
    elapsed, left = _seconds(found.get("elapsed")), _seconds(found.get("left"))
    return Count(_key(found["what"]), n, int(total) if total else None, elapsed, left)


def _step(line: str) -> Optional[Count]:
    lower = line.lower()
    match = _STEP.search(line) if any(word in lower for word in _WORDS) else None
    if match is not None:
        word, total = match["word"].lower(), match["total"] or _only(_STEP_TOTAL.search(line))
        heading = line.startswith(":", match.end()) and not _DIGITS.search(line, match.end())  # Step 1: download
        alone = word == "batch" and not total  # batch=16 is a size
        if not heading and not alone:
            return Count(word, _int(match["n"]), _int(total) if total else None)
    match = _LEADING.match(line)
    return None if match is None else Count(ROW, int(match["boxed"] or match["bare"]))


def _epoch(line: str) -> Optional[Count]:
    match = _EPOCH.search(line) if "epoch" in line.lower() else None
    if match is None or (match["part"] and float(match["part"])):
        return None  # epoch 0.37 is a point of an axis, but not a step
    return Count("epoch", _int(match["n"]), _int(match["total"]) if match["total"] else None)


def _only(match: Optional[re.Match[str]]) -> Optional[str]:
    return None if match is None else match.group(1)


def _key(words: str) -> str:
    return " ".join(_DIGITS.sub("", words).split())[-80:]


def _int(text: str) -> int:
    return int(text.replace(",", ""))


def _seconds(text: Optional[str]) -> Optional[float]:
    """Read 01:02, 1:02:03 or 12s; None for the ?? of a bar that does not know yet."""
    if not text or "?" in text:
        return None
    seconds = 0
    for part in text.rstrip("s").split(":"):
        seconds = 60 * seconds + int(part or 0)
    return float(seconds)
