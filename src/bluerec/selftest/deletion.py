"""Users with a mark in every text are deleted; then the bytes of all files are searched for the marks."""

from __future__ import annotations

import time
from pathlib import Path

from bluerec.selftest.small_store import make_store, open_store
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced
from bluerec.store.database import Database
from bluerec.store.store import Store

MAX_SECONDS = 60.0


def write_marked_user(store: Store, mark: str) -> None:
    """The mark in every text that a store keeps of anybody; it is the user's id as well."""
    rows = [
        {"item_id": f"i{n:04d}", "timestamp": n, "review_title": f"{mark} title", "review_text": f"{mark} {n} " * 9}
        for n in range(20)
    ]
    store.add_interactions(mark, rows)
    for number in range(8):
        store.save_edit(mark, f"{mark} likes number {number}. " * (1 + number % 5))
    store.save_written(mark, f"{mark} offered.", f"writer of {mark}")
    store.finish_job(store.enqueue(mark).job_id, f"{mark} error")
    store.enqueue(mark)


def files_with(folder: Path, mark: str) -> list[str]:
    """Names of files whose bytes hold a mark."""
    return [path.name for path in sorted(folder.iterdir()) if mark.encode() in path.read_bytes()]


def _delete_many(plan: Plan, n_users: int) -> Outcome:
    outcome = Outcome({"users written": n_users, "deleted": 0, "bytes searched, MB": 0.0, "slowest deletion, s": 0.0})
    marks = [f"canary-{n:05d}-end" for n in range(n_users)]
    folder = make_store(plan.folder / "store")
    with open_store(folder) as store:
        for mark in marks:
            write_marked_user(store, mark)
        kept = {mark: store.export_user(mark) for mark in marks[1::2]}
        for done, mark in enumerate(marks[::2]):
            plan.progress(done, len(marks[::2]))
            _delete_one(store, mark, outcome)
        for mark, before in kept.items():
            if store.export_user(mark) != before:
                outcome.faults.append(f"{mark} was not deleted and is not as before")
    # With the store closed the files hold what they will hold.
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    outcome.faults += [f"{mark} is in the files at the end" for mark in marks[::2] if mark.encode() in content]
    outcome.faults += [f"the search does not find {mark}" for mark in marks[1::2] if mark.encode() not in content]
    return outcome


def _delete_one(store: Store, mark: str, outcome: Outcome) -> None:
    begin = time.perf_counter()
    receipt = store.delete_user(mark)
    seconds = time.perf_counter() - begin
    outcome.count("deleted")
    outcome.counts["slowest deletion, s"] = max(outcome.counts["slowest deletion, s"], round(seconds, 3))
    size = sum(path.stat().st_size for path in store.folder.iterdir()) / 1e6
    outcome.counts["bytes searched, MB"] = round(outcome.counts["bytes searched, MB"] + size, 1)
    if seconds > MAX_SECONDS:
        outcome.faults.append(f"{mark}: took {seconds:.1f} s")
    if receipt["texts_found"] or not receipt["texts_searched"] or not receipt["journal_emptied"]:
        outcome.faults.append(f"{mark}: the receipt tells of texts that are left, or of none searched")
    left = files_with(store.folder, mark)
    if left or store.profile(mark) is not None or store.history(mark) or store.jobs(mark):
        outcome.faults.append(f"{mark} is still there: {', '.join(left) or 'in the tables'}")


def _only_forget(database: Database) -> bool:
    """A deletion as databases do it: the rows are gone, their bytes stay."""
    return True


def _plant(plan: Plan) -> Outcome:
    with replaced(Database, "compact", _only_forget):
        return _delete_many(plan, 6)


DELETION = Suite(
    title="deletion down to the bytes",
    promise=(
        "Within 60 seconds of a deletion no byte of the user is in any file of the store; everybody else is as before."
    ),
    planted_fault="a deletion without writing the file anew and emptying the journal",
    run=lambda plan: _delete_many(plan, plan.choose(30, 600)),
    plant=_plant,
)
