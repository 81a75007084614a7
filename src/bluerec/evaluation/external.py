"""The door for any other recommender: it reads the examples of a benchmark, and hands back ranks or scored lists.

A run writes `examples/DATA.PROTOCOL.MASK.ID.parquet`: `example_id`, `user_id`, and item rows (places in
`items.parquet`) `history` (oldest first), `target` and `negatives`, of which the first 100 are the pool of 100, and so
on. ID is a digest of all that these depend on. A system hands back a Parquet file of either form:

- ranks: `example_id`, `pool`, `rank` (1 is best; ties count against it), `n_candidates`;
- lists: `example_id`, `item_id`, `score`: its best items, at least 20 a user, for the full catalogue. Only equal scores
  tie. A target that is not in its list counts as ranked last. Lists of the validation users (`examples/validation`)
  may be among them.

Whatever does not fit is refused with the rows that are wrong: a number from other users or candidates compares nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bluerec.data.candidates import FULL_POOL, NO_ITEM
from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.evaluation.external_lists import N_NAMED, ROW, ScoredLists, rank_lists, read_lists, refuse
from bluerec.runs import atomic_path
from bluerec.types import IntArray

RANK_COLUMNS = ("example_id", "pool", "rank", "n_candidates")
LIST_COLUMNS = ("example_id", "item_id", "score")


@dataclass(frozen=True)
class ExternalRanks:
    """Checked ranks (n_pools, n_examples) of another system, in the order of the benchmark's examples.

    `lists` are those that they come from, with those of validation users where there are any.
    """

    pools: tuple[str, ...]
    ranks: IntArray
    notes: tuple[str, ...]
    lists: ScoredLists | None = None


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
    validation: ExampleTable | None = None,
) -> ExternalRanks:
    """Read and check the ranks or lists of another system.

    `table` are the examples measured, `split_table` all examples of their split: rows of others among these are left
    out and counted. `n_candidates` is (n_pools, n_examples). Lists of `validation` examples, none of which may be
    measured, are kept. Raises `DataError` naming rows for anything that does not fit.
    """
    frame = _read_frame(path)
    is_lists = "item_id" in frame.columns
    if is_lists and FULL_POOL not in pools:
        raise DataError(f"{path}: lists are ranked in the full catalogue, which is none of the pools measured here")
    others = validation if is_lists and validation is not None else split_table.take(np.zeros(0, dtype=np.int64))
    known = pl.col("example_id").is_in(pl.Series([*split_table.example_ids, *others.example_ids]).implode())
    refuse(path, frame.filter(~known), "users or cutoffs that are not in this split", "example_id")
    own = _of_examples(frame, table)
    present = set(own["example_id"])
    missing = [example_id for example_id in table.example_ids if example_id not in present]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(table)} users are missing, e.g. {', '.join(missing[:N_NAMED])}; "
            "rank every user of the examples file"
        )
    n_more = _of_examples(frame, split_table.without(others))["example_id"].n_unique() - len(table)
    notes = (f"{n_more:,} more users of the split are in the file and left out.",) if n_more else ()
    if not is_lists:
        return ExternalRanks(*_read_ranks(path, own, table, pools, n_candidates), notes)
    lists = read_lists(path, own, table, mask_seen=mask_seen)
    ranks = rank_lists(lists, table, n_candidates[pools.index(FULL_POOL)])[None, :]
    rest = _of_examples(frame, others)
    if rest.height:
        listed = set(rest["example_id"])
        covered = np.array([example_id in listed for example_id in others.example_ids])
        lists = lists.join(read_lists(path, rest, others.take(covered), mask_seen=mask_seen))
    return ExternalRanks((FULL_POOL,), ranks, notes, lists)


def _read_frame(path: str | Path) -> pl.DataFrame:
    """The columns of ranks or lists, without gaps, and the number of each row."""
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: is not there; give a Parquet file of ranks or lists, see docs/benchmark.md"
        ) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file; give ranks or lists, see docs/benchmark.md") from error
    columns = next((form for form in (RANK_COLUMNS, LIST_COLUMNS) if set(form) <= set(frame.columns)), None)
    if columns is None:
        raise DataError(
            f"{path}: has the columns {', '.join(frame.columns)}; ranks need {', '.join(RANK_COLUMNS)}, "
            f"lists {', '.join(LIST_COLUMNS)}"
        )
    frame = frame.select(columns).with_row_index(ROW)
    for column in columns:
        refuse(path, frame.filter(pl.col(column).is_null()), f"no {column}")
    return frame.with_columns(pl.col("example_id").cast(pl.String))


def _of_examples(frame: pl.DataFrame, table: ExampleTable) -> pl.DataFrame:
    return frame.filter(pl.col("example_id").is_in(pl.Series(table.example_ids, dtype=pl.String).implode()))


def _read_ranks(
    path: str | Path,
    frame: pl.DataFrame,
    table: ExampleTable,
    pools: tuple[str, ...],
    n_candidates: IntArray,
) -> tuple[tuple[str, ...], IntArray]:
    for column in ("rank", "n_candidates"):
        if frame[column].dtype.is_float():
            refuse(path, frame.filter(pl.col(column).is_nan()), f"a {column} that is not a number", "example_id")
        if not frame[column].dtype.is_integer():
            raise DataError(f"{path}: {column} is {frame[column].dtype}, not a whole number")
    frame = frame.with_columns(pl.col("pool").cast(pl.String), pl.col("rank", "n_candidates").cast(pl.Int64))
    frame = frame.filter(pl.col("pool").is_in(list(pools)))
    found = tuple(pool for pool in pools if (frame["pool"] == pool).any())
    if not found:
        raise DataError(f"{path}: none of the pools {', '.join(pools)}; another candidate set")
    refuse(
        path, frame.filter(pl.struct("example_id", "pool").is_duplicated()), "a user twice in one pool", "example_id"
    )
    own = pl.DataFrame(
        {
            "example_id": table.example_ids * len(pools),
            "pool": np.repeat(pools, len(table)).tolist(),
            "ours": n_candidates.ravel(),
        }
    ).filter(pl.col("pool").is_in(list(found)))
    joined = own.join(frame, on=["example_id", "pool"], how="left", maintain_order="left")
    refuse(path, joined.filter(pl.col("rank").is_null()), "no rank in a pool that others have", "example_id")
    differing = joined.filter(pl.col("ours") != pl.col("n_candidates"))
    ours = ", ".join(map(str, differing["ours"].head(N_NAMED)))
    refuse(path, differing, f"another number of candidates than ours, {ours} (another candidate set)", "n_candidates")
    outside = joined.filter((pl.col("rank") < 1) | (pl.col("rank") > pl.col("n_candidates")))
    refuse(path, outside, "ranks outside 1 to n_candidates", "rank")
    return found, joined["rank"].to_numpy().reshape(len(found), len(table))
