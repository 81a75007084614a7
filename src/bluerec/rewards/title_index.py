"""Which catalogue titles a text names: the index behind the `foreign_title` measure.

What counts as a title is decided once, when the index is built, so that a description such as "racing games for
PlayStation 4" or "a curling iron" raises no alarm although items of that name are for sale:

1. A title is cut at its first bracket or spaced dash ("Nightshade - PlayStation 2" becomes "Nightshade") and to its
   first six words, unless too little would be left; letter case, accents and punctuation do not matter.
2. It must keep at least two content words (neither stop words nor single letters), one of them of four letters or
   more. "Journey", "The Punisher" and "Wii" are never looked for: as words of a description they mean something else.
3. A phrase that occurs in many titles (more than one in a thousand, at least five) is a series, a maker or a kind
   of thing, not one title: "Star Wars", "Xbox 360", "Gaming Headset".
4. Titles of two or three words count only where the text writes every content word with a capital or a digit;
   from four words on the case is free.

So the measure errs on the side of silence: it misses one-word titles and short titles in small letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

MAX_WORDS = 6
FREE_CASE_WORDS = 4
MIN_SERIES_TITLES = 5
SERIES_SHARE = 0.001

_STOP_WORDS = re.compile(
    r"a|an|and|are|as|at|be|by|for|from|in|into|is|it|its|my|no|not|of|off|on|or|our|out|over|that|the|their|they|this|"
    r"to|up|us|vs|was|we|what|when|who|will|with|you|your|new|one|two|set|pack"
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CUT = re.compile(r"\s+[-–—|]\s+|[(\[{]")

Words = tuple[str, ...]


def find_words(text: str) -> list[str]:
    """Words as written, apostrophes inside a word dropped: "Assassin's Creed II" gives Assassins, Creed, II."""
    return [match.replace("'", "").replace("’", "") for match in _WORD.findall(text)]


def normalise_words(text: str) -> Words:
    """Words in one spelling: no case, no accents."""
    return tuple(_fold(word) for word in find_words(text))


def n_grams(words: Sequence[str], n: int) -> list[Words]:
    """All runs of `n` words, in order, repeats included."""
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


class TitleIndex:
    """The titles of a catalogue that a text could name. Building takes about a second per 20,000 titles."""

    def __init__(self, titles: Iterable[str]) -> None:
        all_words = [normalise_words(title) for title in titles_list(titles)]
        cut_words = [_cut_title(title) for title in titles_list(titles)]
        named = {words for words in cut_words if _is_distinctive(words)}
        counts: Counter[Words] = Counter()
        for words in all_words:
            counts.update({phrase for phrase in _phrases(words) if phrase in named})
        limit = max(MIN_SERIES_TITLES, int(SERIES_SHARE * len(all_words)))
        self._titles = frozenset(words for words in named if counts[words] <= limit)

    def __len__(self) -> int:
        return len(self._titles)

    def find(self, text: str) -> tuple[str, ...]:
        """Titles named in a text, normalised, in order; of overlapping ones the first and longest."""
        written = find_words(text)
        words = tuple(_fold(word) for word in written)
        found = []
        start = 0
        while start < len(words):
            length = self._match(words, written, start)
            if length:
                found.append(" ".join(words[start : start + length]))
            start += max(length, 1)
        return tuple(found)

    def find_foreign(self, text: str, history_titles: Sequence[str]) -> tuple[str, ...]:
        """Titles named in a text that are part of no title of the history: naming a series of the history is fine."""
        mentions = self.find(text)
        if not mentions:
            return ()
        known = [f" {' '.join(normalise_words(title))} " for title in history_titles]
        return tuple(mention for mention in mentions if not any(f" {mention} " in title for title in known))

    def _match(self, words: Words, written: Sequence[str], start: int) -> int:
        for length in range(min(MAX_WORDS, len(words) - start), 1, -1):
            phrase = words[start : start + length]
            if phrase in self._titles and (
                length >= FREE_CASE_WORDS or _is_written_as_name(written[start : start + length])
            ):
                return length
        return 0


def titles_list(titles: Iterable[str]) -> list[str]:
    """Distinct titles in order: a title sold under two ids is one title."""
    return list(dict.fromkeys(titles))


def _fold(word: str) -> str:
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _cut_title(title: str) -> Words:
    for part in (_CUT.split(title, maxsplit=1)[0], title):
        words = normalise_words(part)[:MAX_WORDS]
        if _is_distinctive(words):
            return words
    return ()


def _is_content(word: str) -> bool:
    return not _STOP_WORDS.fullmatch(word) and (len(word) > 1 or word.isdigit())


def _is_distinctive(words: Words) -> bool:
    content = [word for word in words if _is_content(word)]
    return len(content) >= 2 and any(len(word) >= 4 and word.isalpha() for word in content)


def _is_written_as_name(written: Sequence[str]) -> bool:
    return all(word[0].isupper() or word[0].isdigit() for word in written if _is_content(_fold(word)))


def _phrases(words: Words) -> Iterator[Words]:
    for n in range(2, MAX_WORDS + 1):
        yield from n_grams(words, n)
