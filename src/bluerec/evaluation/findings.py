"""What a report says in words: the outcome in one sentence each, and what the reader must not overlook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bluerec.data.candidates import FULL_POOL
from bluerec.evaluation.charts import format_number, format_signed
from bluerec.evaluation.comparisons import (
    HEADLINE_METRIC,
    Comparison,
    name_metric,
    name_pool,
    select_pairs,
)
from bluerec.evaluation.curves import TrainingRun, format_compact, read_series
from bluerec.evaluation.metrics import Float64Array
from bluerec.evaluation.results import PairedRow

SMALL_N_USERS = 500
# The reward of a run is told from the first and the last tenth of its steps.
_COMPARED_SHARE = 10
# Fewer steps on either side say nothing of how far steps lie apart.
_MIN_COMPARED = 5


def find_outcomes(comparisons: Sequence[Comparison], runs: Sequence[TrainingRun]) -> list[str]:
    """One sentence for each comparison and each run, the most telling first."""
    sentences = [_tell_comparison(comparison) for comparison in comparisons if comparison.rows]
    return [*sentences, *(_tell_run(run) for run in runs)] or ["Nothing has been measured yet."]


def find_warnings(comparisons: Sequence[Comparison], runs: Sequence[TrainingRun]) -> list[str]:
    """Sentences without repetition, the gravest first; the notes of the results stand at the end."""
    sentences = [
        *_warn_of_synthetic_data(comparisons),
        *_warn_of_running_runs(runs),
        *_warn_of_few_users(comparisons),
        *_warn_of_splits(comparisons),
        *_warn_of_pools(comparisons),
        *(note for comparison in comparisons for note in comparison.notes),
    ]
    return list(dict.fromkeys(sentences))


def _tell_comparison(comparison: Comparison) -> str:
    pool = comparison.pools[-1]
    pairs = select_pairs(comparison, pool, HEADLINE_METRIC)
    if pairs:
        return f"On {comparison.data_name}, {_tell_pair(pairs[0], comparison)}."
    metric = HEADLINE_METRIC if HEADLINE_METRIC in comparison.metrics else comparison.metrics[0]
    best = comparison.ranked(pool, metric)[0]
    return (
        f"On {comparison.data_name}, {best.ranker} ranks best: {name_metric(metric)} {format_number(best.mean)} "
        f"(95% interval {format_number(best.low)} to {format_number(best.high)}; "
        f"{name_pool(pool)}, {best.n_users:,} users)."
    )


def _tell_pair(pair: PairedRow, comparison: Comparison) -> str:
    if pair.low > 0 or pair.high < 0:
        verdict = f"{pair.a} ranks {'better' if pair.difference > 0 else 'worse'} than {pair.b}"
    else:
        verdict = f"{pair.a} and {pair.b} cannot be told apart"
    means = {row.ranker: format_number(row.mean) for row in comparison.ranked(pair.pool, pair.metric)}
    numbers = f"{means[pair.a]} against {means[pair.b]}, " if pair.a in means and pair.b in means else ""
    return (
        f"{verdict}: {name_metric(pair.metric)} {numbers}a difference of {format_signed(pair.difference)} "
        f"(95% interval {format_signed(pair.low)} to {format_signed(pair.high)}; "
        f"{name_pool(pair.pool)}, {pair.n_users:,} users)"
    )


def _tell_run(run: TrainingRun) -> str:
    """Each step draws other users, so that a difference is told as one only where chance does not make it as well."""
    _, rewards = read_series(run, ("reward",))
    if not rewards:
        return f"{run.name}: no step has been logged yet."
    if len(rewards) == 1:
        return f"{run.name}: the reward was {format_compact(rewards[0])} in the only step."
    n_compared = max(len(rewards) // _COMPARED_SHARE, _MIN_COMPARED)
    if len(rewards) < 2 * n_compared:
        return (
            f"{run.name}: the reward was {format_compact(rewards[0])} in the first step and "
            f"{format_compact(rewards[-1])} in the last of {len(rewards)}, each of "
            "other users: too few steps to tell a change from chance."
        )
    first, last = np.array(rewards[:n_compared]), np.array(rewards[-n_compared:])
    low, high = compare_means(first, last)
    means = f"from {format_compact(first.mean())} to {format_compact(last.mean())}"
    interval = (
        f"a difference of {format_signed(last.mean() - first.mean())}, 95% interval over steps {format_signed(low)} to "
        f"{format_signed(high)}; the first and the last {n_compared} steps of {len(rewards):,}"
    )
    if low <= 0 <= high:
        return f"{run.name}: the change of the reward {means} cannot be told from chance ({interval})."
    return f"{run.name}: the reward {'rose' if low > 0 else 'fell'} {means} ({interval})."


def compare_means(before: Float64Array, after: Float64Array) -> tuple[float, float]:
    """The 95% interval of mean(after) - mean(before), (n,) and (m,) values of one step each, n and m at least 2.

    After Welch; the quantile of Student's t by the expansion of Cornish and Fisher, right to .3% from 4 degrees of
    freedom on (Abramowitz and Stegun, 26.7.5).
    """
    shares = [float(values.var(ddof=1)) / len(values) for values in (before, after)]
    difference, variance = float(after.mean() - before.mean()), sum(shares)
    if variance == 0:
        return difference, difference
    degrees = variance**2 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (before, after), strict=True)
    )
    z = 1.959964
    quantile = (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )
    return difference - quantile * variance**0.5, difference + quantile * variance**0.5


def _warn_of_synthetic_data(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for comparison in comparisons:
        if comparison.identity.get("synthetic"):
            yield (
                f"{comparison.data_name} is a synthetic world: its numbers show that the machinery works, "
                "and nothing about people."
            )


def _warn_of_running_runs(runs: Sequence[TrainingRun]) -> Iterator[str]:
    for run in runs:
        if not run.is_whole:
            wanted = f" of {run.n_steps_wanted:,}" if run.n_steps_wanted else ""
            yield f"{run.name} has not finished: {len(run.rows):,}{wanted} steps are logged; its curves will change."


def _warn_of_few_users(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for comparison in comparisons:
        if not comparison.rows:
            yield f"{comparison.data_name} holds no results."
            continue
        n_users = min(row.n_users for row in comparison.rows)
        if n_users < SMALL_N_USERS:
            yield (
                f"{comparison.data_name}: only {n_users:,} users; intervals are wide, "
                "and small differences may be chance."
            )


def _warn_of_splits(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for comparison in comparisons:
        split = comparison.identity.get("split")
        if split not in (None, "test"):
            yield (f"{comparison.data_name}: measured on {split} users, who may have been used to choose or to train.")
    if len(comparisons) > 1:
        yield "Sections differ in their data, users or protocol; their numbers must not be compared with each other."


def _warn_of_pools(comparisons: Sequence[Comparison]) -> Iterator[str]:
    if any(pool != FULL_POOL for comparison in comparisons for pool in comparison.pools):
        yield (
            "Among sampled candidates a next item is far easier to find than in the full catalogue; "
            "compare numbers of the same pool only."
        )
    for comparison in comparisons:
        if comparison.pools and FULL_POOL not in comparison.pools:
            yield f"{comparison.data_name} was not ranked against its full catalogue."
