"""Is a profile true, readable, and its owner's alone? Measures on the text, the history, and the space of items.

A sentence is supported where an item of its user's history is nearer to it than all items of nineteen strangers'
histories of the same length. So a sentence that has nothing to do with its user is supported in one case of twenty by
construction, however long the history is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bluerec.config import GuardConfig
from bluerec.data.histories import ExampleTable
from bluerec.data.wishes import read_wish
from bluerec.errors import DataError, MissingExtraError
from bluerec.evaluation.interests import split_profile
from bluerec.evaluation.metrics import Float64Array
from bluerec.evaluation.vector_rankers import ItemSpace
from bluerec.rewards.guards import build_guards
from bluerec.rewards.negatives import seeded_generator
from bluerec.rewards.title_index import TitleIndex
from bluerec.types import Embedder, Float32Array, IntArray

N_STRANGERS = 19  # the own history is the best of twenty by chance once in twenty cases
GUARD_NAMES = {
    "guard_invented_person": "invented personal facts (share of profiles)",
    "guard_foreign_title": "titles of items the user never had (share of profiles)",
    "guard_copying": "copied from titles (share of trigrams)",
    "guard_repetition": "repetition (share of trigrams)",
    "guard_unfinished": "unfinished (share of profiles)",
}


def measure_support(
    table: ExampleTable, texts: Sequence[str], space: ItemSpace, embedder: Embedder, *, seed: int = 0
) -> Float64Array:
    """The share of sentences (n_users,) that the own history supports better than strangers' histories do.

    Strangers' histories are as long as the user's own, as the best of many items is nearer than the best of few: cut,
    or continued with the next stranger's. What a sentence says is not wanted is no claim about the history and does not
    count; NaN where nothing else is said. Raises `DataError` for fewer than two users.
    """
    if len(texts) < 2:
        raise DataError("support of sentences: there is no stranger to compare with; measure two users or more")
    sentences = [[one for one in split_profile(text) if read_wish(one).sign > 0] for text in texts]
    vectors = space.place(embedder.embed([one for its in sentences for one in its], "profile"))
    shares, start = np.full(len(texts), np.nan), 0
    for row, its in enumerate(sentences):
        own, start = vectors[start : start + len(its)], start + len(its)
        if its:
            generator = seeded_generator(f"strangers:{seed}:{table.example_ids[row]}")
            history = table.history_rows(row)
            strange = _borrow_items(table, row, len(history), generator)
            nearest = (own @ space.vectors[history].T).max(axis=1)
            shares[row] = np.mean(nearest > (own @ space.vectors[strange].T).max(axis=1))
    return shares


def _borrow_items(table: ExampleTable, row: int, length: int, generator: np.random.Generator) -> IntArray:
    """Items of `N_STRANGERS` histories of this length, one after the other, put together from those of other users."""
    others = np.delete(np.arange(len(table)), row)
    found: list[IntArray] = []
    n_whole = n_items = 0
    while n_whole < N_STRANGERS:
        for other in generator.permutation(others).tolist():
            part = table.history_rows(other, last=length - n_items)
            found.append(part)
            n_items = (n_items + len(part)) % length
            n_whole += n_items == 0
            if n_whole == N_STRANGERS:
                break
    return np.concatenate(found)


def measure_guards(table: ExampleTable, texts: Sequence[str]) -> dict[str, Float64Array]:
    """What the guards of the training find (n_users,), by name; 0 is good. An unusable text has the worst share, 1."""
    guards = build_guards(GuardConfig(), table, title_index=TitleIndex(table.dataset.titles))
    found = {guard.name: guard.score(texts, table.example_ids) for guard, _ in guards}
    return {GUARD_NAMES[name]: -np.array(scores, dtype=float) for name, scores in found.items()}


def measure_distinctness(vectors: Float32Array) -> Float64Array:
    """Mean cosine distance (n_users,) of each profile (a unit vector) to those of all other users; 0: all the same."""
    others = (vectors.sum(axis=0) - vectors) / max(len(vectors) - 1, 1)
    return 1.0 - np.einsum("ud,ud->u", vectors, others).astype(float)


def measure_reading_ease(texts: Sequence[str]) -> Float64Array:
    """Flesch's reading ease (n_users,) for English: 100 is very easy, 0 very hard; below or above for odd texts."""
    try:
        import textstat
    except ImportError as error:
        raise MissingExtraError("textstat", "bench") from error
    return np.array([textstat.flesch_reading_ease(text) for text in texts], dtype=float)
