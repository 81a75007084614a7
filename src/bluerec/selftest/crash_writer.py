"""Writes to a store without end and notes what was acknowledged; meant to be killed.

Each note is one acknowledged write as a line of JSON. Run as: python -m bluerec.selftest.crash_writer STORE SEED, which
notes on stdout, or without arguments by a `Forks`; asked [STORE, SEED, FAULT, NOTES], a fork notes in the file NOTES.
`FAULT` is `lying` (some edits are acknowledged and not made), `unsynced` (nothing is synchronised) or empty.
"""

from __future__ import annotations

import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from bluerec.selftest.forks import serve_forks
from bluerec.selftest.small_store import N_ITEMS, open_store
from bluerec.store.store import Store

N_USERS = 12


def write_without_end(folder: str, seed: int, fault: str, notes: int) -> int:
    """Write until killed, or until nobody reads any more; `notes` is an open file."""
    draw = random.Random(seed)
    with suppress(BrokenPipeError), open_store(Path(folder)) as store:
        if fault == "unsynced":
            store._database._writer.execute("PRAGMA synchronous = OFF")
        for number in range(1_000_000):
            user = f"c{draw.randrange(N_USERS)}"
            kind = draw.choice(["edit", "edit", "written", "events", "job", "delete"])
            row = _write(store, kind, user, f"{seed}-{number}", seed * 10**6 + number, draw, fault)
            if row is not None:
                line = json.dumps({"kind": kind, "user": user, "mark": f"{seed}-{number}", **row})
                os.write(notes, f"{line}\n".encode())
    return 0


def main(folder: str, seed: int, fault: str, notes: str) -> int:
    """As asked by a `Forks`: what was written to a file before a kill is in it, whatever the disk does."""
    return write_without_end(folder, seed, fault, os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND))


def _write(
    store: Store, kind: str, user: str, mark: str, timestamp: int, draw: random.Random, fault: str
) -> dict[str, Any] | None:
    """Do one thing; what identifies it, or None where there was nothing to do."""
    if kind == "edit":
        text = f"Likes {mark}. And chess {timestamp}."
        if fault == "lying" and draw.random() < 0.3:
            last = store.profile(user)
            return {"version": last.version + 1 if last else 1}
        return {"version": store.save_edit(user, text).version}
    if kind == "written":
        if store.profile(user) is None:
            return None
        made = store.save_written(user, f"Written {mark}.", "model")
        return {"version": made.version, "offered": made.offered, "text": made.text}
    if kind == "events":
        item = f"i{draw.randrange(N_ITEMS):04d}"
        store.add_interactions(user, [{"item_id": item, "timestamp": timestamp}])
        return {"item": item, "timestamp": timestamp}
    if kind == "job":
        return {"job": store.enqueue(user).job_id}
    if draw.random() < 0.1:
        store.delete_user(user)
        return {}
    return None


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve_forks(main)
    else:
        write_without_end(sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:]), sys.stdout.fileno())
        os._exit(0)  # without a last look at a pipe that may be closed
