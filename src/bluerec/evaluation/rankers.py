"""Rankers that know ids only: chance, popularity, co-occurrence; and the sum of several rankers.

Counts use only the events that the split allows (`ExampleTable.countable`). Under leave-one-out these are all events
of every user before their target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bluerec.data.candidates import example_seed
from bluerec.data.histories import ExampleTable
from bluerec.types import Float32Array, IntArray

COOCCURRENCE_WINDOW = 3  # events apart
COOCCURRENCE_EVENTS = 10  # latest events of the history
POPULARITY_DISCOUNT = 0.3


class Ranker(Protocol):
    """Scores the whole catalogue for each example, (n_examples, n_items) float32; higher is better.

    The scores of an example depend on that example alone. The array may be read-only.
    """

    @property
    def name(self) -> str: ...

    def score(self, table: ExampleTable) -> Float32Array: ...


class RandomRanker:
    """Chance: a fixed random number for each example and item."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def score(self, table: ExampleTable) -> Float32Array:
        seeds = [example_seed(f"random:{example_id}", self._seed) for example_id in table.example_ids]
        n_items = table.dataset.n_items
        return np.stack([np.random.default_rng(seed).random(n_items, dtype=np.float32) for seed in seeds])


class PopularityRanker:
    """log(1 + number of events) of each item, the same for everybody."""

    name = "popularity"

    def __init__(self, table: ExampleTable) -> None:
        self._scores = np.log1p(table.count_items()).astype(np.float32)  # (n_items,)

    def score(self, table: ExampleTable) -> Float32Array:
        return np.broadcast_to(self._scores, (len(table), len(self._scores)))


class CooccurrenceRanker:
    """What other users took next to the latest items of the history.

    Two events of a user that are g <= 3 places apart count 1 / g for their pair of items, in both directions. The
    score of an item is the sum over the last 10 events, the j-th latest weighted 1 / j, divided by popularity ** 0.3
    of the item. With `damped`, the logarithm log(1 + score), which can be added to cosines.
    """

    name = "co-occurrence"

    def __init__(self, table: ExampleTable, *, damped: bool = False) -> None:
        self._damped = damped
        items, others, weights = _count_pairs(table)
        discount = np.maximum(table.count_items(), 1) ** POPULARITY_DISCOUNT
        self._others = others
        self._weights = (weights / discount[others]).astype(np.float32)
        self._offsets = np.searchsorted(items, np.arange(table.dataset.n_items + 1))

    def score(self, table: ExampleTable) -> Float32Array:
        scores = np.zeros((len(table), table.dataset.n_items), dtype=np.float32)
        for row in range(len(table)):
            latest_first = table.history_rows(row, last=COOCCURRENCE_EVENTS)[::-1]
            for place, item in enumerate(latest_first, start=1):
                neighbours = slice(self._offsets[item], self._offsets[item + 1])
                scores[row, self._others[neighbours]] += self._weights[neighbours] / np.float32(place)
        return np.log1p(scores) if self._damped else scores


class SumRanker:
    """The weighted sum of other rankers' scores."""

    def __init__(self, name: str, parts: Sequence[tuple[float, Ranker]]) -> None:
        self._name = name
        self._parts = tuple(parts)

    @property
    def name(self) -> str:
        return self._name

    def score(self, table: ExampleTable) -> Float32Array:
        scores = np.zeros((len(table), table.dataset.n_items), dtype=np.float32)
        for weight, ranker in self._parts:
            scores += np.float32(weight) * ranker.score(table)
        return scores


def _count_pairs(table: ExampleTable) -> tuple[IntArray, IntArray, np.ndarray]:
    """Pairs of different items near each other in a user's countable events: item, other, weight; sorted, once each."""
    data = table.dataset
    users = np.repeat(np.arange(data.n_users), np.diff(data.user_offsets))[table.countable]
    items = data.item_rows[table.countable]
    places, weights = [], []
    for gap in range(1, COOCCURRENCE_WINDOW + 1):
        earlier, later = items[:-gap], items[gap:]
        together = (users[:-gap] == users[gap:]) & (earlier != later)
        for left, right in ((earlier, later), (later, earlier)):
            places.append(left[together] * data.n_items + right[together])
            weights.append(np.full(int(together.sum()), 1.0 / gap))
    distinct, pair = np.unique(np.concatenate(places), return_inverse=True)
    summed = np.bincount(pair, weights=np.concatenate(weights), minlength=len(distinct))
    return distinct // data.n_items, distinct % data.n_items, summed
