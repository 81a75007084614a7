"""The first example of each fault of events and items: where it stands, whose it is, and what stands there."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from bluerec.data.checks import LAST_PLAUSIBLE_SECOND
from bluerec.data.drops import Drops
from bluerec.data.sources.findings import Examples, shorten

EVENTS, ITEMS = "events", "items"
_UNREADABLE_TIME = "; write seconds, milliseconds or ISO dates such as 2022-04-15 10:00"
_UNREADABLE_RATING = "; write a number"
# No reason of its own: shown for missing_timestamp where no time is unreadable, which would say more.
_ABSENT_TIME = "absent_timestamp"


def add_value_examples(examples: Examples, events: pl.DataFrame, ticks_per_second: int) -> None:
    """Take the first impossible time of each kind, and the first rating that cannot be read, from a table.

    `events` is the table that was read last, with its `place`; tables come in the order of their places.
    """
    time, rating = events["timestamp"], events["rating"]
    absent = _find_absent(examples.raw.get("timestamp", time)) if time.has_nulls() else time.is_null()
    faults: dict[str, tuple[str, str, Callable[[], pl.Series]]] = {
        "missing_timestamp": ("timestamp", _UNREADABLE_TIME, lambda: time.is_null() & ~absent),
        _ABSENT_TIME: ("timestamp", "", lambda: absent),
        "negative_timestamp": ("timestamp", "", lambda: time < 0),
        "implausible_timestamp": ("timestamp", "", lambda: time >= LAST_PLAUSIBLE_SECOND * ticks_per_second),
        "unreadable_rating": ("rating", _UNREADABLE_RATING, lambda: rating.is_nan()),
    }
    for fault, (column, remedy, find) in faults.items():
        row = None if examples.has(EVENTS, fault) else _first(find())
        if row is not None:
            value = examples.raw.get(column, events[column])[row]
            what = f"no {column}" if value in (None, "") else f"{column} {shorten(str(value))}"
            examples.add(EVENTS, fault, events["place"][row], f"{describe_event(events, row)}, {what}{remedy}")


def add_repeated_item(examples: Examples, items: pl.DataFrame, is_new: pl.Series) -> None:
    """Take the first item of a table, the one that was read last, whose id came before; `is_new` is (n_rows,)."""
    row = None if examples.has(ITEMS, "duplicate_item") else _first(~is_new)
    if row is not None:
        examples.add(ITEMS, "duplicate_item", examples.places[row], f"item {shorten(items['item_id'][row])}")


def describe_event(events: pl.DataFrame, row: int) -> str:
    """Whose event it is and with what."""
    return f"user {shorten(events['user_id'][row])}, item {shorten(events['item_id'][row])}"


def choose_examples(examples: Examples, kind: str, drops: Drops) -> dict[str, str]:
    """An example of each reason that is counted, in the order of the counts."""
    found = examples.of(kind)
    absent = found.pop(_ABSENT_TIME, None)
    if absent is not None:
        found.setdefault("missing_timestamp", absent)
    counts = {**drops.dropped, **drops.repaired}
    return {reason: found[reason] for reason, count in counts.items() if count and reason in found}


def describe_unknown_items(n_unknown: int, n_events: int, example: str, known_id: str | None, remedy: str) -> str:
    """That events are of items that the catalogue lacks, with an id of each side; `known_id` is None if it has none."""
    of_all = f"none of the {n_events:,} interactions is of an item that the catalogue has"
    share = f"{n_unknown:,} of {n_events:,} interactions ({n_unknown / max(n_events, 1):.0%}) are of items that "
    catalogue = "the catalogue is empty" if known_id is None else f"the catalogue has ids like {shorten(known_id)}"
    what = of_all if n_unknown == n_events else f"{share}the catalogue lacks"
    return f"{what}: {example}; {catalogue}; {remedy}"


def _find_absent(times: pl.Series) -> pl.Series:
    return times.cast(pl.String).str.strip_chars().fill_null("") == ""


def _first(mask: pl.Series) -> int | None:
    """The first row that is marked, if any is."""
    return mask.arg_max() if mask.any() else None
