"""What an evaluation leaves behind: `results.json` with means, differences and identity, and beside it all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from bluerec.errors import DataError
from bluerec.evaluation.protocol import Ranking
from bluerec.runs import atomic_path, read_json, write_json

RESULTS_SCHEMA = "bluerec-results-1"
REQUIRED_IDENTITY = ("data", "data_digest", "protocol", "split", "mask_seen", "n_users", "seed")


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A mean over users with its 95% interval. `pool` is a number of sampled negatives or `full`."""

    ranker: str
    pool: str
    metric: str
    mean: float
    low: float
    high: float
    n_users: int


@dataclass(frozen=True, slots=True)
class PairedRow:
    """`mean(a) - mean(b)` on the same users, with its 95% interval and p-value."""

    a: str
    b: str
    pool: str
    metric: str
    difference: float
    low: float
    high: float
    p_value: float
    n_users: int


@dataclass(frozen=True, slots=True)
class Results:
    """Rows, paired rows, notes, and the identity that says of what: data, users, protocol, embedder, profiles."""

    identity: Mapping[str, Any]
    rows: tuple[ResultRow, ...]
    paired: tuple[PairedRow, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The content of `results.json`."""
        return {
            "schema": RESULTS_SCHEMA,
            "identity": dict(self.identity),
            "rows": [asdict(row) for row in self.rows],
            "paired": [asdict(row) for row in self.paired],
            "notes": list(self.notes),
        }


def save_results(results: Results, path: str | Path) -> None:
    """Write `results.json`; it is either whole or absent. Raises `DataError` where it cannot be written."""
    write_json(Path(path), results.as_dict())


def load_results(path: str | Path) -> Results:
    """Load results. Raises `DataError` if the file is missing, damaged, or no results of this version."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the results file in it, written by: bluerec evaluate")
    content = read_json(path, "folder with results")
    if not isinstance(content, dict) or content.get("schema") != RESULTS_SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{path}: not results ({found!r} instead of {RESULTS_SCHEMA!r}); run: bluerec evaluate")
    identity = content.get("identity")
    if not isinstance(identity, dict) or any(key not in identity for key in REQUIRED_IDENTITY):
        raise DataError(f"{path}: identity lacks one of {', '.join(REQUIRED_IDENTITY)}; run bluerec evaluate again")
    notes = content.get("notes", [])
    return Results(
        identity,
        _read_rows(ResultRow, content.get("rows"), path),
        _read_rows(PairedRow, content.get("paired"), path),
        tuple(str(note) for note in notes) if isinstance(notes, list) else (),
    )


def save_ranks(ranking: Ranking, results_path: str | Path) -> Path:
    """Write every rank beside the results (`NAME.ranks.parquet` for `NAME.json`) and return where."""
    path = Path(results_path).with_suffix(".ranks.parquet")
    with atomic_path(path) as partial:
        ranking.to_frame().write_parquet(partial)
    return path


_Row = TypeVar("_Row", ResultRow, PairedRow)
_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}


def _read_rows(kind: type[_Row], rows: Any, path: Path) -> tuple[_Row, ...]:
    if not isinstance(rows, list):
        raise DataError(f"{path}: {kind.__name__}s are missing; run bluerec evaluate again")
    wanted = {field.name: _KINDS[str(field.type)] for field in fields(kind)}
    read = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != wanted.keys():
            raise DataError(f"{path}: {kind.__name__} {number} must have {', '.join(wanted)}, got {str(row)[:80]}")
        wrong = [name for name, allowed in wanted.items() if not isinstance(row[name], allowed)]
        if wrong:
            raise DataError(f"{path}: {kind.__name__} {number}: {wrong[0]} is {row[wrong[0]]!r}; run bluerec evaluate")
        read.append(kind(**row))
    return tuple(read)
