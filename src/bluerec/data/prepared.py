"""What a preparation is asked and what it gives: filters, counts, and what prepare.json says of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bluerec import __version__
from bluerec.data.drops import DropCounts
from bluerec.data.sources.source import Source
from bluerec.data.tables import INTERACTIONS_FILE, ITEMS_FILE
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


def describe(source: Source, filters: Filters, prepared: Prepared, folder: Path) -> dict[str, Any]:
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
