"""Scored lists of another recommender: checked, ranked, and as scores of the whole catalogue, to be fused with ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from bluerec.data.candidates import find_seen
from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.evaluation.metrics import CUTOFFS
from bluerec.evaluation.rankers import Ranker
from bluerec.types import Float32Array, IntArray

SHORTEST_LIST = max(CUTOFFS)
# How two rankers are made comparable before they are added; see `rescale`.
Scale = Literal["scores", "ranks"]
SCALES: tuple[Scale, ...] = ("scores", "ranks")
RANK_OFFSET = 60  # of reciprocal ranks (Cormack, Clarke and Buettcher 2009)
ROW = "row"
# Rows or users that a message names.
N_NAMED = 5


@dataclass(frozen=True)
class ScoredLists:
    """The best items of each example: entries (n,) that lie together by example, with `offsets` (n_examples + 1,)."""

    example_ids: Sequence[str]
    offsets: IntArray
    item_rows: IntArray
    scores: np.ndarray

    def join(self, other: ScoredLists) -> ScoredLists:
        """These lists and those of other examples."""
        return ScoredLists(
            (*self.example_ids, *other.example_ids),
            np.append(self.offsets, self.offsets[-1] + other.offsets[1:]),
            np.concatenate([self.item_rows, other.item_rows]),
            np.concatenate([self.scores, other.scores]),
        )

    def covers(self, table: ExampleTable) -> np.ndarray:
        """Which examples (n_examples,) have a list."""
        known = set(self.example_ids)
        return np.array([example_id in known for example_id in table.example_ids], dtype=np.bool_)


def read_lists(path: str | Path, frame: pl.DataFrame, table: ExampleTable, *, mask_seen: bool) -> ScoredLists:
    """Check the rows `example_id`, `item_id`, `score` of examples of this table, all of which must have some.

    The column `row` names them in messages. Raises `DataError` for anything that does not fit.
    """
    if not frame["score"].dtype.is_numeric():
        raise DataError(f"{path}: score is {frame['score'].dtype}, not a number")
    frame = frame.with_columns(pl.col("item_id").cast(pl.String), pl.col("score").cast(pl.Float64))
    refuse(path, frame.filter(~pl.col("score").is_finite()), "scores that are not finite numbers", "score")
    refuse(path, frame.filter(pl.struct("example_id", "item_id").is_duplicated()), "an item twice", "item_id")
    places = _places(table.example_ids, "example_id", "example"), _places(table.dataset.item_ids, "item_id", "item")
    for known in places:
        frame = frame.join(known, on=known.columns[0], how="left", maintain_order="left")
    refuse(path, frame.filter(pl.col("item").is_null()), "items that the catalogue lacks", "item_id")
    n_items = table.dataset.n_items
    seen_rows, seen_items = find_seen(table) if mask_seen else (np.zeros(0, dtype=np.int64),) * 2
    is_seen = np.isin(
        frame["example"].to_numpy() * n_items + frame["item"].to_numpy(), seen_rows * n_items + seen_items
    )
    refuse(path, frame.filter(pl.Series(is_seen)), "items of the history, masked here (another set)", "item_id")
    full = n_items - np.bincount(seen_rows, minlength=len(table))
    lengths = np.bincount(frame["example"].to_numpy(), minlength=len(table))
    short = np.flatnonzero(lengths < np.minimum(SHORTEST_LIST, full))
    if len(short):
        example_id = table.example_ids[int(short[0])]
        raise DataError(f"{path}: {len(short)} lists are shorter than {SHORTEST_LIST} items, e.g. of {example_id}")
    frame = frame.sort("example", maintain_order=True)
    offsets = np.append(0, np.cumsum(lengths))
    return ScoredLists(table.example_ids, offsets, frame["item"].to_numpy(), frame["score"].to_numpy())


def rank_lists(lists: ScoredLists, table: ExampleTable, n_candidates: IntArray) -> IntArray:
    """The rank (n_examples,) of each target in the full catalogue; ties count against us, unlisted targets are last.

    Only equal scores tie: what is a small difference depends on the scale of the scores, which is the other program's.
    The lists must be those of this table, in its order.
    """
    examples = np.repeat(np.arange(len(table)), np.diff(lists.offsets))
    is_target = lists.item_rows == table.target_rows[examples]
    own, is_listed = np.zeros(len(table)), np.zeros(len(table), dtype=np.bool_)
    own[examples[is_target]], is_listed[examples[is_target]] = lists.scores[is_target], True
    n_above = np.bincount(examples[(lists.scores >= own[examples]) & ~is_target], minlength=len(table))
    return np.where(is_listed, 1 + n_above, n_candidates).astype(np.int64)


class ListRanker:
    """Lists as scores of the whole catalogue, rescaled within each list.

    An item outside a list gets the lowest value in it by `scores`, and 0, as if ranked endlessly low, by `ranks`.
    """

    def __init__(self, name: str, lists: ScoredLists, scale: Scale) -> None:
        self.name = name
        self._lists = lists
        self._scale = scale
        self._place_of = {example_id: place for place, example_id in enumerate(lists.example_ids)}

    def score(self, table: ExampleTable) -> Float32Array:
        dense = np.zeros((len(table), table.dataset.n_items), dtype=np.float32)
        for row, example_id in enumerate(table.example_ids):
            place = self._place_of[example_id]
            inside = slice(self._lists.offsets[place], self._lists.offsets[place + 1])
            values = rescale(self._lists.scores[inside], self._scale)
            if self._scale == "scores":
                dense[row] = values.min()
            dense[row, self._lists.item_rows[inside]] = values
        return dense


class RescaledRanker:
    """Another ranker, rescaled within the catalogue of each example."""

    def __init__(self, ranker: Ranker, scale: Scale) -> None:
        self.name = ranker.name
        self._ranker = ranker
        self._scale = scale

    def score(self, table: ExampleTable) -> Float32Array:
        return np.stack([rescale(scores, self._scale) for scores in self._ranker.score(table)])


class RememberedRanker:
    """A ranker whose scores of the latest examples are kept: many weights are tried on the same ones."""

    def __init__(self, ranker: Ranker) -> None:
        self.name = ranker.name
        self._ranker = ranker
        self._latest: tuple[ExampleTable, Float32Array] | None = None

    def score(self, table: ExampleTable) -> Float32Array:
        if self._latest is None or self._latest[0] is not table:
            self._latest = table, self._ranker.score(table)
        return self._latest[1]


def rescale(scores: np.ndarray, scale: Scale) -> Float32Array:
    """Scores (n,) of one example in a measure that different rankers share.

    `scores`: less their mean, over their standard deviation, 0 where all are the same. `ranks`: 1 / (60 + rank), where
    equal scores share the lowest rank of them, so that a tie counts against all.
    """
    if scale == "ranks":
        ranks = len(scores) - np.searchsorted(np.sort(scores), scores, side="left")
        return (1.0 / (RANK_OFFSET + ranks)).astype(np.float32)
    spread = float(np.std(scores, dtype=np.float64))
    return ((scores - np.mean(scores, dtype=np.float64)) / (spread or 1.0)).astype(np.float32)


def refuse(path: str | Path, faulty: pl.DataFrame, what: str, shown: str | None = None) -> None:
    """Raise `DataError` naming the first rows (counted from 0) if there are any."""
    if not faulty.height:
        return
    first = faulty.head(N_NAMED)
    rows = ", ".join(str(row) for row in first[ROW] if row is not None)
    values = f" ({', '.join(repr(value) for value in first[shown])})" if shown else ""
    where = f"row {rows}" if rows else "rows that are missing"
    raise DataError(f"{path}: {faulty.height} row(s) with {what}: {where}{values}")


def _places(names: Sequence[str], key: str, place: str) -> pl.DataFrame:
    return pl.DataFrame(
        {key: pl.Series(names, dtype=pl.String), place: pl.Series(np.arange(len(names)), dtype=pl.Int64)}
    )
