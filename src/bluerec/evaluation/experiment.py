"""One evaluation from data and profiles to results: who is evaluated, by which rankers, in which pools."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bluerec.data.candidates import FULL_POOL
from bluerec.data.histories import ExampleTable
from bluerec.data.toy import is_synthetic
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation.lineup import (
    COUNT_RANKERS,
    VECTOR_RANKERS,
    Vectors,
    build_counters,
    build_profile_rankers,
    build_vector_rankers,
    choose_pairs,
    needs_vectors,
)
from bluerec.evaluation.profile_sets import DEFAULT_SPLIT, ProfileSet, suggest_writing
from bluerec.evaluation.protocol import Progress, Ranking, digest_examples, leave_out_whole_pools, rank_targets
from bluerec.evaluation.results import PairedRow, ResultRow, Results
from bluerec.runs import describe_environment


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What is asked: users, pools, mask and rankers. `max_users` None takes all of the split."""

    pools: tuple[str, ...]
    rankers: tuple[str, ...]
    split: str = DEFAULT_SPLIT
    max_users: int | None = None
    mask_seen: bool = True
    seed: int = 0
    config_digest: str = ""


def evaluate(
    examples: ExampleTable,
    plan: EvaluationPlan,
    *,
    vectors: Vectors | None = None,
    profile_sets: Sequence[ProfileSet] = (),
    progress: Progress | None = None,
) -> tuple[Results, Ranking]:
    """Rank the targets of the planned users among all `examples` of a data set, and sum up.

    `vectors` may be missing where no ranker looks at texts. Raises `ConfigError` if it is missing and needed,
    `DataError` if nobody is left to evaluate.
    """
    if vectors is None and needs_vectors(plan.rankers):
        raise ConfigError("evaluate: these rankers compare texts; pass the vectors of the catalogue")
    table, notes = select_examples(examples, plan, profile_sets)
    pools, said = leave_out_whole_pools(table, plan.pools, mask_seen=plan.mask_seen)
    notes += said
    rankers = build_counters([name for name in plan.rankers if name in COUNT_RANKERS], table, seed=plan.seed)
    if vectors is not None:
        of_texts = [name for name in plan.rankers if name in VECTOR_RANKERS]
        rankers += build_vector_rankers(of_texts, table, vectors)
        validation = examples.select("validation").without(table)  # weights are not chosen on whom they are measured
        for profiles in profile_sets:
            built, said = build_profile_rankers(plan.rankers, profiles, table, validation, vectors, seed=plan.seed)
            rankers += built
            notes += said
    ranking = rank_targets(table, rankers, pools, seed=plan.seed, mask_seen=plan.mask_seen, progress=progress)
    notes += _find_caveats(ranking)
    pairs = choose_pairs(ranking.rankers, [profiles.name for profiles in profile_sets])
    results = Results(
        _identify(table, plan, vectors, profile_sets),
        tuple(summarise_ranking(ranking, seed=plan.seed)),
        tuple(compare_rankers(ranking, pairs, seed=plan.seed)),
        tuple(notes),
    )
    return results, ranking


def select_examples(
    examples: ExampleTable, plan: EvaluationPlan, profile_sets: Sequence[ProfileSet] = ()
) -> tuple[ExampleTable, list[str]]:
    """The examples to evaluate, and what was left out. With profiles, only those that have one in every set.

    Raises `DataError` if none is left.
    """
    table = examples.select(plan.split)
    notes = []
    if examples.n_dropped:
        notes.append(f"{examples.n_dropped:,} examples have no event before their target and are left out.")
    covered = np.ones(len(table), dtype=np.bool_)
    for profiles in profile_sets:
        covered &= profiles.covers(table)
    if not covered.any():
        sets = (
            f" with a profile in each of {', '.join(profiles.name for profiles in profile_sets)}"
            if profile_sets
            else ""
        )
        raise DataError(
            f"{table.dataset.folder or 'data'}: no example in split {plan.split!r}{sets}; choose another --split, "
            f"or write profiles for it: {suggest_writing(table, plan.split)}"
        )
    n_lacking = len(table) - int(covered.sum())
    if n_lacking:
        notes.append(
            f"{n_lacking:,} of {len(table):,} examples of split {plan.split!r} lack a profile and are left out; "
            "all rankers are measured on the others."
        )
    return table.take(np.flatnonzero(covered)).select("all", max_users=plan.max_users, seed=plan.seed), notes


def summarise_ranking(ranking: Ranking, *, seed: int = 0) -> list[ResultRow]:
    """A row for each ranker, pool and metric."""
    return [
        ResultRow(ranker, pool, metric.name, metric.mean, metric.low, metric.high, metric.n_users)
        for ranker in ranking.rankers
        for pool in ranking.pools
        for metric in ranking.summarise(ranker, pool, seed=seed)
    ]


def compare_rankers(ranking: Ranking, pairs: Sequence[tuple[str, str]], *, seed: int = 0) -> list[PairedRow]:
    """A row for each pair, pool and metric."""
    return [
        PairedRow(a, b, pool, found.name, found.mean, found.low, found.high, found.p_value, found.n_users)
        for a, b in pairs
        for pool in ranking.pools
        for found in ranking.compare(a, b, pool, seed=seed)
    ]


def _find_caveats(ranking: Ranking) -> list[str]:
    table = ranking.table
    notes = []
    counting = [name for name in ranking.rankers if "popularity" in name or "co-occurrence" in name]
    if table.protocol == "leave-one-out" and counting:
        notes.append(
            f"Under leave-one-out, {', '.join(counting)} may count events of other users that are later than the "
            "target; global-time excludes this."
        )
    for place, pool in enumerate(ranking.pools):
        n_fewer = int((ranking.n_candidates[place] <= int(pool)).sum()) if pool != FULL_POOL else 0
        if n_fewer:
            notes.append(f"Pool {pool}: the catalogue has fewer negatives for {n_fewer:,} of {len(table):,} examples.")
    return notes


def _identify(
    table: ExampleTable, plan: EvaluationPlan, vectors: Vectors | None, profile_sets: Sequence[ProfileSet]
) -> dict[str, object]:
    environment = describe_environment()
    folder = table.dataset.folder
    return {
        "data": folder.resolve().name if folder else "in memory",
        "data_digest": table.dataset.digest,
        "config_digest": plan.config_digest,
        "embedder": vectors.embedder.name if vectors else None,
        "seed": plan.seed,
        "protocol": table.protocol,
        "split": plan.split,
        "mask_seen": plan.mask_seen,
        "n_users": len(set(table.user_rows.tolist())),
        "examples_digest": digest_examples(table),
        "synthetic": is_synthetic(folder),
        "profiles": [dict(profiles.identity) for profiles in profile_sets],
        "command": shlex.join([Path(environment["command"][0]).name, *environment["command"][1:]]),
        "created": environment["started"],
        "versions": environment["versions"],
    }
