"""Profiles are checked against the data, fused at a weight that validation users choose, and shuffled as a control."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_worlds import make_examples, make_profiles

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.profiles import save_profiles
from bluerec.data.toy import build_world
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation.profile_sets import (
    DEFAULT_FUSION_WEIGHT,
    FUSION_WEIGHTS,
    MIN_VALIDATION_USERS,
    ProfileSet,
    choose_fusion_weight,
    load_profile_sets,
    shuffle_profiles,
)
from bluerec.evaluation.vector_rankers import ItemSpace, history_queries
from bluerec.profiling.embedders import HashingEmbedder, embed_items

TABLE = make_examples(n_users=300, n_items=60)
EMBEDDER = HashingEmbedder(512)
SPACE = ItemSpace.centred(embed_items(TABLE.dataset, EMBEDDER))


def save(frame: pl.DataFrame, path: Path) -> str:
    save_profiles(frame, path)
    return str(path)


def test_sets_are_named_and_told_apart(tmp_path: Path) -> None:
    one = save(make_profiles(TABLE), tmp_path / "first.parquet")
    other = save(make_profiles(TABLE.take(np.arange(5))), tmp_path / "b=c.parquet")
    first, second = load_profile_sets([one, f"short={other}"], TABLE)
    assert (first.name, second.name) == ("first", "short")
    assert first.identity["n_profiles"] == len(TABLE)
    assert first.identity["writer"] == "test"
    assert first.identity["digest"] != second.identity["digest"]
    assert first.covers(TABLE).all()
    assert second.covers(TABLE).sum() == 5


def test_the_digest_is_of_the_texts_and_ignores_their_order(tmp_path: Path) -> None:
    frame = make_profiles(TABLE)
    same = ProfileSet("a", frame).identity["digest"]
    assert ProfileSet("b", frame.reverse()).identity["digest"] == same
    assert ProfileSet("c", frame.with_columns(text=pl.col("text") + "!")).identity["digest"] != same


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    path = save(make_profiles(TABLE), tmp_path / "profiles.parquet")
    with pytest.raises(ConfigError, match="two sets are called 'profiles'"):
        load_profile_sets([path, path], TABLE)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda frame: frame.with_columns(example_id=pl.lit("x") + pl.col("example_id")), "300 of 300 .* 'xu0@"),
        (lambda frame: frame.with_columns(cutoff=pl.col("cutoff") + 1), "may know the target"),
        (lambda frame: frame[:0], "0 of 0 profiles"),
    ],
    ids=["other data", "other cutoff", "empty"],
)
def test_profiles_that_do_not_belong_are_refused(fault, message: str, tmp_path: Path) -> None:
    path = save(fault(make_profiles(TABLE)), tmp_path / "profiles.parquet")
    with pytest.raises(DataError, match=message) as caught:
        load_profile_sets([path], TABLE)
    assert "\n" not in str(caught.value)
    assert "write" in str(caught.value)


def test_the_command_that_an_error_names_writes_what_is_wanted(tmp_path: Path) -> None:
    """Followed to the letter, it must not end in the same error."""
    dataset = build_world(n_users=60, n_items=50, seed=1).dataset
    later = split_examples(dataset, "global-time")
    path = save(make_profiles(split_examples(dataset)), tmp_path / "profiles.parquet")
    for split, options in (("test", " --protocol global-time"), ("all", " --protocol global-time --split all")):
        with pytest.raises(DataError, match=rf"run: bluerec write DIR{options} --out PATH$"):
            load_profile_sets([path], later, split=split)
    foreign = make_profiles(TABLE).with_columns(example_id=pl.lit("x") + pl.col("example_id"))
    save(foreign, tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match=r"run: bluerec write DIR --out PATH$"):
        load_profile_sets([str(tmp_path / "foreign.parquet")], TABLE)


def test_nobody_keeps_their_own_profile_and_none_is_lost() -> None:
    own = np.arange(len(TABLE), dtype=np.float32)[:, None]
    shuffled = shuffle_profiles(TABLE.example_ids, own, seed=1)(TABLE)
    assert (shuffled != own).all()
    assert sorted(shuffled[:, 0]) == sorted(own[:, 0])
    np.testing.assert_array_equal(shuffle_profiles(TABLE.example_ids, own, seed=1)(TABLE), shuffled)
    assert (shuffle_profiles(TABLE.example_ids, own, seed=2)(TABLE) != shuffled).any()


def choose(texts: list[str] | None, table: ExampleTable = TABLE) -> tuple[float, str]:
    profiles = ProfileSet("mine", make_profiles(table, texts))
    return choose_fusion_weight(profiles, TABLE, history_queries(SPACE, "harmonic"), SPACE, EMBEDDER)


def test_the_weight_follows_what_the_profiles_are_worth() -> None:
    """Profiles that name the target deserve the largest weight, noise that is foreign to the catalogue the least."""
    assert choose(None)[0] == FUSION_WEIGHTS[-1]
    noise = np.random.default_rng(0).integers(10**6, size=(len(TABLE), 5))
    weight, note = choose([" ".join(f"w{word}" for word in row) for row in noise])
    assert weight < FUSION_WEIGHTS[-1]
    assert (
        note
        == f"mine: profiles are fused with the history at weight {weight}, chosen by NDCG@10 on 300 validation users."
    )


def test_too_few_validation_users_leave_the_default() -> None:
    weight, note = choose(None, TABLE.take(np.arange(MIN_VALIDATION_USERS - 1)))
    assert weight == DEFAULT_FUSION_WEIGHT
    assert "default weight" in note
    assert f"only {MIN_VALIDATION_USERS - 1} validation users" in note
