"""Profiles put together by rule, as examples to learn the form from: what was taken lately, and what may come next.

A small model has never seen a profile that retrieves. These are true by construction: the first part names products
of the history by the heads of their titles, the second names what others took after them. They are labels of train
users; the profiler that has learnt from them sees the history alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.evaluation.rankers import CooccurrenceRanker
from bluerec.profiling.embedders import render_item_text
from bluerec.rewards.title_index import TitleIndex
from bluerec.types import Embedder, Float32Array, IntArray

# Words of a title's head, the latest item first: recent items count more (the harmonic history vector says the same).
HEAD_WORDS = (6, 4, 4)
# Words tried for what may come next; shorter ones where a longer one would name one title of the catalogue.
NEXT_WORDS = (6, 4, 3, 2)
N_NEXT = 2
# What may come next is chosen among this many likely items, by closeness to what did.
N_LIKELY = 6
_CHUNK = 512
_BRACKETS = re.compile(r"[\[({<][^\])}>]*[\])}>]?")
_HEAD_END = re.compile(r"\s+[-–—|/]\s+|:\s|[,;|]|\s{2,}")
_TRAILING = re.compile(r"(?:\W|\b(?:a|an|and|by|for|from|in|of|on|or|the|to|with)\b)+$", re.IGNORECASE)
_PLATFORM = re.compile(
    r"\b(?:nintendo (?:switch|64|3ds|ds|wii u|wii)|wii u|wii|new 3ds|3ds|ds|play ?station ?(?:[1-5]|vita|portable)|"
    r"ps ?vita|ps[1-5]|psp|xbox (?:360|one|series x)|xbox|gamecube|game ?boy (?:advance|color)|game ?boy|dreamcast|"
    r"genesis|pc|mac)\b",
    re.IGNORECASE,
)


def name_product(title: str, n_words: int) -> str:
    """The head of a title, at most `n_words` words, with the platform it is for; empty for an empty title.

    "Halo 3: Limited Edition - Xbox 360" gives "Halo 3 for Xbox 360". Platforms are known for video games only.
    """
    text = _BRACKETS.sub(" ", title).strip()
    head = _HEAD_END.split(text, maxsplit=1)[0]
    head = _TRAILING.sub("", " ".join(head.split()[:n_words]))
    platform = _PLATFORM.search(title)
    if head and platform and platform.group().casefold() not in head.casefold():
        return f"{head} for {platform.group()}"
    return head


class ProfileComposer:
    """Composes profiles of the form "likes A, B and C, and may want D or E next."."""

    def __init__(self, table: ExampleTable, embedder: Embedder, item_vectors: Float32Array, index: TitleIndex) -> None:
        """`table` tells which events may be counted; `item_vectors` (n_items, d)."""
        self._table = table
        self._embedder = embedder
        self._vectors = item_vectors
        self._index = index
        self._cooccurrence = CooccurrenceRanker(table)

    def compose(self, table: ExampleTable) -> list[str]:
        """One continuation of the prefill "This shopper likes" per example; the target of each must be known."""
        texts: list[str] = []
        for start in range(0, len(table), _CHUNK):
            texts += self._compose_part(table.take(np.arange(start, min(start + _CHUNK, len(table)))))
        return texts

    def _compose_part(self, table: ExampleTable) -> list[str]:
        scores = self._cooccurrence.score(table)
        options = []
        for row in range(len(table)):
            history = table.history_rows(row)
            scores[row, history] = 0.0
            likely = np.argsort(-scores[row], kind="stable")[:N_LIKELY]
            options.append(self._name_next(likely[scores[row, likely] > 0], history))
        distinct = sorted({phrase for phrases in options for phrase in phrases})
        row_of = {phrase: row for row, phrase in enumerate(distinct)}
        vectors = self._embedder.embed(distinct, "profile") if distinct else self._vectors[:0]
        texts = []
        for row, phrases in enumerate(options):
            target = self._vectors[table.target_rows[row]]
            nearest = sorted(phrases, key=lambda phrase: -float(vectors[row_of[phrase]] @ target))[:N_NEXT]
            texts.append(_join(self._name_history(table, row), nearest))
        return texts

    def _name_history(self, table: ExampleTable, row: int) -> list[str]:
        latest_first = table.history_rows(row)[::-1]
        names = (
            name_product(self._title(item), n_words) for item, n_words in zip(latest_first, HEAD_WORDS, strict=False)
        )
        return list(dict.fromkeys(name for name in names if name))

    def _name_next(self, likely: IntArray, history: IntArray) -> list[str]:
        """Names of the likely items that are no single foreign title, and not what the history shows already."""
        known = [self._title(item) for item in history]
        shown = {name_product(title, n_words).casefold() for title in known for n_words in NEXT_WORDS}
        names = []
        for item in likely:
            # The kind of product where every name of it would be one title's.
            kinds = self._table.dataset.item(int(item)).categories[-1:]
            candidates = [*(name_product(self._title(item), n_words) for n_words in NEXT_WORDS), *kinds]
            name = next((name for name in candidates if name and not self._index.find_foreign(name, known)), "")
            if name and name.casefold() not in shown:
                names.append(name)
        return list(dict.fromkeys(names))

    def _title(self, item: int) -> str:
        return self._table.dataset.titles[int(item)] or render_item_text(self._table.dataset.item(int(item)))


def _join(liked: Sequence[str], coming: Sequence[str]) -> str:
    head, last = liked[:-1], liked[-1:]
    text = " " + (f"{', '.join(head)} and {last[0]}" if head else "".join(last) or "little that is known")
    return f"{text}, and may want {' or '.join(coming)} next." if coming else f"{text}."
