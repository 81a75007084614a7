"""From a raw source to a prepared folder, in memory that grows with users and items, not with events or texts.

Items go to disk and their ids to memory. Events are checked table by table and go to disk, divided among buckets
by user. Bucket by bucket, duplicates are found and the users numbered; rounds over the numbers alone find the
k-core; then each bucket is sorted and written. The folder appears under its name when it is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

import polars as pl
from polars.io.plugins import register_io_source

from bluerec.data.buckets import EventBuckets
from bluerec.data.checks import drop_impossible_times, mend_events, mend_items
from bluerec.data.drops import DROPS_FILE, DropCounts, Drops
from bluerec.data.fault_examples import (
    EVENTS,
    ITEMS,
    add_repeated_item,
    add_value_examples,
    choose_examples,
    describe_event,
    describe_unknown_items,
)
from bluerec.data.item_store import ItemStore
from bluerec.data.k_core import BoolArray, find_k_core
from bluerec.data.prepared import PREPARE_FILE, Filters, Prepared, TimeSpan, describe
from bluerec.data.sources.blocks import CountBytes
from bluerec.data.sources.findings import BadLines, shorten
from bluerec.data.sources.source import RAW_ITEMS_SCHEMA, Source, complete
from bluerec.data.staging import new_folder
from bluerec.data.tables import INTERACTIONS_FILE, INTERACTIONS_SCHEMA, ITEMS_FILE, ITEMS_SCHEMA
from bluerec.data.threads import map_ahead
from bluerec.errors import DataError
from bluerec.runs import write_json
from bluerec.types import CountDone, IntArray

_OUTPUTS = (INTERACTIONS_FILE, ITEMS_FILE, DROPS_FILE, PREPARE_FILE)
_ROW_GROUP = 100_000
# Text packs about this well with gzip; decides nothing but the number of buckets.
_GZIP_RATIO = 4
# A larger share of events with unknown items is a fault of the ids, not of some events.
_FEW_UNKNOWN = 0.05

# Shows what is being done, until it is done.
OpenProgress = Callable[[str], AbstractContextManager[CountDone]]


@contextmanager
def no_progress(description: str) -> Iterator[CountDone]:
    """CountBytes nobody."""
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
            Path(out),
            n_users=int(work.users.sum()),
            n_items=int(work.items.sum()),
            n_events=work.drops.events.n_kept,
            drops=work.drops,
            notes=(*source.notes, *work.notes()),
            span=work.span,
        )
        write_json(folder / DROPS_FILE, work.drops.as_dict())
        write_json(folder / PREPARE_FILE, describe(source, filters, prepared, folder))
    return prepared


class _Preparation:
    """The steps of one preparation, in the order in which `prepare` calls them."""

    users: BoolArray  # (n_users,), which stay
    items: BoolArray  # (n_items,)
    _n_timed: int  # events with a possible time, of known and unknown items

    def __init__(self, source: Source, filters: Filters, scratch: Path, buckets: EventBuckets) -> None:
        self.source = source
        self.filters = filters
        self.drops = DropCounts()
        self.span = TimeSpan()
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
        is_new = self.item_store.add(table)
        n_new = int(is_new.sum())
        n_read = n_new if self.source.items_repeat else table.height
        self.drops.items.n_read += n_read
        self.drops.items.dropped["duplicate_item"] += n_read - n_new
        if n_read > n_new:
            add_repeated_item(self.bad.examples, table, is_new)

    def store_events(self, progress: OpenProgress) -> None:
        """Put the events on disk, by user; they name the items where there is no metadata."""
        drops = self.drops.events
        with progress("reading interactions") as tell:
            for table in self.source.read_events(self.bad, _count_bytes(self.source.event_files, tell)):
                table = table.with_columns(self.bad.examples.places)
                add_value_examples(self.bad.examples, table, self.source.ticks_per_second)
                events, part = drop_impossible_times(table, self.source.ticks_per_second)
                self.buckets.add(events)
                drops.add(part)
            self.buckets.finish()
        if self.source.read_items is None:
            self._store_items(complete(self.buckets.item_ids(), RAW_ITEMS_SCHEMA))
        for kind, counts in ((EVENTS, drops), (ITEMS, self.drops.items)):
            counts.dropped["malformed_line"] = self.bad.counts.get(kind, 0)
            counts.n_read += self.bad.counts.get(kind, 0)
        if drops.n_read == drops.dropped.total():
            (reason, _), *_ = drops.dropped.most_common(1)
            example = choose_examples(self.bad.examples, EVENTS, drops).get(reason, "")
            kind = "bad line" if reason == "malformed_line" else f"{reason}:"
            raise DataError(
                f"{self.source.event_files[0]}: no usable interaction among {drops.n_read} (dropped: {drops})"
                f"{example and f'; first {kind} {example}'}; is this the right SOURCE?"
            )

    def decide(self, progress: OpenProgress) -> None:
        """Find duplicates, number the users, find the k-core."""
        survive = partial(self._survive, item_rows=self.item_store.rows())
        self._n_timed = self.drops.events.n_read - self.drops.events.dropped.total()
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
            self._refuse_nothing()

    def _refuse_nothing(self) -> NoReturn:
        where, unknown = self.source.event_files[0], self._describe_unknown_items()
        if self.drops.events.dropped["unknown_item"] == self._n_timed:
            raise DataError(f"{where}: {unknown}")
        raise DataError(
            f"{where}: nothing is left of {self.drops.events.n_read} interactions (dropped: {self.drops.events}; the "
            "others by the k-core); lower --min-user-events and --min-item-events" + (unknown and f"; {unknown}")
        )

    def _describe_unknown_items(self) -> str:
        """What is wrong where more than a few events are of unknown items; else nothing."""
        n_unknown = self.drops.events.dropped["unknown_item"]
        if n_unknown <= _FEW_UNKNOWN * self._n_timed:
            return ""
        example = self.bad.examples.of(EVENTS)["unknown_item"]
        known_id = self.item_store.item_id(0) if self.item_store.n_items else None
        return describe_unknown_items(n_unknown, self._n_timed, example, known_id, self.source.unknown_items_remedy)

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
        is_single = _mark_first(known, "user_row", "item_row", second)
        single = known.filter(is_single)
        is_kept = _mark_first(single, "user_row", "item_row") if not self.filters.keep_repeats else None
        kept = single if is_kept is None else single.filter(is_kept)
        dropped = {"unknown_item": events.filter(pl.col("item_row").is_null()), "duplicate": known.filter(~is_single)}
        if is_kept is not None:
            dropped["repeat"] = single.filter(~is_kept)
        for reason, rows in dropped.items():
            self._add_example(reason, keys, rows["position"])
        counts = Counter({reason: rows.height for reason, rows in dropped.items()})
        return kept.select("position", "user_row", "item_row"), users.len(), counts

    def _add_example(self, reason: str, events: pl.DataFrame, positions: pl.Series) -> None:
        """Take the first of some events of a bucket that are dropped, which stand in it as in the source."""
        if positions.len():
            first = int(positions.min())  # type: ignore[arg-type]
            self.bad.examples.add(EVENTS, reason, events["place"][first], describe_event(events, first))

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
            _write_parquet(self._measure(tables), INTERACTIONS_SCHEMA, folder / INTERACTIONS_FILE)
        with progress("writing items") as tell:
            kept_items = map_ahead(mend_items, self.item_store.take(self.items))
            tables = _count(kept_items, self.drops.items, tell, self.item_store.n_tables)
            _write_parquet(tables, ITEMS_SCHEMA, folder / ITEMS_FILE)
        events, items = self.drops.events, self.drops.items
        events.dropped["k_core"] = events.n_read - events.n_kept - events.dropped.total()
        items.dropped["without_events"] = items.n_read - items.n_kept - items.dropped.total()
        if not self.items.all():
            first = shorten(self.item_store.item_id(int(self.items.argmin())))
            self.bad.examples.add(ITEMS, "without_events", None, f"item {first}")
        events.examples = choose_examples(self.bad.examples, EVENTS, events)
        items.examples = choose_examples(self.bad.examples, ITEMS, items)

    def _measure(self, tables: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for table in tables:
            self.span.add(table["timestamp"])
            yield table

    def _take_events(self, number: int) -> tuple[pl.DataFrame, Drops]:
        """What is kept of a bucket, each user's events in order of time."""
        survivors = self._survivors_of(number)
        kept = self.users[survivors["user_row"].to_numpy()] & self.items[survivors["item_row"].to_numpy()]
        bucket = self.buckets.read_whole(number)
        self._add_example("k_core", bucket, survivors["position"].filter(pl.Series(~kept)))
        events = bucket[survivors["position"].filter(pl.Series(kept))]
        unreadable = events["rating"].is_nan().fill_null(False)
        seconds = pl.col("timestamp") // self.source.ticks_per_second
        table, drops = mend_events(events.with_columns(seconds, events["rating"].fill_nan(None)))
        drops.repaired["unreadable_rating"] = int(unreadable.sum())
        return table, drops

    def notes(self) -> tuple[str, ...]:
        """What came up that only the whole of the data shows."""
        early = self.span.describe_early(self.drops.events.n_kept)
        found = (self.bad.units.describe(), early, self._describe_unknown_items())
        return tuple(note for note in found if note)


def _count(
    mended: Iterable[tuple[pl.DataFrame, Drops]], drops: Drops, tell: CountDone, n_tables: int
) -> Iterator[pl.DataFrame]:
    """The tables alone; their counts go to `drops`."""
    for number, (table, part) in enumerate(mended):
        drops.add(part)
        yield table
        tell(number + 1, n_tables)


def _mark_first(events: pl.DataFrame, *columns: str | pl.Expr) -> pl.Series:
    """Which rows are the first with their values, (n_rows,)."""
    return events.select(pl.struct(*columns).is_first_distinct()).to_series()


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
