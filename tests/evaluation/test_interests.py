"""Sentences are measured as they are served: titles with abbreviations stay whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluerec.evaluation.interests import MultiInterestRanker, split_profile
from bluerec.evaluation.vector_rankers import ItemSpace
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.store.sentences import MAX_SENTENCES, split_sentences


@pytest.mark.parametrize(
    "title",
    [
        "Super Smash Bros. Melee",
        "Dr. Mario",
        "WWE SmackDown vs. Raw",
        "MegaMan Vol. 2",
        "Sammy Davis Jr. Live",
        "games, e.g. Tetris",
        "No. 5",
    ],
)
def test_a_title_with_an_abbreviation_is_one_sentence(title: str) -> None:
    assert split_profile(f"Likes {title} and chess; may want more. Now racing!\nOften 2.5 hours") == [
        f"Likes {title} and chess; may want more.",
        "Now racing!",
        "Often 2.5 hours",
    ]


@given(st.text("ab.!?; \n。", max_size=40), st.sampled_from(["", "Bros. ", "Dr. A", "e.g. b", "x. " * 60]))
def test_what_is_measured_is_what_is_served(text: str, more: str) -> None:
    served = split_sentences(text + more)
    assert split_profile(text + more) == (served or [text + more])
    assert len(served) <= MAX_SENTENCES


def test_an_item_is_brought_by_the_whole_sentence() -> None:
    embedder = HashingEmbedder(256)
    items = embedder.embed(["melee fighter", "chess board"], "item")
    text = "Likes Super Smash Bros. Melee. Plays chess."
    ranker = MultiInterestRanker("multi", ItemSpace(items), {}, embedder)
    assert ranker.find_sentences(text, np.array([0, 1])) == ["Likes Super Smash Bros. Melee.", "Plays chess."]
