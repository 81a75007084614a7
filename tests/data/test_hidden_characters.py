"""Hidden characters go, what scripts and emoji are spelt with stays."""

import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.data.hidden_characters import strip_hidden

# The ranges that the literature on smuggled prompts names.
NAMED = [
    *range(0xE0000, 0xE0080), *range(0xFE00, 0xFE10), *range(0x200B, 0x2010), 0x2060, *range(0x202A, 0x202F),
    *range(0x2066, 0x206A), 0xFEFF, 0xAD, *range(0xE0100, 0xE01F0),
]  # fmt: skip


EMOJI = "\u2764\ufe0f 1\ufe0f\u20e3 \U0001f468\u200d\U0001f469"
PERSIAN, HINDI = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0915\u094d\u200d\u0937"
PLAIN = "Pokémon™: Let's Go, Pikachu! — Édition №1\n第二"


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Ch\u202eess\x1b[31m!\U000e0041", "Chess!"),
        ("\x1b]0;new title\x07Game \x1b]8;;http://x\x1b\\link", "Game link"),
        ("\x9b2Jcleared", "cleared"),
        ("sof\u00adt hy\u200bphen\u2060", "soft hyphen"),
        ("\u845b\U000e0100 b\U000e0100\ufe0f\ufe0f", "\u845b\U000e0100 b"),
        *((text, text) for text in (EMOJI, PERSIAN, HINDI, PLAIN)),
    ],
)
def test_strip_hidden(raw: str, plain: str) -> None:
    assert strip_hidden(raw) == plain


def test_ten_thousand_smuggled_texts_are_plain_again() -> None:
    draw = random.Random(1)
    for _ in range(10_000):
        words = "".join(draw.choice("abcdef GHI 123 .,!") for _ in range(draw.randrange(1, 30)))
        hidden = list(words)
        for _ in range(draw.randrange(1, 12)):
            hidden.insert(draw.randrange(len(hidden) + 1), chr(draw.choice(NAMED)))
        assert strip_hidden("".join(hidden)) == words


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from([*map(chr, NAMED[::7]), *"ab1#\x1b[]m\x07\u0915\u0937\u2764\u20e3\u845b"]), max_size=20)
    | st.text()
)
def test_twice_is_once_and_nothing_that_shows_goes(text: str) -> None:
    once = strip_hidden(text)
    assert strip_hidden(once) == once
    if "\x1b" not in text and not any("\x80" <= letter <= "\x9f" for letter in text):
        shown = [letter for letter in text if unicodedata.category(letter) not in ("Cc", "Cf", "Mn", "Lo", "Cn")]
        assert [
            letter for letter in once if unicodedata.category(letter) not in ("Cc", "Cf", "Mn", "Lo", "Cn")
        ] == shown
