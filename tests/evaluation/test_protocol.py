"""Ranks equal a naive loop over candidates; ties, masks, chunks and faults behave as promised."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import make_dataset, make_examples

from bluerec.data.candidates import FULL_POOL, build_candidates
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.errors import DataError
from bluerec.evaluation.metrics import METRIC_NAMES
from bluerec.evaluation.protocol import rank_targets
from bluerec.evaluation.vector_rankers import ItemSpace, VectorRanker, history_queries
from bluerec.profiling.embedders import HashingEmbedder, embed_items
from bluerec.types import Float32Array

TABLE = make_examples()
POOLS = ("3", "12", "29", FULL_POOL)


class FixedRanker:
    """Scores given beforehand, by example id."""

    def __init__(self, scores: Float32Array, table: ExampleTable = TABLE, name: str = "fixed") -> None:
        self.name = name
        self._row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}
        self._scores = scores

    def score(self, table: ExampleTable) -> Float32Array:
        return self._scores[[self._row_of[example_id] for example_id in table.example_ids]]


def coarse_scores(seed: int, n_values: int = 4) -> Float32Array:
    """Scores with many ties."""
    size = (len(TABLE), TABLE.dataset.n_items)
    return np.random.default_rng(seed).integers(n_values, size=size).astype(np.float32)


def naive_rank(scores: Float32Array, pool: str, seed: int, mask_seen: bool) -> list[int]:
    """Sort the candidates by score, the target after all that score alike; its place is its rank."""
    ranks = []
    for row, candidates in enumerate(build_candidates(TABLE, pool, seed=seed, mask_seen=mask_seen)):
        of = TABLE.dataset.item_row_of
        ordered = sorted(candidates.item_ids, key=lambda item: (-scores[row, of[item]], item == candidates.relevant))
        ranks.append(ordered.index(candidates.relevant) + 1)
    return ranks


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), mask_seen=st.booleans(), n_values=st.sampled_from([1, 4, 1000]))
def test_ranks_equal_the_naive_ones(seed: int, mask_seen: bool, n_values: int) -> None:
    scores = coarse_scores(seed, n_values)
    ranking = rank_targets(TABLE, [FixedRanker(scores)], POOLS, seed=seed, mask_seen=mask_seen, chunk_size=7)
    for place, pool in enumerate(POOLS):
        assert ranking.ranks[0, place].tolist() == naive_rank(scores, pool, seed, mask_seen)
        sizes = [len(found.item_ids) for found in build_candidates(TABLE, pool, seed=seed, mask_seen=mask_seen)]
        assert ranking.n_candidates[place].tolist() == sizes


@pytest.mark.parametrize("value", [0.0, -1e9, 1e9])
def test_a_constant_scorer_ranks_last(value: float) -> None:
    scores = np.full((len(TABLE), TABLE.dataset.n_items), value, dtype=np.float32)
    ranking = rank_targets(TABLE, [FixedRanker(scores)], POOLS)
    np.testing.assert_array_equal(ranking.ranks[0], ranking.n_candidates)


def test_an_oracle_ranks_first_and_its_opposite_last() -> None:
    scores = np.zeros((len(TABLE), TABLE.dataset.n_items), dtype=np.float32)
    scores[np.arange(len(TABLE)), TABLE.target_rows] = 1.0
    ranking = rank_targets(TABLE, [FixedRanker(scores, name="oracle"), FixedRanker(-scores, name="worst")], POOLS)
    assert (ranking.ranks[0] == 1).all()
    np.testing.assert_array_equal(ranking.ranks[1], ranking.n_candidates)
    assert ranking.values("oracle", FULL_POOL).tolist() == [[1.0] * len(METRIC_NAMES)] * len(TABLE)


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunks_do_not_matter(chunk_size: int) -> None:
    ranker = FixedRanker(coarse_scores(5))
    whole = rank_targets(TABLE, [ranker], POOLS)
    chunked = rank_targets(TABLE, [ranker], POOLS, chunk_size=chunk_size)
    np.testing.assert_array_equal(chunked.ranks, whole.ranks)
    np.testing.assert_array_equal(chunked.n_candidates, whole.n_candidates)


def test_permuting_the_catalogue_changes_no_rank() -> None:
    """Nor do items with equal texts, whose scores differ in the last bits by where they stand."""
    item_ids = [f"i{item}" for item in range(30)]
    taken = {f"u{user}": [item_ids[(user * step) % 30] for step in (1, 2, 4, 7)] for user in range(1, 30)}
    ranks = []
    for order in (item_ids, item_ids[::-1], item_ids[11:] + item_ids[:11]):
        data = make_dataset(taken, order)
        twins = [f"racing kart {int(item[1:]) // 3}" for item in order]  # three items to a title
        data = replace(data, items=data.items.with_columns(title=pl.Series(twins)))
        space = ItemSpace.centred(embed_items(data, HashingEmbedder(48)))
        ranker = VectorRanker("harmonic", space, history_queries(space, "harmonic"))
        ranks.append(rank_targets(split_examples(data), [ranker], (FULL_POOL,)).ranks)
    np.testing.assert_array_equal(ranks[1], ranks[0])
    np.testing.assert_array_equal(ranks[2], ranks[0])


def test_scores_that_float32_cannot_tell_apart_are_ties() -> None:
    scores = np.full((len(TABLE), TABLE.dataset.n_items), 0.5, dtype=np.float32)
    scores[np.arange(len(TABLE)), TABLE.target_rows] = np.nextafter(np.float32(0.5), np.float32(1))
    ranking = rank_targets(TABLE, [FixedRanker(scores)], (FULL_POOL,))
    np.testing.assert_array_equal(ranking.ranks[0], ranking.n_candidates)


def test_seen_items_compete_only_when_unmasked() -> None:
    scores = np.zeros((len(TABLE), TABLE.dataset.n_items), dtype=np.float32)
    for row in range(len(TABLE)):
        scores[row, TABLE.history_rows(row)] = 2.0
    scores[np.arange(len(TABLE)), TABLE.target_rows] = 1.0
    masked = rank_targets(TABLE, [FixedRanker(scores)], (FULL_POOL,)).ranks[0, 0]
    unmasked = rank_targets(TABLE, [FixedRanker(scores)], (FULL_POOL,), mask_seen=False).ranks[0, 0]
    assert (masked == 1).all()
    n_seen = [len(set(TABLE.history_rows(row)) - {TABLE.target_rows[row]}) for row in range(len(TABLE))]
    assert (unmasked - 1).tolist() == n_seen


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_stops_the_run(fault: float) -> None:
    scores = coarse_scores(1)
    scores[12, 3] = fault
    with pytest.raises(DataError, match=f"'broken'.*'{TABLE.example_ids[12]}'.*not finite"):
        rank_targets(TABLE, [FixedRanker(scores, name="broken")], POOLS, chunk_size=5)


def test_too_few_scores_stop_the_run() -> None:
    with pytest.raises(DataError, match="shape"):
        rank_targets(TABLE, [FixedRanker(coarse_scores(1)[:, :-1])], POOLS)


def test_every_rank_is_written_down_once() -> None:
    rankers = [FixedRanker(coarse_scores(seed), name=f"r{seed}") for seed in (1, 2)]
    ranking = rank_targets(TABLE, rankers, POOLS, chunk_size=7)
    frame = ranking.to_frame()
    assert frame.height == len(rankers) * len(POOLS) * len(TABLE)
    for place, pool in enumerate(POOLS):
        part = frame.filter(pl.col("ranker") == "r2", pl.col("pool") == pool)
        assert part["example_id"].to_list() == TABLE.example_ids
        assert part["rank"].to_list() == ranking.ranks[1, place].tolist()
        assert part["n_candidates"].to_list() == ranking.n_candidates[place].tolist()


def test_progress_ends_at_the_end() -> None:
    told: list[tuple[int, int]] = []
    rank_targets(TABLE, [FixedRanker(coarse_scores(1))], POOLS, chunk_size=16, progress=lambda *done: told.append(done))
    assert told == [(16, 40), (32, 40), (40, 40)]
