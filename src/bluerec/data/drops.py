"""What was dropped or mended on the way to the canonical tables, counted by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl

DROPS_FILE = "drops.json"

# Every reason there is; docs/data-format.md explains them. A count of zero is saved too.
EVENT_DROPS = (
    "malformed_line",
    "missing_timestamp",
    "negative_timestamp",
    "implausible_timestamp",
    "unknown_item",
    "duplicate",
    "repeat",
    "k_core",
)
EVENT_REPAIRS = ("unreadable_rating", "zero_rating", "impossible_rating", "review_title_markup", "review_text_markup")
ITEM_DROPS = ("malformed_line", "duplicate_item", "without_events")
ITEM_REPAIRS = ("unreadable_price", "title_markup", "description_markup", "brand_markup", "domain_markup")


@dataclass
class Drops:
    """Counts of one table: `dropped` and `n_kept` add up to `n_read`.

    Of the rows kept, `repaired` counts the faults that were mended, `missing` the fields that they lack. `examples`
    has the first row of a reason, in words, where it is known.
    """

    dropped: Counter[str]
    repaired: Counter[str]
    missing: Counter[str] = field(default_factory=Counter)
    n_read: int = 0
    n_kept: int = 0
    examples: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_events(cls) -> Drops:
        return cls(Counter(dict.fromkeys(EVENT_DROPS, 0)), Counter(dict.fromkeys(EVENT_REPAIRS, 0)))

    @classmethod
    def of_items(cls) -> Drops:
        return cls(Counter(dict.fromkeys(ITEM_DROPS, 0)), Counter(dict.fromkeys(ITEM_REPAIRS, 0)))

    def add(self, other: Drops) -> None:
        """Add the counts of a part."""
        self.n_read += other.n_read
        self.n_kept += other.n_kept
        self.dropped.update(other.dropped)
        self.repaired.update(other.repaired)
        self.missing.update(other.missing)

    def keep(self, table: pl.DataFrame) -> None:
        """Count the rows kept, and the fields that they lack."""
        self.n_kept += table.height
        for column in table.iter_columns():
            empty = column.list.len() == 0 if column.dtype == pl.List else column.cast(pl.String) == ""
            n_missing = column.null_count() + int(empty.sum())
            if n_missing:
                self.missing[column.name] += n_missing

    def as_dict(self) -> dict[str, Any]:
        return {
            "n_read": self.n_read,
            "n_kept": self.n_kept,
            "dropped": dict(self.dropped),
            "repaired": dict(self.repaired),
            "missing": dict(self.missing),
            "examples": self.examples,
        }

    def __str__(self) -> str:
        """The reasons that occurred, the most frequent first."""
        return ", ".join(f"{count} {reason}" for reason, count in self.dropped.most_common() if count) or "none"


@dataclass
class DropCounts:
    """The counts of a whole preparation."""

    events: Drops = field(default_factory=Drops.of_events)
    items: Drops = field(default_factory=Drops.of_items)

    def as_dict(self) -> dict[str, Any]:
        return {"schema": "bluerec-drops-1", "interactions": self.events.as_dict(), "items": self.items.as_dict()}
