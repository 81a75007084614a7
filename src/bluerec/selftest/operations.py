"""Operations of a store, each in a process of its own, so that the system can be made to fail under it.

Run as: python -m bluerec.selftest.operations, by a `Forks`; asked [STORE, NAME, careless], a fork ends with one of
`Ending`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path

from bluerec.errors import BluerecError
from bluerec.selftest.forks import serve_forks
from bluerec.selftest.small_store import CONFIG, EMBEDDER, make_store, make_world, open_store
from bluerec.store.building import rebuild_store
from bluerec.store.refreshing import refresh_store
from bluerec.store.store import Store
from bluerec.types import Event

USER, OTHER = "u0001", "u0000"


class Ending(IntEnum):
    """How an operation ended; anything else is a traceback."""

    DONE = 0
    REFUSED = 3  # with an error of one line that says where
    UNNAMED = 4  # with an error that does not
    UNREADABLE = 5  # after a named error, others could not be read any more


def _edit(store: Store) -> None:
    store.save_edit(USER, "Only chess from now on. Nothing like racing.")


def _write(store: Store) -> None:
    store.save_written(USER, "Likes quiet farming games. Wants golf next.", "model")


def _add_events(store: Store) -> None:
    rows = [{"item_id": f"i{n:04d}", "timestamp": 2**33 + n, "review_text": f"review {n} " * 40} for n in range(40)]
    store.add_interactions(USER, rows)


def _queue(store: Store) -> None:
    store.enqueue(USER)
    job = store.next_job()
    if job:
        store.finish_job(job.job_id)


def _revert(store: Store) -> None:
    store.save_edit(USER, "Only chess.")
    store.revert(USER, 1)


def _delete(store: Store) -> None:
    store.delete_user(USER)


def _refresh(store: Store) -> None:
    def write(asked: Sequence[tuple[str, Sequence[Event]]]) -> list[tuple[str, str]]:
        return [(f"Took {len(events)} things.", "counter") for _, events in asked]

    store.add_interactions(USER, [{"item_id": "i0005", "timestamp": 2**33}])
    refresh_store(store, write)


IN_STORE: dict[str, Callable[[Store], None]] = {
    "edit": _edit, "write": _write, "events": _add_events, "queue": _queue, "revert": _revert, "delete": _delete,
    "refresh": _refresh,
}  # fmt: skip
OPERATIONS = (*IN_STORE, "build", "rebuild")


def do_operation(folder: Path, name: str) -> None:
    """Do it. `build` makes a store in the folder, the others need one there."""
    if name == "build":
        make_store(folder)
    elif name == "rebuild":
        rebuild_store(folder, make_world().dataset, EMBEDDER, CONFIG)
    else:
        with open_store(folder) as store:
            try:
                IN_STORE[name](store)
            except BluerecError:
                if store.profile(OTHER) is None:
                    sys.exit(Ending.UNREADABLE)
                raise


def run_operation(folder: Path, name: str, *, careless: bool = False) -> int:
    """Do an operation and say how it ended; a careless one takes every failure for a success."""
    try:
        do_operation(folder, name)
    except BluerecError as error:
        if careless:
            return Ending.DONE
        message = str(error)
        return Ending.REFUSED if "\n" not in message and folder.name in message else Ending.UNNAMED
    return Ending.DONE


def main(folder: str, name: str, careless: bool) -> int:
    """As asked by a `Forks`."""
    try:
        return run_operation(Path(folder), name, careless=careless)
    except SystemExit as error:
        return int(error.code or 0)


if __name__ == "__main__":
    serve_forks(main)
