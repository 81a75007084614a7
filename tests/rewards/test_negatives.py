"""Negatives: what they must never contain, that they depend on seed and example alone, and how they are drawn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_world import build_table, embed_world

from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.rewards.negatives import NegativeSampler, draw, seeded_generator, title_codes


@pytest.fixture(scope="module")
def table() -> ExampleTable:
    return build_table()


def build_sampler(table: ExampleTable, *, n_random: int = 10, n_popular: int = 6, n_near: int = 4, seed: int = 0):
    vectors = embed_world(table)[1]
    return NegativeSampler(table, vectors, n_random=n_random, n_popular=n_popular, n_near=n_near, seed=seed)


def items_of_user(table: ExampleTable, row: int) -> set[int]:
    data = table.dataset
    user = data.user_row_of[table.user_ids[row]]
    return set(data.item_rows[data.user_offsets[user] : data.user_offsets[user + 1]].tolist())


def test_negatives_are_different_items_that_the_user_never_touched(table: ExampleTable) -> None:
    sampler = build_sampler(table)
    for row in range(len(table)):
        negatives = sampler.sample(row).tolist()
        assert len(negatives) == len(set(negatives)) == 20
        assert not items_of_user(table, row) & set(negatives)


def test_events_after_the_target_are_no_negatives() -> None:
    table = build_table()
    data = table.dataset
    # The target is the third of six events, as where a split in time cuts a user's events.
    third = table.history_start + 2
    early = replace(table, target_event=third, history_stop=third)
    sampler = build_sampler(early, n_random=data.n_items)
    for row in range(len(early)):
        assert set(sampler.sample(row).tolist()) == set(range(data.n_items)) - items_of_user(early, row)


def test_a_second_entry_of_the_target_is_no_negative() -> None:
    table = build_table()
    target = int(table.target_rows[0])
    untouched = min(set(range(table.dataset.n_items)) - items_of_user(table, 0))
    twin = build_table(titles={untouched: f"  {table.dataset.titles[target].upper()} "})
    assert untouched in build_sampler(table, n_random=100).sample(0)
    assert untouched not in build_sampler(twin, n_random=100).sample(0)


def test_an_example_has_the_same_negatives_in_any_table_and_order(table: ExampleTable) -> None:
    sampler = build_sampler(table)
    drawn = [sampler.sample(row) for row in range(len(table))]
    turned = np.arange(len(table))[::-1]
    other = build_sampler(table.take(turned))
    for place, row in enumerate(turned):
        np.testing.assert_array_equal(other.sample(place), drawn[row])
    assert sampler.sample(3) is sampler.sample(3)


def test_seeds_and_examples_differ(table: ExampleTable) -> None:
    random_only = {"n_popular": 0, "n_near": 0, "n_random": 8}
    first, second = build_sampler(table, **random_only), build_sampler(table, **random_only, seed=1)
    assert set(first.sample(0)) != set(second.sample(0))
    assert set(first.sample(0)) != set(first.sample(4))  # users 0 and 4 share a topic


def test_near_negatives_are_the_nearest_by_a_full_sort(table: ExampleTable) -> None:
    vectors = embed_world(table)[1]
    near = build_sampler(table, n_random=0, n_popular=0, n_near=5)
    for row in range(len(table)):
        mean = np.mean([vectors[item] for item in table.history_rows(row)], axis=0)
        allowed = [item for item in range(table.dataset.n_items) if item not in items_of_user(table, row)]
        cosines = sorted((float(vectors[item] @ mean) for item in allowed), reverse=True)
        found = [float(vectors[item] @ mean) for item in near.sample(row)]
        np.testing.assert_allclose(found, cosines[:5], atol=1e-6)


def test_popular_negatives_have_been_taken_by_others(table: ExampleTable) -> None:
    counts = table.count_items()
    popular = build_sampler(table, n_random=0, n_near=0, n_popular=12)
    for row in range(len(table)):
        assert (counts[popular.sample(row)] > 0).all()


def test_targets_are_not_counted(table: ExampleTable) -> None:
    counts = np.zeros(table.dataset.n_items)
    for row in range(len(table)):
        for item in table.history_rows(row):
            counts[item] += 1
    np.testing.assert_array_equal(table.count_items(), counts)


def test_a_user_of_everything_is_refused() -> None:
    table = build_table(n_users=2, n_events=12, titles={row: "the same thing" for row in range(24, 48)})
    one_topic = build_sampler(table, n_random=100).sample(0)
    assert len(one_topic) == 48 - 12  # all that is left
    everything = build_table(n_users=1, n_events=12, titles=dict.fromkeys(range(48), "the same thing"))
    with pytest.raises(DataError, match=r"'user00@12'.*no negatives"):
        build_sampler(everything).sample(0)


def test_titles_share_a_code_in_any_case_and_spacing() -> None:
    table = build_table(titles={0: "Mario  Kart", 1: "mario kart ", 2: "Mario Kart 8", 3: " ", 4: ""})
    codes = title_codes(table)
    assert codes[0] == codes[1] != codes[2]
    assert codes[3] == codes[4] == 0
    assert (codes[5:] != 0).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, 2.5]), max_size=12), st.integers(0, 15), st.integers(0, 1000))
def test_draws_are_different_and_have_a_weight(weights: list[float], n: int, seed: int) -> None:
    drawn = draw(np.array(weights), n, seeded_generator(str(seed))).tolist()
    possible = {place for place, weight in enumerate(weights) if weight}
    assert len(drawn) == len(set(drawn)) == min(n, len(possible))
    assert set(drawn) <= possible


def test_draws_follow_the_weights() -> None:
    weights = np.array([1.0, 2.0, 0.0, 5.0])
    generator = seeded_generator("many")
    pairs = [tuple(draw(weights, 2, generator)) for _ in range(4000)]
    for first in (0, 1, 3):
        for second in (0, 1, 3):
            # Drawn in turn without replacement: p(first) * p(second among the rest).
            expected = weights[first] / 8 * weights[second] / (8 - weights[first]) if first != second else 0.0
            share = pairs.count((first, second)) / len(pairs)
            assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / len(pairs)) ** 0.5)
