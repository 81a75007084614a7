"""Writing profiles anew for the users whose history is another than the one their profile was written from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from bluerec.data.tables import INTERACTIONS_SCHEMA
from bluerec.errors import DataError
from bluerec.store.store import Store
from bluerec.store.transactions import clean_row
from bluerec.types import Event, Interaction

# From a user's events, oldest first, to a text and the name of what wrote it: many users at once.
WriteMany = Callable[[Sequence[tuple[str, Sequence[Event]]]], Sequence[tuple[str, str]]]
Tell = Callable[[int, int], None]
_USERS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did. `n_offered` of the users wrote sentences of their own, which were kept."""

    n_events_added: int
    n_events_known: int
    n_unknown_items: int
    n_rewritten: int
    n_offered: int


def refresh_store(
    store: Store, write: WriteMany, events: pl.DataFrame | None = None, *, progress: Tell | None = None
) -> Refreshed:
    """Add new events (columns of the canonical interactions) and write a profile for whoever needs one.

    A killed refresh goes on where it was; one without new events changes nothing. Events of items that are not in
    the catalogue are left out and counted.
    """
    n_added, n_known, n_unknown = _add(store, events) if events is not None else (0, 0, 0)
    waiting = list(store.stale_users())
    n_offered = 0
    for start in range(0, len(waiting), _USERS_AT_ONCE):
        if progress:
            progress(start, len(waiting))
        part = waiting[start : start + _USERS_AT_ONCE]
        written = write([(user, store.history(user)) for user in part])
        if len(written) != len(part):
            raise DataError(f"the writer returned {len(written)} texts for {len(part)} users; nothing of them was kept")
        for user, (text, writer) in zip(part, written, strict=True):
            n_offered += store.save_written(user, text, writer).offered is not None
    if progress:
        progress(len(waiting), len(waiting))
    return Refreshed(n_added, n_known, n_unknown, len(waiting), n_offered)


def _add(store: Store, events: pl.DataFrame) -> tuple[int, int, int]:
    missing = [name for name in ("user_id", "item_id", "timestamp") if name not in events.columns]
    if missing:
        raise DataError(f"new interactions: column(s) {', '.join(missing)} missing; run: bluerec prepare parquet PATH")
    names = [name for name in INTERACTIONS_SCHEMA if name in events.columns]
    table = events.select(pl.col(name).cast(INTERACTIONS_SCHEMA[name]) for name in names)
    empty = sum(table[name].null_count() for name in ("user_id", "item_id", "timestamp"))
    if empty:
        raise DataError(f"new interactions: {empty} empty user_id, item_id or timestamp; run: bluerec prepare")
    known = store.catalogue.rows_of(table["item_id"].unique().to_list())
    usable = table.filter(pl.col("item_id").is_in(list(known)))
    n_added = 0
    for (user_id,), rows in usable.group_by("user_id", maintain_order=True):
        new = [Interaction(**clean_row(row)) for row in rows.iter_rows(named=True)]
        n_added += store.add_events(str(user_id), new)
    return n_added, usable.height - n_added, table.height - usable.height
