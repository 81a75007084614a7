"""Times of tables whose columns may hold anything: seconds, fractions of seconds, or dates.

Where nobody tells the unit, each number is of the unit in which it is a time from 1973 to 2099; these ranges do not
overlap: seconds have 9 or 10 digits, milliseconds 12 or 13, microseconds 15 or 16, nanoseconds 18 or 19.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from bluerec.data.checks import LAST_PLAUSIBLE_SECOND
from bluerec.data.tables import FIRST_PLAUSIBLE_SECOND
from bluerec.errors import DataError

# Ticks in a second, by the name of the unit; dates are read to the millisecond.
UNITS = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000, "date": 1000}
_NUMBER_UNITS = ("s", "ms", "us", "ns")
# A number of seconds stays below this until the year 5138, one of milliseconds is above it since March 1973.
_LARGEST_SECOND = 10**11
# Ticks beyond this are after 2100 in every unit, and before the end of 64 bits.
_LARGEST_TICK = 2**62


@dataclass(frozen=True)
class TimeUnit:
    """What the values of a time column count; `guessed` says so in words where nobody told.

    `name` is the unit of the ticks. Where each value is of the unit that its size tells, `usual` is the unit of those
    that are plausible in none; it is empty where all are of the unit `name`.
    """

    name: str
    guessed: str = ""
    usual: str = ""

    @property
    def ticks_per_second(self) -> int:
        return UNITS[self.name]


@dataclass
class UnitCounts:
    """How many times are of which unit, and the first of each, where their size tells the unit."""

    _counts: Counter[str] = field(default_factory=Counter)
    _firsts: dict[str, str] = field(default_factory=dict)

    def add(self, unit: str, times: pl.Series) -> None:
        """Count times of a unit, without nulls."""
        if times.len():
            self._counts[unit] += times.len()
            self._firsts.setdefault(unit, str(times[0]))

    def items(self) -> Iterator[tuple[str, tuple[int, str]]]:
        """Each unit with its count and its first time, the finest unit last."""
        return ((name, (self._counts[name], self._firsts[name])) for name in _NUMBER_UNITS if name in self._counts)

    def describe(self) -> str:
        """The counts in words where there are several units, else nothing."""
        if len(self._counts) < 2:
            return ""
        counts = ", ".join(f"{count:,} in {name} (like {first})" for name, (count, first) in self.items())
        return (
            f"timestamps are of different units, told apart by their size: {counts}; "
            "if they are of one unit, say which with --timestamp-unit"
        )


def guess_unit(sample: pl.Series, given: str | None, *, where: str) -> TimeUnit:
    """The unit as given, or guessed from some values. Raises `DataError` if they are neither numbers nor dates."""
    if given is not None:
        if given not in UNITS:
            raise DataError(f"{where}: --timestamp-unit is {given!r}; give one of {', '.join(UNITS)}")
        return TimeUnit(given)
    if sample.dtype.is_temporal():
        return TimeUnit("date")
    values = sample.cast(pl.String).drop_nulls()
    numbers = values.cast(pl.Float64, strict=False).abs()
    n_numbers = numbers.len() - numbers.null_count()
    if n_numbers * 2 >= values.len() and n_numbers:
        return _guess_by_size(values.filter(numbers.is_not_null()), numbers.drop_nulls())
    if values.len() and not _parse_dates(values).is_null().all():
        return TimeUnit("date", f"timestamp is taken for dates (values like {values[0]!r})")
    example = repr(values[0]) if values.len() else "nothing"
    raise DataError(f"{where}: the timestamp column holds {example}; give seconds, milliseconds or ISO dates")


def _guess_by_size(values: pl.Series, numbers: pl.Series) -> TimeUnit:
    """The unit of some numbers, which stand in `values` as texts."""
    median = float(numbers.median() or 0.0)  # type: ignore[arg-type]
    if median < FIRST_PLAUSIBLE_SECOND:
        return TimeUnit("s", f"timestamp is taken for a position, not a time (values like {values[0]})")
    found = UnitCounts()
    for name in _NUMBER_UNITS:
        found.add(name, values.filter(_is_plausible(numbers, name)))
    if not (counts := dict(found.items())):
        name = next((unit for unit in ("s", "ms", "us") if median < _LARGEST_SECOND * UNITS[unit]), "ns")
        return TimeUnit(name, f"timestamp is taken for {name} (values like {values[0]})", usual=name)
    usual = max(counts, key=lambda name: counts[name][0])
    examples = " and ".join(first for _, first in counts.values())
    how = ", each value by its size" if len(counts) > 1 else ""
    # The ticks are of the finest unit, so that no order is lost.
    return TimeUnit(
        list(counts)[-1], f"timestamp is taken for {' or '.join(counts)}{how} (values like {examples})", usual
    )


def _is_plausible(numbers: pl.Series, name: str) -> pl.Series:
    """Which numbers are times from 1973 to 2099 in a unit."""
    first, end = FIRST_PLAUSIBLE_SECOND * UNITS[name], LAST_PLAUSIBLE_SECOND * UNITS[name]
    return numbers.is_between(first, end, closed="left").fill_null(False)


def to_ticks(times: pl.Series, unit: TimeUnit, seen: UnitCounts | None = None) -> pl.Series:
    """The times as whole ticks; null where a value cannot be read.

    The units that size tells are counted in `seen`.
    """
    if times.dtype.is_temporal():
        return times.cast(pl.Datetime("ms")).dt.epoch("ms")
    if unit.name == "date":
        return _parse_dates(times.cast(pl.String)).dt.epoch("ms")
    exact = times.cast(pl.Int64, strict=False)
    rounded = times.cast(pl.Float64, strict=False).floor().cast(pl.Int64, strict=False)
    whole = exact.fill_null(rounded)
    return _convert_by_size(whole, unit, UnitCounts() if seen is None else seen) if unit.usual else whole


def _convert_by_size(numbers: pl.Series, unit: TimeUnit, seen: UnitCounts) -> pl.Series:
    """Whole numbers as ticks of `unit`, each from its own unit."""
    ticks, others = numbers, numbers.is_not_null()
    # The usual unit comes first, as it is mostly the only one.
    for name in sorted(_NUMBER_UNITS, key=lambda name: name != unit.usual):
        if not others.any():
            break
        plausible = _is_plausible(numbers, name)
        seen.add(name, numbers.filter(plausible))
        ticks = _convert(ticks, plausible, name, unit.name)
        others &= ~plausible
    return _convert(ticks, others, unit.usual, unit.name)


def _convert(times: pl.Series, chosen: pl.Series, name: str, wanted: str) -> pl.Series:
    """The times with those that are chosen brought from the unit `name` to the unit `wanted`."""
    if name == wanted or not chosen.any():
        return times
    if UNITS[name] > UNITS[wanted]:
        return times.zip_with(~chosen, times // (UNITS[name] // UNITS[wanted]))
    factor = UNITS[wanted] // UNITS[name]
    bound = _LARGEST_TICK // factor
    return times.zip_with(~chosen, times.clip(-bound, bound) * factor)


def to_second(moment: date | np.datetime64) -> int:
    """Seconds since 1970 of a date or time, in UTC where it names no zone; a date is its first second."""
    if isinstance(moment, np.datetime64):
        return int(moment.astype("datetime64[s]").astype(np.int64))
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    # `timestamp` takes a time without a zone for one of the machine's zone.
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _parse_dates(texts: pl.Series) -> pl.Series:
    """ISO dates and times, in UTC where they name no zone."""
    parsed = texts.str.to_datetime("%+", time_unit="ms", time_zone="UTC", strict=False)
    for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"):
        parsed = parsed.fill_null(texts.str.to_datetime(form, time_unit="ms", strict=False).dt.replace_time_zone("UTC"))
    days = texts.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    return parsed.fill_null(days)
