"""Line charts and dot-and-whisker charts as inline SVG: pure functions from numbers to markup.

Colours are CSS variables of the page (`--ink`, `--muted`, `--rule`, `--series-0` ... `--series-5`), so that one chart
is readable in light and dark. Lines are labelled at their ends, not in a legend. Every label is cleaned and escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from bluerec.evaluation.safe_text import clean_text

N_SERIES_COLOURS = 6
MAX_POINTS = 400
MAX_LABEL_CHARACTERS = 56

# All lengths are in CSS pixels.
LINE_CHART_WIDTH, LINE_CHART_HEIGHT = 340.0, 168.0
_TOP, _UNIT_HEIGHT, _BOTTOM = 8.0, 14.0, 26.0
_CHARACTER_WIDTH = 6.3
_LABEL_GAP = 13.0
_MAX_END_LABEL_WIDTH = 110.0
_ROW_HEIGHT, _AXIS_HEIGHT = 33.0, 30.0
_INSET_PERCENT = 1.5


@dataclass(frozen=True, slots=True)
class Line:
    """A curve, with a band from `low` to `high` where both are given. All sequences have the length of `xs`.

    `end_label` stands at the last point. A `faint` line is thin and pale: raw values under a smoothed line.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    end_label: str = ""
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    series: int = 0
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean (dot) with its interval (whisker)."""

    label: str
    mean: float
    low: float
    high: float
    is_highlighted: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """The plotting area of a line chart, in pixels, and the values at its edges."""

    left: float
    right: float
    top: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return round(self.left + (value - low) / (high - low) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        bottom = LINE_CHART_HEIGHT - _BOTTOM
        return round(bottom - (value - low) / (high - low) * (bottom - self.top), 1)


def line_chart(
    lines: Sequence[Line], *, description: str, x_label: str, y_label: str = "", from_zero: bool = False
) -> Markup:
    """Curves over a common x. `description` is what a screen reader says; `y_label` names the unit.

    With `from_zero`, the y axis includes zero. Lines without points are left out.
    """
    lines = [_thinned(line) for line in lines if len(line.xs)]
    if not lines:
        return _svg("chart", description, LINE_CHART_HEIGHT, [_text(0, 40, "No values yet.", "tick")])
    y_ticks = choose_ticks(*_y_extent(lines, from_zero))
    y_names = [format_tick(tick, y_ticks) for tick in y_ticks]
    x_low, x_high = min(min(line.xs) for line in lines), max(max(line.xs) for line in lines)
    frame = _Frame(
        left=max(len(name) for name in y_names) * _CHARACTER_WIDTH + 8,
        right=LINE_CHART_WIDTH - _end_label_width(lines),
        top=_TOP + (_UNIT_HEIGHT if y_label else 0),
        x_range=(x_low, x_high) if x_high > x_low else (x_low - 1, x_high + 1),
        y_range=(y_ticks[0], y_ticks[-1]),
    )
    parts = [_text(0, 10, y_label, "axis-label")] if y_label else []
    parts += _horizontal_rules(frame, y_ticks, y_names)
    parts += _x_axis(frame, x_label)
    for line in lines:
        parts += _draw_line(frame, line)
    parts += _end_labels(frame, lines)
    return _svg("chart", description, LINE_CHART_HEIGHT, parts)


def interval_chart(
    intervals: Sequence[Interval],
    *,
    description: str,
    x_label: str,
    is_difference: bool = False,
    n_decimals: int = 4,
) -> Markup:
    """Dots and whiskers, one below the other, over a common axis that includes zero.

    Positions are percentages, so that the chart takes the width of its column and its text keeps its size. For
    differences, numbers carry their sign and a line marks zero.
    """
    if not intervals:
        return _svg("intervals", description, 40, [_text(0, 20, "No values yet.", "tick")])
    values = [value for interval in intervals for value in (interval.low, interval.mean, interval.high)]
    ticks = choose_ticks(min(0.0, *values), max(0.0, *values) if any(values) else 1.0)
    height = len(intervals) * _ROW_HEIGHT + _AXIS_HEIGHT
    bottom = height - _AXIS_HEIGHT + 4

    def x(value: float) -> str:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return f"{_INSET_PERCENT + share * (100 - 2 * _INSET_PERCENT):.2f}%"

    parts = []
    for tick in ticks:
        css_class = "zero" if is_difference and tick == 0 else "rule"
        parts.append(_line(x(tick), 0, x(tick), bottom, css_class))
        parts.append(_text(x(tick), bottom + 12, format_tick(tick, ticks), "tick", "middle"))
    parts.append(_text("100%", bottom + 25, x_label, "axis-label", "end"))
    for row, interval in enumerate(intervals):
        top = row * _ROW_HEIGHT
        css_class = "highlighted" if interval.is_highlighted else "plain"
        number = (format_signed if is_difference else format_number)(interval.mean, n_decimals)
        parts.append(_text(0, top + 13, interval.label, f"row-label {css_class}"))
        parts.append(_text("100%", top + 13, number, f"row-value {css_class}", "end"))
        middle = top + 23
        parts.append(_line(x(0), middle, x(interval.mean), middle, "stem"))
        parts.append(_line(x(interval.low), middle, x(interval.high), middle, f"whisker {css_class}"))
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="4" class="dot {}"/>').format(x(interval.mean), middle, css_class)
        )
    return _svg("intervals", description, height, parts)


def choose_ticks(low: float, high: float, n_wanted: int = 4) -> list[float]:
    """About `n_wanted` round numbers (1, 2 or 5 times a power of ten apart) from at most `low` to at least `high`."""
    if high <= low:
        padding = abs(low) / 2 or 0.5
        low, high = low - padding, high + padding
    raw_step = (high - low) / n_wanted
    magnitude = 10.0 ** math.floor(math.log10(raw_step))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw_step * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def format_tick(tick: float, ticks: Sequence[float]) -> str:
    """A tick with the decimals that its neighbours need; thousands are written 1k, 20k."""
    step = ticks[1] - ticks[0]
    if step >= 1000:
        return _with_minus(f"{tick / 1000:g}k" if tick else "0")
    n_decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return _with_minus(f"{tick:.{n_decimals}f}")


def format_number(value: float, n_decimals: int = 4) -> str:
    """A number with a typographic minus."""
    return _with_minus(f"{value:.{n_decimals}f}")


def format_signed(value: float, n_decimals: int = 4) -> str:
    """A difference with its sign."""
    return _with_minus(f"{value:+.{n_decimals}f}")


def _with_minus(text: str) -> str:
    return text.replace("-", "−")


def _thinned(line: Line) -> Line:
    """At most about `MAX_POINTS` points, evenly chosen, the last among them."""
    step = -(-len(line.xs) // MAX_POINTS)
    if step == 1:
        return line
    kept = [*range(0, len(line.xs) - 1, step), len(line.xs) - 1]

    def pick(values: Sequence[float]) -> list[float]:
        return [values[index] for index in kept]

    low, high = (None if values is None else pick(values) for values in (line.low, line.high))
    return replace(line, xs=pick(line.xs), ys=pick(line.ys), low=low, high=high)


def _y_extent(lines: Iterable[Line], from_zero: bool) -> tuple[float, float]:
    values = [value for line in lines for series in (line.ys, line.low, line.high) for value in series or ()]
    low, high = min(values), max(values)
    return (min(low, 0.0), max(high, 0.0)) if from_zero else (low, high)


def _end_label_width(lines: Iterable[Line]) -> float:
    longest = max(len(line.end_label) for line in lines)
    return min(longest * _CHARACTER_WIDTH + 10, _MAX_END_LABEL_WIDTH) if longest else 8.0


def _horizontal_rules(frame: _Frame, ticks: Sequence[float], names: Sequence[str]) -> list[Markup]:
    parts = []
    for tick, name in zip(ticks, names, strict=True):
        y = frame.y(tick)
        parts.append(_line(frame.left, y, frame.right, y, "rule"))
        parts.append(_text(frame.left - 6, y + 4, name, "tick", "end"))
    return parts


def _x_axis(frame: _Frame, label: str) -> list[Markup]:
    """Ticks inside the range only: steps that were not run are not shown."""
    low, high = frame.x_range
    ticks = choose_ticks(low, high, n_wanted=5)
    y = LINE_CHART_HEIGHT - _BOTTOM + 15
    parts = [
        _text(frame.x(tick), y, format_tick(tick, ticks), "tick", "middle") for tick in ticks if low <= tick <= high
    ]
    return [*parts, _text(frame.right, LINE_CHART_HEIGHT, label, "axis-label", "end")]


def _draw_line(frame: _Frame, line: Line) -> list[Markup]:
    colour = line.series % N_SERIES_COLOURS
    parts = []
    if line.low is not None and line.high is not None:
        points = [*zip(line.xs, line.high, strict=True), *reversed(list(zip(line.xs, line.low, strict=True)))]
        parts.append(Markup('<path class="band series-{}" d="{}Z"/>').format(colour, _path(frame, points)))
    points = list(zip(line.xs, line.ys, strict=True))
    css_class = f"{'faint' if line.faint else 'curve'} series-{colour}"
    parts.append(Markup('<path class="{}" d="{}"/>').format(css_class, _path(frame, points)))
    if not line.faint:
        x, y = points[-1]
        parts.append(
            Markup('<circle class="end series-{}" cx="{}" cy="{}" r="2.5"/>').format(colour, frame.x(x), frame.y(y))
        )
    return parts


def _path(frame: _Frame, points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in points)


def _end_labels(frame: _Frame, lines: Sequence[Line]) -> list[Markup]:
    """Labels at the ends of the lines, moved apart where they would overlap."""
    labelled = sorted((line for line in lines if line.end_label), key=lambda line: frame.y(line.ys[-1]))
    heights = spread([frame.y(line.ys[-1]) for line in labelled], _LABEL_GAP, LINE_CHART_HEIGHT - _BOTTOM)
    max_characters = int((_MAX_END_LABEL_WIDTH - 10) / _CHARACTER_WIDTH)
    return [
        _text(
            frame.right + 7,
            y + 4,
            clean_text(line.end_label, max_characters),
            f"end-label series-{line.series % N_SERIES_COLOURS}",
        )
        for line, y in zip(labelled, heights, strict=True)
    ]


def spread(positions: Sequence[float], gap: float, limit: float) -> list[float]:
    """Ascending positions moved apart to at least `gap`, the last at most at `limit`."""
    placed: list[float] = []
    for position in positions:
        placed.append(max(position, placed[-1] + gap) if placed else position)
    ceiling = limit
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed


def _svg(css_class: str, description: str, height: float, parts: Iterable[Markup]) -> Markup:
    """Line charts scale with their view box; interval charts are laid out in percent and only have a height."""
    size = (
        Markup('height="{}"').format(f"{height:g}")
        if css_class == "intervals"
        else Markup('viewBox="0 0 {} {}"').format(f"{LINE_CHART_WIDTH:g}", f"{height:g}")
    )
    return Markup('<svg class="{}" width="100%" {} role="img" aria-label="{}">{}</svg>').format(
        css_class, size, clean_text(description, 400), Markup("").join(parts)
    )


def _text(x: float | str, y: float, content: str, css_class: str, anchor: str = "start") -> Markup:
    return Markup('<text x="{}" y="{:g}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, css_class, anchor, clean_text(content, MAX_LABEL_CHARACTERS)
    )


def _line(x1: float | str, y1: float, x2: float | str, y2: float, css_class: str) -> Markup:
    return Markup('<line x1="{}" y1="{:g}" x2="{}" y2="{:g}" class="{}"/>').format(x1, y1, x2, y2, css_class)
