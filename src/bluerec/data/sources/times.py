"""Times of tables whose columns may hold anything: seconds, fractions of seconds, or dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from bluerec.data.tables import FIRST_PLAUSIBLE_SECOND
from bluerec.errors import DataError

# Ticks in a second, by the name of the unit; dates are read to the millisecond.
UNITS = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000, "date": 1000}
# A number of seconds stays below this until the year 5138, one of milliseconds is above it since March 1973.
_LARGEST_SECOND = 10**11


@dataclass(frozen=True)
class TimeUnit:
    """What the values of a time column count; `guessed` says so in words where nobody told."""

    name: str
    guessed: str = ""

    @property
    def ticks_per_second(self) -> int:
        return UNITS[self.name]


def guess_unit(sample: pl.Series, given: str | None, *, where: str) -> TimeUnit:
    """The unit as given, or guessed from some values. Raises `DataError` if they are neither numbers nor dates."""
    if given is not None:
        if given not in UNITS:
            raise DataError(f"{where}: --timestamp-unit is {given!r}; give one of {', '.join(UNITS)}")
        return TimeUnit(given)
    if sample.dtype.is_temporal():
        return TimeUnit("date")
    values = sample.cast(pl.String).drop_nulls()
    numbers = values.cast(pl.Float64, strict=False).drop_nulls().abs()
    if numbers.len() * 2 >= values.len() and numbers.len():
        median = float(numbers.median() or 0.0)  # type: ignore[arg-type]
        name = next((unit for unit in ("s", "ms", "us") if median < _LARGEST_SECOND * UNITS[unit]), "ns")
        if median < FIRST_PLAUSIBLE_SECOND:
            return TimeUnit("s", f"timestamp is taken for a position, not a time (values like {values[0]})")
        return TimeUnit(name, f"timestamp is taken for {name} (values like {values[0]})")
    if values.len() and not _parse_dates(values).is_null().all():
        return TimeUnit("date", f"timestamp is taken for dates (values like {values[0]!r})")
    example = repr(values[0]) if values.len() else "nothing"
    raise DataError(f"{where}: the timestamp column holds {example}; give seconds, milliseconds or ISO dates")


def to_ticks(times: pl.Series, unit: TimeUnit) -> pl.Series:
    """The times as whole ticks; null where a value cannot be read."""
    if times.dtype.is_temporal():
        return times.cast(pl.Datetime("ms")).dt.epoch("ms")
    if unit.name == "date":
        return _parse_dates(times.cast(pl.String)).dt.epoch("ms")
    exact = times.cast(pl.Int64, strict=False)
    rounded = times.cast(pl.Float64, strict=False).floor().cast(pl.Int64, strict=False)
    return exact.fill_null(rounded)


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
