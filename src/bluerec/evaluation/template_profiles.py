"""Profiles by rule: the most frequent words and categories of the history, as a sentence each.

The control for every written profile: what a language model adds must rank above what a word count says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable
from bluerec.data.profiles import PROFILES_SCHEMA
from bluerec.types import Item, Profile

N_WORDS = 10
N_CATEGORIES = 3
TEMPLATE_WRITER = "template"
_WORD = re.compile(r"[^\W\d_][\w'&-]{2,}")
# fmt: off
_STOP_WORDS = frozenset((
    "and", "the", "for", "with", "from", "your", "you", "new", "set", "pack", "not", "all", "edition", "inch", "size",
    "black", "white", "count", "ounce", "ounces", "amp", "one", "two", "are", "its", "our", "this", "that",
))
# fmt: on


def write_template_profiles(table: ExampleTable) -> pl.DataFrame:
    """One profile for each example in the schema of profile tables; `n_tokens` is the number of words."""
    data = table.dataset
    items = {int(row): data.item(int(row)) for row in np.unique(data.item_rows[table.history_events()[0]])}
    texts = [compose_profile([items[int(row)] for row in table.history_rows(place)]) for place in range(len(table))]
    lengths = (table.history_stop - table.history_start).tolist()
    columns = zip(table.user_ids, texts, table.cutoffs.tolist(), strict=True)
    profiles = [Profile(user, text, cutoff, TEMPLATE_WRITER, "frequent-words") for user, text, cutoff in columns]
    frame = pl.DataFrame(
        {
            "profile_id": [profile.profile_id for profile in profiles],
            "example_id": table.example_ids,
            "user_id": table.user_ids,
            "split": table.splits.tolist(),
            "cutoff": table.cutoffs,
            "text": texts,
            "writer": [profile.writer for profile in profiles],
            "template": [profile.template for profile in profiles],
            "n_events": lengths,
            "n_omitted": [0] * len(profiles),
            "n_tokens": [len(text.split()) for text in texts],
        }
    )
    return frame.select(pl.col(name).cast(kind) for name, kind in PROFILES_SCHEMA.items())


def compose_profile(items: Iterable[Item]) -> str:
    """The most frequent title words, one count an item, then categories; of equal counts the latest stands first."""
    words: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    for item in reversed(list(items)):  # a Counter keeps the order of first sight, and so the latest first
        found = [word for word in _WORD.findall(item.title) if word.casefold() not in _STOP_WORDS]
        words.update({word.casefold(): 1 for word in found})
        categories.update(dict.fromkeys((*item.categories, *([item.brand] if item.brand else [])), 1))
    parts = []
    if words:
        parts.append(f"Interested in {', '.join(word for word, _ in words.most_common(N_WORDS))}.")
    if categories:
        parts.append(f"Buys {', '.join(name for name, _ in categories.most_common(N_CATEGORIES))}.")
    return " ".join(parts) or "Nothing is known."
