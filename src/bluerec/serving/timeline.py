"""A history as dots along a line of time: what was taken at about the same time stands one above the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bluerec.data.tables import FIRST_PLAUSIBLE_SECOND
from bluerec.types import LAST_SECOND, Event

WIDTH, HEIGHT, MARGIN = 1000, 84, 14
_STEP = 13
_HIGHEST = 4
_MOST_TICKS = 9


@dataclass(frozen=True, slots=True)
class Dot:
    """An event on the line; `label` is untrusted text."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A year on the line."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The dots and years of a history, in the units of a view box."""

    dots: Sequence[Dot]
    ticks: Sequence[Tick]
    size: tuple[int, int] = (WIDTH, HEIGHT)


def build_timeline(events: Sequence[Event]) -> Timeline:
    """The line of a history, oldest event first; positions that are no times are spread evenly and get no years."""
    if not events:
        return Timeline((), ())
    times = [float(event.interaction.timestamp) for event in events]
    first, last = times[0], times[-1]
    span = last - first or 1.0
    room = WIDTH - 2 * MARGIN
    taken: Counter[int] = Counter()
    dots = []
    for time, event in zip(times, events, strict=True):
        column = int((time - first) / span * room / _STEP)
        level = min(taken[column], _HIGHEST)
        taken[column] += 1
        dots.append(Dot(round(MARGIN + (column + 0.5) * _STEP, 1), HEIGHT - 30 - level * 11, _label(event)))
    return Timeline(dots, _find_years(first, last, room) if first >= FIRST_PLAUSIBLE_SECOND else ())


def show_day(seconds: float) -> str:
    """A date for people; what is no time stays a number."""
    if not FIRST_PLAUSIBLE_SECOND <= seconds <= LAST_SECOND:
        return f"{seconds:.15g}"
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %b %Y")


def _label(event: Event) -> str:
    time, title = event.interaction.timestamp, event.item.title or "untitled item"
    return f"{show_day(time)}: {title}" if FIRST_PLAUSIBLE_SECOND <= time <= LAST_SECOND else title


def _find_years(first: float, last: float, room: float) -> list[Tick]:
    if first > LAST_SECOND:
        return []
    latest = datetime.fromtimestamp(min(last, LAST_SECOND), UTC).year
    years = range(datetime.fromtimestamp(first, UTC).year + 1, latest + 1)
    every = -(-len(years) // _MOST_TICKS) or 1
    span = last - first or 1.0
    return [
        Tick(round(MARGIN + (datetime(year, 1, 1, tzinfo=UTC).timestamp() - first) / span * room, 1), str(year))
        for year in years
        if year % every == 0
    ]
