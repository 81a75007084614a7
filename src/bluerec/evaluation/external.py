"""The door for any other recommender: it reads the examples of a benchmark, and hands back ranks or scored lists.

A run writes `examples/DATA.PROTOCOL.MASK.parquet`: `example_id`, `user_id`, and item rows (places in `items.parquet`)
`history` (oldest first), `target` and `negatives`, of which the first 100 are the pool of 100, and so on. A system
hands back a Parquet file of either form:

- ranks: `example_id`, `pool`, `rank` (1 is best; ties count against it), `n_candidates`;
- lists: `example_id`, `item_id`, `score`: its best items, at least 20 a user, for the full catalogue. A target that is
  not in its list counts as ranked last.

Whatever does not fit is refused with the rows that are wrong: a number from other users or candidates compares nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bluerec.data.candidates import FULL_POOL, NO_ITEM, find_seen
from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.evaluation.metrics import CUTOFFS
from bluerec.evaluation.protocol import TIE_TOLERANCE
from bluerec.runs import atomic_path
from bluerec.types import IntArray

RANK_COLUMNS = ("example_id", "pool", "rank", "n_candidates")
LIST_COLUMNS = ("example_id", "item_id", "score")
SHORTEST_LIST = max(CUTOFFS)
_ROW = "row"
_N_NAMED = 5


@dataclass(frozen=True)
class ExternalRanks:
    """Checked ranks (n_pools, n_examples) of another system, in the order of the benchmark's examples."""

    pools: tuple[str, ...]
    ranks: IntArray
    notes: tuple[str, ...]


def save_examples(table: ExampleTable, negatives: IntArray, path: Path) -> None:
    """Write what another system needs to know of the users that are measured; see the top of this file."""
    history = [table.history_rows(row).astype(np.int32).tolist() for row in range(len(table))]
    offered = [row[row != NO_ITEM].astype(np.int32).tolist() for row in negatives]
    frame = pl.DataFrame(
        {
            "example_id": table.example_ids,
            "user_id": table.user_ids,
            "history": pl.Series(history, dtype=pl.List(pl.Int32)),
            "target": table.target_rows.astype(np.int32),
            "negatives": pl.Series(offered, dtype=pl.List(pl.Int32)),
        }
    )
    with atomic_path(path) as partial:
        frame.write_parquet(partial)


def digest_file(path: str | Path) -> str:
    """Hash of a file's content. Raises `DataError` if it cannot be read."""
    digest = hashlib.blake2b(digest_size=8)
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give a Parquet file of ranks or lists") from error
    return digest.hexdigest()


def load_external(
    path: str | Path,
    table: ExampleTable,
    split_table: ExampleTable,
    pools: tuple[str, ...],
    n_candidates: IntArray,
    *,
    mask_seen: bool,
) -> ExternalRanks:
    """Read and check the ranks or lists of another system.

    `table` are the examples measured, `split_table` all examples of their split: rows of others among these are left
    out and counted. `n_candidates` is (n_pools, n_examples). Raises `DataError` naming rows for anything that does not
    fit.
    """
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file; give ranks or lists, see docs/benchmark.md") from error
    columns = next((form for form in (RANK_COLUMNS, LIST_COLUMNS) if set(form) <= set(frame.columns)), None)
    if columns is None:
        raise DataError(
            f"{path}: has the columns {', '.join(frame.columns)}; ranks need {', '.join(RANK_COLUMNS)}, "
            f"lists {', '.join(LIST_COLUMNS)}"
        )
    frame = frame.select(columns).with_row_index(_ROW)
    for column in columns:
        _refuse(path, frame.filter(pl.col(column).is_null()), f"no {column}")
    frame = frame.with_columns(pl.col("example_id").cast(pl.String))
    known = pl.Series(split_table.example_ids, dtype=pl.String)
    foreign = frame.filter(~pl.col("example_id").is_in(known.implode()))
    _refuse(path, foreign, "users or cutoffs that are not in this split", "example_id")
    n_all = frame["example_id"].n_unique()
    frame = frame.filter(pl.col("example_id").is_in(pl.Series(table.example_ids, dtype=pl.String).implode()))
    present = set(frame["example_id"])
    missing = [example_id for example_id in table.example_ids if example_id not in present]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(table)} users are missing, e.g. {', '.join(missing[:_N_NAMED])}; "
            "rank every user of the examples file"
        )
    notes = (f"{n_all - len(table):,} more users of the split are in the file and left out.",)
    read = _read_ranks if columns == RANK_COLUMNS else _read_lists
    found_pools, ranks = read(path, frame, table, pools, n_candidates, mask_seen)
    return ExternalRanks(found_pools, ranks, notes if n_all > len(table) else ())


