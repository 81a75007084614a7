"""What reading finds beside the rows: bad lines, and the units of times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bluerec.data.sources.times import UnitCounts
from bluerec.errors import DataError

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read, and why."""

    number: int
    reason: str
    value: str


@dataclass
class BadLines:
    """Counts the bad lines of all files of a run, by what they should hold, and stops the run beyond `limit`.

    `units` are those of the times that are not bad.
    """

    limit: int
    counts: dict[str, int] = field(default_factory=dict)
    first: str = ""
    units: UnitCounts = field(default_factory=UnitCounts)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, path: Path, bad: BadLine, *, of: str) -> None:
        """Count one bad line among the lines `of` a kind. Raises `DataError` beyond the limit."""
        self.counts[of] = self.counts.get(of, 0) + 1
        where = f"{path}:{bad.number}: {bad.reason}: {shorten(bad.value)}"
        self.first = self.first or where
        if self.total > self.limit:
            before = f", the first was {self.first}" if self.first != where else ""
            raise DataError(
                f"{where}; more than {self.limit} bad line(s){before}; "
                "is this the right SOURCE? To drop and count them raise --max-bad-rows"
            )


def shorten(text: str) -> str:
    """The beginning of a value, printable, on one line."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return ascii(shown) if not shown.isprintable() else repr(shown)
