"""Is a profile true, readable, and its owner's alone? Measures on the text, the history, and the space of items.

A sentence is supported where the nearest item of its user's history is nearer than the items of other people's
histories nearly ever are: the threshold is the 95th percentile over histories of strangers, so that a sentence that
fits everybody is supported in one case of twenty by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.config import GuardConfig
from bluerec.data.histories import ExampleTable
from bluerec.errors import MissingExtraError
from bluerec.evaluation.interests import split_profile
from bluerec.evaluation.metrics import Float64Array
from bluerec.evaluation.vector_rankers import ItemSpace
from bluerec.rewards.guards import build_guards
from bluerec.rewards.negatives import seeded_generator
from bluerec.rewards.title_index import TitleIndex
from bluerec.types import Embedder, Float32Array

CONTROL_PERCENTILE = 95.0
N_STRANGERS = 10
GUARD_NAMES = {
    "guard_invented_person": "invented personal facts (share of profiles)",
    "guard_foreign_title": "titles of items the user never had (share of profiles)",
    "guard_copying": "copied from titles (share of trigrams)",
    "guard_repetition": "repetition (share of trigrams)",
    "guard_unfinished": "unfinished (share of profiles)",
}


@dataclass(frozen=True)
class Support:
    """The share of supported sentences of each user (n_users,), and the threshold that decided."""

    shares: Float64Array
    threshold: float


def measure_support(
    table: ExampleTable, texts: Sequence[str], space: ItemSpace, embedder: Embedder, *, seed: int = 0
) -> Support:
    """Which sentences the own history supports better than strangers' histories do.

    Strangers' histories are cut to the length of the user's own: the best of many items is nearer than the best of few.
    """
    sentences = [split_profile(text) for text in texts]
    vectors = space.place(embedder.embed([one for its in sentences for one in its], "profile"))
    owners = np.repeat(np.arange(len(texts)), [len(its) for its in sentences])
    own, strange = np.empty(len(owners)), []
    for row in range(len(texts)):
        its = np.flatnonzero(owners == row)
        history = table.history_rows(row)
        own[its] = (vectors[its] @ space.vectors[history].T).max(axis=1)
        generator = seeded_generator(f"strangers:{seed}:{table.example_ids[row]}")
        others = [other for other in generator.permutation(len(texts)).tolist() if other != row][:N_STRANGERS]
        for other in others:
            borrowed = table.history_rows(other, last=len(history))
            strange.append((vectors[its] @ space.vectors[borrowed].T).max(axis=1))
    threshold = float(np.percentile(np.concatenate(strange), CONTROL_PERCENTILE)) if strange else np.inf
    counts = np.bincount(owners, minlength=len(texts))
    return Support(np.bincount(owners, weights=own > threshold, minlength=len(texts)) / counts, threshold)


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
