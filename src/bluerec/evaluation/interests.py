"""Profiles of several interests: each sentence is a vector of its own, and an item is scored by the best of them.

So every recommendation has the sentence that brought it, and one interest does not blur another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.evaluation.vector_rankers import ItemSpace, Queries
from bluerec.types import Embedder, Float32Array, IntArray

# The end of a sentence is a mark followed by white space, or a line break; "2.5" and "e.g." inside a line stay whole.
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+(?=\S)|\n+")
MAX_SENTENCES = 12


def split_sentences(text: str) -> list[str]:
    """The sentences of a profile, at most `MAX_SENTENCES` (the last one takes the rest); the text itself if empty."""
    parts = [part.strip() for part in _SENTENCE_END.split(text)]
    parts = [part for part in parts if any(character.isalnum() for character in part)]
    if len(parts) > MAX_SENTENCES:
        parts = [*parts[: MAX_SENTENCES - 1], " ".join(parts[MAX_SENTENCES - 1 :])]
    return parts or [text]


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
        sentences = split_sentences(text)
        cosines = self._space.place(self._embedder.embed(sentences, "profile")) @ self._space.vectors[items].T
        return [sentences[row] for row in cosines.argmax(axis=0)]

    def _score_sentences(self, texts: Sequence[str]) -> tuple[Float32Array, IntArray]:
        """The best cosine (n_texts, n_items), and where the sentences of each text begin."""
        parts = [split_sentences(text) for text in texts]
        places = np.cumsum([0, *(len(its) for its in parts[:-1])])
        vectors = self._space.place(self._embedder.embed([sentence for its in parts for sentence in its], "profile"))
        return np.maximum.reduceat(vectors @ self._space.vectors.T, places, axis=0), places
