"""Pools hold the target once, nothing forbidden, and depend on nothing but the example and the seed."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import make_dataset, make_examples

from bluerec.data.candidates import (
    FULL_POOL,
    NO_ITEM,
    build_candidates,
    find_seen,
    parse_pools,
    sample_negatives,
)
from bluerec.data.histories import split_examples
from bluerec.errors import ConfigError

TABLE = make_examples()


@settings(deadline=None, max_examples=25)
@given(
    pool=st.sampled_from(["1", "5", "12", "29", "500", FULL_POOL]),
    seed=st.integers(0, 50),
    mask_seen=st.booleans(),
)
def test_candidates_hold_the_target_once_and_nothing_forbidden(pool: str, seed: int, mask_seen: bool) -> None:
    n_items = TABLE.dataset.n_items
    for row, candidates in enumerate(build_candidates(TABLE, pool, seed=seed, mask_seen=mask_seen)):
        target = TABLE.dataset.item_ids[TABLE.target_rows[row]]
        history = {TABLE.dataset.item_ids[item] for item in TABLE.history_rows(row)} - {target}
        assert candidates.relevant == target
        assert candidates.item_ids.count(target) == 1
        assert len(set(candidates.item_ids)) == len(candidates.item_ids)
        allowed = n_items - (len(history) if mask_seen else 0)
        assert len(candidates.item_ids) == min(allowed, n_items if pool == FULL_POOL else int(pool) + 1)
        assert not (mask_seen and history & set(candidates.item_ids))


def test_a_pool_does_not_depend_on_who_else_is_evaluated_or_in_what_order() -> None:
    together = sample_negatives(TABLE, 10, seed=3)
    order = np.random.default_rng(0).permutation(len(TABLE))[:15]
    np.testing.assert_array_equal(sample_negatives(TABLE.take(order), 10, seed=3), together[order])


def test_smaller_pools_are_the_beginning_of_larger_ones() -> None:
    largest = sample_negatives(TABLE, 29, seed=1)
    for n_negatives in (1, 4, 16, 28):
        smaller = sample_negatives(TABLE, n_negatives, seed=1)
        np.testing.assert_array_equal(smaller, largest[:, :n_negatives])


def test_seeds_and_examples_draw_differently() -> None:
    one, other = sample_negatives(TABLE, 10, seed=1), sample_negatives(TABLE, 10, seed=2)
    assert (one != other).any(axis=1).all()
    assert len(np.unique(one, axis=0)) == len(TABLE)


def test_negatives_are_uniform_over_what_is_allowed() -> None:
    table = split_examples(
        make_dataset({f"u{user}": ["i0", "i1"] for user in range(4000)}, [f"i{i}" for i in range(12)])
    )
    counts = np.bincount(sample_negatives(table, 3).ravel(), minlength=12)
    assert counts[0] == counts[1] == 0  # seen, and the target
    expected = 4000 * 3 / 10
    chi_square = ((counts[2:] - expected) ** 2 / expected).sum()
    assert chi_square < 27.9  # 9 degrees of freedom, p = .001


def naive_draw(example_id: str, seed: int, n_items: int, forbidden: set[int], n_wanted: int) -> list[int]:
    """splitmix64 in whole numbers, one item after the other."""
    state = int.from_bytes(hashlib.blake2b(f"pool:{seed}:{example_id}".encode(), digest_size=8).digest(), "big")
    drawn: list[int] = []
    while len(drawn) < n_wanted:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        item = (mixed ^ (mixed >> 31)) % n_items
        if item not in forbidden and item not in drawn:
            drawn.append(item)
    return drawn


def test_the_draw_equals_a_naive_one_on_every_machine() -> None:
    drawn = sample_negatives(TABLE, 12, seed=4)
    for row, example_id in enumerate(TABLE.example_ids):
        forbidden = {*TABLE.history_rows(row).tolist(), int(TABLE.target_rows[row])}
        assert drawn[row].tolist() == naive_draw(example_id, 4, TABLE.dataset.n_items, forbidden, 12)


def test_where_the_catalogue_is_too_small_the_row_ends_early() -> None:
    table = split_examples(make_dataset({"u": ["i0", "i1", "i2"]}, [f"i{i}" for i in range(6)]))
    assert sorted(sample_negatives(table, 5)[0]) == [NO_ITEM, NO_ITEM, 3, 4, 5]
    assert sorted(sample_negatives(table, 5, mask_seen=False)[0]) == [0, 1, 3, 4, 5]


def test_a_target_that_was_seen_before_is_not_masked() -> None:
    table = split_examples(make_dataset({"u": ["i1", "i0", "i1", "i0"], "v": ["i2", "i2", "i1"]}, ["i0", "i1", "i2"]))
    rows, items = find_seen(table)
    assert list(zip(rows.tolist(), items.tolist(), strict=True)) == [(0, 1), (1, 2)]


def test_pools_are_parsed() -> None:
    assert parse_pools("1000, full,100,100") == ("100", "1000", FULL_POOL)
    for wrong in ("", "0", "-5", "all", "100;full", "1e3", "٣x"):
        with pytest.raises(ConfigError, match="--pools"):
            parse_pools(wrong)
