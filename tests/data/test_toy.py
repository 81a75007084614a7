"""The synthetic world is what it says: deterministic, skewed, drifting, and its oracle is the best profile there is."""

import dataclasses
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bluerec.config import EmbedderConfig
from bluerec.data.histories import split_examples
from bluerec.data.profiles import check_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import MIN_EVENTS, WORLD_FILE, World, build_oracle_profiles, build_world, is_synthetic, save_world
from bluerec.data.toy_words import GENRES, MAKERS, PLATFORMS
from bluerec.errors import ConfigError, DataError
from bluerec.profiling.embedders import HashingEmbedder, embed_items, load_embedder
from bluerec.types import Embedder


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(n_users=400, n_items=600, seed=3)


def reciprocal_ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n_users,): 1 / rank of each target among all items; ties count against it."""
    own = scores[np.arange(len(targets)), targets]
    return 1.0 / (scores >= own[:, None]).sum(axis=1)


def score_rankers(world: World, embedder: Embedder) -> dict[str, float]:
    """Mean reciprocal rank of the known rankers, seen items included, in the plainest way."""
    table = split_examples(world.dataset)
    vectors = embed_items(world.dataset, embedder)
    targets = table.target_rows
    oracle_texts = [world.oracle_profile(user_id) for user_id in table.user_ids]
    order = np.random.default_rng(0).permutation(len(table))
    means = np.stack([vectors[table.history_rows(row)].mean(axis=0) for row in range(len(table))])
    counts = np.bincount(world.dataset.item_rows[table.countable], minlength=world.dataset.n_items)
    seen = np.zeros((len(table), world.dataset.n_items), dtype=bool)
    for row in range(len(table)):
        seen[row, table.history_rows(row)] = True
    rankers = {
        "oracle": embedder.embed(oracle_texts, "profile") @ vectors.T,
        "shuffled oracle": embedder.embed([oracle_texts[row] for row in order], "profile") @ vectors.T,
        "mean history": means @ vectors.T,
        "popularity": np.tile(counts.astype(float), (len(table), 1)),
        "random": np.random.default_rng(1).random(seen.shape),
    }
    return {
        name: float(reciprocal_ranks(np.where(seen, -np.inf, scores), targets).mean())
        for name, scores in rankers.items()
    }


def check_order(scores: dict[str, float], n_items: int) -> None:
    ordered = ["oracle", "mean history", "popularity", "random"]
    for better, worse in pairwise(ordered):
        assert scores[better] > 1.2 * scores[worse], scores
    chance = sum(1 / rank for rank in range(1, n_items + 1)) / n_items
    assert scores["random"] < 1.8 * chance, scores
    # A profile of somebody else is worth what two users happen to share.
    assert scores["shuffled oracle"] < 1.8 * chance, scores


def test_the_oracle_wins_in_words(world: World) -> None:
    check_order(score_rankers(world, HashingEmbedder(1024)), world.dataset.n_items)


@pytest.mark.models
def test_the_oracle_wins_in_meaning() -> None:
    world = build_world(n_users=400, n_items=300, seed=3)
    check_order(score_rankers(world, load_embedder(EmbedderConfig(), cache=False, offline=True)), 300)


def test_the_same_seed_gives_the_same_world() -> None:
    one, same, other = (build_world(n_users=30, n_items=80, seed=seed) for seed in (1, 1, 2))
    assert one.interactions.equals(same.interactions)
    assert one.dataset.items.equals(same.dataset.items)
    assert one.tastes == same.tastes
    assert one.dataset.digest == same.dataset.digest != other.dataset.digest


def test_more_users_leave_the_others_as_they_are() -> None:
    few, many = (build_world(n_users=n_users, n_items=80, seed=1) for n_users in (10, 20))
    assert few.tastes.items() <= many.tastes.items()
    assert few.interactions.equals(many.interactions[: few.interactions.height])


def test_popularity_is_skewed_and_sizes_are_kept(world: World) -> None:
    data = world.dataset
    assert (data.n_users, data.n_items) == (400, 600)
    counts = np.sort(np.bincount(data.item_rows, minlength=data.n_items))[::-1]
    assert counts[:60].sum() > 0.2 * counts.sum()  # a tenth of the items takes more than a fifth of the events
    lengths = np.diff(data.user_offsets)
    assert lengths.min() >= MIN_EVENTS
    assert 8.5 < lengths.mean() < 9.5
    assert data.has_real_times
    assert len(set(data.titles)) == data.n_items


def test_nobody_takes_an_item_twice_and_time_runs_forward(world: World) -> None:
    data = world.dataset
    for user in range(data.n_users):
        events = slice(data.user_offsets[user], data.user_offsets[user + 1])
        assert len(set(data.item_rows[events])) == len(data.item_rows[events])
        assert (np.diff(data.timestamps[events]) > 0).all()


def test_late_events_follow_the_taste_more_than_early_ones() -> None:
    world = build_world(n_users=400, n_items=600, mean_events=12, drift=0.2, seed=0)
    data = world.dataset
    shelf_of = {genre.name: genre.shelf for genre in GENRES}
    hits: Counter[str] = Counter()
    for user, user_id in enumerate(data.user_ids):
        main = shelf_of[world.tastes[user_id].main_genre]
        for place, event in (("first", data.user_offsets[user]), ("last", data.user_offsets[user + 1] - 1)):
            hits[place] += data.item(int(data.item_rows[event])).categories[0] == main
    assert hits["last"] > 2 * hits["first"]


def test_a_world_without_noise_follows_its_tastes() -> None:
    world = build_world(n_users=100, n_items=600, drift=0.0, noise=0.0, seed=0)
    names = {genre.shelf: genre.name for genre in GENRES}
    n_right = 0
    for user_id, item_id in world.interactions.select("user_id", "item_id").rows():
        taste = world.tastes[user_id]
        genre = names[world.dataset.item(world.dataset.item_row_of[item_id]).categories[0]]
        n_right += genre in (taste.main_genre, taste.second_genre)
    assert n_right > 0.9 * world.interactions.height


def test_ratings_and_reviews_tell_the_taste(world: World) -> None:
    liked = world.interactions["review_text"].str.starts_with("I like")
    assert (world.interactions["rating"].filter(liked) >= 4).all()
    assert (world.interactions["rating"].filter(~liked) <= 3).all()
    history = next(split_examples(world.dataset).examples()).history
    assert all(event.interaction.review_text for event in history.events)


def test_the_oracle_names_every_trait(world: World) -> None:
    taste = world.tastes["u0007"]
    text = world.oracle_profile("u0007")
    shelf_of = {genre.name: genre.shelf for genre in GENRES}
    for trait in (shelf_of[taste.main_genre], shelf_of[taste.second_genre], taste.platform, taste.maker):
        assert trait in text
    with pytest.raises(DataError, match="'nobody' does not live in this world"):
        world.oracle_profile("nobody")


def test_oracle_profiles_are_a_profile_table(world: World) -> None:
    table = split_examples(world.dataset).select("test", max_users=20)
    profiles = build_oracle_profiles(world, table)
    assert check_profiles(profiles).equals(profiles)
    assert profiles["example_id"].to_list() == table.example_ids
    assert profiles["text"][3] == world.oracle_profile(table.user_ids[3])
    assert profiles["n_events"].to_list() == [len(table.history_rows(row)) for row in range(20)]
    assert set(profiles["split"]) == {"test"}


def test_a_saved_world_is_a_prepared_folder(world: World, tmp_path: Path) -> None:
    folder = save_world(world, tmp_path / "world")
    loaded = load_dataset(folder)
    assert loaded.digest == world.dataset.digest
    np.testing.assert_array_equal(loaded.ratings, world.dataset.ratings)
    assert is_synthetic(folder)
    (folder / WORLD_FILE).unlink()
    assert not is_synthetic(folder)
    assert not is_synthetic(None)
    in_memory = [
        dataclasses.astuple(example) for example in split_examples(world.dataset).take(np.arange(5)).examples()
    ]
    from_disk = [dataclasses.astuple(example) for example in split_examples(loaded).take(np.arange(5)).examples()]
    assert in_memory == from_disk


@pytest.mark.parametrize(
    "sizes", [{"n_users": 0}, {"n_items": 10}, {"mean_events": 1.0}, {"drift": 1.5}, {"noise": -0.1}]
)
def test_impossible_worlds_are_refused(sizes: dict) -> None:
    with pytest.raises(ConfigError, match="toy world"):
        build_world(**sizes)


def test_the_vocabulary_has_no_repetition() -> None:
    assert len({genre.name for genre in GENRES}) == len({genre.shelf for genre in GENRES}) == len(GENRES)
    assert len(set(PLATFORMS)) == len(PLATFORMS)
    assert len(set(MAKERS)) == len(MAKERS)
