"""Tiny data sets in memory: users as lists of item names, the last one of which is the target."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.profiles import PROFILES_SCHEMA
from bluerec.data.tables import ITEMS_SCHEMA, Dataset, build_dataset

WORDS = ("red", "blue", "racing", "puzzle", "kart", "space", "farm", "chess", "sword", "train", "guitar", "ocean")


def make_dataset(taken: Mapping[str, Sequence[str]], item_ids: Sequence[str]) -> Dataset:
    """Each user takes their items at times 0, 1, ...; the title of an item is three words chosen by its place."""
    rows = [
        {"user_id": user, "item_id": item, "timestamp": time, "rating": None}
        for user, items in taken.items()
        for time, item in enumerate(items)
    ]
    kinds = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "rating": pl.Float32}
    n_words = len(WORDS)
    titles = [
        f"{WORDS[place % n_words]} {WORDS[place // 2 % n_words]} {WORDS[place // 3 % n_words]} {item}"
        for place, item in enumerate(item_ids)
    ]
    blank = {name: pl.Series([None] * len(item_ids), dtype=kind) for name, kind in ITEMS_SCHEMA.items()}
    items = pl.DataFrame(blank | {"item_id": list(item_ids), "title": titles})
    return build_dataset(pl.DataFrame(rows, schema=kinds), items)


def make_examples(n_users: int = 40, n_items: int = 30, *, seed: int = 0) -> ExampleTable:
    """Random users with two to eight events; some take an item twice."""
    generator = np.random.default_rng(seed)
    item_ids = [f"i{item}" for item in range(n_items)]
    taken = {
        f"u{user}": [item_ids[item] for item in generator.integers(n_items, size=generator.integers(2, 9))]
        for user in range(n_users)
    }
    return split_examples(make_dataset(taken, item_ids))


def make_profiles(table: ExampleTable, texts: Sequence[str] | None = None) -> pl.DataFrame:
    """One profile for each example; by default its text is the title of the target, which no writer could know."""
    if texts is None:
        texts = [table.dataset.titles[item] for item in table.target_rows]
    columns = {
        "profile_id": [f"p{row}" for row in range(len(table))],
        "example_id": table.example_ids,
        "user_id": table.user_ids,
        "split": table.splits.tolist(),
        "cutoff": table.cutoffs,
        "text": list(texts),
    }
    constant = {"writer": "test", "template": "interests", "n_events": 1, "n_omitted": 0, "n_tokens": None}
    frame = pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in constant.items())
    return frame.select(pl.col(name).cast(kind) for name, kind in PROFILES_SCHEMA.items())
