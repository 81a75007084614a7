"""A small data set in memory, whose texts say plainly what belongs together, for the tests of the rewards."""

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import ITEMS_SCHEMA, Dataset, build_dataset
from bluerec.profiling.embedders import HashingEmbedder, embed_items
from bluerec.types import Float32Array

TOPICS = ("racing", "puzzle", "fishing", "garden")
ITEMS_PER_TOPIC = 12


def build_world(
    *, n_users: int = 24, n_events: int = 6, seed: int = 0, titles: dict[int, str] | None = None
) -> Dataset:
    """Each user keeps to one topic; item titles are `topic word number`, those in `titles` replaced."""
    generator = np.random.default_rng(seed)
    names = [f"{topic} {kind} {number}" for topic in TOPICS for number, kind in enumerate(("cup", "kit") * 6)]
    for row, title in (titles or {}).items():
        names[row] = title
    events = []
    for user in range(n_users):
        topic = user % len(TOPICS)
        taken = topic * ITEMS_PER_TOPIC + generator.permutation(ITEMS_PER_TOPIC)[:n_events]
        events += [(f"user{user:02d}", f"item{item:02d}", time) for time, item in enumerate(taken, start=1)]
    return build_dataset(
        pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").with_columns(
            rating=pl.lit(None, pl.Float32)
        ),
        pl.DataFrame({"item_id": [f"item{row:02d}" for row in range(len(names))], "title": names}).with_columns(
            pl.lit(None, kind).alias(name) for name, kind in ITEMS_SCHEMA.items() if name not in ("item_id", "title")
        ),
    )


def build_table(**changes) -> ExampleTable:
    return split_examples(build_world(**changes))


def embed_world(table: ExampleTable) -> tuple[HashingEmbedder, Float32Array]:
    embedder = HashingEmbedder()
    return embedder, embed_items(table.dataset, embedder)


def write_references(table: ExampleTable, *, n: int = 12) -> dict[str, str]:
    """A plain profile of each of the last `n` examples' users: the topic of the history, and the user's number."""
    texts = {}
    for row in range(len(table) - n, len(table)):
        titles = [table.dataset.titles[item] for item in table.history_rows(row)]
        texts[table.example_ids[row]] = f"Likes {titles[0].split()[0]} things, sort {row}."
    return texts
