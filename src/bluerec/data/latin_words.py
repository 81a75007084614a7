"""The words of a text that are written in Latin letters, in whatever forms these come.

Accents go, letters that stand for a Latin one (wide, bold, circled, small capitals, strokes) become it, and what looks
like one in a word of Latin letters is read as it; pieces of a word that are parted by points, spaces or whatever else
are one word. Words that have no Latin letter are none of ours; letters of scripts without spaces part words, all others
do not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bluerec.data.instructions import LOOKALIKES

# A word that was taken apart: so many pieces of one or two letters, with so little between them.
_MIN_PIECES, _MAX_PIECE, _MIN_LETTERS, _MAX_GAP = 3, 2, 5, 4
# Short words that stand beside each other in any text.
_SHORT_WORDS = frozenset((
    "a", "ad", "ah", "am", "an", "as", "at", "be", "by", "cd", "do", "dr", "eg", "et", "go", "ha", "he", "hi",
    "i", "id", "ie", "if", "in", "is", "it", "la", "le", "me", "mr", "ms", "my", "no", "of", "oh", "ok", "on", "or",
    "pc", "ps", "re", "so", "st", "tv", "uk", "up", "us", "vs", "we", "xl", "ye",
))  # fmt: skip
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_LATIN_LETTER = re.compile(r"\b(?:LATIN|REGIONAL INDICATOR SYMBOL)\b.* (?:LETTER|CAPITAL) ([A-Z])\b")
# Their words stand beside Latin ones without a space, or with endings of their own.
_WITHOUT_SPACES = (
    "CJK ",
    "HIRAGANA ",
    "KATAKANA ",
    "HANGUL ",
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
    "BOPOMOFO ",
    "TIBETAN ",
)
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
    return list(_join(found))


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
    plain = (
        "".join(map(_name_letter, unicodedata.normalize("NFKD", letter))) if category != "So" else _name_letter(letter)
    )
    if plain.isascii() and plain.isalnum():
        return _LATIN, plain
    if category in ("Mn", "Me", "Cf", "Lm"):
        return _MARK, ""
    if category == "Nd":
        return _LATIN, str(unicodedata.decimal(letter))
    if category[0] not in "LN":
        return _OTHER, ""
    if name.startswith("LATIN "):
        return _LATIN, letter.casefold()
    return (_FOREIGN, "") if name.startswith(_WITHOUT_SPACES) else (_ALIKE, letter.casefold())


def _name_letter(letter: str) -> str:
    """The plain small letter that a letter is by its name, nothing for a mark."""
    if letter.isascii():
        return letter.lower() if letter.isalnum() else ""
    found = _LATIN_LETTER.search(unicodedata.name(letter, ""))
    if found:
        return found[1].lower()
    return "" if unicodedata.category(letter) in ("Mn", "Sm") else letter.casefold()


def _join(words: list[LatinWord]) -> Iterator[LatinWord]:
    """Pieces that were one word before somebody took it apart, as one."""
    place = 0
    while place < len(words):
        end = place
        while end < len(words) and _is_piece(words[end]) and (end == place or _is_near(words[end - 1], words[end])):
            end += 1
        pieces = words[place:end]
        if _is_apart([piece.folded for piece in pieces]):
            yield LatinWord(pieces[0].start, pieces[-1].end, "".join(piece.folded for piece in pieces))
        else:
            end = max(end, place + 1)
            yield from words[place:end]
        place = end


def _is_apart(pieces: list[str]) -> bool:
    long_enough = len(pieces) >= _MIN_PIECES and sum(map(len, pieces)) >= _MIN_LETTERS
    return long_enough and not _SHORT_WORDS.issuperset(pieces)


def _is_piece(word: LatinWord) -> bool:
    return len(word.folded) <= _MAX_PIECE and word.folded.isalpha()


def _is_near(last: LatinWord, following: LatinWord) -> bool:
    return following.start - last.end <= _MAX_GAP
