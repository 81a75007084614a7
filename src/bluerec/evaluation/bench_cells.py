"""The cells of a benchmark: one system on the users of one data set, protocol and mask, saved when it is finished.

A cell is known by the digest of all that its ranks depend on: data, users, pools, seed, embedder, profiles, system.
So a run that was stopped goes on where it was, and a changed input is measured anew while all else is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.evaluation.metrics import Float64Array, average_by_user, score_ranks, summarise
from bluerec.evaluation.protocol import digest_examples
from bluerec.runs import atomic_path, read_json, write_json
from bluerec.types import IntArray

CELLS_FOLDER, MEASURES_FOLDER = "cells", "measures"
CELL_SCHEMA = "bluerec-cell-1"
# Raised when a change of the code changes ranks, so that older cells are measured anew.
RANKS_VERSION = 1
# Raised where a protocol counts other events or gives other examples; what is not named here is at 1.
SPLIT_VERSIONS = {"global-time": 2}
# History lengths of the groups, first and last; the last group has no end.
LENGTH_GROUPS = (("1-2", 1, 2), ("3-5", 3, 5), ("6-10", 6, 10), ("over 10", 11, None))
GROUP_METRICS = ("ndcg@10", "recall@10")
MIN_GROUP_USERS = 20


@dataclass(frozen=True)
class Arena:
    """Who is measured and how: systems may be compared within one arena only."""

    data: str
    data_digest: str
    protocol: str
    mask: str
    split: str
    pools: tuple[str, ...]
    seed: int
    table: ExampleTable

    @property
    def identity(self) -> dict[str, Any]:
        version = SPLIT_VERSIONS.get(self.protocol)
        return {
            "dataset": self.data,
            "data_digest": self.data_digest,
            "protocol": self.protocol,
            "mask": self.mask,
            "split": self.split,
            "pools": list(self.pools),
            "seed": self.seed,
            "users": digest_examples(self.table),
            "n_users": len(self.table),
            # Not named at 1, so that cells from before there were versions are still found.
            **({"split_version": version} if version else {}),
        }

    @property
    def key(self) -> tuple[str, str, str]:
        return self.data, self.protocol, self.mask


@dataclass(frozen=True)
class Cell:
    """The ranks of one system in one arena, (n_pools, n_examples), with what they depend on and what they cost."""

    system: str
    identity: Mapping[str, Any]
    ranks: IntArray
    n_candidates: IntArray
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return digest_identity(self.identity)

    @property
    def is_external(self) -> bool:
        """Whether the ranks come from another program."""
        return "external" in self.identity

    def values(self, table: ExampleTable, pool: str) -> Float64Array:
        """Metrics per user, (n_users, n_metrics)."""
        ranks = self.ranks[self.identity["pools"].index(pool)]
        return average_by_user(score_ranks(ranks), table.user_rows)


def identify_cell(arena: Arena, system: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """All that the ranks of a cell depend on; `inputs` are those of the system, such as a digest of its profiles."""
    return {**arena.identity, "system": system, "ranks_version": RANKS_VERSION, **inputs}


def digest_identity(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits."""
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest()


def cell_path(run: Path, identity: Mapping[str, Any]) -> Path:
    """Where a cell lies: readable, and different for every identity."""
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", str(identity["system"]))[:60].strip("._")
    folder = "-".join(str(identity[key]) for key in ("dataset", "protocol", "mask"))
    return run / CELLS_FOLDER / re.sub(r"[^A-Za-z0-9.-]+", "_", folder) / f"{readable}-{digest_identity(identity)}.json"


def save_cell(run: Path, cell: Cell, table: ExampleTable) -> None:
    """Write the ranks (`NAME.ranks.parquet`), then the cell that makes them count."""
    path = cell_path(run, cell.identity)
    pools = cell.identity["pools"]
    frame = pl.DataFrame(
        {
            "example_id": table.example_ids * len(pools),
            "user_id": table.user_ids * len(pools),
            "pool": np.repeat(pools, len(table)).tolist(),
            "rank": cell.ranks.ravel().astype(np.int32),
            "n_candidates": cell.n_candidates.ravel().astype(np.int32),
        }
    )
    with atomic_path(path.with_suffix(".ranks.parquet")) as partial:
        frame.write_parquet(partial)
    write_json(
        path,
        {
            "schema": CELL_SCHEMA,
            "identity": dict(cell.identity),
            "digest": cell.digest,
            "seconds": cell.seconds,
            "notes": list(cell.notes),
            "rows": summarise_cell(cell, table),
        },
    )


