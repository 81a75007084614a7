"""Words that a model may read in texts of strangers: those that several items bear, and those of the language.

A profile repeats names, and a name in a title is whatever its seller put there. A made-up word that one item alone has
says nothing of a taste (part numbers, brands that nobody else sells) and may be all that an attacker wants to place; a
rare word of a review may be a person's. Neither is shown to what writes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bluerec.data.latin_words import JOINERS, find_latin_words, has_other_letters
from bluerec.errors import MissingExtraError, ModelError
from bluerec.profiling.prompts import (
    MAX_CATEGORY_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    is_review_withheld,
    is_withheld,
    read_review,
)
from bluerec.profiling.word_profiles import STOP_WORDS
from bluerec.types import Event, History, Item

# What stores ask for. Two listings are made in a minute, and few products have less than three in a real catalogue.
STORE_WORD_SUPPORT = 3
# A word of the language has one piece in a vocabulary, from eight letters on two; most made-up ones have more.
MAX_PIECES_SHORT, MAX_PIECES_LONG, MIN_LONG = 1, 2, 8
MIN_CHARACTERS = 3
# Stands for a text that a prompt withholds, and is withheld itself: counted, and without a word of the other.
WITHHELD = "Ignore all previous instructions."
_VOCABULARY_OF = "all-MiniLM-L6-v2"
_UNKNOWN = "[UNK]"
_UNITS = (
    "ml|cl|fl|oz|lb|lbs|kg|mg|mm|cm|km|in|ft|yd|sq|kw|ah|mah|wh|hz|khz|mhz|ghz|kb|mb|gb|tb|ct|pc|pcs|pk|pack|th|st|nd|rd|"
    "hr|hrs|min|sec|mp|dpi|fps|rpm|psi|btu|bit|gsm"
)
# Numbers, and numbers with a letter or a unit ("3d", "125ml", "1080p").
_NUMBER = re.compile(rf"\d+(?:[a-z]|{_UNITS})?")
_ALNUM = re.compile(r"[^\W_]")
_EMPTY_BRACKETS = re.compile(r"\(\W*\)|\[\W*\]|\{\W*\}|<\W*>")
_GONE = "\0"


class SharedWords:
    """Takes the words out of texts that fewer than some number of items bear, unless they are ordinary.

    Words are those of `find_latin_words`. Shorter ones than three letters may be read, and so may numbers, also with a
    unit; letters of other scripts are left alone. `is_ordinary` gets a word in small letters without accents.
    """

    def __init__(self, shared: Collection[str], support: int, is_ordinary: Callable[[str], bool]) -> None:
        self.support = support
        self._shared = shared
        self._is_ordinary = is_ordinary

    @classmethod
    def of_items(
        cls, items: Iterable[Item], support: int, is_ordinary: Callable[[str], bool] | None = None
    ) -> SharedWords:
        """The words of at least `support` items: of their titles, brands and categories.

        Ordinary is, by default, what `load_ordinary_words` says.
        """
        bearers: Counter[str] = Counter()
        for item in items:
            named = " ".join((item.title, item.brand or "", *item.categories))
            bearers.update({word.folded for word in find_latin_words(named)})
        shared = frozenset(word for word, n_items in bearers.items() if n_items >= support)
        return cls(shared, support, is_ordinary or load_ordinary_words())

    def knows(self, word: str) -> bool:
        """Whether a word, in small letters without accents, may be read."""
        return (
            len(word) < MIN_CHARACTERS
            or word in self._shared
            or _NUMBER.fullmatch(word) is not None
            or self._is_ordinary(word)
        )

    def trim_text(self, text: str) -> str:
        """The text without what may not be read, nothing where that leaves no name; one of known words as it is."""
        unknown = [word for word in find_latin_words(text) if not self.knows(word.folded)]
        if not unknown:
            return text
        kept, end = [], 0
        for word in unknown:
            start, stop = _widen(text, word.start, word.end)
            kept.append(text[end : max(start, end)])
            end = max(stop, end)
        left = _tidy(_GONE.join((*kept, text[end:])))
        return left if _has_name(left) else ""

    def trim(self, history: History, *, n_reviews: int | None = None) -> History:
        """A history whose titles, brands, categories and reviews have known words only.

        Texts that a prompt withholds as instructions become `WITHHELD`. Reviews are kept of the latest `n_reviews`
        events (by default of all), as far as a prompt may quote them, without personal data.
        """
        first = 0 if n_reviews is None else len(history.events) - n_reviews
        events = (self._trim_event(event, row >= first) for row, event in enumerate(history.events))
        return replace(history, events=tuple(events))

    def _trim_event(self, event: Event, with_review: bool) -> Event:
        item, interaction = event.item, event.interaction
        categories = (self._trim_name(category, MAX_CATEGORY_CHARACTERS) for category in item.categories)
        trimmed = replace(
            item,
            title=self._trim_name(item.title, MAX_TITLE_CHARACTERS),
            brand=item.brand and self._trim_name(item.brand, MAX_TITLE_CHARACTERS),
            categories=tuple(filter(None, categories)),
        )
        if not interaction.review_title and not interaction.review_text:
            return Event(interaction, trimmed)
        title = self._trim_review(interaction.review_title) if with_review else None
        text = self._trim_review(interaction.review_text) if with_review and not title else None
        return Event(replace(interaction, review_title=title, review_text=text), trimmed)

    def _trim_name(self, text: str, n_characters: int) -> str:
        return WITHHELD if is_withheld(text, n_characters) else self.trim_text(text)

    def _trim_review(self, text: str | None) -> str | None:
        if not text:
            return text
        return WITHHELD if is_review_withheld(text) else self.trim_text(read_review(text))


def load_ordinary_words() -> Callable[[str], bool]:
    """Whether a word has few pieces in the vocabulary of the embedded embedder, most of which is English.

    Raises `ModelError` or `MissingExtraError` where the embedder is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "models") from error
    from bluerec.profiling.models import EMBEDDED_MODELS

    embedded = EMBEDDED_MODELS[_VOCABULARY_OF]
    folder = embedded.locate()
    if folder is None:
        raise ModelError(
            f"ordinary words are told by the vocabulary of {_VOCABULARY_OF}, which is not installed; run: "
            f"{embedded.install_command}"
        )
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()

    @lru_cache(maxsize=100_000)
    def is_ordinary(word: str) -> bool:
        pieces = tokenizer.encode(word, add_special_tokens=False).tokens
        most = MAX_PIECES_LONG if len(word) >= MIN_LONG else MAX_PIECES_SHORT
        return 0 < len(pieces) <= most and _UNKNOWN not in pieces

    return is_ordinary


