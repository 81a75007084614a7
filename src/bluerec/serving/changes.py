"""What changed: between two texts, word by word, and between two lists, rank by rank. Pure functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from typing import Literal

from bluerec.serving.ports import Reasoned

Change = Literal["same", "added", "removed"]
_WORDS = re.compile(r"\S+\s*|\s+")
# A profile of 650 words of prose, a fifth of them changed, takes 43,000. As many as this take 10 to 20 ms.
_MOST_PAIRS = 150_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of words that stayed, came or went."""

    change: Change
    text: str


@dataclass(frozen=True, slots=True)
class Move:
    """A place of the new list: `before` is the rank in the old one, None where the item is new to it."""

    row: Reasoned
    before: int | None

    @property
    def direction(self) -> Literal["new", "up", "down", "same"]:
        if self.before is None:
            return "new"
        return "up" if self.row.rank < self.before else "down" if self.row.rank > self.before else "same"

    @property
    def label(self) -> str:
        """For people and screen readers: `new`, `up 3, from 5`, `unchanged`."""
        if self.before is None:
            return "new"
        if self.direction == "same":
            return "unchanged"
        return f"{self.direction} {abs(self.row.rank - self.before)}, from {self.before}"


def diff_words(old: str, new: str) -> list[Piece]:
    """The words of both texts in reading order, each marked as kept, added or removed.

    Where they are too dear to compare, what lies between their common beginning and end is removed and added whole.
    """
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    old_words, new_words = ([word.strip() for word in words] for words in (before, after))
    head = _count_shared(old_words, new_words)
    tail = _count_shared(old_words[head:][::-1], new_words[head:][::-1])
    old_end, new_end = len(before) - tail, len(after) - tail
    opcodes = _Matcher(old_words[head:old_end], new_words[head:new_end]).get_opcodes()
    pieces = [Piece("same", "".join(after[:head]))]
    for kind, i, j, m, n in opcodes:
        if kind == "equal":
            pieces.append(Piece("same", "".join(after[head + m : head + n])))
            continue
        pieces.append(Piece("removed", "".join(before[head + i : head + j])))
        pieces.append(Piece("added", "".join(after[head + m : head + n])))
    pieces.append(Piece("same", "".join(after[new_end:])))
    return [piece for piece in pieces if piece.text]


class _Matcher(SequenceMatcher[str]):
    """Finds what two lists of words share, and gives up what is left once it has looked at `_MOST_PAIRS`.

    Each search looks at all pairs of equal words in its part: "a a a ..." has as many as there are words in the one
    times words in the other, and a search finds only one run of them.
    """

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, old, new, autojunk=False)
        equal = Counter(new)
        self._n_pairs = [1 + equal[word] for word in old]
        self._left = _MOST_PAIRS

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        self._left -= sum(self._n_pairs[alo:ahi])
        return super().find_longest_match(alo, ahi, blo, bhi) if self._left >= 0 else Match(alo, blo, 0)


def _count_shared(old: Sequence[str], new: Sequence[str]) -> int:
    """How many words both begin with."""
    return next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def find_moves(old: Sequence[Reasoned], new: Sequence[Reasoned]) -> list[Move]:
    """Each item of the new list with its rank in the old one."""
    ranks = {row.item.item_id: row.rank for row in old}
    return [Move(row, ranks.get(row.item.item_id)) for row in new]


def find_gone(old: Sequence[Reasoned], new: Sequence[Reasoned]) -> list[Reasoned]:
    """The items of the old list that the new one lacks."""
    kept = {row.item.item_id for row in new}
    return [row for row in old if row.item.item_id not in kept]
