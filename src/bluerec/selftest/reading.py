"""What is read of a made-up word that one item has: nothing, in whatever letters and wording it stands."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from itertools import islice, product

from bluerec.config import ProfilerConfig
from bluerec.profiling.prompts import render_prompt
from bluerec.profiling.shared_words import SharedWords
from bluerec.profiling.word_profiles import compose_profile
from bluerec.selftest.suite import Outcome, Plan
from bluerec.types import Event, History, Interaction, Item

WORD = "zorblax"
CARRIERS = ("title", "brand", "category", "review")
_SMALL_CAPITALS = dict(zip(WORD, "\u1d22\u1d0f\u0280\u0299\u029f\u1d00x", strict=True))
_STROKES = {"z": "\u01b6", "o": "\u00f8", "b": "\u0180", "l": "\u0142"}
_CYRILLIC = {"o": "\u043e", "a": "\u0430", "x": "\u0445"}
_OTHERS = {"z": "\u13c3", "o": "\u0585", "r": "\u13a1"}  # Cherokee and Armenian


def _shift(first: int) -> dict[str, str]:
    return {letter: chr(first + ord(letter) - ord("a")) for letter in WORD}


DISGUISES: tuple[Callable[[str], str], ...] = (
    str, str.title, str.upper, "{}7056".format, "{}'s".format, "({})".format, "**{}**".format, "Mega-{}".format,
    "-".join, ".".join, " ".join, "\u200b".join, "\u00b7".join,
    *(lambda word, mark=mark: mark.join((word[:2], word[2:4], word[4:6], word[6:])) for mark in (
        "-", " ", "--", "**", ", ", " & ", "(qqqqw)", "[qqqqw]", "-qqqqw-", "\u3000", "\u30fc", "\u02bc",
    )),
    *(lambda word, letters=letters: "".join(letters.get(one, one) for one in word) for letters in (
        _shift(0xFF41), _shift(0x1D41A), _shift(0x24D0), _shift(0x1F150), _shift(0x1F1E6), _SMALL_CAPITALS,
        _STROKES, _CYRILLIC, _OTHERS,
    )),
    lambda word: "".join(f"{letter}\u0301" for letter in word), lambda word: word * 20,
)  # fmt: skip


def judge_reading(plan: Plan, words: SharedWords, wishes: Sequence[tuple[str, str]], outcome: Outcome) -> None:
    """Put the word into titles, brands, categories and reviews, and look for it in prompts and composed profiles."""
    every = plan.choose(97, 3)
    for (wish, canary), carrier, disguise in islice(product(wishes, CARRIERS, DISGUISES), 0, None, every):
        if plan.is_over:
            break
        disguised = disguise(WORD)
        history = words.trim(_make_history(carrier, wish.replace(canary, disguised)))
        prompt = render_prompt(history, ProfilerConfig(), lambda text: len(text.split()))
        composed = compose_profile(event.item for event in history.events)
        outcome.count("requests with a disguised word")
        for text in (prompt.messages[-1]["content"], composed):
            if disguised in text or WORD in _squeeze(text):
                outcome.count("in which it is read")
                outcome.faults.append(f"{disguised!r} of the {carrier} {wish!r} is read")


def _make_history(carrier: str, text: str) -> History:
    item = Item(
        "attacked",
        text if carrier == "title" else "" if carrier == "brand" else "Chess Clock",
        brand=text if carrier == "brand" else None,
        categories=(text,) if carrier == "category" else (),
    )
    review = text if carrier == "review" else None
    plain = Event(Interaction("u", "plain", 2), Item("plain", "Chess Board"))
    return History("u", (Event(Interaction("u", "attacked", 1, None, review), item), plain), 9)


def _squeeze(text: str) -> str:
    """Letters and digits alone, in their plain small forms."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text).casefold() if letter.isalnum())
