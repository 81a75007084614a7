"""The k-core of a bipartite graph: the largest part where every user and every item has enough events.

Only two counts per user and item are in memory; the events pass by, once a round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from bluerec.types import IntArray

BoolArray = NDArray[np.bool_]
# User row and item row of each event, (n_events,) each, in any number of parts.
Pairs = Callable[[], Iterator[tuple[IntArray, IntArray]]]


def find_k_core(
    pairs: Pairs, n_users: int, n_items: int, *, min_user_events: int, min_item_events: int
) -> tuple[BoolArray, BoolArray]:
    """Which users (n_users,) and items (n_items,) stay.

    Users and items with too few events are taken out until none is left that has too few; the result does not
    depend on the order in which that is done. Repeated events count each.
    """
    users = np.ones(n_users, dtype=np.bool_)
    items = np.ones(n_items, dtype=np.bool_)
    while True:
        n_user_events = np.zeros(n_users, dtype=np.int64)
        n_item_events = np.zeros(n_items, dtype=np.int64)
        for user_rows, item_rows in pairs():
            kept = users[user_rows] & items[item_rows]
            n_user_events += np.bincount(user_rows[kept], minlength=n_users)
            n_item_events += np.bincount(item_rows[kept], minlength=n_items)
        staying_users = n_user_events >= max(min_user_events, 1)
        staying_items = n_item_events >= max(min_item_events, 1)
        if staying_users.sum() == users.sum() and staying_items.sum() == items.sum():
            return users, items
        users, items = staying_users, staying_items
