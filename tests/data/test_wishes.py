"""What people do not want is read as such, in their wordings; titles and turns of speech are not taken for it."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bluerec.data.sentences import split_sentences
from bluerec.data.wishes import Wish, combine_wishes, read_signs, read_wish, split_wishes


@pytest.mark.parametrize(
    ("sentence", "content"),
    [
        ("nothing like Chess.", "Chess."),
        ("Avoid horror.", "horror."),
        ("Avoid Nintendo.", "Nintendo."),
        ("No longer interested in horror.", "horror."),
        ("I'm no longer interested in Nintendo games.", "Nintendo games."),
        ("I don't like horror games.", "horror games."),
        ("I don’t like horror games!", "horror games!"),
        ("I do not want any more shooters, please.", "shooters."),
        ("Not into turn-based strategy anymore.", "turn-based strategy."),
        ("No horror, please.", "horror."),
        ("no Nintendo.", "Nintendo."),
        ("No more Nintendo.", "Nintendo."),
        ("NO HORROR!", "horror!"),
        ("I never liked racing games.", "racing games."),
        ("Tired of zombies.", "zombies."),
        ("I am so tired of zombie games.", "zombie games."),
        ("I can't stand sports games.", "sports games."),
        ("This shopper hates horror.", "horror."),
        ("The user is not a fan of horror.", "horror."),
        ("She isn't interested in makeup.", "makeup."),
        ("Stop recommending me FIFA.", "FIFA."),
        ("Horror is not for me.", "Horror."),
        ("Sports games aren't my thing.", "Sports games."),
        ("I've lost interest in LEGO.", "LEGO."),
        ("I used to like horror.", "horror."),
        ("Anything but horror.", "horror."),
        ("Everything except sports.", "sports."),
        ("I have had enough of Call of Duty.", "Call of Duty."),
        ("Less violence", "violence"),
        ("Not interested in watches.", "watches."),
        ("No watches", "watches"),
        ("but not turn-based ones.", "turn-based ones."),
    ],
)
def test_what_is_not_wanted(sentence: str, content: str) -> None:
    assert read_wish(sentence) == Wish(content, -1)
    assert split_wishes(sentence) == [sentence]


@pytest.mark.parametrize(
    "sentence",
    [
        "Racing games.",
        "Now looking for headphones.",
        "Avoids nothing.",
        "Nothing.",
        "No.",
        "I do not like.",
        "Please.",
        "",
        "No More Heroes 2.",
        "No Man's Sky.",
        "Never Alone for PlayStation 4.",
        "Don't Starve Together for PC.",
        "Stop Motion Studio.",
        "Not for Broadcast.",
        "Without a Pulse.",
        "Anything But Ordinary.",
        "Not only chess but also go.",
        "No one beats Mario.",
        "No doubt about Mario.",
        "never tired of racing.",
        "I can't get enough of racing.",
        "I don't dislike horror.",
        "She doesn't mind gore.",
        "It does not matter.",
        "They're looking for a brand that's not just a product, but a lifestyle.",
        "This shopper likes Deal or No Deal for Nintendo Wii, Gauntlet and Rebel Without a Pulse.",
        "This shopper likes the PSI LCENTLT2 No. 2MT heavy duty livetailstock center.",
    ],
)
def test_what_is_wanted_stays_as_it_is(sentence: str) -> None:
    assert read_wish(sentence) == Wish(sentence, 1)
    assert split_wishes(sentence) == [sentence]


def test_more_like_a_title_is_the_title_whatever_it_says() -> None:
    title = "Metallic Buckler (Trading Card, no retail packaging), but not the other"
    assert read_wish(f"More like {title}.") == Wish(f"{title}.", 1)
    assert split_wishes(f"More like {title}.") == [f"More like {title}."]


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("Loves RPGs but not turn-based ones.", [Wish("Loves RPGs", 1), Wish("turn-based ones.", -1)]),
        ("RPGs, but nothing from Square Enix.", [Wish("RPGs,", 1), Wish("Square Enix.", -1)]),
        ("Likes puzzle games, not shooters.", [Wish("Likes puzzle games,", 1), Wish("shooters.", -1)]),
        ("Strategy rather than action.", [Wish("Strategy", 1), Wish("action.", -1)]),
        ("Loves Mario though I don't like Sonic.", [Wish("Loves Mario", 1), Wish("Sonic.", -1)]),
        ("Chess. No longer interested in go.", [Wish("Chess.", 1), Wish("go.", -1)]),
    ],
)
def test_a_sentence_that_turns_is_two(text: str, wishes: list[Wish]) -> None:
    sentences = split_sentences(text)
    assert [read_wish(sentence) for sentence in sentences] == wishes
    assert split_sentences(" ".join(sentences)) == sentences


_PIECES = st.lists(
    st.sampled_from(
        ["no", "No", "not", "but", "İ", "chess", "Chess,", "don’t", "like", "more", "please", "anymore", ".", " "]
    )
)


@given(_PIECES.map(" ".join))
def test_reading_never_fails_and_loses_no_word(text: str) -> None:
    for sentence in split_sentences(text):
        wish = read_wish(sentence)
        assert wish.content.strip()
        content = "".join(wish.content.lower().split())
        assert content.rstrip(".!").rstrip(",:?") in "".join(sentence.lower().split())
    assert "".join(" ".join(split_sentences(text)).split()) == "".join(text.split())


_TURNS = st.lists(
    st.sampled_from(
        ["chess", "Golf", "but", "though", "not", "Not", "no", "never", "playing", "show", "without", "rather than",
         "instead of", "more", "like", "is not for me", "bores me", "please", "less", "than", "only", ",", ";", "."]
    ),
    max_size=40,
)  # fmt: skip


@example("Likes chess but not playing, without golf.")
@example("Chess, without playing, without playing, without playing, without playing.")
@given(_TURNS.map(lambda words: re.sub(r" (?=[,;.])", "", " ".join(words))))
def test_what_was_cut_off_is_not_cut_again(text: str) -> None:
    sentences = split_sentences(text)
    assert [split_sentences(sentence) for sentence in sentences] == [[sentence] for sentence in sentences]
    assert split_sentences("\n".join(sentences)) == sentences


def test_scores_are_the_best_wanted_less_half_of_the_worst() -> None:
    cosines = np.array([[0.2, 0.8, 0.6, 0.4], [0.5, 0.1, -0.3, -0.2]], dtype=np.float32)
    scores, brought = combine_wishes(cosines, np.array([1, 1, -1, -1]))
    assert scores == pytest.approx([0.8 - 0.3, 0.5])
    assert brought.tolist() == [1, 0]
    scores, _ = combine_wishes(cosines, np.array([-1, -1, -1, -1]))
    assert scores == pytest.approx([-0.4, -0.25])
    assert read_signs(["Chess.", "No chess please."]).tolist() == [1, -1]
    assert read_signs([]).shape == (0,)
