"""A small picture of metrics for the HTML twin: inline SVG without script or style, readable on white and on dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/): told apart by the colour-blind, 3:1 on white and on dark.
_STROKES = (("#0072b2", ""), ("#d55e00", "5 3"), ("#009e73", "2 2"))
MOST_CURVES = len(_STROKES)
MOST_POINTS = 120
_WIDTH, _HEIGHT, _PAD = 640, 96, 4

Point = Callable[[float, float], str]


@dataclass(frozen=True)
class Curve:
    """A metric; x and y have the same length."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    """None leaves a gap."""

    @property
    def last(self) -> float | None:
        """The newest value there is."""
        return next((value for value in reversed(self.y) if value is not None), None)


def curves_html(curves: Sequence[Curve]) -> str:
    """Return a drawing of the first curves, all on one scale, with their last values."""
    drawn = [curve for curve in curves if len(_numbers(curve)) > 1][:MOST_CURVES]
    if not drawn:
        return ""
    values = [value for curve in drawn for value in _numbers(curve)]
    places = [place for curve in drawn for place in curve.x]
    low, high = min(values), max(values)
    left, right = min(places), max(places)

    def point(x: float, y: float) -> str:
        across = (x - left) / (right - left) if right > left else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        return f"{_PAD + across * (_WIDTH - 2 * _PAD):.1f} {_HEIGHT - _PAD - up * (_HEIGHT - 2 * _PAD):.1f}"

    paths, legend = [], []
    for curve, (colour, dash) in zip(drawn, _STROKES, strict=False):
        line = f' stroke-dasharray="{dash}"' if dash else ""
        attributes = f'fill="none" stroke="{colour}" stroke-width="1.5" vector-effect="non-scaling-stroke"{line}'
        paths.append(f'<path d="{_path(curve, point)}" {attributes}/>')
        legend.append(
            f'<span style="color:{colour}">{"╌" if dash else "━"}</span> {escape(curve.name)} {_text(curve.last)}'
        )
    said = ", ".join(f"{curve.name} {_text(curve.last)}" for curve in drawn)
    return (
        f'<svg role="img" aria-label="{escape(said)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" height="{_HEIGHT}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg><div>{" &nbsp; ".join(legend)} '
        f'<span style="opacity:.72">&nbsp; between {_text(low)} and {_text(high)}</span></div>'
    )


def _path(curve: Curve, point: Point) -> str:
    parts: list[str] = []
    begins = True
    for x, y in zip(curve.x, curve.y, strict=True):
        if y is None or not math.isfinite(y):
            begins = True
            continue
        parts.append(f"{'M' if begins else 'L'}{point(x, y)}")
        begins = False
    return "".join(parts)


def _numbers(curve: Curve) -> list[float]:
    return [value for value in curve.y if value is not None and math.isfinite(value)]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