def _read_ranks(
    path: str | Path,
    frame: pl.DataFrame,
    table: ExampleTable,
    pools: tuple[str, ...],
    n_candidates: IntArray,
    mask_seen: bool,
) -> tuple[tuple[str, ...], IntArray]:
    for column in ("rank", "n_candidates"):
        if not frame[column].dtype.is_integer():
            raise DataError(f"{path}: {column} is {frame[column].dtype}, not a whole number")
    frame = frame.with_columns(pl.col("pool").cast(pl.String), pl.col("rank", "n_candidates").cast(pl.Int64))
    frame = frame.filter(pl.col("pool").is_in(list(pools)))
    found = tuple(pool for pool in pools if (frame["pool"] == pool).any())
    if not found:
        raise DataError(f"{path}: none of the pools {', '.join(pools)}; another candidate set")
    _refuse(path, frame.filter(pl.struct("example_id", "pool").is_duplicated()), "a user twice in one pool", "pool")
    own = pl.DataFrame(
        {
            "example_id": table.example_ids * len(pools),
            "pool": np.repeat(pools, len(table)).tolist(),
            "ours": n_candidates.ravel(),
        }
    ).filter(pl.col("pool").is_in(list(found)))
    joined = own.join(frame, on=["example_id", "pool"], how="left", maintain_order="left")
    _refuse(path, joined.filter(pl.col("rank").is_null()), "no rank in a pool that others have", "example_id")
    differing = joined.filter(pl.col("ours") != pl.col("n_candidates"))
    _refuse(path, differing, "another number of candidates than ours (another candidate set)", "n_candidates")
    outside = joined.filter((pl.col("rank") < 1) | (pl.col("rank") > pl.col("n_candidates")))
    _refuse(path, outside, "ranks outside 1 to n_candidates", "rank")
    return found, joined["rank"].to_numpy().reshape(len(found), len(table))


def _read_lists(
    path: str | Path,
    frame: pl.DataFrame,
    table: ExampleTable,
    pools: tuple[str, ...],
    n_candidates: IntArray,
    mask_seen: bool,
) -> tuple[tuple[str, ...], IntArray]:
    if FULL_POOL not in pools:
        raise DataError(f"{path}: lists are ranked in the full catalogue, which is none of the pools measured here")
    if not frame["score"].dtype.is_numeric():
        raise DataError(f"{path}: score is {frame['score'].dtype}, not a number")
    frame = frame.with_columns(pl.col("item_id").cast(pl.String), pl.col("score").cast(pl.Float64))
    _refuse(path, frame.filter(~pl.col("score").is_finite()), "scores that are not finite numbers", "score")
    _refuse(path, frame.filter(pl.struct("example_id", "item_id").is_duplicated()), "an item twice", "item_id")
    item_rows = {item_id: row for row, item_id in enumerate(table.dataset.item_ids)}
    rows = np.array([item_rows.get(item_id, NO_ITEM) for item_id in frame["item_id"]], dtype=np.int64)
    _refuse(path, frame.filter(pl.Series(rows == NO_ITEM)), "items that the catalogue lacks", "item_id")
    example_rows = {example_id: row for row, example_id in enumerate(table.example_ids)}
    examples = np.array([example_rows[example_id] for example_id in frame["example_id"]], dtype=np.int64)
    n_items = table.dataset.n_items
    if mask_seen:
        seen_rows, seen_items = find_seen(table)
        is_seen = np.isin(examples * n_items + rows, seen_rows * n_items + seen_items)
        _refuse(path, frame.filter(pl.Series(is_seen)), "items of the history, masked here (another set)", "item_id")
    full = n_candidates[pools.index(FULL_POOL)]
    lengths = np.bincount(examples, minlength=len(table))
    short = np.flatnonzero(lengths < np.minimum(SHORTEST_LIST, full))
    if len(short):
        example_id = table.example_ids[int(short[0])]
        raise DataError(f"{path}: {len(short)} lists are shorter than {SHORTEST_LIST} items, e.g. of {example_id}")
    scores = frame["score"].to_numpy()
    is_target = rows == table.target_rows[examples]
    own, is_listed = np.zeros(len(table)), np.zeros(len(table), dtype=np.bool_)
    own[examples[is_target]], is_listed[examples[is_target]] = scores[is_target], True
    lowest_tie = own - TIE_TOLERANCE * np.maximum(1.0, np.abs(own))
    n_above = np.bincount(examples[(scores >= lowest_tie[examples]) & ~is_target], minlength=len(table))
    return (FULL_POOL,), np.where(is_listed, 1 + n_above, full)[None, :].astype(np.int64)


def _refuse(path: str | Path, faulty: pl.DataFrame, what: str, shown: str | None = None) -> None:
    """Raise `DataError` naming the first rows (counted from 0) if there are any."""
    if not faulty.height:
        return
    first = faulty.head(_N_NAMED)
    rows = ", ".join(str(row) for row in first[_ROW] if row is not None)
    values = f" ({', '.join(repr(value) for value in first[shown])})" if shown else ""
    where = f"row {rows}" if rows else "rows that are missing"
    raise DataError(f"{path}: {faulty.height} row(s) with {what}: {where}{values}")
