"""Times in any unit: guessed, or told apart one by one where a column mixes units."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data.checks import LAST_PLAUSIBLE_SECOND
from bluerec.data.sources.times import UNITS, TimeUnit, UnitCounts, guess_unit, to_ticks
from bluerec.data.tables import FIRST_PLAUSIBLE_SECOND

MOMENT = 1_568_738_284


@pytest.mark.parametrize(
    ("values", "unit", "seconds"),
    [
        ([0, 1, 2], "s", 1),
        ([MOMENT], "s", 1),
        ([MOMENT * 1000], "ms", 1000),
        ([MOMENT * 10**6], "us", 10**6),
        ([MOMENT * 10**9], "ns", 10**9),
        ([f"{MOMENT}.5", None], "s", 1),
        (["2019-09-17"], "date", 1000),
        (["2019-09-17 16:38:04", "2019-09-17T16:38:04Z", "2019-09-17T18:38:04+02:00"], "date", 1000),
        ([datetime(2019, 9, 17, 16, 38, 4, tzinfo=UTC)], "date", 1000),
    ],
)
def test_times(values: list, unit: str, seconds: int) -> None:
    times = pl.Series(values)
    guessed = guess_unit(times, None, where="here")
    assert (guessed.name, guessed.ticks_per_second) == (unit, seconds)
    ticks = to_ticks(times, guessed).drop_nulls()
    if unit == "date" and str(values[0]) != "2019-09-17":
        assert ticks.to_list() == [MOMENT * 1000] * len(values)
    elif unit != "date":
        assert ticks.to_list() == [int(float(value)) for value in values if value is not None]


def test_times_that_cannot_be_read_are_missing() -> None:
    assert to_ticks(pl.Series(["12", "soon", None, "-5", "1e3"]), TimeUnit("s")).to_list() == [12, None, None, -5, 1000]
    assert to_ticks(pl.Series(["2019-09-17", "17/9"]), TimeUnit("date"))[1] is None


def test_nanoseconds_stay_exact() -> None:
    assert to_ticks(pl.Series(["1568738284832123457"]), TimeUnit("ns"))[0] == 1568738284832123457


FACTORS = {name: UNITS[name] for name in ("s", "ms", "us", "ns")}
moment = st.tuples(
    st.integers(FIRST_PLAUSIBLE_SECOND, LAST_PLAUSIBLE_SECOND - 1), st.sampled_from(sorted(FACTORS)), st.booleans()
)


@settings(max_examples=150, deadline=None)
@given(st.lists(moment, min_size=1, max_size=30), st.integers(1, 30))
def test_each_time_is_of_the_unit_that_its_size_tells(moments: list[tuple[int, str, bool]], n_sampled: int) -> None:
    """Whatever the mixture, and whatever of it was sampled; the sample decides only how fine the ticks are."""
    times = pl.Series([str(second * FACTORS[name]) + ".7" * has_fraction for second, name, has_fraction in moments])
    unit = guess_unit(times.head(n_sampled), None, where="here")
    seen = UnitCounts()
    ticks = to_ticks(times, unit, seen)
    assert (ticks // unit.ticks_per_second).to_list() == [second for second, *_ in moments]
    assert unit.ticks_per_second == max(FACTORS[name] for _, name, _ in moments[:n_sampled])
    assert {name: count for name, (count, _) in seen.items()} == {
        name: sum(other == name for _, other, _ in moments) for _, name, _ in moments
    }


def test_a_time_that_is_plausible_in_no_unit_is_of_the_usual_one() -> None:
    times = pl.Series([str(MOMENT * 1000 + row) for row in range(5)] + [str(MOMENT), "12000", "-12000", str(10**10)])
    unit = guess_unit(times, None, where="here")
    assert to_ticks(times, unit).to_list()[-4:] == [MOMENT * 1000, 12_000, -12_000, 10**10]
    seconds = pl.Series([*[str(MOMENT)] * 5, str(MOMENT * 10**9), "12", "-12", str(10**10), str(9 * 10**18)])
    unit = guess_unit(seconds, None, where="here")
    assert unit.name == "ns"
    ticks = to_ticks(seconds, unit).to_list()
    assert ticks[5:8] == [MOMENT * 10**9, 12 * 10**9, -12 * 10**9]
    assert min(ticks[8:]) >= LAST_PLAUSIBLE_SECOND * 10**9


def test_the_unit_that_is_told_holds_for_all_times() -> None:
    times = pl.Series([MOMENT, MOMENT * 1000])
    assert to_ticks(times, guess_unit(times, "s", where="here")).to_list() == [MOMENT, MOMENT * 1000]


def test_the_note_shows_a_time_of_each_unit() -> None:
    sample = pl.Series(["7", str(MOMENT), str(MOMENT * 1000), str(MOMENT * 1000 + 1)])
    note = guess_unit(sample, None, where="here").guessed
    assert note == (
        f"timestamp is taken for s or ms, each value by its size (values like {MOMENT} and {MOMENT * 1000})"
    )
    one = guess_unit(sample[:2], None, where="here").guessed
    assert one == f"timestamp is taken for s (values like {MOMENT})"


def test_units_that_are_mixed_are_counted_over_all_tables() -> None:
    seen = UnitCounts()
    unit = guess_unit(pl.Series([MOMENT]), None, where="here")
    to_ticks(pl.Series([MOMENT, MOMENT + 1]), unit, seen)
    assert seen.describe() == ""
    to_ticks(pl.Series([MOMENT * 1000, MOMENT, None]), unit, seen)
    assert seen.describe() == (
        f"timestamps are of different units, told apart by their size: 3 in s (like {MOMENT}), "
        f"1 in ms (like {MOMENT * 1000}); if they are of one unit, say which with --timestamp-unit"
    )


def test_positions_are_no_times() -> None:
    times = pl.Series([1, 2, 3, MOMENT * 1000])
    unit = guess_unit(times, None, where="here")
    assert "position" in unit.guessed
    assert to_ticks(times, unit).to_list() == times.to_list()
