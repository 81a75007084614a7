"""From a raw source to a prepared folder, in memory that grows with users and items, not with events or texts.

Items go to disk and their ids to memory. Events are checked table by table and go to disk, divided among buckets
by user. Bucket by bucket, duplicates are found and the users numbered; rounds over the numbers alone find the
k-core; then each bucket is sorted and written. The folder appears under its name when it is whole.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from bluerec import __version__
from bluerec.data.buckets import EventBuckets
from bluerec.data.checks import drop_impossible_times, mend_events, mend_items
from bluerec.data.drops import DROPS_FILE, DropCounts, Drops
from bluerec.data.item_store import ItemStore
from bluerec.data.k_core import BoolArray, find_k_core
from bluerec.data.sources.blocks import CountBytes
from bluerec.data.sources.lines import BadLines
from bluerec.data.sources.source import RAW_ITEMS_SCHEMA, Source, complete
from bluerec.data.staging import new_folder
from bluerec.data.tables import INTERACTIONS_FILE, INTERACTIONS_SCHEMA, ITEMS_FILE, ITEMS_SCHEMA
from bluerec.data.threads import map_ahead
from bluerec.errors import ConfigError, DataError
from bluerec.runs import write_json
from bluerec.types import CountDone, IntArray

PREPARE_FILE = "prepare.json"
_OUTPUTS = (INTERACTIONS_FILE, ITEMS_FILE, DROPS_FILE, PREPARE_FILE)
_ROW_GROUP = 100_000
# Text packs about this well with gzip; decides nothing but the number of buckets.
_GZIP_RATIO = 4

# Shows what is being done, until it is done.
OpenProgress = Callable[[str], AbstractContextManager[CountDone]]


@dataclass(frozen=True)
class Filters:
    """What is kept. See docs/data-format.md for the reasons behind the defaults."""

    min_user_events: int = 1
    min_item_events: int = 1
    keep_repeats: bool = False
    max_bad_rows: int = 100

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 0:
                option = "--" + name.replace("_", "-")
                raise ConfigError(f"{option} is {value}; give a number of at least 0")


@dataclass(frozen=True)
class Prepared:
    """A prepared folder and how it came about."""

    folder: Path
    n_users: int
    n_items: int
    n_events: int
    drops: DropCounts
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "n_users": self.n_users,
            "n_items": self.n_items,
            "n_interactions": self.n_events,
            "drops": self.drops.as_dict(),
            "notes": list(self.notes),
        }


@contextmanager
def no_progress(description: str) -> Iterator[CountDone]:
    """Tell nobody."""
    yield lambda done, total: None


def prepare(
    source: Source,
    out: str | Path,
    filters: Filters | None = None,
    *,
    overwrite: bool = False,
    progress: OpenProgress = no_progress,
) -> Prepared:
    """Write interactions.parquet, items.parquet, drops.json and prepare.json to the folder `out`.

    Raises `DataError` if a file cannot be read, holds more than `filters.max_bad_rows` bad lines or nothing usable,
    or if `out` cannot be written or already holds something; then `out` is as it was before.
    """
    filters = filters or Filters()
    n_text_bytes = _n_text_bytes(source.event_files)
    with (
        new_folder(Path(out), _OUTPUTS, overwrite=overwrite) as (folder, scratch),
        EventBuckets(scratch / "events", n_text_bytes) as buckets,
    ):
        work = _Preparation(source, filters, scratch, buckets)
        work.store_items(progress)
        work.store_events(progress)
        work.decide(progress)
        work.write(folder, progress)
        prepared = Prepared(
            Path(out), int(work.users.sum()), int(work.items.sum()), work.drops.events.n_kept, work.drops, source.notes
        )
        write_json(folder / DROPS_FILE, work.drops.as_dict())
        write_json(folder / PREPARE_FILE, _describe(source, filters, prepared, folder))
    return prepared


class _Preparation:
    """The steps of one preparation, in the order in which `prepare` calls them."""

    users: BoolArray  # (n_users,), which stay
    items: BoolArray  # (n_items,)

    def __init__(self, source: Source, filters: Filters, scratch: Path, buckets: EventBuckets) -> None:
        self.source = source
        self.filters = filters
        self.drops = DropCounts()
        self.bad = BadLines(filters.max_bad_rows)
        self.item_store = ItemStore(scratch / "items")
        self.buckets = buckets
        self._survivors = scratch / "survivors"
        self._survivors.mkdir()

    def store_items(self, progress: OpenProgress) -> None:
        """Put the items on disk."""
        if self.source.read_items is None:
            return
        with progress("reading items") as tell:
            for table in self.source.read_items(self.bad, _count_bytes(self.source.item_files, tell)):
                self._store_items(table)

    def _store_items(self, table: pl.DataFrame) -> None:
        n_new = self.item_store.add(table)
        n_read = n_new if self.source.items_repeat else table.height
        self.drops.items.n_read += n_read
        self.drops.items.dropped["duplicate_item"] += n_read - n_new

    def store_events(self, progress: OpenProgress) -> None:
        """Put the events on disk, by user; they name the items where there is no metadata."""
        drops = self.drops.events
        with progress("reading interactions") as tell:
            for table in self.source.read_events(self.bad, _count_bytes(self.source.event_files, tell)):
                events, part = drop_impossible_times(table, self.source.ticks_per_second)
                self.buckets.add(events)
                drops.add(part)
            self.buckets.finish()
        if self.source.read_items is None:
            self._store_items(complete(self.buckets.item_ids(), RAW_ITEMS_SCHEMA))
        for kind, counts in (("events", drops), ("items", self.drops.items)):
            counts.dropped["malformed_line"] = self.bad.counts.get(kind, 0)
            counts.n_read += self.bad.counts.get(kind, 0)
        if drops.n_read == drops.dropped.total():
            raise DataError(
                f"{self.source.event_files[0]}: no usable interaction among {drops.n_read} (dropped: {drops})"
                f"{'; first bad line ' + self.bad.first if self.bad.first else ''}; is this the right SOURCE?"
            )

    def decide(self, progress: OpenProgress) -> None:
        """Find duplicates, number the users, find the k-core."""
        survive = partial(self._survive, item_rows=self.item_store.rows())
        n_users = 0
        with progress("removing duplicates") as tell:
            for number, (survivors, n_users_here, dropped) in enumerate(map_ahead(survive, self.buckets.numbers)):
                survivors = survivors.with_columns(pl.col("user_row").cast(pl.Int64) + n_users)
                survivors.write_parquet(self._survivors / f"{number:05d}.parquet", compression="lz4")
                self.drops.events.dropped.update(dropped)
                n_users += n_users_here
                tell(number + 1, self.buckets.n_buckets)
        self.users, self.items = find_k_core(
            self._pairs,
            n_users,
            self.item_store.n_items,
            min_user_events=self.filters.min_user_events,
            min_item_events=self.filters.min_item_events,
        )
        if not self.users.any():
            raise DataError(
                f"{self.source.event_files[0]}: nothing is left of {self.drops.events.n_read} interactions (dropped: "
                f"{self.drops.events}; the others by the k-core); lower --min-user-events and --min-item-events"
            )

    def _survive(self, number: int, item_rows: pl.DataFrame) -> tuple[pl.DataFrame, int, Counter[str]]:
        """The events of a bucket to keep, the number of its users, and what was dropped.

        The events are given by user and time, as `position` in the bucket, `user_row` counted from 0, and `item_row`.
        Of several events of a user with an item the earliest stays, of equal times the first in the source.
        """
        keys = self.buckets.read_keys(number)
        users = keys["user_id"].unique().sort()
        user_row = pl.col("user_id").cast(pl.Enum(users)).to_physical().alias("user_row")
        events = (
            keys.with_row_index("position")
            .join(item_rows, on="item_id", how="left", maintain_order="left")
            .select("position", user_row, "item_row", "timestamp")
        )
        known = events.drop_nulls("item_row").sort("user_row", "timestamp", maintain_order=True)
        second = pl.col("timestamp") // self.source.ticks_per_second
        single = known.filter(pl.struct("user_row", "item_row", second).is_first_distinct())
        kept = single
        if not self.filters.keep_repeats:
            kept = single.filter(pl.struct("user_row", "item_row").is_first_distinct())
        dropped = Counter(
            unknown_item=events.height - known.height,
            duplicate=known.height - single.height,
            repeat=single.height - kept.height,
        )
        return kept.select("position", "user_row", "item_row"), users.len(), dropped

    def _survivors_of(self, number: int) -> pl.DataFrame:
        return pl.read_parquet(self._survivors / f"{number:05d}.parquet")

    def _pairs(self) -> Iterator[tuple[IntArray, IntArray]]:
        for number in self.buckets.numbers:
            survivors = self._survivors_of(number)
            yield survivors["user_row"].to_numpy(), survivors["item_row"].to_numpy()

    def write(self, folder: Path, progress: OpenProgress) -> None:
        """Mend and write what is kept, and complete the counts."""
        with progress("writing interactions") as tell:
            kept_events = map_ahead(self._take_events, self.buckets.numbers)
            tables = _count(kept_events, self.drops.events, tell, self.buckets.n_buckets)
            _write_parquet(tables, INTERACTIONS_SCHEMA, folder / INTERACTIONS_FILE)
        with progress("writing items") as tell:
            kept_items = map_ahead(mend_items, self.item_store.take(self.items))
            tables = _count(kept_items, self.drops.items, tell, self.item_store.n_tables)
            _write_parquet(tables, ITEMS_SCHEMA, folder / ITEMS_FILE)
        events, items = self.drops.events, self.drops.items
        events.dropped["k_core"] = events.n_read - events.n_kept - events.dropped.total()
        items.dropped["without_events"] = items.n_read - items.n_kept - items.dropped.total()

    def _take_events(self, number: int) -> tuple[pl.DataFrame, Drops]:
        """What is kept of a bucket, each user's events in order of time."""
        survivors = self._survivors_of(number)
        kept = self.users[survivors["user_row"].to_numpy()] & self.items[survivors["item_row"].to_numpy()]
        positions = survivors["position"].filter(pl.Series(kept))
        seconds = pl.col("timestamp") // self.source.ticks_per_second
        return mend_events(self.buckets.read_whole(number)[positions].with_columns(seconds))


