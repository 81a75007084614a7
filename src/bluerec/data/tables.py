"""The canonical tables: their schema, how they are loaded and saved, and the arrays built from them.

A prepared folder holds `interactions.parquet` and `items.parquet`. Everything that handles many users works on
`Dataset`, which keeps the events as arrays sorted by user and time; the review texts stay on disk until a
history that needs them is built.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from bluerec.errors import DataError, first_line
from bluerec.types import IntArray, Item

INTERACTIONS_FILE = "interactions.parquet"
ITEMS_FILE = "items.parquet"

INTERACTIONS_SCHEMA = pl.Schema(
    {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "rating": pl.Float32,
        "review_title": pl.String,
        "review_text": pl.String,
    }
)
ITEMS_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "title": pl.String(),
        "description": pl.String(),
        "categories": pl.List(pl.String()),
        "brand": pl.String(),
        "price": pl.Float32(),
        "domain": pl.String(),
    }
)
REVIEW_COLUMNS = ("review_title", "review_text")
# Seconds since 1970 of a shop's log are far above this; positions in a sequence are far below.
FIRST_PLAUSIBLE_SECOND = 100_000_000


@dataclass(frozen=True)
class Dataset:
    """Events sorted by user, then time (ties in source order), and the catalogue.

    Arrays over events have shape (n_events,). The events of user row `u` are the slice
    `user_offsets[u]:user_offsets[u + 1]`. `folder` is None for data made in memory.
    """

    user_ids: list[str]
    user_offsets: IntArray  # (n_users + 1,)
    item_rows: IntArray  # (n_events,)
    timestamps: IntArray  # (n_events,)
    ratings: np.ndarray  # (n_events,) float32, NaN where there is none
    items: pl.DataFrame
    reviews: pl.LazyFrame | None
    digest: str
    folder: Path | None = field(default=None, compare=False)

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return self.items.height

    @property
    def n_events(self) -> int:
        return len(self.item_rows)

    @cached_property
    def item_ids(self) -> list[str]:
        return self.items["item_id"].to_list()

    @cached_property
    def titles(self) -> list[str]:
        return self.items["title"].to_list()

    @cached_property
    def item_row_of(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def user_row_of(self) -> dict[str, int]:
        return {user_id: row for row, user_id in enumerate(self.user_ids)}

    @property
    def has_real_times(self) -> bool:
        """False where the timestamps are positions in the user's sequence."""
        return bool(self.n_events and self.timestamps.min() >= FIRST_PLAUSIBLE_SECOND)

    @cached_property
    def _item_columns(self) -> dict[str, list]:
        return self.items.to_dict(as_series=False)

    def item(self, item_row: int) -> Item:
        columns = self._item_columns
        return Item(
            item_id=columns["item_id"][item_row],
            title=columns["title"][item_row],
            description=columns["description"][item_row] or "",
            categories=tuple(columns["categories"][item_row] or ()),
            brand=columns["brand"][item_row],
            price=columns["price"][item_row],
            domain=columns["domain"][item_row],
        )


def load_dataset(folder: str | Path) -> Dataset:
    """Load a prepared folder.

    Raises `DataError` if a file or column is missing, an id is null, or an event names an unknown item.
    """
    folder = Path(folder)
    interactions = _scan_table(folder / INTERACTIONS_FILE, INTERACTIONS_SCHEMA)
    items = _scan_table(folder / ITEMS_FILE, ITEMS_SCHEMA).collect()
    reviews = interactions.select("user_id", "item_id", "timestamp", *REVIEW_COLUMNS)
    events = interactions.select("user_id", "item_id", "timestamp", "rating").collect()
    return build_dataset(events, items, reviews=reviews, folder=folder)


def build_dataset(
    events: pl.DataFrame, items: pl.DataFrame, *, reviews: pl.LazyFrame | None = None, folder: Path | None = None
) -> Dataset:
    """Index events (any order) and a catalogue. See `load_dataset` for what is refused."""
    where = str(folder) if folder else "tables"
    _check_ids(events, items, where)
    events = events.sort("user_id", "timestamp", maintain_order=True)
    item_row = pl.DataFrame({"item_id": items["item_id"], "item_row": np.arange(items.height, dtype=np.int64)})
    events = events.join(item_row, on="item_id", how="left", maintain_order="left")
    n_unknown = events["item_row"].null_count()
    if n_unknown:
        example = events.filter(pl.col("item_row").is_null())["item_id"][0]
        raise DataError(
            f"{where}: {n_unknown} of {events.height} events name an item that {ITEMS_FILE} lacks, e.g. {example!r}; "
            "run: bluerec prepare parquet PATH --out DIR, which drops and counts them"
        )
    runs = events.group_by("user_id", maintain_order=True).len()
    offsets = np.concatenate([[0], np.cumsum(runs["len"].to_numpy())]).astype(np.int64)
    return Dataset(
        user_ids=runs["user_id"].to_list(),
        user_offsets=offsets,
        item_rows=events["item_row"].to_numpy().astype(np.int64),
        timestamps=events["timestamp"].to_numpy().astype(np.int64),
        ratings=events["rating"].cast(pl.Float32).fill_null(float("nan")).to_numpy(),
        items=items.select(ITEMS_SCHEMA.names()).with_columns(pl.col("title").fill_null("")),
        reviews=reviews,
        digest=_digest(events, items),
        folder=folder,
    )


def _scan_table(path: Path, schema: pl.Schema) -> pl.LazyFrame:
    if not path.is_file():
        raise DataError(f"{path}: no such file; a prepared folder has it, run: bluerec prepare SOURCE PATH --out DIR")
    try:
        table = pl.scan_parquet(path)
        found = table.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({first_line(error)}); prepare the data again") from error
    missing = [name for name in schema.names() if name not in found]
    if missing:
        raise DataError(
            f"{path}: column(s) {', '.join(missing)} missing, found {', '.join(found.names())}; "
            "run: bluerec prepare parquet PATH --out DIR, which maps columns"
        )
    return table.select(pl.col(name).cast(kind) for name, kind in schema.items())


def _check_ids(events: pl.DataFrame, items: pl.DataFrame, where: str) -> None:
    for table, name, columns in (
        (events, INTERACTIONS_FILE, ("user_id", "item_id", "timestamp")),
        (items, ITEMS_FILE, ("item_id",)),
    ):
        for column in columns:
            if table[column].null_count():
                raise DataError(
                    f"{where}: {name} has {table[column].null_count()} empty {column}; run: bluerec prepare"
                )
        if not table.height:
            raise DataError(f"{where}: {name} has no rows")
    n_repeated = items.height - items["item_id"].n_unique()
    if n_repeated:
        raise DataError(f"{where}: {ITEMS_FILE} repeats {n_repeated} item_id(s); run: bluerec prepare")


def _digest(events: pl.DataFrame, items: pl.DataFrame) -> str:
    """Content hash of what ranking depends on: who took what when, and the item titles."""
    digest = hashlib.blake2b(digest_size=8)
    for column in (events["user_id"], events["item_id"], items["item_id"], items["title"].fill_null("")):
        digest.update("\x1f".join(column.to_list()).encode())
    digest.update(events["timestamp"].to_numpy().tobytes())
    return digest.hexdigest()
