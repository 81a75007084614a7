"""The figures of a benchmark that intervals alone do not draw: quality against cost, and the shades of a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bluerec.evaluation.charts import choose_ticks, format_tick, spread
from bluerec.evaluation.safe_text import clean_text

WIDTH, MIN_HEIGHT = 820.0, 380.0
_LEFT, _TOP, _BOTTOM = 48.0, 18.0, 40.0
_LABEL_GAP = 13.0
_MAX_LABEL = 44
_CHARACTER_WIDTH = 6.6  # of usual labels; one in capitals only may be cut
N_SHADES = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A system by what it costs (x) and how well it ranks (mean, with its interval)."""

    label: str
    x: float
    mean: float
    low: float
    high: float
    is_highlighted: bool = False


def cost_chart(points: Sequence[Point], *, description: str, x_label: str, y_label: str) -> Markup:
    """Points with upright intervals; x is logarithmic, with 0 put at its left edge. Labels stand at the right."""
    if not points:
        return Markup("")
    ticks = choose_ticks(0.0, max(point.high for point in points))
    smallest = min((point.x for point in points if point.x > 0), default=1.0)
    low = math.floor(math.log10(smallest))
    high = max(math.ceil(math.log10(max(*(point.x for point in points), smallest))), low + 1)
    total = max(MIN_HEIGHT, _TOP + len(points) * _LABEL_GAP + _BOTTOM)  # every label has its place
    labels = [clean_text(point.label, _MAX_LABEL) for point in points]
    right, bottom = WIDTH - max(map(len, labels)) * _CHARACTER_WIDTH - 15, total - _BOTTOM

    def x(value: float) -> float:
        share = (math.log10(value) - low + 0.5) / (high - low + 0.5) if value > 0 else 0.0
        return round(_LEFT + share * (right - _LEFT), 1)

    def y(value: float) -> float:
        return round(bottom - value / ticks[-1] * (bottom - _TOP), 1)

    parts = [_text(0, 10, y_label, "axis-label")]
    for tick in ticks:
        parts.append(_line(_LEFT, y(tick), right, y(tick), "rule"))
        parts.append(_text(_LEFT - 6, y(tick) + 4, format_tick(tick, ticks), "tick", "end"))
    if any(point.x <= 0 for point in points):
        parts.append(_text(_LEFT, bottom + 16, "0", "tick", "middle"))
    for power in range(low, high + 1):
        label = f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
        parts.append(_text(x(10.0**power), bottom + 16, label, "tick", "middle"))
    parts.append(_text(right, total - 4, x_label, "axis-label", "end"))
    ordered = sorted(points, key=lambda point: y(point.mean))
    heights = spread([y(point.mean) for point in ordered], _LABEL_GAP, bottom)
    for point, height in zip(ordered, heights, strict=True):
        css_class = "highlighted" if point.is_highlighted else "plain"
        parts.append(_line(x(point.x), y(point.mean), right + 6, height, "leader"))
        parts.append(_line(x(point.x), y(point.low), x(point.x), y(point.high), f"whisker {css_class}"))
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="4" class="dot {}"/>').format(x(point.x), y(point.mean), css_class)
        )
        parts.append(_text(right + 9, height + 4, clean_text(point.label, _MAX_LABEL), f"row-label {css_class}"))
    return Markup('<svg class="chart wide-chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, total, clean_text(description, 400), Markup("").join(parts)
    )


def choose_shade(value: float, best: float) -> int:
    """0 (less than a sixth of the best) to 5 (the best): how dark a cell of a matrix is."""
    return min(N_SHADES, int(value / best * (N_SHADES + 1))) if best > 0 and value > 0 else 0


def _text(x: float, y: float, content: str, css_class: str, anchor: str = "start") -> Markup:
    return Markup('<text x="{:g}" y="{:g}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, css_class, anchor, content
    )


def _line(x1: float, y1: float, x2: float, y2: float, css_class: str) -> Markup:
    return Markup('<line x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}" class="{}"/>').format(x1, y1, x2, y2, css_class)
