"""Every ranker equals a naive second implementation, written as loops over one user's history."""

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from small_worlds import make_dataset, make_examples

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.evaluation.rankers import CooccurrenceRanker, PopularityRanker, RandomRanker, Ranker, SumRanker
from bluerec.evaluation.vector_rankers import (
    ItemSpace,
    VectorRanker,
    history_queries,
    render_history_text,
    stored_queries,
    sum_queries,
    text_queries,
)
from bluerec.profiling.embedders import HashingEmbedder, embed_items, render_item_text

TABLE = make_examples()
EMBEDDER = HashingEmbedder(64)
VECTORS = embed_items(TABLE.dataset, EMBEDDER)
PLAIN, CENTRED = ItemSpace(VECTORS), ItemSpace.centred(VECTORS)


def countable_histories(table: ExampleTable) -> list[list[int]]:
    """The item rows of each user that counts may use, in order."""
    data = table.dataset
    bounds = zip(data.user_offsets[:-1], data.user_offsets[1:], strict=True)
    return [
        [int(data.item_rows[event]) for event in range(start, stop) if table.countable[event]] for start, stop in bounds
    ]


def naive_cooccurrence(table: ExampleTable, row: int) -> list[float]:
    counts: dict[tuple[int, int], float] = defaultdict(float)
    popularity: dict[int, int] = defaultdict(int)
    for items in countable_histories(table):
        for place, item in enumerate(items):
            popularity[item] += 1
            for other_place, other in enumerate(items):
                gap = abs(place - other_place)
                if 1 <= gap <= 3 and item != other:
                    counts[item, other] += 1 / gap
    latest = table.history_rows(row).tolist()[::-1][:10]
    return [
        sum(counts[seen, item] / place for place, seen in enumerate(latest, start=1)) / max(popularity[item], 1) ** 0.3
        for item in range(table.dataset.n_items)
    ]


def naive_history(vectors: np.ndarray, items: list[int], weighting: str) -> np.ndarray:
    weights = {
        "last": [0.0] * (len(items) - 1) + [1.0],
        "mean": [1.0] * len(items),
        "harmonic": [1.0 / (len(items) - place) for place in range(len(items))],
    }[weighting]
    total = sum(weight * vectors[item].astype(np.float64) for weight, item in zip(weights, items, strict=True))
    return total / sum(weights)


def test_cooccurrence_equals_the_naive_one() -> None:
    expected = [naive_cooccurrence(TABLE, row) for row in range(len(TABLE))]
    np.testing.assert_allclose(CooccurrenceRanker(TABLE).score(TABLE), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        CooccurrenceRanker(TABLE, damped=True).score(TABLE), np.log1p(expected), rtol=1e-5, atol=1e-6
    )


def test_golden_cooccurrence() -> None:
    """a and c are two places apart in one history: 1/2; c was taken twice before a target, so 2 ** .3 divides it."""
    table = split_examples(make_dataset({"u": "abcx", "v": "cx"}, "abcx"))
    scores = CooccurrenceRanker(table).score(table.take(np.array([1])))  # v knows c only
    assert scores[0].tolist() == pytest.approx([0.5, 1.0, 0.0, 0.0])
    scores = CooccurrenceRanker(table).score(table.take(np.array([0])))  # c latest, then b, then a
    assert scores[0, 2] == pytest.approx((1 / 2 + 0.5 / 3) / 2**0.3)


def test_popularity_counts_only_what_came_before_the_targets() -> None:
    table = split_examples(make_dataset({"u": "aab", "v": "ab", "w": "cb"}, "abc"))
    scores = PopularityRanker(table).score(table)
    assert scores.shape == (3, 3)
    assert scores[1].tolist() == pytest.approx([math.log(4), 0.0, math.log(2)])


@pytest.mark.parametrize("weighting", ["last", "mean", "harmonic"])
@pytest.mark.parametrize("space", [PLAIN, CENTRED], ids=["plain", "centred"])
def test_history_vectors_equal_the_naive_ones(weighting: str, space: ItemSpace) -> None:
    found = VectorRanker("h", space, history_queries(space, weighting)).score(TABLE)
    for row in range(len(TABLE)):
        query = naive_history(space.vectors, TABLE.history_rows(row).tolist(), weighting)
        np.testing.assert_allclose(found[row], space.vectors @ query, atol=1e-6)


