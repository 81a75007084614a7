"""Writing profiles anew for the users whose history is another than the one their profile was written from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from bluerec.data.tables import INTERACTIONS_SCHEMA
from bluerec.errors import BluerecError, DataError, ModelError, UnavailableError
from bluerec.store.database import DamagedError
from bluerec.store.records import KnownHistory
from bluerec.store.store import Store
from bluerec.store.transactions import GoneError, clean_row
from bluerec.types import FIRST_SECOND, LAST_SECOND, Event, Interaction

# From a user's events, oldest first, to a text and the name of what wrote it: many users at once.
WriteMany = Callable[[Sequence[tuple[str, Sequence[Event]]]], Sequence[tuple[str, str]]]
Tell = Callable[[int, int], None]
_Asked = tuple[str, KnownHistory]
_USERS_AT_ONCE = 64
# So many failures before the first success are no matter of single users: a wrong model or key fails for everybody.
_MOST_FAILURES_FIRST = 5


@dataclass(slots=True)
class Refreshed:
    """What a refresh did.

    `n_offered` of the users written for have sentences of their own, which were kept. `n_gone` were deleted while
    their profile was being written. For `n_newer` others wrote meanwhile, from a newer history, and theirs was kept.
    `failed` could not be written for, or are damaged, each with the reason.
    """

    n_events_added: int = 0
    n_events_known: int = 0
    n_unknown_items: int = 0
    n_rewritten: int = 0
    n_offered: int = 0
    n_gone: int = 0
    n_newer: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def refresh_store(
    store: Store, write: WriteMany, events: pl.DataFrame | None = None, *, progress: Tell | None = None
) -> Refreshed:
    """Add new events (columns of the canonical interactions) and write a profile for whoever needs one.

    A killed refresh goes on where it was; one without new events changes nothing. Events of items that are not in
    the catalogue are left out and counted. Jobs of the queue that are answered by this, or were before, are closed.

    A user whose profile cannot be written, or whose rows are damaged, is named in the result, and comes last the next
    time. Raises `UnavailableError` where the writer does not answer at present, `ModelError` where it fails for
    everybody who has not failed before; what was written until then is kept.
    """
    done = Refreshed(*_add(store, events)) if events is not None else Refreshed()
    waiting = list(store.stale_users())
    store.close_answered_jobs()
    failed_before = {job.user_id for job in store.jobs() if job.state == "failed"}
    for start in range(0, len(waiting), _USERS_AT_ONCE):
        if progress:
            progress(start, len(waiting))
        asked = _load(store, waiting[start : start + _USERS_AT_ONCE], done, failed_before)
        for one, written in _write(write, asked):
            _keep(store, one, written, done, failed_before)
        store.close_answered_jobs()
    if progress:
        progress(len(waiting), len(waiting))
    return done


def _load(store: Store, users: Sequence[str], done: Refreshed, failed_before: set[str]) -> list[_Asked]:
    """The histories of those who were not deleted meanwhile; whose is damaged has failed, and holds up nobody."""
    loaded = []
    for user in users:
        try:
            known = store.load_history(user)
        except DamagedError as error:
            _fail(store, user, error, done, failed_before)
            continue
        if known.events:
            loaded.append((user, known))
        else:
            done.n_gone += 1
    return loaded


def _fail(store: Store, user: str, error: BluerecError, done: Refreshed, failed_before: set[str]) -> None:
    store.note_failure(user, type(error).__name__)
    done.failed[user] = str(error)
    if isinstance(error, DamagedError):
        failed_before.add(user)  # it says nothing of the writer either


def _write(write: WriteMany, asked: Sequence[_Asked]) -> Iterator[tuple[_Asked, tuple[str, str] | BluerecError]]:
    """What was written for each, or why it was not: where a writer refuses several together, each is tried alone."""
    if not asked:
        return
    try:
        written = write([(user, known.events) for user, known in asked])
    except UnavailableError:
        raise
    except (DataError, ModelError) as error:
        if len(asked) == 1:
            yield asked[0], error
            return
        for one in asked:
            yield from _write(write, [one])
        return
    if len(written) != len(asked):
        raise DataError(f"the writer returned {len(written)} texts for {len(asked)} users; nothing of them was kept")
    yield from zip(asked, written, strict=True)


def _keep(
    store: Store, asked: _Asked, written: tuple[str, str] | BluerecError, done: Refreshed, failed_before: set[str]
) -> None:
    user, known = asked
    try:
        if isinstance(written, BluerecError):
            raise written
        text, writer = written
        made = store.save_written(user, text, writer, known=known)
    except GoneError:
        done.n_gone += 1
    except (DataError, ModelError, DamagedError) as error:
        _fail(store, user, error, done, failed_before)
        # Who failed before says nothing of the writer; they come last, and however many they are, each has their turn.
        if done.n_rewritten or user in failed_before:
            return
        n_first = len(done.failed.keys() - failed_before)
        if n_first >= _MOST_FAILURES_FIRST:
            raise ModelError(
                f"none of the first {n_first} profiles could be written, the last because: {error}"
            ) from error
    else:
        if made.history_digest != known.digest:
            done.n_newer += 1
            return
        done.n_rewritten += 1
        done.n_offered += made.offered is not None


def _add(store: Store, events: pl.DataFrame) -> tuple[int, int, int]:
    table = _check_table(events)
    known = store.catalogue.rows_of(table["item_id"].unique().to_list())
    usable = table.filter(pl.col("item_id").is_in(list(known)))
    n_added = 0
    for (user_id,), rows in usable.group_by("user_id", maintain_order=True):
        new = [Interaction(**clean_row(row)) for row in rows.iter_rows(named=True)]
        n_added += store.add_events(str(user_id), new)
    return n_added, usable.height - n_added, table.height - usable.height


def _check_table(events: pl.DataFrame) -> pl.DataFrame:
    """The canonical columns of a table, in their types, before anything of it is added."""
    missing = [name for name in ("user_id", "item_id", "timestamp") if name not in events.columns]
    if missing:
        raise DataError(
            f"new interactions: no column {', '.join(missing)} among {', '.join(events.columns)}; name them user_id, "
            "item_id and timestamp (Unix seconds), as in docs/data-format.md"
        )
    table = pl.DataFrame([_cast(events[name]) for name in INTERACTIONS_SCHEMA if name in events.columns])
    empty = sum(table[name].null_count() for name in ("user_id", "item_id", "timestamp"))
    if empty:
        raise DataError(f"new interactions: {empty} empty user_id, item_id or timestamp; run: bluerec prepare")
    n_outside = table.height - int(table["timestamp"].is_between(FIRST_SECOND, LAST_SECOND).sum())
    if n_outside:
        raise DataError(
            f"new interactions: {n_outside} timestamps are not between the years 1 and 9999; give Unix seconds, not "
            "milliseconds, or run: bluerec prepare"
        )
    n_infinite = int(table["rating"].is_infinite().sum()) if "rating" in table.columns else 0
    if n_infinite:
        raise DataError(f"new interactions: {n_infinite} ratings are infinite; leave them out, or run: bluerec prepare")
    return table


def _cast(column: pl.Series) -> pl.Series:
    kind = INTERACTIONS_SCHEMA[column.name]
    if column.dtype.is_temporal():  # as a number it would be days or some fraction of a second
        raise DataError(f"new interactions: column {column.name} holds {column.dtype} values; run: bluerec prepare")
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"new interactions: column {column.name} cannot be read as {kind} ({reason}); run: bluerec prepare"
        ) from error
