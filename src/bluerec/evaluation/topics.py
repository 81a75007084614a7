"""What items are about, as a person would name it: their categories and makers, or else phrases of their titles."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bluerec.data.tables import Dataset
from bluerec.rewards.title_index import normalise_words
from bluerec.types import IntArray

MIN_ITEMS = 20
MAX_SHARE = 0.10  # of the catalogue; what is broader tells nothing
# Where fewer items than this share have a category or maker, phrases of titles are taken.
MIN_COVERED = 0.5


@dataclass(frozen=True)
class Topics:
    """Topics by name with the items of each, and the topics of each item."""

    names: tuple[str, ...]
    items: tuple[IntArray, ...]  # sorted item rows of each topic
    of_item: tuple[tuple[int, ...], ...]

    def count(self, item_rows: IntArray) -> Counter[int]:
        """How many of these items each topic has."""
        return Counter(topic for item in item_rows.tolist() for topic in self.of_item[item])


def find_topics(dataset: Dataset) -> Topics:
    """Categories and makers of 20 items up to a tenth of the catalogue; else pairs of title words of that size."""
    items = [dataset.item(row) for row in range(dataset.n_items)]
    named = [tuple(dict.fromkeys((*item.categories, *([item.brand] if item.brand else [])))) for item in items]
    found = _keep_medium(named)
    if sum(map(bool, found.of_item)) < MIN_COVERED * len(items):
        found = _keep_medium([_title_pairs(item.title) for item in items])
    return found


def _title_pairs(title: str) -> tuple[str, ...]:
    """Neighbouring words in small letters, the second of which may be a number ("playstation 2")."""
    pairs = [
        f"{first} {second}"
        for first, second in pairwise(normalise_words(title))
        if len(first) > 3 and first.isalpha() and (len(second) > 3 or second.isdigit())
    ]
    return tuple(dict.fromkeys(pairs))


def _keep_medium(named: list[tuple[str, ...]]) -> Topics:
    counts = Counter(name for its in named for name in its)
    limit = max(MAX_SHARE * len(named), MIN_ITEMS)
    names = tuple(sorted(name for name, count in counts.items() if MIN_ITEMS <= count <= limit))
    place_of = {name: place for place, name in enumerate(names)}
    of_item = tuple(tuple(place_of[name] for name in its if name in place_of) for its in named)
    members: list[list[int]] = [[] for _ in names]
    for row, its in enumerate(of_item):
        for topic in its:
            members[topic].append(row)
    return Topics(names, tuple(np.array(rows, dtype=np.int64) for rows in members), of_item)
