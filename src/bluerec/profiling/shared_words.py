"""Words that a model may read in texts of strangers: those that several items bear, and those of the language.

A profile repeats names, and a name in a title is whatever its seller put there. A made-up word that one item alone has
says nothing of a taste (part numbers, brands that nobody else sells) and may be all that an attacker wants to place; a
rare word of a review may be a person's. Neither is shown to what writes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bluerec.errors import MissingExtraError, ModelError
from bluerec.profiling.prompts import (
    MAX_CATEGORY_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    is_review_withheld,
    is_withheld,
)  # fmt: skip
from bluerec.types import Event, History, Item

# What stores ask for. Two listings are made in a minute, and few products have less than three in a real catalogue.
STORE_WORD_SUPPORT = 3
MAX_PIECES = 2
MIN_CHARACTERS = 3
_VOCABULARY_OF = "all-MiniLM-L6-v2"
_MAX_READ_CHARACTERS = 1_000
# Letters of other scripts part words: their words are not judged, see docs/serving.md.
_WORD = re.compile(r"([a-z0-9\u00df-\u00f6\u00f8-\u024f]+)(?:['\u2019]s\b)?")
# Numbers, and numbers with a unit ("125ml", "1080p").
_NUMBER = re.compile(r"\d+(?:[a-z]{1,3}\d?)?")
_OTHER_SCRIPT = re.compile(r"[^\W\d_\u0000-\u024f]")
_ALNUM = re.compile(r"[^\W_]")


class SharedWords:
    """Takes the words out of texts that fewer than some number of items bear, unless they are ordinary.

    Words are runs of Latin letters and digits, at least three long; letters of other scripts are left alone, and so are
    numbers. `is_ordinary` gets a word in small letters.
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
            bearers.update(set(_WORD.findall(_fold(" ".join((item.title, item.brand or "", *item.categories))))))
        shared = frozenset(word for word, n_items in bearers.items() if n_items >= support)
        return cls(shared, support, is_ordinary or load_ordinary_words())

    def knows(self, word: str) -> bool:
        """Whether a word, in small letters, may be read."""
        return (
            len(word) < MIN_CHARACTERS
            or word in self._shared
            or _NUMBER.fullmatch(word) is not None
            or self._is_ordinary(word)
        )

    def trim_text(self, text: str) -> str:
        """The text without what may not be read; a text of known words comes back as it is."""
        if all(self.knows(word) for word in _WORD.findall(_fold(text))):
            return text
        kept = " ".join(filter(None, map(self._trim_chunk, text.split())))
        return kept if any(map(_can_name, _WORD.findall(_fold(kept)))) or _OTHER_SCRIPT.search(kept) else ""

    def _trim_chunk(self, chunk: str) -> str:
        """A chunk between spaces; punctuation that has lost its word goes with it."""
        folded = _fold(chunk)
        if len(folded) != len(chunk):  # a letter that has no single small one: judged as a whole
            return chunk if all(self.knows(word) for word in _WORD.findall(folded)) else ""
        kept, end = [], 0
        for found in _WORD.finditer(folded):
            if not self.knows(found[1]):
                kept.append(chunk[end : found.start()])
                end = found.end()
        if not end:
            return chunk
        rest = "".join((*kept, chunk[end:]))
        return rest.strip("-_/&+.*#'") if _ALNUM.search(rest) else ""

    def trim(self, history: History) -> History:
        """A history whose titles, brands, categories and reviews have known words only.

        But for texts that a prompt withholds as instructions: they stay whole, to be withheld whole and counted.
        """
        return replace(history, events=tuple(map(self._trim_event, history.events)))

    def _trim_event(self, event: Event) -> Event:
        item, interaction = event.item, event.interaction
        trimmed = replace(
            item,
            title=self._trim_name(item.title, MAX_TITLE_CHARACTERS),
            brand=item.brand and self._trim_name(item.brand, MAX_TITLE_CHARACTERS),
            categories=tuple(
                filter(None, (self._trim_name(category, MAX_CATEGORY_CHARACTERS) for category in item.categories))
            ),
        )
        if not interaction.review_title and not interaction.review_text:
            return Event(interaction, trimmed)
        return Event(
            replace(
                interaction,
                review_title=self._trim_review(interaction.review_title),
                review_text=self._trim_review(interaction.review_text),
            ),
            trimmed,
        )

    def _trim_name(self, text: str, n_characters: int) -> str:
        return text if is_withheld(text, n_characters) else self.trim_text(text)

    def _trim_review(self, text: str | None) -> str | None:
        return text if not text or is_review_withheld(text) else self.trim_text(text[:_MAX_READ_CHARACTERS])


def load_ordinary_words() -> Callable[[str], bool]:
    """Whether a word has at most two pieces in the vocabulary of the embedded embedder, most of which is English.

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
        return len(tokenizer.encode(word, add_special_tokens=False).ids) <= MAX_PIECES

    return is_ordinary


def _can_name(word: str) -> bool:
    """Whether a word that is left can stand for an item by itself, as an article or a number cannot."""
    return len(word) > MIN_CHARACTERS and not _NUMBER.fullmatch(word)


def _fold(text: str) -> str:
    """Small letters; wide, bold and raised ones in their plain forms. Most texts keep their length."""
    if text.isascii():
        return text.lower()
    return "".join(map(_plain, text)).lower()


@lru_cache(maxsize=4_096)
def _plain(letter: str) -> str:
    """The one Latin letter or digit that a letter stands for, or the letter itself."""
    normal = unicodedata.normalize("NFKC", letter)
    return normal if len(normal) == 1 and normal.isascii() and normal.isalnum() else letter
