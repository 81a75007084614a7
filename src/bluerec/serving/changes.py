"""What changed: between two texts, word by word, and between two lists, rank by rank. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from bluerec.serving.ports import Reasoned

Change = Literal["same", "added", "removed"]
_WORDS = re.compile(r"\S+\s*|\s+")


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
    """The words of both texts in reading order, each marked as kept, added or removed."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    old_words, new_words = ([word.strip() for word in words] for words in (before, after))
    pieces: list[Piece] = []
    for kind, i, j, m, n in SequenceMatcher(None, old_words, new_words, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(after[m:n])))
            continue
        if j > i:
            pieces.append(Piece("removed", "".join(before[i:j])))
        if n > m:
            pieces.append(Piece("added", "".join(after[m:n])))
    return pieces


def find_moves(old: Sequence[Reasoned], new: Sequence[Reasoned]) -> list[Move]:
    """Each item of the new list with its rank in the old one."""
    ranks = {row.item.item_id: row.rank for row in old}
    return [Move(row, ranks.get(row.item.item_id)) for row in new]


def find_gone(old: Sequence[Reasoned], new: Sequence[Reasoned]) -> list[Reasoned]:
    """The items of the old list that the new one lacks."""
    kept = {row.item.item_id for row in new}
    return [row for row in old if row.item.item_id not in kept]
