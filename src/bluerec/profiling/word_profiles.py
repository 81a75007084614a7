"""A profile by rule: the most frequent words and categories of a history, for where no model shall write or may."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from bluerec.data.instructions import is_instruction
from bluerec.profiling.prompts import MAX_TITLE_CHARACTERS, is_withheld
from bluerec.types import Item

N_WORDS = 10
N_CATEGORIES = 3
TEMPLATE_WRITER = "template"
_WORD = re.compile(r"[^\W\d_][\w'&-]{2,}")
# fmt: off
STOP_WORDS = frozenset((
    "and", "the", "for", "with", "from", "your", "you", "new", "set", "pack", "not", "all", "edition", "inch", "size",
    "black", "white", "count", "ounce", "ounces", "amp", "one", "two", "are", "its", "our", "this", "that",
))
# fmt: on


def compose_profile(items: Iterable[Item]) -> str:
    """The most frequent title words, one count an item, then categories; of equal counts the latest stands first.

    Titles and categories that look like instructions to a model are not counted.
    """
    words: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    read = [item for item in items if not _talks(item.title)]
    for item in reversed(read):  # a Counter keeps the order of first sight, and so the latest first
        found = [word for word in _WORD.findall(item.title) if word.casefold() not in STOP_WORDS]
        words.update({word.casefold(): 1 for word in found})
        names = (*item.categories, *([item.brand] if item.brand else []))
        categories.update(dict.fromkeys((name for name in names if not _talks(name)), 1))
    parts = []
    if words:
        parts.append(f"Interested in {', '.join(word for word, _ in words.most_common(N_WORDS))}.")
    if categories:
        parts.append(f"Buys {', '.join(name for name, _ in categories.most_common(N_CATEGORIES))}.")
    return " ".join(parts) or "Nothing is known."


def _talks(text: str) -> bool:
    """Whether a text talks to a model, whole or as a prompt would quote it."""
    return is_instruction(text) or is_withheld(text, MAX_TITLE_CHARACTERS)
