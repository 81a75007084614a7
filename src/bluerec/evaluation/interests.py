"""Profiles of several interests: each sentence is a vector of its own, and an item is scored by the best of them.

So every recommendation has the sentence that brought it, and one interest does not blur another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.data.sentences import split_sentences
from bluerec.evaluation.vector_rankers import ItemSpace, Queries
from bluerec.types import Embedder, Float32Array, IntArray

# Raised with the splitter, so that what was measured with other sentences is measured anew.
SENTENCES_VERSION = 2


def split_profile(text: str) -> list[str]:
    """The sentences as they are served; the text itself where there is none, so that every profile has a vector."""
    return split_sentences(text) or [text]


class MultiInterestRanker:
    """The cosine of an item with the nearest sentence, plus, where `history` is given, that vector's score.

    `score = history . item + weight * max over sentences of (sentence . item)`; without history, the maximum alone.
    """

    def __init__(
        self,
        name: str,
        space: ItemSpace,
        text_of: dict[str, str],
        embedder: Embedder,
        *,
        history: Queries | None = None,
        weight: float = 1.0,
    ) -> None:
        self._name = name
        self._space = space
        self._text_of = text_of
        self._embedder = embedder
        self._history = history
        self._weight = weight

    @property
    def name(self) -> str:
        return self._name

    def score(self, table: ExampleTable) -> Float32Array:
        best, _ = self._score_sentences([self._text_of[example_id] for example_id in table.example_ids])
        if self._history is None:
            return best
        return self._history(table) @ self._space.vectors.T + np.float32(self._weight) * best

    def find_sentences(self, text: str, items: Sequence[int] | IntArray) -> list[str]:
        """The sentence that brought each of these item rows."""
        sentences = split_profile(text)
        cosines = self._space.place(self._embedder.embed(sentences, "profile")) @ self._space.vectors[items].T
        return [sentences[row] for row in cosines.argmax(axis=0)]

    def _score_sentences(self, texts: Sequence[str]) -> tuple[Float32Array, IntArray]:
        """The best cosine (n_texts, n_items), and where the sentences of each text begin."""
        parts = [split_profile(text) for text in texts]
        places = np.cumsum([0, *(len(its) for its in parts[:-1])])
        vectors = self._space.place(self._embedder.embed([sentence for its in parts for sentence in its], "profile"))
        return np.maximum.reduceat(vectors @ self._space.vectors.T, places, axis=0), places
