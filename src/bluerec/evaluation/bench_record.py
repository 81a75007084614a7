"""The numbers of a benchmark in a file small enough to be kept beside a page, see `bluerec.evaluation.bench_fill`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bluerec.errors import DataError
from bluerec.evaluation.bench_table import BENCH_SCHEMA
from bluerec.evaluation.comparisons import HEADLINE_METRIC
from bluerec.runs import read_json, write_text

RECORD_SCHEMA = "bluerec-record-1"
PLACE = ("dataset", "protocol", "mask", "pool", "metric")
VALUE = ("mean", "low", "high", "n_users")
# What is kept of each kind of row, as a list in this order.
COLUMNS: Mapping[str, Sequence[str]] = {
    "rows": ("system", *PLACE, *VALUE),
    "groups": ("system", *PLACE, "group", *VALUE),
    "differences": ("system", "reference", *PLACE, "difference", "low", "high", "p_holm", "n_tests", "n_users"),
    "measures": ("system", "dataset", "protocol", "measure", "mean", "low", "high", "n"),
}
METRICS = ("ndcg@10", "recall@10")
_IDENTITY = (
    "name", "title", "command", "config_digest", "settings_digest", "seed", "commit", "created", "versions", "platform",
    "cpu_count",
)  # fmt: skip
_ARENA = ("dataset", "data_digest", "protocol", "mask", "split", "pools", "users", "n_users")

Record = Mapping[str, Any]


def save_record(results: Mapping[str, Any], path: Path) -> None:
    """Keep what tables are made of: one line a row, so that a change of one number is a change of one line."""
    content: dict[str, Any] = {
        "schema": RECORD_SCHEMA,
        "identity": {key: results["identity"].get(key) for key in _IDENTITY},
        "reference": results["reference"],
        "arenas": [{key: arena.get(key) for key in _ARENA} for arena in results["arenas"]],
        "notes": list(results["notes"]),
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    for kind, columns in COLUMNS.items():
        kept = [row for row in results[kind] if row.get("metric", HEADLINE_METRIC) in METRICS]
        lines = [json.dumps([_shorten(row[column]) for column in columns]) for row in kept]
        parts.append(f"{json.dumps(kind)}: [\n" + ",\n".join(lines) + "\n]")
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def load_record(path: Path) -> Record:
    """The numbers as they stand in `bench.json`. Raises `DataError` for another or a damaged file."""
    content = read_json(path, "record of a benchmark")
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema == BENCH_SCHEMA:
        return dict(content)
    if schema != RECORD_SCHEMA:
        raise DataError(f"{path}: not the record of a benchmark ({schema!r}); run: bluerec bench ... --markdown PAGE")
    try:
        rows = {
            kind: [dict(zip(columns, row, strict=True)) for row in content[kind]] for kind, columns in COLUMNS.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged; run the command in its identity again, with --markdown PAGE") from error
    return {**content, **rows}


def _shorten(value: object) -> object:
    """Eight digits: fewer would be rounded twice where a table shows four."""
    return float(f"{value:.8g}") if isinstance(value, float) else value