def test_the_centred_space_has_lost_the_mean() -> None:
    by_hand = np.array([vector - VECTORS.mean(axis=0) for vector in VECTORS])
    by_hand /= np.linalg.norm(by_hand, axis=1, keepdims=True)
    np.testing.assert_allclose(CENTRED.vectors, by_hand, atol=1e-6)
    np.testing.assert_allclose(CENTRED.place(VECTORS), by_hand, atol=1e-6)
    assert PLAIN.place(VECTORS) is VECTORS
    same = ItemSpace.centred(np.ones((3, 4), dtype=np.float32))
    assert not same.vectors.any()  # nothing is left, and nothing is NaN


def test_history_text_is_the_latest_first() -> None:
    row = int(np.argmax(TABLE.history_stop - TABLE.history_start))
    items = TABLE.history_rows(row)
    texts = [render_item_text(TABLE.dataset.item(int(item))) for item in items[::-1][:3]]
    assert render_history_text(TABLE, row, 3) == "; ".join(texts)
    found = VectorRanker("t", PLAIN, text_queries(PLAIN, EMBEDDER, 3)).score(TABLE)
    np.testing.assert_allclose(found[row], VECTORS @ EMBEDDER.embed(["; ".join(texts)], "profile")[0], atol=1e-6)


def test_stored_vectors_are_found_by_example_and_fused() -> None:
    own = np.random.default_rng(0).standard_normal((len(TABLE), 64)).astype(np.float32)
    stored = stored_queries(TABLE.example_ids, own)
    some = TABLE.take(np.array([7, 2, 11]))
    np.testing.assert_array_equal(stored(some), own[[7, 2, 11]])
    history = history_queries(PLAIN, "mean")
    np.testing.assert_allclose(sum_queries(history, stored, 0.5)(some), history(some) + 0.5 * own[[7, 2, 11]])


def test_a_sum_is_a_sum() -> None:
    parts = [(0.5, PopularityRanker(TABLE)), (2.0, CooccurrenceRanker(TABLE))]
    expected = 0.5 * parts[0][1].score(TABLE) + 2.0 * parts[1][1].score(TABLE)
    np.testing.assert_allclose(SumRanker("both", parts).score(TABLE), expected, rtol=1e-6)


RANKERS: list[Ranker] = [
    RandomRanker(3),
    PopularityRanker(TABLE),
    CooccurrenceRanker(TABLE),
    SumRanker("sum", [(0.1, PopularityRanker(TABLE)), (1.0, CooccurrenceRanker(TABLE))]),
    VectorRanker("harmonic", CENTRED, history_queries(CENTRED, "harmonic")),
    VectorRanker("text", PLAIN, text_queries(PLAIN, EMBEDDER, 5)),
]


@pytest.mark.parametrize("ranker", RANKERS, ids=lambda ranker: ranker.name)
def test_the_scores_of_an_example_depend_on_that_example_alone(ranker: Ranker) -> None:
    together = ranker.score(TABLE)
    assert together.shape == (len(TABLE), TABLE.dataset.n_items)
    assert together.dtype == np.float32
    order = np.random.default_rng(1).permutation(len(TABLE))[:9]
    np.testing.assert_allclose(ranker.score(TABLE.take(order)), together[order], atol=1e-6)


def test_the_target_changes_no_score() -> None:
    """Neither the history nor the counts of any ranker can know what the targets are."""
    data = TABLE.dataset
    changed = data.item_rows.copy()
    changed[TABLE.target_event] = (changed[TABLE.target_event] + 1) % data.n_items
    other = replace(TABLE, dataset=replace(data, item_rows=changed))
    assert (other.target_rows != TABLE.target_rows).all()
    for ranker in RANKERS:
        np.testing.assert_array_equal(ranker.score(other), ranker.score(TABLE))
    for build in (PopularityRanker, CooccurrenceRanker):
        np.testing.assert_array_equal(build(other).score(other), build(TABLE).score(TABLE))


def test_a_planted_leak_is_seen() -> None:
    """With counts over all events, targets included, the scores do change with the targets."""
    changed = TABLE.dataset.item_rows.copy()
    changed[TABLE.target_event] = (changed[TABLE.target_event] + 1) % TABLE.dataset.n_items
    leaky = replace(TABLE, countable=np.ones_like(TABLE.countable))
    other = replace(leaky, dataset=replace(TABLE.dataset, item_rows=changed))
    for build in (PopularityRanker, CooccurrenceRanker):
        assert (build(other).score(other) != build(leaky).score(leaky)).any()
