"""Events on disk, divided among buckets by their user, so that one bucket at a time can be sorted in memory.

All events of a user lie in one bucket, in the order in which they came. Which bucket, is nobody's business: it
depends on the hash of the library at hand.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import polars as pl

from bluerec.data.sources.source import EVENTS_SCHEMA

# Events are collected up to this size before they are divided and written.
_BUFFER_BYTES = 128 * 2**20
# What a bucket holds, as the sources write it; in memory it takes about as much.
_BUCKET_BYTES = 64 * 2**20
KEY_COLUMNS = ("user_id", "item_id", "timestamp", "place")
# `place` tells file and line, see `sources.findings.Examples`.
_SCHEMA = pl.Schema({**EVENTS_SCHEMA, "place": pl.Int64()})


class EventBuckets:
    """Add tables with the columns of `EVENTS_SCHEMA` and their `place`, `finish`, then read bucket by bucket.

    A context: what is collected is written in a thread beside the reading, which has ended when the context is left.
    """

    def __init__(self, folder: Path, expected_bytes: int) -> None:
        """`expected_bytes` is about the size of all events as text; it decides the number of buckets."""
        self.n_buckets = -(-max(expected_bytes, 1) // _BUCKET_BYTES)
        self._folders = [folder / f"{bucket:05d}" for bucket in range(self.n_buckets)]
        for bucket_folder in self._folders:
            bucket_folder.mkdir(parents=True)
        self._buffer: list[pl.DataFrame] = []
        self._n_buffered = 0
        self._n_written = 0
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> EventBuckets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown(cancel_futures=True)

    def add(self, events: pl.DataFrame) -> None:
        """Take a table. Raises what writing an earlier one raised."""
        self._buffer.append(events)
        self._n_buffered += int(events.estimated_size())
        if self._n_buffered >= _BUFFER_BYTES:
            self._start_writing()

    def finish(self) -> None:
        """Write what is still in memory, and wait for it."""
        self._start_writing()
        self._wait()

    def _start_writing(self) -> None:
        self._wait()
        if self._buffer:
            events = pl.concat(self._buffer, rechunk=False)
            self._buffer, self._n_buffered = [], 0
            self._writing = self._writer.submit(self._write, events, f"{self._n_written:05d}.parquet")
            self._n_written += 1

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, events: pl.DataFrame, name: str) -> None:
        if self.n_buckets == 1:
            parts = {0: events}
        else:
            bucket = (events["user_id"].hash() % self.n_buckets).alias("bucket")
            grouped = events.with_columns(bucket).partition_by("bucket", as_dict=True, include_key=False)
            parts = {int(key[0]): part for key, part in grouped.items()}
        for number, part in parts.items():
            part.write_parquet(self._folders[number] / name, compression="lz4", statistics=False)

    @property
    def numbers(self) -> range:
        return range(self.n_buckets)

    def read_keys(self, number: int) -> pl.DataFrame:
        """The columns `KEY_COLUMNS` of a bucket."""
        return self._read(number, KEY_COLUMNS)

    def read_whole(self, number: int) -> pl.DataFrame:
        """All columns of a bucket, in the same order of rows as `read_keys`."""
        return self._read(number, tuple(_SCHEMA))

    def item_ids(self) -> pl.DataFrame:
        """The column `item_id` with every item that an event names, sorted."""
        ids = pl.DataFrame(schema={"item_id": pl.String()})
        for number in self.numbers:
            ids = pl.concat([ids, self._read(number, ("item_id",))]).unique()
        return ids.sort("item_id")

    def _read(self, number: int, columns: tuple[str, ...]) -> pl.DataFrame:
        files = sorted(self._folders[number].iterdir())
        if not files:
            return pl.DataFrame(schema=_SCHEMA).select(columns)
        return pl.concat([pl.read_parquet(file, columns=list(columns)) for file in files], rechunk=False)
