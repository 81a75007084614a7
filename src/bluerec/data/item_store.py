"""Items on disk, in the order in which they came, each id once; only the ids are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bluerec.data.k_core import BoolArray


class ItemStore:
    """Add item tables, then read back those wanted. The row of an item is its place in the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._ids: list[pl.Series] = []

    def add(self, items: pl.DataFrame) -> pl.Series:
        """Keep the first row of each id that is new; returns which rows these are, (n_rows,)."""
        ids = items["item_id"]
        is_new = ids.is_first_distinct() & ~ids.is_in(self._known_among(ids).implode())
        if is_new.any():
            items = items.filter(is_new)
            items.write_parquet(self._file(len(self._ids)), compression="lz4", statistics=False)
            self._ids.append(items["item_id"])
        return is_new

    @property
    def n_items(self) -> int:
        return sum(ids.len() for ids in self._ids)

    @property
    def n_tables(self) -> int:
        return len(self._ids)

    def rows(self) -> pl.DataFrame:
        """`item_id` and `item_row` of every item."""
        ids = pl.concat(self._ids) if self._ids else pl.Series("item_id", dtype=pl.String())
        return ids.to_frame().with_row_index("item_row")

    def item_id(self, item_row: int) -> str:
        """The id of an item."""
        for ids in self._ids:
            if item_row < ids.len():
                return str(ids[item_row])
            item_row -= ids.len()
        raise IndexError(item_row)

    def take(self, wanted: BoolArray) -> Iterator[pl.DataFrame]:
        """The items marked in `wanted`, (n_items,)."""
        start = 0
        for number, ids in enumerate(self._ids):
            part = pl.read_parquet(self._file(number))
            yield part.filter(pl.Series(wanted[start : start + ids.len()]))
            start += ids.len()

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:05d}.parquet"

    def _known_among(self, ids: pl.Series) -> pl.Series:
        # Probing all known ids with the few new ones is much cheaper than the other way round.
        known = [some.filter(some.is_in(ids.implode())) for some in self._ids]
        return pl.concat(known) if known else pl.Series("item_id", dtype=pl.String())
