"""Metrics equal their formulas and a naive second implementation; intervals cover what they should."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.errors import DataError
from bluerec.evaluation import metrics
from bluerec.evaluation.metrics import (
    METRIC_NAMES,
    N_RESAMPLES,
    average_by_user,
    compare,
    resample_means,
    score_ranks,
    summarise,
)

RANKS = np.random.default_rng(7).geometric(0.05, size=600)


def naive_metric(name: str, rank: int, n_candidates: int = 1000) -> float:
    """From the list of gains, as the metrics are defined for any number of relevant items."""
    kind, cutoff = name.split("@")
    gains = [1.0 if place == rank else 0.0 for place in range(1, n_candidates + 1)][: int(cutoff)]
    if kind == "recall":
        return sum(gains)
    if kind == "mrr":
        return next((1.0 / place for place, gain in enumerate(gains, start=1) if gain), 0.0)
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))


def test_golden_numbers() -> None:
    values = score_ranks(np.array([1, 3, 10, 11]))
    of = {name: values[:, column].tolist() for column, name in enumerate(METRIC_NAMES)}
    assert of["ndcg@10"] == [1.0, 1 / math.log2(4), 1 / math.log2(11), 0.0]
    assert of["mrr@10"] == [1.0, 1 / 3, 1 / 10, 0.0]
    assert of["recall@5"] == [1.0, 1.0, 0.0, 0.0]
    assert of["recall@20"] == [1.0] * 4


@settings(deadline=None, max_examples=50)
@given(rank=st.integers(1, 1000))
def test_metrics_equal_the_naive_ones(rank: int) -> None:
    expected = [naive_metric(name, rank) for name in METRIC_NAMES]
    np.testing.assert_allclose(score_ranks(np.array([rank]))[0], expected, rtol=1e-12)


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(DataError, match="below 1"):
        score_ranks(np.array([3, 0]))


def test_users_count_alike_however_many_examples_they_have() -> None:
    values = score_ranks(np.array([1, 1, 50, 50]))
    by_user = average_by_user(values, np.array([4, 2, 2, 9]))
    assert by_user[:, 0].tolist() == [0.5, 1.0, 0.0]  # users 2, 4, 9


def test_the_interval_agrees_with_a_naive_bootstrap_and_with_theory() -> None:
    values = score_ranks(RANKS)
    column = METRIC_NAMES.index("recall@10")
    metric = summarise(values)[column]
    share, n_users = metric.mean, len(RANKS)
    error = math.sqrt(share * (1 - share) / n_users)
    assert metric.n_users == n_users
    assert metric.low == pytest.approx(share - 1.96 * error, abs=0.3 * error)
    assert metric.high == pytest.approx(share + 1.96 * error, abs=0.3 * error)
    generator = np.random.default_rng(1)
    naive = [values[generator.integers(n_users, size=n_users), column].mean() for _ in range(N_RESAMPLES)]
    low, high = np.percentile(naive, (2.5, 97.5))
    assert metric.low == pytest.approx(low, abs=0.3 * error)
    assert metric.high == pytest.approx(high, abs=0.3 * error)


def test_intervals_are_seeded_and_ignore_the_order_of_users() -> None:
    values = score_ranks(RANKS)
    assert summarise(values, seed=3) == summarise(values, seed=3)
    assert summarise(values, seed=3) != summarise(values, seed=4)
    shuffled = summarise(values[np.random.default_rng(0).permutation(len(values))], seed=3)
    for one, other in zip(summarise(values, seed=3), shuffled, strict=True):
        assert (one.low, one.high) == (other.low, other.high)
        assert one.mean == pytest.approx(other.mean)


def test_a_clear_difference_is_found_and_none_is_not() -> None:
    better, same = np.maximum(RANKS // 2, 1), np.random.default_rng(3).permutation(RANKS)
    column = METRIC_NAMES.index("ndcg@10")
    clear = compare(score_ranks(better), score_ranks(RANKS))[column]
    assert clear.low > 0
    assert clear.p_value == 2 / (N_RESAMPLES + 1)
    assert clear.mean == pytest.approx((score_ranks(better) - score_ranks(RANKS))[:, column].mean())
    unclear = compare(score_ranks(same), score_ranks(RANKS))[column]
    assert unclear.low < 0 < unclear.high
    assert unclear.p_value > 0.05


def test_pairing_narrows_the_interval() -> None:
    """Two rankers that agree about most users differ by less than their own intervals suggest."""
    other = RANKS.copy()
    other[:15] = 1
    column = METRIC_NAMES.index("ndcg@10")
    paired = compare(score_ranks(other), score_ranks(RANKS))[column]
    alone = summarise(score_ranks(RANKS))[column]
    assert paired.high - paired.low < 0.6 * (alone.high - alone.low)


def test_a_ranker_does_not_differ_from_itself() -> None:
    for difference in compare(score_ranks(RANKS), score_ranks(RANKS)):
        assert (difference.mean, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


def test_differences_swap_their_sign_with_the_rankers() -> None:
    one, other = score_ranks(RANKS), score_ranks(RANKS[::-1].copy())
    for forward, backward in zip(compare(one, other), compare(other, one), strict=True):
        assert forward.mean == pytest.approx(-backward.mean)


def test_unequal_users_and_no_users_are_refused() -> None:
    with pytest.raises(DataError, match="same users"):
        compare(score_ranks(RANKS), score_ranks(RANKS[:-1]))
    with pytest.raises(DataError, match="no users"):
        summarise(score_ranks(np.array([], dtype=np.int64)))


def test_memory_stays_small_for_many_users() -> None:
    """An array of 50,000 users times resamples would take 0.8 GB."""
    values = score_ranks(np.random.default_rng(0).geometric(0.05, size=50_000))
    tracemalloc.start()
    resampled = resample_means(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert resampled.shape == (N_RESAMPLES, len(METRIC_NAMES))
    assert peak < 60e6


def test_values_that_all_differ_are_resampled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((500, 2))
    monkeypatch.setattr(metrics, "_MAX_COUNTS", 500 * 64)
    resampled = resample_means(values)
    assert resampled.shape == (N_RESAMPLES, 2)
    np.testing.assert_allclose(resampled.mean(axis=0), values.mean(axis=0), atol=0.002)
    np.testing.assert_allclose(resampled.std(axis=0), values.std(axis=0) / math.sqrt(500), rtol=0.1)