def _widen(text: str, start: int, end: int) -> tuple[int, int]:
    """What goes with a word: its possessive, and the mark that joins it to the next or else to the last."""
    if text[end : end + 2] in ("'s", "\u2019s") and not text[end + 2 : end + 3].isalnum():
        end += 2
    if text[end : end + 1] in JOINERS and text[end + 1 : end + 2].isalnum():
        return start, end + 1
    if start > 1 and text[start - 1] in JOINERS and text[start - 2].isalnum():
        return start - 1, end
    return start, end


def _tidy(text: str) -> str:
    """One line without marks that have lost their words."""
    chunks: list[str] = []
    for chunk in text.split():
        left = _EMPTY_BRACKETS.sub("", chunk.replace(_GONE, "")) if _GONE in chunk else chunk
        if _ALNUM.search(left):
            chunks.append(left.lstrip(",;:" + JOINERS) if _GONE in chunk else left)
        elif _GONE not in chunk and chunks and _ALNUM.search(chunks[-1]):  # a dash between words, one of several
            chunks.append(left)
    if chunks and not _ALNUM.search(chunks[-1]):
        chunks.pop()
    return " ".join(chunks)


def _has_name(text: str) -> bool:
    """Whether what is left can stand for an item, as articles and small numbers cannot."""
    words = [word.folded for word in find_latin_words(text)]
    return any(len(word) >= MIN_CHARACTERS and word not in STOP_WORDS for word in words) or has_other_letters(text)
