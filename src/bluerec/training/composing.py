"""Profiles put together by rule, as examples to learn the form from: what was taken lately, and what may come next.

A small model has never seen a profile that retrieves. These are true by construction: the first part names products
of the history by the heads of their titles, the second names what others took beside them. They are examples of train
users; the profiler that has learnt from them sees the history alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.evaluation.rankers import CooccurrenceRanker
from bluerec.profiling.embedders import render_item_text
from bluerec.rewards.title_index import TitleIndex
from bluerec.types import IntArray

# Words of a title's head, the latest item first: recent items count more (the harmonic history vector says the same).
HEAD_WORDS = (6, 4, 4, 4, 4)
# How a profile begins where the template puts no such words into the model's mouth.
OPENING = "This person likes"
# Words tried for what may come next; shorter ones where a longer one would name one title of the catalogue.
NEXT_WORDS = (6, 4, 3, 2)
N_NEXT = 2
# What may come next is looked for among this many likely items: not all have a name that fits.
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

    def __init__(
        self,
        table: ExampleTable,
        index: TitleIndex,
        fits: Callable[[str], bool] = lambda text: True,
        *,
        prefill: str,
        n_next: int = N_NEXT,
    ) -> None:
        """`table` tells which events may be counted; of a text that does not fit, the oldest products are left out.

        `prefill` is the template's beginning of a profile, which a text goes on from; without one it is a sentence by
        itself. `n_next` is how many products it says may come next; 0 leaves the history alone.
        """
        self._table = table
        self._opening = " " if prefill else f"{OPENING} "
        self._n_next = n_next
        self._index = index
        self._fits = fits
        self._cooccurrence = CooccurrenceRanker(table)

    def compose(self, table: ExampleTable) -> list[str]:
        """One profile per example, from its history alone, less the prefill."""
        texts: list[str] = []
        for start in range(0, len(table), _CHUNK):
            texts += self._compose_part(table.take(np.arange(start, min(start + _CHUNK, len(table)))))
        return texts

    def _compose_part(self, table: ExampleTable) -> list[str]:
        scores = self._cooccurrence.score(table)
        texts = []
        for row in range(len(table)):
            history = table.history_rows(row)
            scores[row, history] = 0.0
            likely = np.argsort(-scores[row], kind="stable")[:N_LIKELY]
            coming = self._name_next(likely[scores[row, likely] > 0], history)[: self._n_next]
            texts.append(self._join(self._name_history(history), coming))
        return texts

    def _name_history(self, history: IntArray) -> list[str]:
        latest_first = history[::-1]
        names = (
            name_product(self._title(item), n_words) for item, n_words in zip(latest_first, HEAD_WORDS, strict=False)
        )
        return list(dict.fromkeys(name for name in names if name))

    def _join(self, liked: Sequence[str], coming: Sequence[str]) -> str:
        text = self._opening + _join(liked, coming)
        return text if len(liked) < 2 or self._fits(text) else self._join(liked[:-1], coming)

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
    text = f"{', '.join(head)} and {last[0]}" if head else "".join(last) or "little that is known"
    return f"{text}, and may want {' or '.join(coming)} next." if coming else f"{text}."
