"""The ground of an arena: its negatives, sampled once for all systems, and how a ranker becomes a cell on it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from bluerec.data.candidates import sample_negatives
from bluerec.evaluation.bench_cells import Arena, Cell
from bluerec.evaluation.protocol import count_candidates, find_largest_pool, rank_targets
from bluerec.evaluation.rankers import Ranker
from bluerec.types import IntArray


class Ground:
    """The negatives of an arena, sampled once for all its systems."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.mask_seen = arena.mask == "masked"
        self.negatives: IntArray = sample_negatives(
            arena.table, find_largest_pool(arena.pools), seed=arena.seed, mask_seen=self.mask_seen
        )

    def count_candidates(self) -> IntArray:
        """Candidates (n_pools, n_examples), the target included."""
        return count_candidates(self.arena.table, self.arena.pools, self.negatives, mask_seen=self.mask_seen)

    def measure(self, ranker: Ranker, identity: Mapping[str, Any], notes: Sequence[str]) -> Cell:
        """The cell of a ranker, in the pools that its identity names."""
        begin = time.perf_counter()
        ranking = rank_targets(
            self.arena.table,
            [ranker],
            identity["pools"],
            seed=self.arena.seed,
            mask_seen=self.mask_seen,
            negatives=self.negatives,
        )
        seconds = round(time.perf_counter() - begin, 3)
        return Cell(str(identity["system"]), identity, ranking.ranks[0], ranking.n_candidates, seconds, tuple(notes))
