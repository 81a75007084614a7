"""A history however one has it: titles, dicts, or a table of polars or pandas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np

from bluerec.data.sources.times import to_second
from bluerec.errors import DataError
from bluerec.types import Event, History, Interaction, Item

_INTERACTION_FIELDS = ("timestamp", "rating", "review_title", "review_text")
_ITEM_FIELDS = ("title", "description", "categories", "brand", "price", "domain")


def read_history(rows: Any, user_id: str = "user") -> History:
    """A history from titles, from dicts with the names of our fields (title or item_id, timestamp, rating, brand,
    ...), from a polars or a pandas table of these columns, or a `History` itself.

    With timestamps the events are sorted by them, else they come oldest first; other columns are not looked at.
    Raises `DataError` for an empty history, and for a row without title and item_id.
    """
    if isinstance(rows, History):
        return rows
    if isinstance(rows, str | Mapping):
        raise DataError("a history is a list of titles or of dicts, or a table; put the one into a list")
    records = [_as_record(row) for row in _iterate(rows)]
    if not records:
        raise DataError("the history is empty; give at least one title")
    events = [_read_event(record, user_id, place) for place, record in enumerate(records)]
    events.sort(key=lambda event: event.interaction.timestamp)
    return History(user_id, tuple(events), events[-1].interaction.timestamp + 1)


def _iterate(rows: Any) -> Iterable[Any]:
    if hasattr(rows, "iter_rows"):  # polars
        return rows.iter_rows(named=True)
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):  # pandas
        return rows.to_dict("records")
    if hasattr(rows, "to_list"):  # a column of either
        return rows.to_list()
    return rows


def _as_record(row: Any) -> Mapping[str, Any]:
    if isinstance(row, str):
        return {"title": row}
    if isinstance(row, Mapping):
        return row
    raise DataError(f"a history holds titles or dicts, not {type(row).__name__}; give [{{'title': ...}}, ...]")


def _read_event(record: Mapping[str, Any], user_id: str, place: int) -> Event:
    known = {name: value for name, value in record.items() if not _is_missing(value)}
    title, item_id = str(known.get("title", "")).strip(), str(known.get("item_id", "")).strip()
    if not title and not item_id:
        raise DataError(
            f"row {place} of the history has no title and no item_id; found {', '.join(record) or 'nothing'}"
        )
    item = {name: known[name] for name in _ITEM_FIELDS if name in known}
    categories = item.pop("categories", ())
    item["categories"] = (categories,) if isinstance(categories, str) else tuple(categories)
    item["title"] = title or item_id
    event = {name: known[name] for name in _INTERACTION_FIELDS if name in known}
    event["timestamp"] = _read_time(event.get("timestamp", place), place)
    return Event(
        Interaction(user_id=user_id, item_id=item_id or title, **event), Item(item_id=item_id or title, **item)
    )


def _read_time(value: Any, place: int) -> int:
    try:
        return to_second(value) if isinstance(value, date | np.datetime64) else int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"row {place} of the history: timestamp {value!r} is neither a number of seconds nor a date; give one"
        ) from error


def _is_missing(value: Any) -> bool:
    """None, NaN, and what pandas and NumPy write for a missing value."""
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NaTType", "NAType")
