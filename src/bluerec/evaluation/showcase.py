"""Single users to look at: the history, what each profiler wrote of it, and the items nearest to each profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.errors import DataError
from bluerec.evaluation.profile_sets import ProfileSet
from bluerec.rewards.scoring import rank_target
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
    table: ExampleTable, profiles: Sequence[ProfileSet], n_users: int = N_SHOWN_USERS, *, seed: int = 0
) -> ExampleTable:
    """Users that have a profile in every set, by a hash of their ids: at random, not by how well they look.

    Raises `DataError` if there is none.
    """
    known = np.ones(len(table), dtype=bool)
    for profile_set in profiles:
        known &= profile_set.covers(table)
        if not known.any():
            raise DataError(
                f"profiles {profile_set.name!r}: no user in common with the other profiles; "
                "write all of them for the same split"
            )
    return table.take(np.flatnonzero(known)).select("all", max_users=n_users, seed=seed)


def find_user(table: ExampleTable, user_id: str) -> ExampleTable:
    """The latest example of one user, as a table of one.

    Raises `DataError` for an unknown user, naming those that are spelt like it.
    """
    rows = [row for row, known in enumerate(table.user_ids) if known == user_id]
    if rows:
        return table.take(np.array([max(rows, key=lambda row: table.cutoffs[row])]))
    where = table.dataset.folder or "data"
    if user_id in table.dataset.user_row_of:
        raise DataError(f"{where}: user {user_id!r} has no event before the last one, so there is no history to show")
    close = get_close_matches(user_id, table.dataset.user_ids, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"its users are such as {table.dataset.user_ids[0]}"
    raise DataError(f"{where}: no user {user_id!r}; {hint}")


def show_users(
    table: ExampleTable,
    profiles: Sequence[ProfileSet],
    embedder: Embedder,
    item_vectors: Float32Array,
    *,
    n_events: int = N_SHOWN_EVENTS,
    n_nearest: int = N_NEAREST,
) -> list[ShownUser]:
    """Every example of `table`, all of which must have a profile in every set.

    `item_vectors` are (n_items, dimension). Items of the history are left out of the ranking, the target never.
    """
    vectors = {profile_set.name: profile_set.embed(table, embedder) for profile_set in profiles}
    texts = {
        profile_set.name: dict(profile_set.frame.select("example_id", "text").iter_rows()) for profile_set in profiles
    }
    shown = []
    for row, example in enumerate(table.examples(last=n_events)):
        ranked = tuple(
            _rank(table, row, name, texts[name][example.example_id], item_vectors @ vectors[name][row], n_nearest)
            for name in vectors
        )
        n_earlier = int(table.history_stop[row] - table.history_start[row]) - len(example.history.events)
        shown.append(ShownUser(example, n_earlier, ranked))
    return shown


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
        target_rank=int(rank_target(scores[None], np.array([target]), ~is_candidate[None])[0]),
        n_candidates=int(is_candidate.sum()),
        nearest=tuple(
            NearItem(table.dataset.item(int(item_row)), float(scores[item_row]), int(item_row) == target)
            for item_row in nearest
        ),
    )
