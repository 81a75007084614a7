"""Writes to a store without end and says on stdout what was acknowledged; meant to be killed.

Each line is one acknowledged write as JSON. Run as: python -m bluerec.selftest.crash_writer STORE SEED [FAULT]
`FAULT` is `lying` (some edits are acknowledged and not made) or `unsynced` (nothing is synchronised to the disk).
"""

from __future__ import annotations

import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from bluerec.selftest.small_store import N_ITEMS, open_store
from bluerec.store.store import Store

N_USERS = 12


def main(folder: str, seed: int, fault: str = "") -> None:
    """Write until killed, or until nobody reads any more."""
    draw = random.Random(seed)
    with suppress(BrokenPipeError), open_store(Path(folder)) as store:
        if fault == "unsynced":
            store._database._writer.execute("PRAGMA synchronous = OFF")
        for number in range(1_000_000):
            user = f"c{draw.randrange(N_USERS)}"
            kind = draw.choice(["edit", "edit", "written", "events", "job", "delete"])
            row = _write(store, kind, user, f"{seed}-{number}", seed * 10**6 + number, draw, fault)
            if row is not None:
                sys.stdout.write(json.dumps({"kind": kind, "user": user, "mark": f"{seed}-{number}", **row}) + "\n")
                sys.stdout.flush()


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
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
    os._exit(0)  # without a last look at a pipe that may be closed
