"""The k-core, against a naive second implementation and its own definition."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data.k_core import find_k_core


def naive_k_core(pairs: list[tuple[int, int]], min_user: int, min_item: int) -> list[tuple[int, int]]:
    """Take out one user or item at a time."""
    while True:
        users, items = Counter(user for user, _ in pairs), Counter(item for _, item in pairs)
        bad_user = next((user for user, count in users.items() if count < min_user), None)
        bad_item = next((item for item, count in items.items() if count < min_item), None)
        if bad_user is None and bad_item is None:
            return pairs
        if bad_user is not None:
            pairs = [pair for pair in pairs if pair[0] != bad_user]
        else:
            pairs = [pair for pair in pairs if pair[1] != bad_item]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=40),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_equals_the_naive_k_core(pairs: list[tuple[int, int]], min_user: int, min_item: int, n_parts: int) -> None:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    parts = np.array_split(table, n_parts)
    users, items = find_k_core(
        lambda: ((part[:, 0], part[:, 1]) for part in parts), 8, 6, min_user_events=min_user, min_item_events=min_item
    )
    kept = [(user, item) for user, item in pairs if users[user] and items[item]]
    assert kept == naive_k_core(pairs, min_user, min_item)
    assert set(np.flatnonzero(users)) == {user for user, _ in kept}
    assert set(np.flatnonzero(items)) == {item for _, item in kept}
