"""Sentences are measured as they are served: titles with abbreviations stay whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluerec.evaluation.interests import score_sentences, split_profile
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


def test_a_sentence_against_something_counts_against_it() -> None:
    embedder = HashingEmbedder(256)
    space = ItemSpace(embedder.embed(["melee fighter", "chess board", "chess clock"], "item"))
    texts = ["Plays chess.", "Plays chess. No longer interested in clock.", "Nothing like clock."]
    plain, without, against = score_sentences(texts, space, embedder)
    cosines = space.vectors @ embedder.embed(["Plays chess.", "clock."], "profile").T
    assert plain == pytest.approx(cosines[:, 0])
    assert without == pytest.approx(cosines[:, 0] - 0.5 * cosines[:, 1])
    assert against == pytest.approx(-0.5 * cosines[:, 1])
    assert without[2] < without[1]
