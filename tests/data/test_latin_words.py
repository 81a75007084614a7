"""Latin words in whatever forms they come, and what is none."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data.latin_words import find_latin_words, has_other_letters


def fold(text: str) -> list[str]:
    return [word.folded for word in find_latin_words(text)]


@pytest.mark.parametrize(
    "disguised",
    [
        "zorblax",
        "ZorBlax",
        "\uff5a\uff4f\uff52\uff42\uff4c\uff41\uff58",  # wide
        "\U0001d433\U0001d428\U0001d42b\U0001d41b\U0001d425\U0001d41a\U0001d431",  # bold
        "\u24e9\u24de\u24e1\u24d1\u24db\u24d0\u24e7",  # circled
        "\U0001f169\U0001f15e\U0001f161\U0001f151\U0001f15b\U0001f150\U0001f167",  # white in black circles
        "\u1d22\u1d0f\u0280\u0299\u029f\u1d00x",  # small capitals
        "\u1e93\u1ecd\u1e5b\u1e05\u1e37\u1ea1\u1e8b",  # dots below
        "zo\u0301rb\u0301la\u0301x",  # accents as marks
        "\u01b6\u00f8rblax",  # strokes
        "z\u043erbl\u0430x",  # Cyrillic letters that look alike
        "z\u03bfrblax",  # a Greek one
        "zor\u200bblax",
        "zo-rb-la-x",
        "z.o.r.b.l.a.x",
        "z*o*r*b*l*a*x",
        "z o r b l a x",
        "zo\u00b7rb\u00b7la\u00b7x",
        "zo rb la x",
        "z o r bl a x",
        "zo--rb--la--x",
        "zo**rb**la**x",
        "zo, rb, la, x",
        "zo & rb & la & x",
        "zo\u3000rb\u3000la\u3000x",
        "zo\u30a2rb\u30a2la\u30a2x",  # Kana between them
        "zo\u30fcrb\u30fcla\u30fcx",
        "zo\u02bcrb\u02bcla\u02bcx",
        "\U0001f1ff\U0001f1f4\U0001f1f7\U0001f1e7\U0001f1f1\U0001f1e6\U0001f1fd",
    ],
)
def test_a_disguised_word_is_read_as_what_it_is(disguised: str) -> None:
    (word,) = find_latin_words(f"Chess {disguised} Clock")[1:-1]
    assert word.folded == "zorblax"
    assert f"Chess {disguised} Clock"[word.start : word.end] == disguised


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Wi-Fi for PS 4 & X-Men: 2 x 4", ["wi", "fi", "for", "ps", "4", "x", "men", "2", "x", "4"]),
        ("3 in 1, E.T. and U.S.A.", ["3", "in", "1", "e", "t", "and", "u", "s", "a"]),
        ("Pok\u00e9mon\u2122 \u00bd L\u2019Or\u00e9al \u00c6on", ["pokemon", "12", "l", "oreal", "\u00e6on"]),
        ("\u0448\u0430\u0445\u043c\u0430\u0442\u044b 100\u043c\u043b \u03c3\u03ba\u03ac\u03ba\u03b9", []),
        ("\u559c\u6b22zorblax\u7684\u987e\u5ba2 \uc694\uc57d\uc5d0 zorblax\ub77c\uace0", ["zorblax", "zorblax"]),
        ("\u0663\u0664 chess", ["34", "chess"]),
        ("\U0001f1fa\U0001f1f8 \u2b50 chess", ["us", "chess"]),
    ],
)
def test_words_and_numbers_in_their_order(text: str, words: list[str]) -> None:
    assert fold(text) == words


def test_other_letters() -> None:
    assert not has_other_letters("Pok\u00e9mon \u2b50 12")
    assert not has_other_letters("Chess")
    assert has_other_letters("\u0448\u0430\u0445\u043c\u0430\u0442\u044b")
    assert has_other_letters("zorblax\ub77c\uace0")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_words_lie_in_the_text_one_after_the_other(text: str) -> None:
    end = 0
    for word in find_latin_words(text):
        assert end <= word.start < word.end <= len(text)
        assert word.folded
        end = word.end


@pytest.mark.parametrize("piece", ["a ", "a-", "zo-", "\u0301", "a\u0301", "\u0430a", "\u559c", "1 ", "\ufb03"])
def test_a_hostile_text_takes_no_time(piece: str) -> None:
    text = piece * 100_000
    begin = time.process_time()
    find_latin_words(text)
    assert time.process_time() - begin < 2.0
