"""Killed at any moment under write load, a store has lost nothing it acknowledged and holds nothing by halves."""

import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bluerec.store.records import StoredVersion
from bluerec.store.sentences import split_sentences
from bluerec.store.store import Store
from store.stores import EMBEDDER, make_store

N_KILLS = int(os.environ.get("BLUEREC_KILLS", "30"))
WRITER = Path(__file__).with_name("crash_writer.py")


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


def run_and_kill(folder: Path, seed: int, seconds: float) -> list[dict[str, Any]]:
    """Let the writer write, kill it with SIGKILL after so many seconds of writing; the acknowledged lines."""
    with subprocess.Popen([sys.executable, str(WRITER), str(folder), str(seed)], stdout=subprocess.PIPE) as process:
        lines = [process.stdout.readline()]
        time.sleep(seconds)
        process.kill()
        lines += process.stdout.readlines()
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def find_faults(store: Store, known: Acknowledged) -> list[str]:
    """What is missing or half there. One write more than acknowledged may be there: the kill came before the word.

    A user of whom nothing is left is told as `deleted`: that may be the last write, once.
    """
    users = {*known.versions, *known.jobs, *(user for user, events in known.events.items() if events)}
    gone = {user for user in users if not (store.versions(user) or store.history(user) or store.jobs(user))}
    faults = [f"deleted {user}" for user in sorted(gone)]
    for user in sorted(users - gone):
        faults += find_version_faults(store, user, known.versions[user])
        there = {(event.item.item_id, event.interaction.timestamp) for event in store.history(user)}
        if not known.events[user] <= there or len(there) > len(known.events[user]) + 1:
            faults.append(f"{user} has other events")
        if user in known.jobs and known.jobs[user] not in {job.job_id for job in store.jobs(user)}:
            faults.append(f"{user} lost a job")
    return [*faults, *find_halves(store)]


def find_version_faults(store: Store, user: str, versions: dict[int, dict[str, Any]]) -> list[str]:
    there = {version.version: version for version in store.versions(user)}
    faults = [f"{user} lost version {number}" for number in versions if number not in there]
    faults += [
        f"{user} version {number} is another" for number in versions
        if number in there and not holds(there[number], versions[number])
    ]  # fmt: skip
    return faults + ([f"{user} has versions that nobody wrote"] if len(there) > len(versions) + 1 else [])


def find_halves(store: Store) -> list[str]:
    """Profiles without their vectors, or with those of another text."""
    faults = []
    for user in store.user_ids("c", 1000):
        view = store.view(user)  # raises where vectors are missing
        if not (view.vectors.vectors == store.embed_sentences(view.profile.sentences).vectors).all():
            faults.append(f"{user} has vectors of another text")
        if list(view.profile.sentences) != split_sentences(view.profile.text):
            faults.append(f"{user} has sentences of another text")
    return faults


def holds(version: StoredVersion, row: dict[str, Any]) -> bool:
    if row["kind"] == "edit":
        return row["mark"] in version.text
    return version.text == row["text"] or row["mark"] in (version.offered or "")


def test_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    known, draw = Acknowledged(), random.Random(3)
    for seed in range(N_KILLS):
        for row in run_and_kill(folder, seed, draw.uniform(0.0, 0.4)):
            known.take(row)
        with Store.open(folder, embedder=EMBEDDER) as store:
            faults = find_faults(store, known)
            deleted = {fault.removeprefix("deleted ") for fault in faults if fault.startswith("deleted ")}
            assert len(deleted) <= 1, faults
            assert not [fault for fault in faults if not fault.startswith("deleted ")], (seed, faults)
            for user in deleted:
                known.take({"kind": "delete", "user": user})
            known = catch_up(store, known)
    assert known.n_writes > 10 * N_KILLS


def catch_up(store: Store, known: Acknowledged) -> Acknowledged:
    """Count what the last write before the kill brought without being acknowledged, so that it is held to as well."""
    for user in store.user_ids("c", 1000):
        for version in store.versions(user):
            row = {"kind": "written", "mark": version.text, "text": version.text, "user": user}
            known.versions[user].setdefault(version.version, row)
    for number in range(12):
        user = f"c{number}"
        known.events[user] = {(event.item.item_id, event.interaction.timestamp) for event in store.history(user)}
    return known


def test_the_check_sees_planted_faults(tmp_path: Path) -> None:
    folder = make_store(tmp_path / "store")
    known = Acknowledged()
    with Store.open(folder, embedder=EMBEDDER) as store:
        for number in (1, 2):
            store.save_edit("c1", f"Likes mark-{number}.")
            known.take({"kind": "edit", "user": "c1", "mark": f"mark-{number}", "version": number})
        store.add_interactions("c1", [{"item_id": "i0001", "timestamp": 5}])
        known.take({"kind": "events", "user": "c1", "item": "i0001", "timestamp": 5})
        assert find_faults(store, known) == []
        with store.writing() as writer:
            writer.execute("DELETE FROM versions WHERE version = 1")
            writer.execute("DELETE FROM interactions WHERE timestamp = 5")
        assert find_faults(store, known) == ["c1 lost version 1", "c1 has other events"]


@pytest.mark.skipif(not Path("/usr/bin/strace").exists(), reason="needs strace")
def test_every_acknowledged_write_was_synchronised(tmp_path: Path) -> None:
    folder, trace = make_store(tmp_path / "store"), tmp_path / "trace"
    command = ["/usr/bin/strace", "-f", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)]
    with subprocess.Popen([*command, sys.executable, str(WRITER), str(folder), "1"], stdout=subprocess.PIPE) as process:
        for _ in range(20):
            process.stdout.readline()
        process.terminate()
    synchronised, n_acknowledged = False, 0
    for line in trace.read_text().splitlines():
        if "sync(" in line and line.rstrip().endswith("= 0"):
            synchronised = True
        elif 'write(1, "{' in line:
            # A job that waited already writes nothing.
            assert synchronised or '\\"job\\"' in line, line
            n_acknowledged += 1
            synchronised = False
    assert n_acknowledged >= 20
