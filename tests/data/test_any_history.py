"""Times of a history are the same in every form and every time zone of the machine, and what is no time is refused."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bluerec.data.any_history import read_history
from bluerec.errors import DataError

MIDNIGHT = 1_577_923_200  # 2 January 2020 in UTC


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The time zone of the machine."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def time_of(rows) -> int:
    return read_history(rows).events[0].interaction.timestamp


@pytest.mark.parametrize("make", [list, pl.DataFrame, pd.DataFrame])
@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (datetime(2020, 1, 2, 6, 30), MIDNIGHT + 6.5 * 3600),
        (datetime(2020, 1, 2, 6, 30, tzinfo=UTC), MIDNIGHT + 6.5 * 3600),
        (date(2020, 1, 2), MIDNIGHT),
        (MIDNIGHT, MIDNIGHT),
        (MIDNIGHT + 0.9, MIDNIGHT),
    ],
)
def test_a_time_without_a_zone_is_in_utc(zone: str, make, moment, seconds: float) -> None:
    assert time_of(make([{"title": "Chess", "timestamp": moment}])) == seconds


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2020, 1, 2, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        pd.Timestamp("2020-01-02"),
        pd.Timestamp("2020-01-02", tz="UTC"),
        np.datetime64("2020-01-02"),
        np.datetime64("2020-01-02T00:00:00.5", "ns"),
        np.int64(MIDNIGHT),
    ],
)
def test_other_forms_of_a_time(zone: str, moment) -> None:
    assert time_of([{"title": "Chess", "timestamp": moment}]) == MIDNIGHT


@pytest.mark.parametrize("value", [math.inf, -math.inf, "2020-01-02", "now", [3], {}, timedelta(days=3)])
def test_what_is_no_time_is_refused(value) -> None:
    with pytest.raises(DataError, match=r"row 0 of the history: timestamp .* neither a number of seconds nor a date"):
        read_history([{"title": "Chess", "timestamp": value}])


@pytest.mark.parametrize("missing", [None, math.nan, pd.NaT, pd.NA, np.datetime64("NaT")])
def test_a_missing_time_is_the_place_in_the_history(missing) -> None:
    rows = [{"title": "Chess", "timestamp": missing}, {"title": "Go", "timestamp": missing}]
    assert [event.interaction.timestamp for event in read_history(rows).events] == [0, 1]
