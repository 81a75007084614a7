"""How far a shortcut gets: the graph of what users took next, walked from the last one or two items.

After the idea of arXiv 2605.07125, which showed on 14 data sets that such a heuristic, without any training, often
ranks above trained sequence models. It is a check of the data as much as a ranker.
"""

from __future__ import annotations

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.types import Float32Array, IntArray

SECOND_LATEST_WEIGHT = 0.5  # of the item before the last
SECOND_HOP_WEIGHT = 0.3  # of what followed what followed
BACKWARD_WEIGHT = 0.5  # of a step against the order of time
POPULARITY_DISCOUNT = 0.3


class TransitionGraphRanker:
    """The share of steps from the last item to each other one, one and two hops far, plus half that of the item before.

    Steps are pairs of neighbouring events of one user among the countable ones, a step backwards in time counts half.
    The shares of an item sum to 1; scores are divided by popularity ** 0.3.
    """

    name = "transition-graph"

    def __init__(self, table: ExampleTable) -> None:
        sources, self._targets, weights = _count_steps(table)
        totals = np.bincount(sources, weights=weights, minlength=table.dataset.n_items)
        self._shares = (weights / totals[sources]).astype(np.float32)
        self._offsets = np.searchsorted(sources, np.arange(table.dataset.n_items + 1))
        self._discount = (np.maximum(table.count_items(), 1) ** -POPULARITY_DISCOUNT).astype(np.float32)
        self._walks: dict[int, tuple[IntArray, Float32Array]] = {}

    def score(self, table: ExampleTable) -> Float32Array:
        scores = np.zeros((len(table), table.dataset.n_items), dtype=np.float32)
        for row in range(len(table)):
            for place, item in enumerate(table.history_rows(row, last=2)[::-1]):
                reached, shares = self._walk(int(item))
                scores[row, reached] += shares * np.float32(SECOND_LATEST_WEIGHT if place else 1.0)
        return scores * self._discount

    def _walk(self, item: int) -> tuple[IntArray, Float32Array]:
        """Items within two hops and their shares; the start itself is not among them."""
        if item not in self._walks:
            near, shares = self._step(item)
            reached, weights = [near], [shares]
            for neighbour, share in zip(near.tolist(), shares, strict=True):
                further, onward = self._step(neighbour)
                reached.append(further)
                weights.append(onward * share * np.float32(SECOND_HOP_WEIGHT))
            distinct, place = np.unique(np.concatenate(reached), return_inverse=True)
            summed = np.bincount(place, weights=np.concatenate(weights), minlength=len(distinct)).astype(np.float32)
            elsewhere = distinct != item
            self._walks[item] = distinct[elsewhere], summed[elsewhere]
        return self._walks[item]

    def _step(self, item: int) -> tuple[IntArray, Float32Array]:
        neighbours = slice(self._offsets[item], self._offsets[item + 1])
        return self._targets[neighbours], self._shares[neighbours]


def _count_steps(table: ExampleTable) -> tuple[IntArray, IntArray, np.ndarray]:
    """Steps between different items: from, to, weight; sorted by the first, each pair once."""
    data = table.dataset
    users = np.repeat(np.arange(data.n_users), np.diff(data.user_offsets))[table.countable]
    items = data.item_rows[table.countable]
    follows = (users[:-1] == users[1:]) & (items[:-1] != items[1:])
    earlier, later = items[:-1][follows], items[1:][follows]
    places = np.concatenate([earlier * data.n_items + later, later * data.n_items + earlier])
    weights = np.repeat([1.0, BACKWARD_WEIGHT], len(earlier))
    distinct, place = np.unique(places, return_inverse=True)
    summed = np.bincount(place, weights=weights, minlength=len(distinct))
    return distinct // data.n_items, distinct % data.n_items, summed