def load_cell(run: Path, identity: Mapping[str, Any], table: ExampleTable) -> Cell | None:
    """A finished cell, or None. Raises `DataError` if its files are damaged or do not belong together."""
    path = cell_path(run, identity)
    if not path.is_file():
        return None
    content = read_json(path, "benchmark run")
    ranks_path = path.with_suffix(".ranks.parquet")
    try:
        frame = pl.read_parquet(ranks_path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{ranks_path}: cannot be read; delete {path}, it will be measured again") from error
    n_pools = len(identity["pools"])
    fits = isinstance(content, dict) and content.get("schema") == CELL_SCHEMA and frame.height == n_pools * len(table)
    if not fits or frame["example_id"].to_list()[: len(table)] != table.example_ids:
        raise DataError(f"{path}: not the cell that its name says; delete it, it will be measured again")
    shape = (n_pools, len(table))
    return Cell(
        str(identity["system"]),
        identity,
        frame["rank"].to_numpy().astype(np.int64).reshape(shape),
        frame["n_candidates"].to_numpy().astype(np.int64).reshape(shape),
        float(content["seconds"]),
        tuple(content["notes"]),
    )


def measure_path(run: Path, identity: Mapping[str, Any]) -> Path:
    """Where the rows of a measure lie; different for every identity."""
    readable = re.sub(
        r"[^A-Za-z0-9.-]+", "_", f"{identity['dataset']}-{identity['measure']}-{identity['profiles']['name']}"
    )
    return run / MEASURES_FOLDER / f"{readable[:80].strip('._')}-{digest_identity(identity)}.json"


def save_measure(run: Path, identity: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the rows of a measure."""
    write_json(measure_path(run, identity), {"schema": CELL_SCHEMA, "identity": dict(identity), "rows": list(rows)})


def load_measure(run: Path, identity: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of a finished measure, or None. Raises `DataError` if the file is damaged."""
    path = measure_path(run, identity)
    if not path.is_file():
        return None
    content = read_json(path, "benchmark run")
    if not isinstance(content, dict) or content.get("schema") != CELL_SCHEMA:
        raise DataError(f"{path}: not the measure that its name says; delete it, it will be taken again")
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def summarise_cell(cell: Cell, table: ExampleTable) -> list[dict[str, Any]]:
    """A row for each pool and metric: mean over users and 95% interval."""
    return [
        _row(cell, pool) | {"metric": found.name, "mean": found.mean, "low": found.low, "high": found.high,
                            "n_users": found.n_users}
        for pool in cell.identity["pools"]
        for found in summarise(cell.values(table, pool), seed=int(cell.identity["seed"]))
    ]  # fmt: skip


def summarise_groups(cell: Cell, table: ExampleTable) -> list[dict[str, Any]]:
    """Rows by the length of the history, for the largest pool; groups of fewer than 20 users are left out."""
    pool = cell.identity["pools"][-1]
    lengths = table.history_stop - table.history_start
    rows = []
    for group, first, last in LENGTH_GROUPS:
        inside = np.flatnonzero((lengths >= first) & ((lengths <= last) if last else True))
        if len(inside) < MIN_GROUP_USERS:
            continue
        ranks = cell.ranks[cell.identity["pools"].index(pool), inside]
        values = average_by_user(score_ranks(ranks), table.user_rows[inside])
        rows += [
            _row(cell, pool) | {"group": group, "metric": found.name, "mean": found.mean, "low": found.low,
                                "high": found.high, "n_users": found.n_users}
            for found in summarise(values, seed=int(cell.identity["seed"]))
            if found.name in GROUP_METRICS
        ]  # fmt: skip
    return rows


def _row(cell: Cell, pool: str) -> dict[str, Any]:
    keys: Sequence[str] = ("dataset", "protocol", "mask")
    return {"system": cell.system, **{key: cell.identity[key] for key in keys}, "pool": pool}
