"""NDCG, recall and MRR of one relevant item, per user first, then means with bootstrap intervals over users.

With one relevant item at rank r, NDCG@k is 1 / log2(1 + r), MRR@k is 1 / r and recall@k is 1 where r <= k, else all
are 0. Users are resampled, 95% intervals are percentiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bluerec.errors import DataError
from bluerec.types import IntArray, Metric

Float64Array = NDArray[np.float64]

CUTOFFS = (5, 10, 20)
METRIC_NAMES = tuple(f"{kind}@{cutoff}" for kind in ("ndcg", "recall", "mrr") for cutoff in CUTOFFS)
N_RESAMPLES = 2_000
INTERVAL = (2.5, 97.5)  # percentiles
# Resampled counts that are held in memory at once.
_MAX_COUNTS = 4_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean paired difference over users with its 95% interval and two-sided bootstrap p-value."""

    name: str
    mean: float
    low: float
    high: float
    p_value: float
    n_users: int


def score_ranks(ranks: IntArray) -> Float64Array:
    """Metrics (n_examples, n_metrics) of ranks (n_examples,), 1 is best, in the order of `METRIC_NAMES`.

    Raises `DataError` for a rank below 1.
    """
    if len(ranks) and ranks.min() < 1:
        raise DataError(f"rank {ranks.min()} is below 1; ranks are counted from 1")
    gains = {"ndcg": 1.0 / np.log2(1.0 + ranks), "recall": np.ones(len(ranks)), "mrr": 1.0 / ranks}
    columns = [np.where(ranks <= cutoff, gain, 0.0) for gain in gains.values() for cutoff in CUTOFFS]
    return np.stack(columns, axis=1)


def average_by_user(values: Float64Array, user_rows: IntArray) -> Float64Array:
    """Mean (n_users, n_metrics) over the examples of each user, users in ascending order."""
    _, owner, n_examples = np.unique(user_rows, return_inverse=True, return_counts=True)
    sums = np.zeros((len(n_examples), values.shape[1]))
    np.add.at(sums, owner, values)
    return sums / n_examples[:, None]


def summarise(values: Float64Array, *, seed: int = 0) -> list[Metric]:
    """Means of per-user values (n_users, n_metrics) with intervals, in the order of `METRIC_NAMES`."""
    low, high = np.percentile(resample_means(values, seed=seed), INTERVAL, axis=0)
    means = values.mean(axis=0)
    return [
        Metric(name, float(means[column]), float(low[column]), float(high[column]), len(values))
        for column, name in enumerate(METRIC_NAMES)
    ]


def compare(values: Float64Array, others: Float64Array, *, seed: int = 0) -> list[Difference]:
    """Paired differences `values - others`, both (n_users, n_metrics) with the same users in the same rows.

    The p-value is twice the share of resamples on the other side of 0 (never below 2 / (N_RESAMPLES + 1)), so that
    it is small where the interval excludes 0. Raises `DataError` if the shapes differ.
    """
    if values.shape != others.shape:
        raise DataError(f"paired comparison of {values.shape} and {others.shape} values; use the same users for both")
    differences = values - others
    resampled = resample_means(differences, seed=seed)
    low, high = np.percentile(resampled, INTERVAL, axis=0)
    n_opposite = np.minimum((resampled <= 0).sum(axis=0), (resampled >= 0).sum(axis=0))
    p_values = np.minimum(2 * (1 + n_opposite) / (N_RESAMPLES + 1), 1.0)
    means = differences.mean(axis=0)
    return [
        Difference(
            name, float(means[column]), float(low[column]), float(high[column]), float(p_values[column]), len(values)
        )
        for column, name in enumerate(METRIC_NAMES)
    ]


def resample_means(values: Float64Array, *, seed: int = 0) -> Float64Array:
    """Means (N_RESAMPLES, n_metrics) over users drawn with replacement from values (n_users, n_metrics).

    Users with the same values are interchangeable, so how often each distinct row is drawn is multinomial: exactly
    the bootstrap over users, without an array of users times resamples. Ranks give few distinct rows.
    Raises `DataError` if there are no users.
    """
    n_users = len(values)
    if not n_users:
        raise DataError("no users to average over; choose another split or raise the number of users")
    distinct, counts = np.unique(values, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    n_at_once = max(1, _MAX_COUNTS // len(distinct))
    blocks = []
    for start in range(0, N_RESAMPLES, n_at_once):
        n_block = min(n_at_once, N_RESAMPLES - start)
        drawn = generator.multinomial(n_users, counts / n_users, size=n_block)  # (n_block, n_distinct)
        blocks.append(drawn @ distinct / n_users)
    return np.concatenate(blocks)
