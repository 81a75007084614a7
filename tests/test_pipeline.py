"""From a known world to measured profiles, without a language model: each part does for the next what it should."""

from pathlib import Path

import numpy as np
import pytest

from bluerec.config import Config, ProfilerConfig
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.profiles import load_profiles, save_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import World, build_oracle_profiles, build_world, save_world
from bluerec.evaluation.experiment import EvaluationPlan, evaluate
from bluerec.evaluation.lineup import PROFILE_RANKERS, Vectors
from bluerec.evaluation.profile_sets import load_profile_sets
from bluerec.evaluation.results import Results
from bluerec.profiling.embedders import HashingEmbedder, embed_items
from bluerec.profiling.fakes import EchoWriter, FakeReader
from bluerec.profiling.writers import write_profiles
from bluerec.rewards.functions import build_rewards

N_USERS = 800


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(n_users=N_USERS, n_items=400, seed=5)


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_world(world, tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def examples(folder: Path) -> ExampleTable:
    return split_examples(load_dataset(folder))


@pytest.fixture(scope="module")
def vectors(examples: ExampleTable) -> Vectors:
    embedder = HashingEmbedder(1024)
    return Vectors(embedder, embed_items(examples.dataset, embedder))


@pytest.fixture(scope="module")
def results(
    world: World, examples: ExampleTable, vectors: Vectors, tmp_path_factory: pytest.TempPathFactory
) -> Results:
    """Oracle and echoed profiles of the test and validation users, written, saved, loaded and evaluated."""
    out = tmp_path_factory.mktemp("profiles")
    table = examples.select("test,validation")
    write_profiles(table, EchoWriter(), ProfilerConfig(), lambda text: len(text.split()), out / "echo.parquet")
    save_profiles(build_oracle_profiles(world, table), out / "oracle.parquet")
    sets = load_profile_sets([str(out / "echo.parquet"), str(out / "oracle.parquet")], examples)
    plan = EvaluationPlan(
        pools=("100", "full"), rankers=("random", "popularity", "mean", "harmonic-centred", *PROFILE_RANKERS)
    )
    return evaluate(examples, plan, vectors=vectors, profile_sets=sets)[0]


def mean_of(results: Results, ranker: str, metric: str = "ndcg@10", pool: str = "full") -> float:
    return next(row.mean for row in results.rows if (row.ranker, row.metric, row.pool) == (ranker, metric, pool))


@pytest.mark.parametrize("pool", ["100", "full"])
def test_the_truth_beats_the_history_beats_popularity_beats_chance(results: Results, pool: str) -> None:
    means = [mean_of(results, name, pool=pool) for name in ("profile:oracle", "mean", "popularity", "random")]
    assert means == sorted(means, reverse=True)
    assert means[0] > 1.2 * means[1]
    assert means[1] > 1.2 * means[2]


def test_what_a_writer_reads_from_the_history_is_worth_something(results: Results) -> None:
    assert mean_of(results, "profile:oracle") > mean_of(results, "profile:echo") > 2 * mean_of(results, "random")


def test_profiles_of_others_fall_to_chance(results: Results) -> None:
    """Among 100 negatives the target is in the first ten by chance in 10 of 101 cases."""
    n_users = results.identity["n_users"]
    chance = 10 / 101
    deviation = (chance * (1 - chance) / n_users) ** 0.5
    for name in ("echo", "oracle"):
        recall = mean_of(results, f"shuffled-profile:{name}", "recall@10", "100")
        assert abs(recall - chance) < 4 * deviation + 0.03  # two users in twelve share a genre by chance
        assert recall < 0.5 * mean_of(results, f"profile:{name}", "recall@10", "100")


def test_the_results_say_that_the_world_is_synthetic(results: Results) -> None:
    assert results.identity["synthetic"] is True
    assert {row["name"] for row in results.identity["profiles"]} == {"echo", "oracle"}


def test_rewards_prefer_the_users_own_truth(world: World, examples: ExampleTable, vectors: Vectors) -> None:
    table = examples.select("train", max_users=60)
    texts = build_oracle_profiles(world, table)["text"].to_list()
    references = dict(zip(table.example_ids, texts, strict=True))
    rewards = build_rewards(Config(), table, vectors.embedder, vectors.items, FakeReader(), references)
    strangers = texts[1:] + texts[:1]
    weighted = {function.name: function for function, weight in rewards if weight > 0}
    assert len(weighted) >= 2  # in embedding space and in text space
    for name, function in weighted.items():
        own = np.array(function.score(texts, table.example_ids), dtype=float)
        others = np.array(function.score(strangers, table.example_ids), dtype=float)
        assert (own - others).mean() > 2 * (own - others).std() / len(table) ** 0.5, name


def test_writing_twice_gives_the_same_profiles(examples: ExampleTable, tmp_path: Path) -> None:
    table = examples.select("test", max_users=30)
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for path in paths:
        write_profiles(table, EchoWriter(), ProfilerConfig(), len, path)
    assert load_profiles(paths[0]).equals(load_profiles(paths[1]))
