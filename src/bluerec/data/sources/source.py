"""What every source gives: events and items as tables with fixed columns, not yet cleaned or filtered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from bluerec.data.sources.blocks import CountBytes
from bluerec.data.sources.findings import BadLines
from bluerec.errors import DataError

# `timestamp` is in ticks of the source, `Source.ticks_per_second` of them in a second; `rating` is not a number (NaN)
# where something stands that cannot be read as one.
EVENTS_SCHEMA = pl.Schema(
    {
        "user_id": pl.String(),
        "item_id": pl.String(),
        "timestamp": pl.Int64(),
        "rating": pl.Float64(),
        "review_title": pl.String(),
        "review_text": pl.String(),
    }
)
# `price` is a text, since the sources write it in many ways.
RAW_ITEMS_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "title": pl.String(),
        "description": pl.String(),
        "categories": pl.List(pl.String()),
        "brand": pl.String(),
        "price": pl.String(),
        "domain": pl.String(),
    }
)


class ReadTables(Protocol):
    """Tables in source order; bad lines go to `bad`, the bytes read so far to `tell`."""

    def __call__(self, bad: BadLines, tell: CountBytes | None = None) -> Iterator[pl.DataFrame]: ...


@dataclass(frozen=True)
class Source:
    """Where events and items come from, and how they are read.

    `read_items` may give an item more than once, the first counts; with `items_repeat` that is no fault, because
    they stand in the rows of the events. Where `read_items` is None the items are those that the events name.
    `notes` says in sentences what was guessed or not found, `unknown_items_remedy` what to do where the events name
    items that `read_items` does not give.
    """

    name: str
    event_files: tuple[Path, ...]
    item_files: tuple[Path, ...]
    ticks_per_second: int
    read_events: ReadTables
    read_items: ReadTables | None = None
    items_repeat: bool = False
    notes: tuple[str, ...] = ()
    unknown_items_remedy: str = "check that the metadata is whole and belongs to these interactions"

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.event_files, *self.item_files)


def complete(table: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The columns of `schema` in its order and types, null where the table lacks one."""
    return table.select(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )


def list_files(path: Path, wanted: str) -> list[Path]:
    """The file itself, or all files under a folder, sorted, plain files rather than their gzipped twins.

    Raises `DataError` if the path does not exist; `wanted` says what it should hold.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; give the {wanted}")
    files = {found for found in path.rglob("*") if found.is_file()}
    return sorted(file for file in files if file.suffix != ".gz" or file.with_suffix("") not in files)


def bare_name(path: Path) -> str:
    """The name of a file up to its first dot."""
    return path.name.split(".", 1)[0]


def has_suffix(path: Path, *suffixes: str) -> bool:
    """Whether the name ends with one of the suffixes, gzipped or not."""
    return path.name.removesuffix(".gz").lower().endswith(suffixes)
