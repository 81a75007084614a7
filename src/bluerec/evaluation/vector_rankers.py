"""Rankers that compare a user's vector with item vectors; they differ only in where that vector comes from.

A function from examples to vectors (`Queries`) is all that is needed: the history weighted by recency, the history's
texts embedded as one, a written profile, or a sum of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.profiling.embedders import render_item_text
from bluerec.rewards.scoring import normalise
from bluerec.types import Embedder, Float32Array

Queries = Callable[[ExampleTable], Float32Array]
Weighting = Literal["last", "mean", "harmonic"]


@dataclass(frozen=True)
class ItemSpace:
    """Unit item vectors (n_items, d), less the `centre` (d,) that all vectors of the space have lost.

    Texts of one embedder share a direction that tells nothing about taste; without it, cosines tell more.
    """

    vectors: Float32Array
    centre: Float32Array | None = None

    @classmethod
    def centred(cls, vectors: Float32Array) -> ItemSpace:
        """The space without the mean of the catalogue."""
        centre = vectors.mean(axis=0)
        return cls(normalise(vectors - centre), centre)

    def place(self, vectors: Float32Array) -> Float32Array:
        """Vectors of the embedder (n, d) as unit vectors of this space."""
        return vectors if self.centre is None else normalise(vectors - self.centre)


class VectorRanker:
    """Scores items by the dot product with the user's vector."""

    def __init__(self, name: str, space: ItemSpace, queries: Queries) -> None:
        self._name = name
        self._space = space
        self._queries = queries

    @property
    def name(self) -> str:
        return self._name

    def score(self, table: ExampleTable) -> Float32Array:
        return self._queries(table) @ self._space.vectors.T


def history_queries(space: ItemSpace, weighting: Weighting) -> Queries:
    """The weighted mean of the vectors of the history: the last item's, all alike, or 1/j for the j-th latest.

    The mean is not made a unit vector. Its length tells how much the items of the history agree, and so how much what
    is added (popularity, a profile) should count beside it.
    """

    def embed(table: ExampleTable) -> Float32Array:
        events, places = table.history_events(last=1 if weighting == "last" else None)
        lengths = np.diff(np.append(places, len(events)))
        age = np.repeat(table.history_stop, lengths) - events  # 1 is the latest
        weights = (1.0 / age if weighting == "harmonic" else np.ones(len(age))).astype(np.float32)
        weighted = space.vectors[table.dataset.item_rows[events]] * weights[:, None]
        sums, totals = np.add.reduceat(weighted, places), np.add.reduceat(weights, places)
        return np.asarray(sums / totals[:, None], dtype=np.float32)

    return embed


def text_queries(space: ItemSpace, embedder: Embedder, n_items: int) -> Queries:
    """The texts of the last `n_items` items embedded as one; the latest first, as an embedder cuts off the end."""

    def embed(table: ExampleTable) -> Float32Array:
        texts = [render_history_text(table, row, n_items) for row in range(len(table))]
        return space.place(embedder.embed(texts, "profile"))

    return embed


def stored_queries(example_ids: Sequence[str], vectors: Float32Array) -> Queries:
    """Vectors (n, d) looked up by example id."""
    row_of = {example_id: row for row, example_id in enumerate(example_ids)}
    return lambda table: vectors[[row_of[example_id] for example_id in table.example_ids]]


def sum_queries(first: Queries, second: Queries, weight: float) -> Queries:
    """`first + weight * second`."""
    return lambda table: first(table) + np.float32(weight) * second(table)


def render_history_text(table: ExampleTable, row: int, n_items: int) -> str:
    """The texts of the last `n_items` items of one history, the latest first."""
    latest_first = table.history_rows(row, last=n_items)[::-1]
    return "; ".join(render_item_text(table.dataset.item(int(item))) for item in latest_first)
