"""Does an edit of a profile steer what it retrieves? Controlled edits, and how far the items they name move.

Three edits: "now looking for Y" appended, "no longer interested in X" appended, and the deletion of one sentence. X is
the topic that the history has most of, Y one that it lacks. A move is measured in shares of the catalogue (1 is from
the last place to the first) and is what the named items move more than unrelated ones, so that an edit that stirs up
everything gains nothing. A positive number is the direction that the editor asked for. Each edit is read twice: the
whole text as one vector, and sentence by sentence as it is served, where what is unwanted counts against what is near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.evaluation.interests import score_sentences, split_profile
from bluerec.evaluation.metrics import Float64Array
from bluerec.evaluation.topics import Topics
from bluerec.evaluation.vector_rankers import ItemSpace
from bluerec.rewards.negatives import seeded_generator
from bluerec.types import Embedder, Float32Array, IntArray

WANTED = "edit: now looking for Y"
UNWANTED = "edit: no longer interested in X"
DELETED = "edit: a sentence deleted"
EDITS = (WANTED, UNWANTED, DELETED)
N_NEAREST = 50  # items that a sentence is said to be about


def score_whole(texts: Sequence[str], space: ItemSpace, embedder: Embedder) -> Iterator[Float32Array]:
    """Scores (n_items,) of each text in turn, embedded as one."""
    return (space.vectors @ vector for vector in space.place(embedder.embed(list(texts), "profile")))


# How a text is read: as one vector, or as it is served; what is added to the name of an edit, and who scores.
BY_SENTENCES = ", by sentences"
READINGS: Mapping[str, Callable[[Sequence[str], ItemSpace, Embedder], Iterator[Float32Array]]] = {
    "": score_whole,
    BY_SENTENCES: score_sentences,
}


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed profile, the items (rows) it is about, and where they should go: 1 up, -1 down."""

    text: str
    items: IntArray
    direction: int


def build_edits(text: str, history: IntArray, topics: Topics, name: str) -> dict[str, Edit]:
    """The edits that apply to one profile; `name` seeds the choice of Y. Deletions are built by `find_deletion`."""
    counts = topics.count(history)
    edits = {}
    if counts:
        unwanted = min(counts, key=lambda topic: (-counts[topic], topics.names[topic]))
        changed = f"{text} No longer interested in {topics.names[unwanted]}."
        edits[UNWANTED] = Edit(changed, topics.items[unwanted], -1)
    others = [topic for topic in range(len(topics.names)) if topic not in counts]
    if others:
        wanted = others[int(seeded_generator(f"steer:{name}").integers(len(others)))]
        edits[WANTED] = Edit(f"{text} Now looking for {topics.names[wanted]}.", topics.items[wanted], 1)
    return edits


def find_deletion(text: str, space: ItemSpace, embedder: Embedder, name: str) -> Edit | None:
    """One sentence less; its items are the nearest to it. None where there is only one sentence."""
    sentences = split_profile(text)
    if len(sentences) < 2:
        return None
    place = int(seeded_generator(f"delete:{name}").integers(len(sentences)))
    scores = space.vectors @ space.place(embedder.embed([sentences[place]], "profile"))[0]
    nearest = np.argsort(-scores, kind="stable")[:N_NEAREST]
    return Edit(" ".join(sentences[:place] + sentences[place + 1 :]), nearest, -1)


def measure_moves(
    table: ExampleTable, texts: Sequence[str], topics: Topics, space: ItemSpace, embedder: Embedder
) -> dict[str, Float64Array]:
    """For each edit and reading, the move (n_users,) in the direction asked for; NaN where the edit does not apply."""
    edits: list[tuple[int, str, Edit]] = []
    for row, (example_id, text) in enumerate(zip(table.example_ids, texts, strict=True)):
        found = build_edits(text, table.history_rows(row), topics, example_id)
        deletion = find_deletion(text, space, embedder, example_id)
        found |= {DELETED: deletion} if deletion else {}
        edits += [(row, kind, edit) for kind, edit in found.items()]
    moves: dict[str, Float64Array] = {}
    for reading, score in READINGS.items():
        moves |= {f"{kind}{reading}": np.full(len(table), np.nan) for kind in EDITS}
        before = enumerate(score(list(texts), space, embedder))
        after = score([edit.text for _, _, edit in edits], space, embedder)
        place, standing = -1, np.zeros(0)
        for (row, kind, edit), scores in zip(edits, after, strict=True):
            while place < row:  # the edits of a user come one after the other
                place, own = next(before)
                standing = _place_items(own)
            moves[f"{kind}{reading}"][row] = edit.direction * _compare(standing, _place_items(scores), edit.items)
    return moves


def _place_items(scores: Float32Array) -> Float64Array:
    """The place of each item (n_items,): 1 is the first of the catalogue, 0 the last."""
    order = np.argsort(scores, kind="stable")
    places = np.empty(len(order))
    places[order] = np.linspace(0.0, 1.0, len(order))
    return places


def _compare(before: Float64Array, after: Float64Array, items: IntArray) -> float:
    """How much further up these items moved than all others."""
    moved = after - before
    unrelated = np.ones(len(moved), dtype=np.bool_)
    unrelated[items] = False
    return float(moved[items].mean() - moved[unrelated].mean())
