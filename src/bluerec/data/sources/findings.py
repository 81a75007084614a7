"""What reading finds beside the rows: bad lines, the first example of each fault, and the units of times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import polars as pl

from bluerec.data.sources.times import UnitCounts
from bluerec.errors import DataError

_SHOWN_CHARACTERS = 60
# A place is the number of a file times this, plus the line in it: one number that sorts as the rows stand.
_LINES_OF_A_FILE = 2**40


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read, and why."""

    number: int
    reason: str
    value: str


@dataclass
class Examples:
    """The first example of each fault, and where the rows of the table that was read last stand.

    A place is one number for a file and a line in it, of a Parquet file the row. `places`, (n_rows,), and `raw`,
    columns as they stood in the file before they were converted, (n_rows,) each, are of that table.
    """

    places: pl.Series = field(default_factory=lambda: pl.Series("place", dtype=pl.Int64()))
    raw: dict[str, pl.Series] = field(default_factory=dict)
    _files: list[Path] = field(default_factory=list)
    _found: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def locate(self, path: Path, lines: pl.Series) -> None:
        """Say on which lines the rows of the next table begin, (n_rows,), null where that is not known."""
        self.places = (lines.cast(pl.Int64).fill_null(0) + self.place(path, 0)).alias("place")
        self.raw = {}

    def place(self, path: Path, line: int) -> int:
        """The place of a line."""
        if path not in self._files:
            self._files.append(path)
        return self._files.index(path) * _LINES_OF_A_FILE + line

    def where(self, place: int) -> str:
        """A place as file and line, or the file alone where the line is not known."""
        file, line = divmod(place, _LINES_OF_A_FILE)
        return f"{self._files[file]}:{line}" if line else str(self._files[file])

    def add(self, of: str, fault: str, place: int | None, value: str) -> None:
        """Take an example of a fault of a kind of rows, unless one that stands before it is known.

        Without a place it comes first. Several threads may add.
        """
        with self._lock:
            example = (-1 if place is None else place, value)
            self._found[of, fault] = min(self._found.get((of, fault), example), example)

    def has(self, of: str, fault: str) -> bool:
        """Whether there is an example of a fault."""
        return (of, fault) in self._found

    def of(self, kind: str) -> dict[str, str]:
        """The first example of each fault of a kind of rows."""
        return {
            fault: value if place < 0 else f"{self.where(place)}: {value}"
            for (of, fault), (place, value) in self._found.items()
            if of == kind
        }


@dataclass
class BadLines:
    """Counts the bad lines of all files of a run, by what they should hold, and stops the run beyond `limit`.

    `units` are those of the times that are not bad; `examples` are of all faults, bad lines among them.
    """

    limit: int
    counts: dict[str, int] = field(default_factory=dict)
    first: str = ""
    units: UnitCounts = field(default_factory=UnitCounts)
    examples: Examples = field(default_factory=Examples, compare=False)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, path: Path, bad: BadLine, *, of: str) -> None:
        """Count one bad line among the lines `of` a kind. Raises `DataError` beyond the limit."""
        self.counts[of] = self.counts.get(of, 0) + 1
        what = f"{bad.reason}: {shorten(bad.value)}"
        self.examples.add(of, "malformed_line", self.examples.place(path, bad.number), what)
        where = f"{path}:{bad.number}: {what}"
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
