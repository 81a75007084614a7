"""What a preparation is asked and what it gives: filters, counts, and what prepare.json says of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from bluerec import __version__
from bluerec.data.drops import DropCounts
from bluerec.data.sources.source import Source
from bluerec.data.tables import FIRST_PLAUSIBLE_SECOND, INTERACTIONS_FILE, ITEMS_FILE
from bluerec.errors import ConfigError

PREPARE_FILE = "prepare.json"


@dataclass(frozen=True)
class Filters:
    """What is kept. See docs/data-format.md for the reasons behind the defaults."""

    min_user_events: int = 1
    min_item_events: int = 1
    keep_repeats: bool = False
    max_bad_rows: int = 100

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            # A user or an item without an event is never kept.
            least = 1 if name in ("min_user_events", "min_item_events") else 0
            if value < least:
                option = "--" + name.replace("_", "-")
                raise ConfigError(f"{option} is {value}; give a number of at least {least}")


@dataclass
class TimeSpan:
    """First and last timestamp of some interactions, in seconds, and how many are too early to be times."""

    first: int = 0
    last: int = -1
    n_early: int = 0

    def add(self, timestamps: pl.Series) -> None:
        """Take in the timestamps of a table, (n_rows,), without nulls."""
        if not timestamps.len():
            return
        first, last = int(timestamps.min()), int(timestamps.max())  # type: ignore[arg-type]
        is_empty = self.last < self.first
        self.first, self.last = (first, last) if is_empty else (min(self.first, first), max(self.last, last))
        self.n_early += int((timestamps < FIRST_PLAUSIBLE_SECOND).sum())

    def __str__(self) -> str:
        if self.last < FIRST_PLAUSIBLE_SECOND:
            return f"at positions {self.first} to {self.last}"
        first, last = (datetime.fromtimestamp(second, UTC).date() for second in (self.first, self.last))
        return f"from {first} to {last}"

    def describe_early(self, n_events: int) -> str:
        """What is wrong where some are too early to be times and others are not; else nothing."""
        if not self.n_early or self.last < FIRST_PLAUSIBLE_SECOND:
            return ""
        return (
            f"{self.n_early:,} of {n_events:,} interactions are from before March 1973, and with them all timestamps "
            "count as positions, not times; check their unit (--timestamp-unit) or take them out"
        )


@dataclass(frozen=True)
class Prepared:
    """A prepared folder and how it came about."""

    folder: Path
    n_users: int
    n_items: int
    n_events: int
    drops: DropCounts
    notes: tuple[str, ...]
    span: TimeSpan

    def as_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "n_users": self.n_users,
            "n_items": self.n_items,
            "n_interactions": self.n_events,
            "first_timestamp": self.span.first,
            "last_timestamp": self.span.last,
            "drops": self.drops.as_dict(),
            "notes": list(self.notes),
        }


def describe(source: Source, filters: Filters, prepared: Prepared, folder: Path) -> dict[str, Any]:
    """What prepare.json holds: what was asked, read, found and written."""
    return {
        "schema": "bluerec-prepared-1",
        "source": source.name,
        "filters": asdict(filters),
        "inputs": [{"file": str(file), "bytes": file.stat().st_size} for file in dict.fromkeys(source.files)],
        "notes": list(prepared.notes),
        "n_users": prepared.n_users,
        "n_items": prepared.n_items,
        "n_interactions": prepared.n_events,
        "first_timestamp": prepared.span.first,
        "last_timestamp": prepared.span.last,
        "outputs": {name: _hash_file(folder / name) for name in (INTERACTIONS_FILE, ITEMS_FILE)},
        "versions": {"bluerec": __version__, "polars": pl.__version__},
    }


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
