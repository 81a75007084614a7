"""Exact search among unit vectors: blocks of matrix products. `bluerec.store.index` is for catalogues beyond that.

A profile is a set of sentences, wanted or not; how they make an item's score is in `bluerec.data.wishes`. For stored
sentences the nearest items are kept beside them; where they do not suffice to be sure of the best k (many are masked),
everything is searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bluerec.data.wishes import combine_wishes
from bluerec.store.records import SentenceVectors
from bluerec.types import Float32Array, IntArray

# Larger catalogues get an index.
EXACT_UP_TO = 1_000_000
# Nearest items kept with every stored sentence.
N_NEAR = 256
_BLOCK_ITEMS = 32_768
# A vector picked out by its row costs as much as several that are read one after the other.
_PICKED_COST = 8

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Found:
    """The best items, best first; `sentences` is the place of the sentence that brought each."""

    rows: IntArray  # (n_found,)
    scores: Float32Array  # (n_found,)
    sentences: IntArray  # (n_found,)


NOTHING = Found(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))


class ItemSearch(Protocol):
    """How the items of a store are searched: exactly or through an index."""

    def find_near(self, queries: Float32Array, allowed: BoolArray | None = None) -> tuple[IntArray, Float32Array]:
        """The `N_NEAR` nearest allowed items of each query, best first: rows and cosines (n_queries, n_found)."""

    def find_best(self, vectors: Float32Array, signs: IntArray, k: int, allowed: BoolArray | None = None) -> Found:
        """The best k allowed items (mask (n_items,)) for sentences (n_sentences, dimension) with signs 1 or -1."""


@dataclass(frozen=True, slots=True)
class ExactSearch:
    """Every vector is looked at, or every one that is allowed."""

    item_vectors: Float32Array

    def find_near(self, queries: Float32Array, allowed: BoolArray | None = None) -> tuple[IntArray, Float32Array]:
        return find_near(self.item_vectors, queries, allowed=allowed)

    def find_best(self, vectors: Float32Array, signs: IntArray, k: int, allowed: BoolArray | None = None) -> Found:
        return search_all(self.item_vectors, vectors, signs, k, allowed)


def find_near(
    item_vectors: Float32Array, queries: Float32Array, n_near: int = N_NEAR, *, allowed: BoolArray | None = None
) -> tuple[IntArray, Float32Array]:
    """The nearest allowed items of each query, best first: rows and cosines (n_queries, min(n_near, n_allowed))."""
    n_kept = min(n_near, len(item_vectors) if allowed is None else int(np.count_nonzero(allowed)))
    best_rows = np.zeros((len(queries), 0), dtype=np.int64)
    best = np.zeros((len(queries), 0), dtype=np.float32)
    for start in range(0, len(item_vectors), _BLOCK_ITEMS):
        block = queries @ item_vectors[start : start + _BLOCK_ITEMS].T  # (n_queries, n_block)
        if allowed is not None:
            block[:, ~allowed[start : start + _BLOCK_ITEMS]] = -np.inf
        rows = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        best, best_rows = np.concatenate([best, block], axis=1), np.concatenate([best_rows, rows], axis=1)
        if best.shape[1] > n_kept:
            kept = np.argpartition(-best, n_kept - 1, axis=1)[:, :n_kept]
            best, best_rows = np.take_along_axis(best, kept, 1), np.take_along_axis(best_rows, kept, 1)
    order = np.lexsort((best_rows, -best), axis=1)
    return np.take_along_axis(best_rows, order, 1), np.take_along_axis(best, order, 1)


def search_all(
    item_vectors: Float32Array, vectors: Float32Array, signs: IntArray, k: int, allowed: BoolArray | None = None
) -> Found:
    """The best k allowed items (mask (n_items,)) for sentences (n_sentences, dimension) with signs 1 or -1."""
    if not (signs > 0).any() or k < 1:
        return NOTHING
    rows = np.arange(len(item_vectors)) if allowed is None else np.flatnonzero(allowed)
    are_few = len(rows) * _PICKED_COST < len(item_vectors)
    n_scored = len(rows) if are_few else len(item_vectors)
    scores = np.empty(n_scored, dtype=np.float32)
    brought = np.empty(n_scored, dtype=np.int64)
    for start in range(0, n_scored, _BLOCK_ITEMS):
        part = slice(start, start + _BLOCK_ITEMS)
        block = item_vectors[rows[part]] if are_few else item_vectors[part]
        scores[part], brought[part] = combine_wishes(block @ vectors.T, signs)
    if allowed is not None and not are_few:
        scores, brought = scores[rows], brought[rows]
    places = _best(np.arange(len(rows)), scores, k)
    return Found(rows[places], scores[places], brought[places])


def search_near(
    item_vectors: Float32Array, stored: SentenceVectors, signs: IntArray, k: int, masked: IntArray
) -> Found | None:
    """The same from the stored neighbours alone, `masked` rows left out; None where they do not suffice.

    An item that is among no sentence's neighbours lies below the last neighbour of each. So whatever scores at least
    as high as the highest of these is scored exactly, and nothing better is missing.
    """
    wanted = np.flatnonzero(signs > 0)
    if not len(wanted) or k < 1 or not stored.near_rows.shape[1]:
        return None
    complete = stored.near_rows.shape[1] == len(item_vectors)
    bound = -np.inf if complete else float(stored.near_scores[wanted, -1].max())
    candidates = np.setdiff1d(stored.near_rows[wanted].ravel(), masked)
    if not complete and len(candidates) < k:
        return None
    cosines = item_vectors[candidates] @ stored.vectors.T  # (n_candidates, n_sentences)
    scores, brought = combine_wishes(cosines, signs)
    places = _best(np.arange(len(candidates)), scores, k)
    if not complete and scores[places[-1]] < bound:
        return None
    return Found(candidates[places], scores[places], brought[places])


def _best(rows: IntArray, scores: Float32Array, k: int) -> IntArray:
    """The k rows with the highest scores, best first; of equal scores the lowest row comes first."""
    if len(rows) > k:
        # All that tie with the last place take part, so that the choice among them does not depend on the partition.
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = np.flatnonzero(scores >= least)
        rows, scores = rows[kept], scores[kept]
    return rows[np.lexsort((rows, -scores))[:k]]
