"""How targets are ranked: in chunks, by counting the scores above the target's; ties count against us.

No list of items is ever sorted: the rank of the target in a pool is one more than the number of other candidates whose
score reaches its own. Every ranker sees the same chunk, the same pools and the same mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bluerec.data.candidates import FULL_POOL, NO_ITEM, find_seen, sample_negatives
from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.evaluation.metrics import Difference, Float64Array, average_by_user, compare, score_ranks, summarise
from bluerec.evaluation.rankers import Ranker
from bluerec.types import Float32Array, IntArray, Metric

CHUNK_SIZE = 256
# Equal vectors get scores that differ in the last bits, by where an item stands in the catalogue. Scores this near
# to each other, relative to the larger of 1 and the score, are ties.
TIE_TOLERANCE = 1e-6

Progress = Callable[[int, int], None]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Ranking:
    """The rank of every target by every ranker in every pool; 1 is best."""

    table: ExampleTable
    rankers: tuple[str, ...]
    pools: tuple[str, ...]
    ranks: IntArray  # (n_rankers, n_pools, n_examples)
    n_candidates: IntArray  # (n_pools, n_examples), the target included

    def values(self, ranker: str, pool: str) -> Float64Array:
        """Metrics (n_users, n_metrics): first per user, means over the examples of each."""
        ranks = self.ranks[self.rankers.index(ranker), self.pools.index(pool)]
        return average_by_user(score_ranks(ranks), self.table.user_rows)

    def summarise(self, ranker: str, pool: str, *, seed: int = 0) -> list[Metric]:
        """Means over users with their intervals."""
        return summarise(self.values(ranker, pool), seed=seed)

    def compare(self, ranker: str, other: str, pool: str, *, seed: int = 0) -> list[Difference]:
        """`ranker` minus `other` on the same users."""
        return compare(self.values(ranker, pool), self.values(other, pool), seed=seed)

    def to_frame(self) -> pl.DataFrame:
        """One row for each ranker, pool and example."""
        n_repeats = len(self.rankers) * len(self.pools)
        return pl.DataFrame(
            {
                "example_id": self.table.example_ids * n_repeats,
                "user_id": self.table.user_ids * n_repeats,
                "ranker": np.repeat(self.rankers, len(self.pools) * len(self.table)).tolist(),
                "pool": np.tile(np.repeat(self.pools, len(self.table)), len(self.rankers)).tolist(),
                "rank": self.ranks.ravel().astype(np.int32),
                "n_candidates": np.tile(self.n_candidates.ravel(), len(self.rankers)).astype(np.int32),
            }
        )


def rank_targets(
    table: ExampleTable,
    rankers: Sequence[Ranker],
    pools: Sequence[str],
    *,
    seed: int = 0,
    mask_seen: bool = True,
    chunk_size: int = CHUNK_SIZE,
    progress: Progress | None = None,
    negatives: IntArray | None = None,
) -> Ranking:
    """Rank the target of every example. `progress` is told the examples done and in all.

    `negatives` (n_examples, n_largest_pool) may be given where they were sampled before, with the same seed and mask.
    Raises `DataError` if a ranker gives a score that is not a finite number, or too few of them.
    """
    ranks = np.zeros((len(rankers), len(pools), len(table)), dtype=np.int64)
    n_candidates = np.zeros((len(pools), len(table)), dtype=np.int64)
    for start in range(0, len(table), chunk_size):
        rows = np.arange(start, min(start + chunk_size, len(table)))
        chosen = table.take(rows)
        sampled = None if negatives is None else negatives[rows]
        if sampled is None:
            sampled = sample_negatives(chosen, find_largest_pool(pools), seed=seed, mask_seen=mask_seen)
        chunk = _Chunk(chosen, pools, sampled, mask_seen)
        n_candidates[:, rows] = count_candidates(chosen, pools, sampled, mask_seen=mask_seen)
        for place, ranker in enumerate(rankers):
            ranks[place, :, rows] = chunk.rank(ranker).T
        if progress:
            progress(int(rows[-1]) + 1, len(table))
    return Ranking(table, tuple(ranker.name for ranker in rankers), tuple(pools), ranks, n_candidates)


def find_largest_pool(pools: Sequence[str]) -> int:
    """Negatives of the largest sampled pool, 0 if there is none."""
    return max((int(pool) for pool in pools if pool != FULL_POOL), default=0)


def count_candidates(table: ExampleTable, pools: Sequence[str], negatives: IntArray, *, mask_seen: bool) -> IntArray:
    """Candidates (n_pools, n_examples) of each example, the target included; `negatives` as in `rank_targets`."""
    n_masked = np.bincount(find_seen(table)[0], minlength=len(table)) if mask_seen else 0
    full = np.full(len(table), table.dataset.n_items) - n_masked
    return np.stack(
        [full if pool == FULL_POOL else 1 + (negatives[:, : int(pool)] != NO_ITEM).sum(axis=1) for pool in pools]
    )


def leave_out_whole_pools(
    table: ExampleTable, pools: Sequence[str], *, mask_seen: bool
) -> tuple[tuple[str, ...], list[str]]:
    """The pools to rank in, and a note on those that are left out.

    A sampled pool that holds every candidate of every example is the full catalogue by another name: its numbers would
    stand there twice. The full catalogue is taken for it, also where it was not asked for.
    """
    nothing = np.zeros((len(table), 0), dtype=np.int64)
    most = int(count_candidates(table, (FULL_POOL,), nothing, mask_seen=mask_seen).max(initial=1)) - 1  # negatives
    whole = [pool for pool in pools if pool != FULL_POOL and int(pool) >= most]
    if not whole:
        return tuple(pools), []
    kept = (*(pool for pool in pools if pool != FULL_POOL and pool not in whole), FULL_POOL)
    reached = f"Pool {whole[0]} reaches" if len(whole) == 1 else f"Pools {', '.join(whole)} reach"
    return kept, [
        f"{reached} the whole catalogue ({table.dataset.n_items:,} items) and would repeat its numbers: see the full "
        "catalogue."
    ]


def digest_examples(table: ExampleTable) -> str:
    """Which examples, in their order; 16 hexadecimal digits."""
    return hashlib.blake2b("\x1f".join(table.example_ids).encode(), digest_size=8).hexdigest()


class _Chunk:
    """Some examples with their pools and their mask, against which every ranker is measured."""

    def __init__(self, table: ExampleTable, pools: Sequence[str], negatives: IntArray, mask_seen: bool) -> None:
        self._table = table
        self._pools = pools
        self._targets = table.target_rows
        self._rows = np.arange(len(table))
        no_places = np.zeros(0, dtype=np.int64)
        self._masked = find_seen(table) if mask_seen else (no_places, no_places)
        self._negatives = negatives

    def rank(self, ranker: Ranker) -> IntArray:
        """Ranks (n_pools, n_examples)."""
        scores = ranker.score(self._table)
        self._check(scores, ranker.name)
        own = scores[self._rows, self._targets]
        lowest_tie = own - TIE_TOLERANCE * np.maximum(1.0, np.abs(own))
        is_above = scores >= lowest_tie[:, None]  # (n_examples, n_items)
        is_above[self._rows, self._targets] = False
        is_above[self._masked] = False
        return 1 + np.stack([self._count(is_above, pool) for pool in self._pools])

    def _count(self, is_above: Mask, pool: str) -> IntArray:
        if pool == FULL_POOL:
            return np.count_nonzero(is_above, axis=1)
        negatives = self._negatives[:, : int(pool)]
        return (np.take_along_axis(is_above, negatives, axis=1) & (negatives != NO_ITEM)).sum(axis=1)

    def _check(self, scores: Float32Array, name: str) -> None:
        expected = (len(self._table), self._table.dataset.n_items)
        if scores.shape != expected:
            raise DataError(f"ranker {name!r} gave scores of shape {scores.shape}, expected {expected}")
        # The extremes tell of any NaN or infinity without a second matrix of flags.
        if not (np.isfinite(scores.min()) and np.isfinite(scores.max())):
            row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
            raise DataError(
                f"ranker {name!r}: example {self._table.example_ids[row]!r} has scores that are not finite numbers; "
                "a comparison with them would pass in silence"
            )
