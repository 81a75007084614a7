"""The words of a text that are written in Latin letters, in whatever forms these come.

Accents go, letters that stand for a Latin one (wide, bold, circled, small capitals, strokes) become it, and what looks
like one in a word of Latin letters is read as it; letters parted by points or spaces are one word. Words of Cyrillic
or Greek letters alone are none of ours; letters of all other scripts part words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bluerec.data.instructions import LOOKALIKES

JOINERS = "-._'*~+/|\u2019\u00b7\u2022\u2010\u2011\u2013"
# So many short pieces in a row are one word that was taken apart; fewer are "Wi-Fi".
_MIN_PIECES, _MAX_PIECE = 3, 2
_MIN_SPACED = 4
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_LATIN_LETTER = re.compile(r"\bLATIN\b.* (?:LETTER|CAPITAL) ([A-Z])\b")
_HAS_LETTER = re.compile(r"[^\W\d_]")
_LATIN, _ALIKE, _FOREIGN, _MARK, _OTHER = range(5)


@dataclass(frozen=True, slots=True)
class LatinWord:
    """A word at `start` to `end` of a text, and how it reads in small letters without accents."""

    start: int
    end: int
    folded: str


def find_latin_words(text: str) -> list[LatinWord]:
    """The words with a Latin letter, and numbers, in their order."""
    if text.isascii():
        found = [LatinWord(*match.span(), match.group()) for match in _ASCII_WORD.finditer(text.lower())]
    else:
        found = list(_find(text))
    return list(_join(text, found))


def has_other_letters(text: str) -> bool:
    """Whether there is a letter that belongs to no Latin word."""
    if text.isascii():
        return False
    inside = {place for word in find_latin_words(text) for place in range(word.start, word.end)}
    return any(letter.isalpha() and place not in inside for place, letter in enumerate(text))


def _find(text: str) -> Iterator[LatinWord]:
    start: int | None = None
    letters: list[str] = []
    kinds: set[int] = set()
    for place, letter in enumerate(f"{text} "):
        kind, folded = _read_letter(letter)
        if kind in (_LATIN, _ALIKE):
            start = place if start is None else start
            letters.append(folded)
            if kind == _ALIKE or not folded.isdigit():
                kinds.add(kind)
        elif start is not None and kind != _MARK:
            if _LATIN in kinds or not kinds:  # "100" with a Cyrillic unit is no word of ours
                word = "".join(letters)
                yield LatinWord(start, place, word.translate(LOOKALIKES) if _ALIKE in kinds else word)
            start, letters, kinds = None, [], set()


@lru_cache(maxsize=16_384)
def _read_letter(letter: str) -> tuple[int, str]:
    """Of what kind a letter is, and how it is read."""
    category, name = unicodedata.category(letter), unicodedata.name(letter, "")
    if category in ("Mn", "Me", "Cf"):
        return _MARK, ""
    if category[0] in "LN":
        plain = "".join(map(_name_letter, unicodedata.normalize("NFKD", letter)))
        if plain.isascii() and plain.isalnum():
            return _LATIN, plain
        if category == "Nd":
            return _LATIN, str(unicodedata.decimal(letter))
        if name.startswith("LATIN "):
            return _LATIN, letter.casefold()
        return (_ALIKE, letter.casefold()) if name.startswith(("CYRILLIC ", "GREEK ")) else (_FOREIGN, "")
    named = _name_letter(letter)
    return (_LATIN, named) if named.isascii() and named.isalnum() else (_OTHER, "")


def _name_letter(letter: str) -> str:
    """The plain small letter that a letter is by its name, nothing for a mark."""
    if letter.isascii():
        return letter.lower() if letter.isalnum() else ""
    if unicodedata.category(letter) == "Mn" or letter == "\u2044":  # the slash in a fraction
        return ""
    found = _LATIN_LETTER.search(unicodedata.name(letter, ""))
    return found[1].lower() if found else letter.casefold()


def _join(text: str, words: list[LatinWord]) -> Iterator[LatinWord]:
    """Pieces that were one word before somebody took it apart, as one."""
    place = 0
    while place < len(words):
        end = max(
            _follow(text, words, place, _MAX_PIECE, JOINERS, _MIN_PIECES),
            _follow(text, words, place, 1, " ", _MIN_SPACED),
        )
        pieces = words[place:end]
        yield LatinWord(pieces[0].start, pieces[-1].end, "".join(piece.folded for piece in pieces))
        place = end


def _follow(text: str, words: list[LatinWord], first: int, longest: int, joiners: str, at_least: int) -> int:
    """The end of the run of short pieces that starts at `first`, if it is long enough, else the next word."""
    end = first
    while end < len(words) and _is_piece(words[end], longest):
        end += 1
        if end == len(words) or not (
            words[end].start == words[end - 1].end + 1 and text[words[end].start - 1] in joiners
        ):
            break
    return end if end - first >= at_least else first + 1


def _is_piece(word: LatinWord, longest: int) -> bool:
    return len(word.folded) <= longest and _HAS_LETTER.search(word.folded) is not None
