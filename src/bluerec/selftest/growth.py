"""Many edits, one commit each: how many files, how much room, and whether writing gets slower.

Commits do not wait for the disk here, which changes neither files nor sizes: that they do is the suite `durability`'s.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

from bluerec.selftest.small_store import make_store, open_store
from bluerec.selftest.suite import Outcome, Plan, Suite

MAX_FILES = 200
MAX_TIMES_LIVE = 3.0
# The journal is moved into the database every thousand pages, whatever the size of the store.
JOURNAL_BYTES = 8 * 2**20
# Of medians of the processor's time, which other work on the machine does not change.
MAX_SLOWER = 3.0
_N_USERS = 200


def _measure(folder: Path) -> tuple[int, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def _live_bytes(folder: Path, spare: Path) -> int:
    """The size of the same content in a copy that was just written anew."""
    shutil.copytree(folder, spare)
    with open_store(spare) as store:
        store._database.compact()
    size = _measure(spare)[1]
    shutil.rmtree(spare)
    return size


def _edit_often(plan: Plan, n_edits: int, *, keep_journal: bool = False) -> Outcome:
    folder, outcome = make_store(plan.folder / "store"), Outcome()
    seconds: list[float] = []
    most_files = 0
    with open_store(folder, durable=False) as store:
        if keep_journal:
            store._database._writer.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(n_edits):
            if plan.is_over:
                break
            begin = time.process_time()
            store.save_edit(f"user{number % _N_USERS}", f"Likes chess and edit {number}. Also golf.")
            seconds.append(time.process_time() - begin)
            if number % max(1, n_edits // plan.choose(5, 50)) == 0 or number == n_edits - 1:
                plan.progress(number, n_edits)
                files, size = _measure(folder)
                most_files = max(most_files, files)
                live = _live_bytes(folder, plan.folder / "spare") if number else size
                if files > MAX_FILES or size > MAX_TIMES_LIVE * live + JOURNAL_BYTES:
                    outcome.faults.append(
                        f"after {number + 1} edits: {files} files, {size / live:.1f} times the live size"
                    )
    files, size = _measure(folder)
    live = _live_bytes(folder, plan.folder / "spare")
    if size > MAX_TIMES_LIVE * live:
        outcome.faults.append(f"at the end {size / live:.1f} times the live size")
    tenth = max(1, len(seconds) // 10)
    first, last = (float(np.median(part) * 1000) for part in (seconds[:tenth], seconds[-tenth:]))
    outcome.counts = {
        "edits": len(seconds), "files at most": most_files, "times the live size at the end": round(size / live, 2),
        "size, MB": round(size / 1e6, 1), "processor time of an edit at first, ms": round(first, 2),
        "processor time of an edit at last, ms": round(last, 2),
    }  # fmt: skip
    if last > MAX_SLOWER * first:
        outcome.faults.append(f"edits take {last / first:.1f} times the processor's time at the end")
    return outcome


GROWTH = Suite(
    title="many edits",
    promise=(
        f"100,000 edits leave at most {MAX_FILES} files and {MAX_TIMES_LIVE:g} times the live size; until then, a "
        "journal of at most 8 MB comes on top."
    ),
    planted_fault="a journal that is never moved into the database",
    run=lambda plan: _edit_often(plan, plan.choose(600, 100_000)),
    plant=lambda plan: _edit_often(plan, 700, keep_journal=True),
)
