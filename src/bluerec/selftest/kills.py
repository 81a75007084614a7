"""Killed with SIGKILL at random moments under write load: nothing acknowledged is lost, nothing is there by halves."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bluerec.errors import StoreError
from bluerec.selftest.crash_writer import N_USERS
from bluerec.selftest.forks import Forks
from bluerec.selftest.small_store import make_store, open_store
from bluerec.selftest.suite import Outcome, Plan, Suite
from bluerec.store.records import StoredVersion
from bluerec.store.sentences import split_sentences
from bluerec.store.store import Store

WRITER = (sys.executable, "-m", "bluerec.selftest.crash_writer")
# Drawn for each kill: a number of acknowledged writes, however slow the machine is, and a moment after the last.
_MAX_LINES = 32
_MAX_MORE_SECONDS = 0.02
_MAX_WAITING_SECONDS = 60.0
_USERS = tuple(f"c{number}" for number in range(N_USERS))


@dataclass
class Acknowledged:
    """What must be there; a user's later deletion takes all of it away."""

    versions: dict[str, dict[int, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    events: dict[str, set[tuple[str, int]]] = field(default_factory=lambda: defaultdict(set))
    jobs: dict[str, str] = field(default_factory=dict)
    n_writes: int = 0

    def take(self, row: dict[str, Any]) -> None:
        self.n_writes += 1
        user = row["user"]
        if row["kind"] == "delete":
            self.versions.pop(user, None)
            self.events.pop(user, None)
            self.jobs.pop(user, None)
        elif row["kind"] in ("edit", "written"):
            self.versions[user][row["version"]] = row
        elif row["kind"] == "events":
            self.events[user].add((row["item"], row["timestamp"]))
        else:
            self.jobs[user] = row["job"]


def run_and_kill(forks: Forks, folder: Path, seed: int, draw: random.Random, fault: str = "") -> list[dict[str, Any]]:
    """Let a writer write so many lines and then for some milliseconds more, kill it; the acknowledged lines."""
    notes = folder.parent / "notes"
    notes.write_bytes(b"")
    pid = forks.begin(str(folder), seed, fault, str(notes))
    forks.let_go()
    n_lines, deadline = draw.randrange(_MAX_LINES), time.monotonic() + _MAX_WAITING_SECONDS
    while notes.read_bytes().count(b"\n") < n_lines and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(draw.uniform(0.0, _MAX_MORE_SECONDS))
    os.kill(pid, signal.SIGKILL)
    forks.wait()
    return [json.loads(line) for line in notes.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def find_faults(store: Store, known: Acknowledged) -> list[str]:
    """What is missing or half there. One write more than acknowledged may be there: the kill came before the word.

    A user of whom nothing is left is told as `deleted`: that may be the last write, once.
    """
    users = {*known.versions, *known.jobs, *(user for user, events in known.events.items() if events)}
    gone = {user for user in users if not (store.versions(user) or store.history(user) or store.jobs(user))}
    faults = [f"deleted {user}" for user in sorted(gone)]
    for user in sorted(users - gone):
        faults += _find_version_faults(store, user, known.versions[user])
        there = {(event.item.item_id, event.interaction.timestamp) for event in store.history(user)}
        if not known.events[user] <= there or len(there) > len(known.events[user]) + 1:
            faults.append(f"{user} has other events")
        if user in known.jobs and known.jobs[user] not in {job.job_id for job in store.jobs(user)}:
            faults.append(f"{user} lost a job")
    return [*faults, *find_halves(store)]


def _find_version_faults(store: Store, user: str, versions: dict[int, dict[str, Any]]) -> list[str]:
    there = {version.version: version for version in store.versions(user)}
    faults = [f"{user} lost version {number}" for number in versions if number not in there]
    faults += [
        f"{user} version {number} is another"
        for number in versions
        if number in there and not _holds(there[number], versions[number])
    ]
    return faults + ([f"{user} has versions that nobody wrote"] if len(there) > len(versions) + 1 else [])


def find_halves(store: Store) -> list[str]:
    """Profiles without their vectors, or with those of another text."""
    faults = []
    for user in store.user_ids("c", 1000):
        view = store.view(user)  # raises where vectors are missing
        if (
            view.profile is None
            or not (view.vectors.vectors == store.embed_sentences(view.profile.sentences).vectors).all()
        ):
            faults.append(f"{user} has vectors of another text")
        elif list(view.profile.sentences) != split_sentences(view.profile.text):
            faults.append(f"{user} has sentences of another text")
    return faults


def _holds(version: StoredVersion, row: dict[str, Any]) -> bool:
    if row["kind"] == "edit":
        return row["mark"] in version.text
    return version.text == row["text"] or row["mark"] in (version.offered or "")


def _look(store: Store, known: Acknowledged) -> list[str]:
    """The faults after one kill; what the last, unacknowledged write did counts from now on."""
    faults = find_faults(store, known)
    deleted = [fault.removeprefix("deleted ") for fault in faults if fault.startswith("deleted ")]
    faults = [fault for fault in faults if not fault.startswith("deleted ")]
    if len(deleted) > 1:
        faults.append(f"{', '.join(deleted)} are gone, one of them at most was being deleted")
    for user in deleted:
        known.take({"kind": "delete", "user": user})
        known.n_writes -= 1
    for user in _USERS:
        for version in store.versions(user):
            row = {"kind": "written", "mark": version.text, "text": version.text, "user": user}
            known.versions[user].setdefault(version.version, row)
        events = store.history(user)
        known.events[user] = {(event.item.item_id, event.interaction.timestamp) for event in events}
    return faults


def _kill_often(plan: Plan, seeds: Sequence[int], fault: str = "") -> Outcome:
    folder, forks = make_store(plan.folder / "store"), Forks("bluerec.selftest.crash_writer")
    known, draw = Acknowledged(), random.Random(plan.seed + 3)
    outcome = Outcome({"kills": 0, "acknowledged writes": 0, "slowest opening afterwards, s": 0.0})
    try:
        for seed in seeds:
            plan.progress(seed, len(seeds))
            if plan.is_over or outcome.faults:
                break
            for row in run_and_kill(forks, folder, seed, draw, fault):
                known.take(row)
            outcome.count("kills")
            _open_and_look(folder, known, outcome)
    finally:
        forks.close()
    outcome.counts["acknowledged writes"] = known.n_writes
    return outcome


def _open_and_look(folder: Path, known: Acknowledged, outcome: Outcome) -> None:
    where, begin = f"after kill {outcome.counts['kills']}", time.perf_counter()
    try:
        with open_store(folder) as store:
            slowest = max(outcome.counts["slowest opening afterwards, s"], time.perf_counter() - begin)
            outcome.counts["slowest opening afterwards, s"] = round(slowest, 2)
            outcome.faults += [f"{where}: {found}" for found in _look(store, known)]
    except StoreError as error:
        outcome.faults.append(f"{where}: {error}")


KILLS = Suite(
    title="kill -9 under write load",
    promise="An acknowledged write survives a kill at any moment; nothing is there that nobody wrote, or by halves.",
    planted_fault="a writer that acknowledges some edits without making them",
    run=lambda plan: _kill_often(plan, range(plan.choose(30, 1_000))),
    plant=lambda plan: _kill_often(plan, range(2), "lying"),
)
