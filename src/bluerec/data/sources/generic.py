"""Tables of any origin: Parquet, CSV or JSON lines, their columns mapped to the fields.

A source is a table of interactions, with the items in a second table or in further columns of the first. A folder
is searched for `interactions` and `items`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import polars as pl

from bluerec.data.sources.blocks import CountBytes
from bluerec.data.sources.columns import EVENT_OPTION, ITEM_OPTION, describe_columns, map_events, map_items
from bluerec.data.sources.findings import BadLines
from bluerec.data.sources.source import (
    EVENTS_SCHEMA,
    RAW_ITEMS_SCHEMA,
    Source,
    bare_name,
    complete,
    has_suffix,
    list_files,
)
from bluerec.data.sources.table_files import FORMATS, TableFile, guess_format, open_table
from bluerec.data.sources.times import TimeUnit, guess_unit, to_ticks
from bluerec.data.sources.values import clear_missing, plain_prices, read_ratings
from bluerec.errors import DataError

# One of these between the parts of a text makes it a list of categories; a comma may belong to a name.
_CATEGORY_SEPARATORS = r"\s*[|>;]\s*"
_UNKNOWN_ITEMS = (
    f"name the column with the ids of the interactions with {ITEM_OPTION} item_id=NAME "
    f"(or {EVENT_OPTION} item_id=NAME), and quote ids, so that nothing takes 0001 for 1"
)
# An id may well be NA or null.
_NEVER_MISSING = ("user_id", "item_id")


@dataclass(frozen=True)
class Columns:
    """What the user says of the columns: field to name, for events and items, and the unit of the times."""

    events: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    timestamp_unit: str | None = None


def open_tables(table_format: str, path: Path, items: Path | None = None, columns: Columns | None = None) -> Source:
    """The source in a file or folder. Raises `DataError` for missing files and ambiguous or missing columns."""
    columns = columns or Columns()
    events_file, items_file = _find_tables(table_format, path, items)
    events = open_table(events_file, table_format)
    mapping = map_events(
        events.names,
        columns.events,
        where=str(events_file),
        has_items=items_file is not None,
        title_is_told="title" in columns.items or "title" in columns.items.values(),
    )
    unit = guess_unit(events.sample[mapping["timestamp"]], columns.timestamp_unit, where=str(events_file))
    if items_file is None:
        items_table = events
        items_mapping = map_items(events.names, columns.items, where=str(events_file), taken=mapping)
    else:
        items_table = open_table(items_file, guess_format(items_file, table_format))
        items_mapping = map_items(items_table.names, columns.items, where=str(items_file))
    has_metadata = len(items_mapping) > 1
    of_events, of_items = _tell_columns(events, mapping, items_table, items_mapping)
    lack = "" if "title" in {**items_mapping, **columns.items} else _tell_no_titles(items_file)
    return Source(
        name=table_format,
        event_files=(events_file,),
        item_files=(items_table.path,) if has_metadata else (),
        ticks_per_second=unit.ticks_per_second,
        read_events=partial(_read_events, events, mapping, unit),
        read_items=partial(_read_items, items_table, items_mapping, items_file is None) if has_metadata else None,
        items_repeat=items_file is None,
        notes=tuple(note for note in (of_events, unit.guessed, of_items, lack) if note),
        unknown_items_remedy=_UNKNOWN_ITEMS,
    )


def _tell_columns(
    events: TableFile, mapping: Mapping[str, str], items: TableFile, items_mapping: Mapping[str, str]
) -> tuple[str, str]:
    """What is used of the events and what of the items; of a table that is both, what is left over is told once."""
    name = f"columns of {events.path.name}"
    if items is not events:
        return (
            f"{name}: {describe_columns(mapping, events.names)}",
            f"columns of {items.path.name}: {describe_columns(items_mapping, items.names)}",
        )
    own = {field_name: column for field_name, column in items_mapping.items() if column not in mapping.values()}
    if not own:
        return f"{name}: {describe_columns(mapping, events.names)}", ""
    others = [column for column in events.names if column not in mapping.values()]
    return f"{name}: {describe_columns(mapping, ())}", f"{name} for the items: {describe_columns(own, others)}"


def _tell_no_titles(items_file: Path | None) -> str:
    if items_file is None:
        return f"no titles: give a table of items with --items, or name the column with {ITEM_OPTION} title=NAME"
    return f"no titles in {items_file.name}: name their column with {ITEM_OPTION} title=NAME"


def _find_tables(table_format: str, path: Path, items: Path | None) -> tuple[Path, Path | None]:
    """The table of interactions and, where there is one, that of items."""
    suffixes = FORMATS[table_format]
    wanted = f"{table_format} file, or a folder with interactions{suffixes[0]} and items{suffixes[0]}"
    files = list_files(path, wanted)
    if path.is_file():
        return path, items
    named = {bare_name(file): file for file in files if has_suffix(file, *suffixes)}
    if "interactions" in named:
        return named["interactions"], items or named.get("items")
    if len(named) == 1:
        return next(iter(named.values())), items
    found = ", ".join(sorted(named)[:5]) or "none"
    raise DataError(f"{path}: which {table_format} file holds the interactions? Found {found}; give the {wanted}")


def _read_events(
    table: TableFile, mapping: Mapping[str, str], unit: TimeUnit, bad: BadLines, tell: CountBytes | None = None
) -> Iterator[pl.DataFrame]:
    types: dict[str, pl.DataType] = dict.fromkeys(mapping.values(), pl.String())
    types[mapping["timestamp"]] = table.sample[mapping["timestamp"]].dtype
    if "rating" in mapping and table.sample[mapping["rating"]].dtype.is_numeric():
        types[mapping["rating"]] = pl.Float64()
    required = (mapping["user_id"], mapping["item_id"])
    for rows in table.read(types, required, bad, of="events", tell=tell):
        events = _rename(rows, mapping, table.table_format)
        bad.examples.raw = {name: events[name] for name in ("timestamp", "rating") if name in mapping}
        events = events.with_columns(to_ticks(events["timestamp"], unit, bad.units))
        if "rating" in mapping:
            rating = events["rating"]
            events = events.with_columns(rating.fill_nan(None) if rating.dtype.is_float() else read_ratings(rating))
        yield complete(events, EVENTS_SCHEMA)


def _read_items(
    table: TableFile, mapping: Mapping[str, str], read_twice: bool, bad: BadLines, tell: CountBytes | None = None
) -> Iterator[pl.DataFrame]:
    if read_twice:
        # The table is read for its events too, where its bad lines are counted.
        bad = BadLines(bad.limit)
    types = {name: _item_type(table, name, field_name) for field_name, name in mapping.items()}
    for rows in table.read(types, (mapping["item_id"],), bad, of="items", tell=tell):
        items = _rename(rows, mapping, table.table_format)
        if "price" in items.columns:
            items = items.with_columns(plain_prices(items["price"]))
        if "categories" in items.columns and items["categories"].dtype == pl.String:
            items = items.with_columns(_split_categories(pl.col("categories")))
        yield complete(items, RAW_ITEMS_SCHEMA)


def _rename(rows: pl.DataFrame, mapping: Mapping[str, str], table_format: str) -> pl.DataFrame:
    """The columns by the names of their fields; of a CSV file, which has no null, also without marks for it."""
    table = rows.select(pl.col(name).alias(field_name) for field_name, name in mapping.items())
    if table_format != "csv":
        return table
    texts = [column for column in table if column.dtype == pl.String and column.name not in _NEVER_MISSING]
    return table.with_columns(clear_missing(column) for column in texts)


def _item_type(table: TableFile, name: str, field_name: str) -> pl.DataType:
    is_list = isinstance(table.sample[name].dtype, pl.List)
    return pl.List(pl.String()) if is_list and field_name == "categories" else pl.String()


def _split_categories(texts: pl.Expr) -> pl.Expr:
    """`A|B`, `A > B` and `['A', 'B']` as lists."""
    quoted = texts.str.extract_all(r"'[^']*'|\"[^\"]*\"").list.eval(pl.element().str.strip_chars("'\""))
    parts = texts.str.replace_all(_CATEGORY_SEPARATORS, "|").str.split("|")
    return pl.when(texts.str.starts_with("[")).then(quoted).otherwise(parts)
