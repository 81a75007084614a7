"""Shown users: chosen by hash, ranked as a naive loop ranks them, never against what they already had."""

import numpy as np
import polars as pl
import pytest

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.toy import build_world
from bluerec.errors import DataError
from bluerec.evaluation.profile_sets import ProfileSet
from bluerec.evaluation.showcase import choose_users, show_users
from bluerec.profiling.embedders import HashingEmbedder, embed_items

EMBEDDER = HashingEmbedder()


@pytest.fixture(scope="module")
def table() -> ExampleTable:
    return split_examples(build_world(n_users=40, n_items=60, seed=3).dataset)


@pytest.fixture(scope="module")
def item_vectors(table: ExampleTable) -> np.ndarray:
    return embed_items(table.dataset, EMBEDDER)


def profiles_of(table: ExampleTable, word: str) -> ProfileSet:
    texts = [f"likes {word} {table.dataset.titles[row]}" for row in table.target_rows]
    return ProfileSet(word, pl.DataFrame({"example_id": table.example_ids, "text": texts}))


def test_users_have_a_profile_in_every_set(table: ExampleTable) -> None:
    rows = np.arange(len(table))
    sets = [profiles_of(table.take(rows[:30]), "a"), profiles_of(table.take(rows[10:]), "b")]
    chosen = choose_users(table, sets, 6)
    assert len(chosen) == 6
    assert set(chosen.example_ids) <= set(table.take(rows[10:30]).example_ids)
    assert set(chosen.example_ids) < set(choose_users(table, sets, 10).example_ids)


def test_profiles_without_a_common_user_are_refused(table: ExampleTable) -> None:
    rows = np.arange(len(table))
    sets = [profiles_of(table.take(rows[:10]), "first"), profiles_of(table.take(rows[10:]), "second")]
    with pytest.raises(DataError, match="profiles 'second': no user in common"):
        choose_users(table, sets)


def test_ranks_agree_with_a_naive_loop(table: ExampleTable, item_vectors: np.ndarray) -> None:
    sets = [profiles_of(table, "before"), profiles_of(table, "after")]
    chosen = choose_users(table, sets, 5)
    shown = show_users(chosen, sets, EMBEDDER, item_vectors, n_events=3, n_nearest=4)
    assert [user.example.example_id for user in shown] == chosen.example_ids
    for row, user in enumerate(shown):
        seen = {table.dataset.item_ids[item_row] for item_row in chosen.history_rows(row)}
        target = user.example.target.item_id
        assert len(user.example.history.events) <= 3
        assert user.n_earlier + len(user.example.history.events) == len(chosen.history_rows(row))
        for profile in user.profiles:
            assert profile.text == f"likes {profile.name} {user.example.target.title}"
            vector = EMBEDDER.embed([profile.text], "profile")[0]
            scores = {
                item_id: float(np.dot(item_vectors[item_row], vector))
                for item_row, item_id in enumerate(table.dataset.item_ids)
                if item_id not in seen or item_id == target
            }
            assert profile.n_candidates == len(scores)
            n_as_good = sum(score >= scores[target] - 1e-6 for score in scores.values())
            n_better = sum(score > scores[target] + 1e-6 for score in scores.values())
            assert n_better < profile.target_rank <= n_as_good
            assert [near.cosine for near in profile.nearest] == pytest.approx(sorted(scores.values(), reverse=True)[:4])
            assert [near.is_target for near in profile.nearest] == [
                near.item.item_id == target for near in profile.nearest
            ]