def _count(
    mended: Iterable[tuple[pl.DataFrame, Drops]], drops: Drops, tell: CountDone, n_tables: int
) -> Iterator[pl.DataFrame]:
    """The tables alone; their counts go to `drops`."""
    for number, (table, part) in enumerate(mended):
        drops.add(part)
        yield table
        tell(number + 1, n_tables)


def _write_parquet(tables: Iterator[pl.DataFrame], schema: pl.Schema, path: Path) -> None:
    """Write tables as they come."""

    def read(*_: object) -> Iterator[pl.DataFrame]:
        return tables

    register_io_source(read, schema=schema).sink_parquet(
        path, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP
    )


def _count_bytes(files: tuple[Path, ...], tell: CountDone) -> CountBytes:
    """Turns the steps that the readers tell into (done, total)."""
    total = sum(file.stat().st_size for file in files)
    done = 0

    def count(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        tell(done, total)

    return count


def _n_text_bytes(files: tuple[Path, ...]) -> int:
    return sum(file.stat().st_size * (_GZIP_RATIO if file.suffix == ".gz" else 1) for file in files)


def _describe(source: Source, filters: Filters, prepared: Prepared, folder: Path) -> dict[str, Any]:
    """What prepare.json holds: what was asked, read, found and written."""
    return {
        "schema": "bluerec-prepared-1",
        "source": source.name,
        "filters": asdict(filters),
        "inputs": [{"file": str(file), "bytes": file.stat().st_size} for file in dict.fromkeys(source.files)],
        "notes": list(source.notes),
        "n_users": prepared.n_users,
        "n_items": prepared.n_items,
        "n_interactions": prepared.n_events,
        "outputs": {name: _hash_file(folder / name) for name in (INTERACTIONS_FILE, ITEMS_FILE)},
        "versions": {"bluerec": __version__, "polars": pl.__version__},
    }


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
