"""Edits are controlled: what they name moves as asked where the text is heard, and does not where it is ignored."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from small_worlds import make_dataset

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import Dataset
from bluerec.evaluation.steering import (
    BY_SENTENCES,
    DELETED,
    UNWANTED,
    WANTED,
    build_edits,
    find_deletion,
    measure_moves,
)
from bluerec.evaluation.topics import find_topics
from bluerec.evaluation.vector_rankers import ItemSpace
from bluerec.profiling.embedders import HashingEmbedder, embed_items

CATEGORIES = ("Racing", "Chess", "Gardening", "Guitars")


def make_world() -> tuple[ExampleTable, Dataset]:
    """400 items of 16 categories by turns; user k takes items of category k mod 4."""
    names = [*CATEGORIES, *(f"Kind{place}" for place in range(12))]
    item_ids = [f"i{place}" for place in range(400)]
    taken = {f"u{user}": [f"i{16 * place + user % 4}" for place in range(user, user + 4)] for user in range(20)}
    dataset = make_dataset(taken, item_ids)
    items = dataset.items.with_columns(categories=pl.Series([[names[place % 16]] for place in range(400)]))
    dataset = replace(dataset, items=items)
    return split_examples(dataset), dataset


TABLE, DATA = make_world()
TOPICS = find_topics(DATA)
EMBEDDER = HashingEmbedder(1024)
SPACE = ItemSpace.centred(embed_items(DATA, EMBEDDER))
TEXTS = [f"Reads the news. Takes {CATEGORIES[int(user_id[1:]) % 4]} now and then." for user_id in TABLE.user_ids]


class DeafEmbedder(HashingEmbedder):
    """Hears the first three words only, so that no edit at the end reaches it."""

    def embed(self, texts, kind):
        return super().embed([" ".join(text.split()[:3]) for text in texts], kind)


def test_topics_are_categories_with_their_items() -> None:
    assert len(TOPICS.names) == 16
    racing = TOPICS.names.index("Racing")
    assert TOPICS.items[racing].tolist() == list(range(0, 400, 16))
    assert TOPICS.of_item[16] == (racing,)


def test_without_categories_topics_are_pairs_of_title_words() -> None:
    item_ids = [f"i{place}" for place in range(300)]
    dataset = make_dataset({"u": item_ids[:3]}, item_ids)
    titles = [f"Game {place} - PlayStation 2" if place < 25 else f"Thing {place}" for place in range(300)]
    topics = find_topics(replace(dataset, items=dataset.items.with_columns(title=pl.Series(titles))))
    assert topics.names == ("playstation 2",)
    assert topics.items[0].tolist() == list(range(25))


def test_edits_name_the_own_topic_and_a_foreign_one() -> None:
    edits = build_edits(TEXTS[0], TABLE.history_rows(0), TOPICS, "x")
    own = CATEGORIES[int(TABLE.user_ids[0][1:]) % 4]
    assert edits[UNWANTED].text.endswith(f" No longer interested in {own}.")
    assert edits[UNWANTED].direction == -1
    wanted = edits[WANTED].text.removeprefix(f"{TEXTS[0]} Now looking for ").rstrip(".")
    assert wanted != own
    assert edits[WANTED].items.tolist() == TOPICS.items[TOPICS.names.index(wanted)].tolist()
    assert build_edits(TEXTS[0], TABLE.history_rows(0), TOPICS, "x")[WANTED].text == edits[WANTED].text


def test_a_profile_of_one_sentence_has_none_to_delete() -> None:
    assert find_deletion("Likes chess.", SPACE, EMBEDDER, "x") is None
    edit = find_deletion("Likes chess. Likes racing.", SPACE, EMBEDDER, "x")
    assert edit is not None
    assert edit.text in ("Likes chess.", "Likes racing.")
    assert len(edit.items) == 50


def test_who_hears_the_edit_moves_what_it_names() -> None:
    moves = measure_moves(TABLE, TEXTS, TOPICS, SPACE, EMBEDDER)
    assert np.mean(moves[WANTED]) > 0.2
    assert np.mean(moves[DELETED]) > 0.05
    # A bag of words cannot hear "no longer": naming X brings X nearer, and the measure says so.
    assert np.mean(moves[UNWANTED]) < 0.01
    # As it is served, the wording is read.
    assert np.mean(moves[f"{UNWANTED}{BY_SENTENCES}"]) > 0.2
    assert np.mean(moves[f"{WANTED}{BY_SENTENCES}"]) > 0.2


def test_who_does_not_hear_the_edit_moves_nothing() -> None:
    moves = measure_moves(TABLE, TEXTS, TOPICS, SPACE, DeafEmbedder(1024))
    assert moves[WANTED] == pytest.approx(0)
    assert moves[UNWANTED] == pytest.approx(0)


def test_an_edit_that_does_not_apply_is_no_number() -> None:
    moves = measure_moves(TABLE, ["Likes chess."] * len(TABLE), TOPICS, SPACE, EMBEDDER)
    assert np.isnan(moves[DELETED]).all()
    assert np.isfinite(moves[WANTED]).all()
