"""Items that a user did not take, drawn once per example: negatives for the embedding, distractors for the choice.

A draw depends on the seed and the example alone, not on the batch, its order or the number of processes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bluerec.data.hashing import hash_name
from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.types import Float32Array, IntArray

Mask = NDArray[np.bool_]


class NegativeSampler:
    """Negatives of three kinds, all different: the `n_near` items nearest to the mean vector of the history,
    `n_popular` drawn by popularity and `n_random` drawn uniformly.

    All come from `find_untouched`. Popularity counts the events that the split allows (`ExampleTable.countable`).
    A catalogue too small gives fewer negatives.
    """

    def __init__(
        self,
        table: ExampleTable,
        item_vectors: Float32Array,
        *,
        n_random: int,
        n_popular: int,
        n_near: int,
        seed: int = 0,
    ) -> None:
        self._table = table
        self._item_vectors = item_vectors  # (n_items, d)
        self._n_random = n_random
        self._n_popular = n_popular
        self._n_near = n_near
        self._seed = seed
        self._example_ids = table.example_ids
        self._popularity = table.count_items().astype(np.float64)
        self._titles = title_codes(table)
        self._known: dict[int, IntArray] = {}

    def sample(self, row: int) -> IntArray:
        """Item rows (n_negatives,) for the example at `row`: near, then popular, then random ones.

        Raises `DataError` if there is no item that the user has not touched.
        """
        if row not in self._known:
            self._known[row] = self._sample(row)
        return self._known[row]

    def _sample(self, row: int) -> IntArray:
        free = find_untouched(self._table, row, self._titles)
        near = self._find_near(row, free)
        free[near] = False
        popular = draw(self._popularity * free, self._n_popular, self._generator("popular", row))
        free[popular] = False
        random = draw(free.astype(np.float64), self._n_random, self._generator("random", row))
        negatives = np.concatenate([near, popular, random])
        if not len(negatives):
            raise DataError(
                f"example {self._example_ids[row]!r}: the catalogue of {len(free)} items has none that this user has "
                "not touched, so there are no negatives; use a larger catalogue"
            )
        return negatives

    def _find_near(self, row: int, free: Mask) -> IntArray:
        n_near = min(self._n_near, int(free.sum()))
        if n_near == 0:
            return np.zeros(0, dtype=np.int64)
        mean = self._item_vectors[self._table.history_rows(row)].mean(axis=0)
        nearness = np.where(free, self._item_vectors @ mean, -np.inf)
        return _largest(nearness, n_near)

    def _generator(self, kind: str, row: int) -> np.random.Generator:
        return seeded_generator(f"negatives:{kind}:{self._seed}:{self._example_ids[row]}")


def find_untouched(table: ExampleTable, row: int, titles: IntArray) -> Mask:
    """The items (n_items,) that are no event of the example's user, be it before, at or after the target.

    Nor does any bear the title of the target (`titles` are the codes of `title_codes`): a second entry of the same
    product would be no wrong answer.
    """
    data = table.dataset
    user = int(table.user_rows[row])
    free: Mask = titles != titles[table.target_rows[row]]
    free[data.item_rows[data.user_offsets[user] : data.user_offsets[user + 1]]] = False
    return free


def title_codes(table: ExampleTable) -> IntArray:
    """A number per item (n_items,), the same for titles that differ in case and white space only; 0 is no title."""
    codes = {"": 0}
    folded = (" ".join(title.casefold().split()) for title in table.dataset.titles)
    return np.array([codes.setdefault(title, len(codes)) for title in folded], dtype=np.int64)


def draw(weights: NDArray[np.float64], n: int, generator: np.random.Generator) -> IntArray:
    """`n` different positions, one after the other with probability proportional to their weights; never a weight 0.

    All of them if fewer have a weight. Gumbel noise on the logarithms, of which the largest are taken, is the same
    as drawing in turn without replacement.
    """
    possible = np.flatnonzero(weights)
    if n == 0 or len(possible) == 0:
        return np.zeros(0, dtype=np.int64)
    keys = np.log(weights[possible]) + generator.gumbel(size=len(possible))
    return possible[_largest(keys, min(n, len(possible)))]


def seeded_generator(name: str) -> np.random.Generator:
    """A random generator that depends on a name alone."""
    return np.random.default_rng(hash_name(name))


def _largest(values: NDArray[np.floating], n: int) -> IntArray:
    """Positions of the `n` largest values, the largest first; `n` is at least 1."""
    best = np.argpartition(-values, n - 1)[:n]
    return best[np.argsort(-values[best], kind="stable")]
