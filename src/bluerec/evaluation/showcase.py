"""Single users to look at: the history, what each profiler wrote of it, and the items nearest to each profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.types import Embedder, Example, Float32Array, Item

N_SHOWN_USERS = 6
N_SHOWN_EVENTS = 12
N_NEAREST = 5


@dataclass(frozen=True, slots=True)
class NearItem:
    """An item and its cosine to a profile; `is_target` marks the one that came next."""

    item: Item
    cosine: float
    is_target: bool


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """One profile of a user: who wrote it, the rank of the target by it in the whole catalogue, the nearest items."""

    name: str
    text: str
    target_rank: int
    n_candidates: int
    nearest: tuple[NearItem, ...]


@dataclass(frozen=True, slots=True)
class ShownUser:
    """A user with the latest events of the history (`n_earlier` more are not shown) and one or more profiles."""

    example: Example
    n_earlier: int
    profiles: tuple[ShownProfile, ...]


def choose_users(
    table: ExampleTable, profiles: Mapping[str, pl.DataFrame], n_users: int = N_SHOWN_USERS, *, seed: int = 0
) -> ExampleTable:
    """Users that have a profile in every table, by a hash of their ids: at random, not by how well they look.

    Raises `DataError` if there is none.
    """
    shared = set(table.example_ids)
    for name, frame in profiles.items():
        shared &= set(frame["example_id"])
        if not shared:
            raise DataError(
                f"profiles {name!r}: no example in common with the data and the other profiles; "
                "pass the --data DIR for which all of them were written"
            )
    with_profiles = table.take(np.array([example_id in shared for example_id in table.example_ids]))
    return with_profiles.select("all", max_users=n_users, seed=seed)


def show_users(
    table: ExampleTable,
    profiles: Mapping[str, Mapping[str, str]],
    embedder: Embedder,
    item_vectors: Float32Array,
    *,
    n_events: int = N_SHOWN_EVENTS,
    n_nearest: int = N_NEAREST,
) -> list[ShownUser]:
    """Every example of `table` with its profile texts, by name of the writer and example id.

    `item_vectors` are (n_items, dimension). Items of the history are left out of the ranking, the target never.
    """
    texts = [profiles[name][example_id] for example_id in table.example_ids for name in profiles]
    vectors = embedder.embed(texts, "profile")  # (n_examples * n_names, dimension)
    shown = []
    for row, example in enumerate(table.examples(last=n_events)):
        first = row * len(profiles)
        ranked = tuple(
            _rank(table, row, name, texts[first + place], item_vectors @ vectors[first + place], n_nearest)
            for place, name in enumerate(profiles)
        )
        n_earlier = int(table.history_stop[row] - table.history_start[row]) - len(example.history.events)
        shown.append(ShownUser(example, n_earlier, ranked))
    return shown


def profile_texts(frame: pl.DataFrame) -> dict[str, str]:
    """Texts of a profile table by example id."""
    return dict(zip(frame["example_id"], frame["text"], strict=True))


def _rank(table: ExampleTable, row: int, name: str, text: str, scores: Float32Array, n_nearest: int) -> ShownProfile:
    """Rank by `scores` (n_items,); ties count against the target."""
    target = int(table.target_rows[row])
    is_candidate = np.ones(len(scores), dtype=bool)
    is_candidate[table.history_rows(row)] = False
    is_candidate[target] = True
    masked = np.where(is_candidate, scores, -np.inf)
    nearest = np.argsort(-masked, kind="stable")[: min(n_nearest, int(is_candidate.sum()))]
    return ShownProfile(
        name=name,
        text=text,
        target_rank=int((masked >= masked[target]).sum()),
        n_candidates=int(is_candidate.sum()),
        nearest=tuple(
            NearItem(table.dataset.item(int(item_row)), float(scores[item_row]), int(item_row) == target)
            for item_row in nearest
        ),
    )
