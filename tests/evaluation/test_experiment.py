"""Who is evaluated, by which rankers, in which pools; what is left out is counted and said."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from small_worlds import make_examples, make_profiles

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation import profile_sets
from bluerec.evaluation.experiment import EvaluationPlan, evaluate, select_examples
from bluerec.evaluation.lineup import (
    BEST_HISTORY,
    COUNT_RANKERS,
    PLAIN_RANKERS,
    PROFILE_RANKERS,
    Vectors,
    build_counters,
    build_vector_rankers,
    choose_pairs,
    choose_rankers,
    needs_vectors,
)
from bluerec.evaluation.metrics import METRIC_NAMES
from bluerec.evaluation.profile_sets import ProfileSet
from bluerec.evaluation.protocol import rank_targets
from bluerec.evaluation.rankers import RandomRanker
from bluerec.evaluation.results import Results
from bluerec.profiling.embedders import HashingEmbedder, embed_items

TABLE = make_examples(n_users=240, n_items=60)
EMBEDDER = HashingEmbedder(256)
VECTORS = Vectors(EMBEDDER, embed_items(TABLE.dataset, EMBEDDER))
PLAN = EvaluationPlan(pools=("20", "full"), rankers=PLAIN_RANKERS)


def make_sets(table: ExampleTable = TABLE) -> list[ProfileSet]:
    """What no writer could know, and what says nothing."""
    return [
        ProfileSet("dull", make_profiles(table, ["likes things"] * len(table))),
        ProfileSet("oracle", make_profiles(table)),
    ]


def mean_of(results: Results, ranker: str, pool: str = "full", metric: str = "ndcg@10") -> float:
    return next(row.mean for row in results.rows if (row.ranker, row.pool, row.metric) == (ranker, pool, metric))


def test_a_ranker_without_a_builder_is_named_and_not_dropped() -> None:
    with pytest.raises(ConfigError, match=r"'forgotten'.*nothing builds it"):
        build_vector_rankers(["mean", "forgotten"], TABLE, VECTORS)
    with pytest.raises(ConfigError, match=r"'forgotten'.*nothing builds it"):
        build_counters(["popularity", "forgotten"], TABLE)


def test_the_plain_rankers() -> None:
    results, ranking = evaluate(TABLE, PLAN, vectors=VECTORS)
    assert set(ranking.rankers) == set(PLAIN_RANKERS)
    assert len(results.rows) == len(PLAIN_RANKERS) * 2 * len(METRIC_NAMES)
    assert all(row.low <= row.mean <= row.high for row in results.rows)
    assert {(row.a, row.b) for row in results.paired} == {
        (name, BEST_HISTORY) for name in PLAIN_RANKERS if name != BEST_HISTORY
    }
    n_test = int((TABLE.splits == "test").sum())
    assert {row.n_users for row in results.rows} == {n_test} == {results.identity["n_users"]}
    assert results.identity["embedder"] == EMBEDDER.name
    assert results.identity["data_digest"] == TABLE.dataset.digest
    assert any("later than the target" in note for note in results.notes)


def test_the_same_seed_gives_the_same_numbers() -> None:
    plan = EvaluationPlan(pools=("20",), rankers=COUNT_RANKERS, seed=4)
    assert evaluate(TABLE, plan)[0].rows == evaluate(TABLE, plan)[0].rows
    other = EvaluationPlan(pools=("20",), rankers=COUNT_RANKERS, seed=5)
    assert evaluate(TABLE, plan)[0].rows != evaluate(TABLE, other)[0].rows


def test_profiles_are_compared_with_each_other_and_with_the_history() -> None:
    names = choose_rankers(
        "random,harmonic-centred,profile,profile-centred,profile+history,shuffled-profile", has_profiles=True
    )
    plan = EvaluationPlan(pools=("20", "full"), rankers=names, split="all")
    results, _ = evaluate(TABLE, plan, vectors=VECTORS, profile_sets=make_sets())
    assert mean_of(results, "profile:oracle") > 0.9
    assert mean_of(results, "profile+history:oracle") > mean_of(results, BEST_HISTORY)
    assert mean_of(results, "shuffled-profile:oracle") < 0.3
    first = results.paired[0]
    assert (first.a, first.b) == ("profile:oracle", "profile:dull")
    assert first.low > 0
    assert first.difference == pytest.approx(
        mean_of(results, first.a, first.pool, first.metric) - mean_of(results, first.b, first.pool, first.metric)
    )
    assert [profiles["name"] for profiles in results.identity["profiles"]] == ["dull", "oracle"]
    assert sum("fused with the history" in note for note in results.notes) == 2


@pytest.mark.parametrize("split", ["validation", "all", "test,validation"])
def test_weights_are_not_chosen_on_whom_they_are_measured(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def choose(known: ExampleTable, weights: Sequence[float], build: object) -> float:
        asked.append(set(known.example_ids))
        return weights[0]

    monkeypatch.setattr(profile_sets, "find_best_weight", choose)
    monkeypatch.setattr(profile_sets, "MIN_VALIDATION_USERS", 1)
    plan = EvaluationPlan(pools=("full",), rankers=("profile+history",), split=split, max_users=8)
    _, ranking = evaluate(TABLE, plan, vectors=VECTORS, profile_sets=make_sets())
    validation = set(TABLE.select("validation").example_ids)
    assert asked == [validation - set(ranking.table.example_ids)] * 2
    assert asked[0]
    asked.clear()
    monkeypatch.undo()
    results, _ = evaluate(TABLE, replace(plan, max_users=None), vectors=VECTORS, profile_sets=make_sets())
    assert sum("default weight 0.3; only 0 validation users" in note for note in results.notes) == 2


def test_only_users_with_every_profile_are_evaluated_and_the_others_counted() -> None:
    test = TABLE.select("test")
    known = test.take(np.arange(len(test) - 7))
    plan = EvaluationPlan(pools=("full",), rankers=("random", "profile"))
    table, notes = select_examples(TABLE, plan, [*make_sets(known)[:1], *make_sets(test)[1:]])
    assert table.example_ids == known.example_ids
    assert notes == [
        f"7 of {len(test)} examples of split 'test' lack a profile and are left out; "
        "all rankers are measured on the others."
    ]


def test_a_sample_is_taken_of_those_with_profiles() -> None:
    known = TABLE.take(np.flatnonzero(TABLE.splits == "test")[:20])
    plan = EvaluationPlan(pools=("full",), rankers=("profile",), max_users=10)
    table, _ = select_examples(TABLE, plan, make_sets(known))
    assert len(table) == 10
    assert set(table.example_ids) <= set(known.example_ids)


def test_nobody_to_evaluate_is_an_error() -> None:
    train = TABLE.take(np.flatnonzero(TABLE.splits == "train"))
    plan = EvaluationPlan(pools=("full",), rankers=("profile",))
    with pytest.raises(DataError, match="no example in split 'test' with a profile in each of dull, oracle"):
        select_examples(TABLE, plan, make_sets(train))


def test_pools_that_reach_the_catalogue_are_it_and_told_once() -> None:
    results, ranking = evaluate(TABLE, EvaluationPlan(pools=("20", "100", "500", "full"), rankers=("random",)))
    assert ranking.pools == ("20", "full")
    assert {row.pool for row in results.rows} == {"20", "full"}
    (note,) = [note for note in results.notes if "Pool" in note]
    assert note.startswith("Pools 100, 500 reach the whole catalogue (60 items)")
    whole = rank_targets(ranking.table, [RandomRanker()], ("100", "full"))  # as they were
    np.testing.assert_array_equal(whole.ranks[0, 0], whole.ranks[0, 1])
    np.testing.assert_array_equal(whole.ranks[0, 0], ranking.ranks[0, 1])


def test_the_full_catalogue_stands_for_a_pool_that_reaches_it_where_it_was_not_asked_for() -> None:
    results, _ = evaluate(TABLE, EvaluationPlan(pools=("500",), rankers=("random",)))
    assert {row.pool for row in results.rows} == {"full"}
    assert any(note.startswith("Pool 500 reaches the whole catalogue") for note in results.notes)


def test_a_pool_that_some_cannot_fill_is_told() -> None:
    for mask_seen, size in ((True, "57"), (False, "58")):
        plan = EvaluationPlan(pools=(size, "full"), rankers=("random",), mask_seen=mask_seen)
        results, ranking = evaluate(TABLE, plan)
        assert ranking.pools == (size, "full")
        told = any(note.startswith(f"Pool {size}: the catalogue has fewer negatives for") for note in results.notes)
        assert told == mask_seen


def test_texts_need_vectors() -> None:
    assert not needs_vectors(COUNT_RANKERS)
    assert all(needs_vectors([name]) for name in (*PLAIN_RANKERS, *PROFILE_RANKERS) if name not in COUNT_RANKERS)
    with pytest.raises(ConfigError, match="pass the vectors"):
        evaluate(TABLE, PLAN)


def test_rankers_are_chosen_by_name() -> None:
    assert choose_rankers(None, has_profiles=False) == PLAIN_RANKERS
    assert choose_rankers(None, has_profiles=True) == PLAIN_RANKERS + PROFILE_RANKERS
    assert choose_rankers(" mean, random,mean", has_profiles=False) == ("mean", "random")
    with pytest.raises(ConfigError, match="no ranker 'best'; choose from random"):
        choose_rankers("mean,best", has_profiles=True)
    with pytest.raises(ConfigError, match="no ranker 'profile'; it needs --profiles"):
        choose_rankers("profile", has_profiles=False)
    with pytest.raises(ConfigError, match="no ranker ''"):
        choose_rankers(",", has_profiles=False)


def test_pairs_name_rankers_that_took_part() -> None:
    rankers = ["mean", "profile:a", "profile:b", "profile:c", "shuffled-profile:b"]
    assert choose_pairs(rankers, ["a", "b", "c"]) == [
        ("profile:b", "profile:a"),
        ("profile:c", "profile:a"),
        ("profile:c", "profile:b"),
        ("profile:b", "shuffled-profile:b"),
    ]
