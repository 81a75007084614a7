"""Profiles of several interests: each sentence is a vector of its own, and an item is scored by the best of them.

So every recommendation has the sentence that brought it, one interest does not blur another, and a sentence that says
what is not wanted counts against it: profiles are served in this way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.data.sentences import split_sentences
from bluerec.data.wishes import combine_wishes, read_contents, read_signs
from bluerec.evaluation.vector_rankers import ItemSpace, Queries
from bluerec.types import Embedder, Float32Array

# Raised with the splitter, so that what was measured with other sentences is measured anew.
SENTENCES_VERSION = 3


def split_profile(text: str) -> list[str]:
    """The sentences as they are served; the text itself where there is none, so that every profile has a vector."""
    return split_sentences(text) or [text]


class MultiInterestRanker:
    """The cosine of an item with the nearest sentence, plus, where `history` is given, that vector's score.

    `score = history . item + weight * max over sentences of (sentence . item)`; without history, the maximum alone.
    What the nearest unwanted sentence takes away is in `bluerec.data.wishes.combine_wishes`.
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
        texts = [self._text_of[example_id] for example_id in table.example_ids]
        best = np.stack(list(score_sentences(texts, self._space, self._embedder)))
        if self._history is None:
            return best
        return self._history(table) @ self._space.vectors.T + np.float32(self._weight) * best


def score_sentences(texts: Sequence[str], space: ItemSpace, embedder: Embedder) -> Iterator[Float32Array]:
    """Scores (n_items,) of each text in turn, by its sentences, see `bluerec.data.wishes.combine_wishes`."""
    parts = [split_profile(text) for text in texts]
    vectors = _embed_wishes([sentence for its in parts for sentence in its], space, embedder)
    start = 0
    for sentences in parts:
        own = vectors[start : start + len(sentences)]
        start += len(sentences)
        yield combine_wishes(space.vectors @ own.T, read_signs(sentences))[0]


def _embed_wishes(sentences: Sequence[str], space: ItemSpace, embedder: Embedder) -> Float32Array:
    """What each sentence names, in the space of the items: (n_sentences, dimension)."""
    return space.place(embedder.embed(read_contents(sentences), "profile"))
