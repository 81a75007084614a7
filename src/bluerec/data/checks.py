"""Rows of a source, one table at a time: impossible ones dropped, the others mended, all of it counted.

Only what is kept in the end is mended: making texts plain is the dearest step.
"""

from __future__ import annotations

import polars as pl

from bluerec.data.cleaning import clean_texts
from bluerec.data.drops import Drops
from bluerec.data.tables import INTERACTIONS_SCHEMA, ITEMS_SCHEMA, REVIEW_COLUMNS

# The first second of the year 2100; a later event is a fault of the clock or of the unit.
LAST_PLAUSIBLE_SECOND = 4_102_444_800
# "$1,299.00" and "from 12.99" are prices; "$10 - $20", "12,99" and "$$" could mean several things or none.
_PRICE = r"^\D*((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)\D*$"
# A sign in front of all, or of the number or its currency; the hyphens of "pre-order 5" and "Price - 5" are none.
_NEGATIVE_PRICE = r"^\s*[-−–]|\W[-−–]\p{Sc}?\d"


def drop_impossible_times(events: pl.DataFrame, ticks_per_second: int) -> tuple[pl.DataFrame, Drops]:
    """Events whose time is known and lies between 1970 (or position 0) and 2100."""
    drops = Drops.of_events()
    drops.n_read = events.height
    end = LAST_PLAUSIBLE_SECOND * ticks_per_second
    timestamp = events["timestamp"]
    drops.dropped["missing_timestamp"] = timestamp.null_count()
    drops.dropped["negative_timestamp"] = int((timestamp < 0).sum())
    drops.dropped["implausible_timestamp"] = int((timestamp >= end).sum())
    if drops.dropped.total():
        events = events.filter(pl.col("timestamp").is_between(0, end, closed="left"))
    return events, drops


def mend_events(events: pl.DataFrame) -> tuple[pl.DataFrame, Drops]:
    """Events in the canonical types, with a possible rating or none, and plain review texts; counts them as kept."""
    drops = Drops.of_events()
    rating = events["rating"].cast(INTERACTIONS_SCHEMA["rating"])  # which makes a number too large for it infinite
    zero, impossible = (rating == 0).fill_null(False), ~rating.is_finite().fill_null(True)
    drops.repaired["zero_rating"] = int(zero.sum())
    drops.repaired["impossible_rating"] = int(impossible.sum())
    events = events.with_columns(rating.set(zero | impossible, None))
    events = _clean(events, REVIEW_COLUMNS, drops)
    events = events.select(pl.col(name).cast(kind) for name, kind in INTERACTIONS_SCHEMA.items())
    drops.keep(events)
    return events, drops


def mend_items(items: pl.DataFrame) -> tuple[pl.DataFrame, Drops]:
    """Items in the canonical types, with plain texts; what is missing is empty or null, never invented.

    Counts them as kept.
    """
    drops = Drops.of_items()
    price = items["price"].str.extract(_PRICE).str.replace_all(",", "").cast(pl.Float32, strict=False)
    price = price.set(price.is_infinite().fill_null(False), None)
    price = price.set(items["price"].str.contains(_NEGATIVE_PRICE).fill_null(False), None)
    drops.repaired["unreadable_price"] = price.null_count() - items["price"].null_count()
    items = _clean(items, ("title", "description", "brand", "domain"), drops)
    items = items.with_columns(
        pl.col("title", "description").fill_null(""), _clean_lists(items["categories"]), price
    ).select(pl.col(name).cast(kind) for name, kind in ITEMS_SCHEMA.items())
    drops.keep(items)
    return items, drops


def _clean(table: pl.DataFrame, columns: tuple[str, ...], drops: Drops) -> pl.DataFrame:
    for name in columns:
        texts, n_marked = clean_texts(table[name])
        drops.repaired[f"{name}_markup"] = n_marked
        table = table.with_columns(texts)
    return table


def _clean_lists(lists: pl.Series) -> pl.Series:
    """Each list with its texts plain, without nulls and repetitions; no list becomes an empty one."""
    flat = lists.to_frame("text").with_row_index("row").explode("text")
    plain = flat.with_columns(clean_texts(flat["text"])[0]).drop_nulls("text").unique(maintain_order=True)
    grouped = plain.group_by("row", maintain_order=True).agg("text")
    rows = pl.DataFrame({"row": pl.int_range(lists.len(), dtype=pl.UInt32, eager=True)})
    joined = rows.join(grouped, on="row", how="left", maintain_order="left")["text"]
    return joined.fill_null(pl.Series([[]], dtype=pl.List(pl.String()))).alias("categories")
