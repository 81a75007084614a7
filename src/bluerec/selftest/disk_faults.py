"""Every write call of every operation fails once, or from then on for ever: a full disk, a broken one.

The faults come from the system: strace lets the chosen call return ENOSPC or EIO instead of doing it. Calls that
write, cut, synchronise, rename or remove all count.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluerec.errors import BluerecError
from bluerec.selftest.durability import find_strace
from bluerec.selftest.forks import Forks
from bluerec.selftest.operations import OPERATIONS, USER, Ending, do_operation
from bluerec.selftest.small_store import make_store, open_store
from bluerec.selftest.suite import Outcome, Plan, Skipped, Suite

CALLS = (
    "write,pwrite64,pwritev,writev,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,"
    "mkdir,mkdirat"
)
ERRORS = ("ENOSPC", "EIO")
# These do two things one after the other, or take a job: what is there after a fault may lie between.
_IN_STEPS = ("queue", "revert")
_ATOMIC = ("edit", "write", "events", "build")
_HANGS_SECONDS = 60.0
Ended = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """The `place`-th write call of an operation fails with `error`, once or for ever."""

    operation: str
    place: int
    error: str
    for_ever: bool

    def __str__(self) -> str:
        return f"{self.operation}: call {self.place} {self.error} {'for ever' if self.for_ever else 'once'}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a store says before and after an operation without faults."""

    before: Any
    after: Any


class Operator:
    """Does operations, each in a fork that strace holds on to."""

    def __init__(self) -> None:
        self._strace = find_strace()
        self._forks = Forks("bluerec.selftest.operations")

    def run(self, folder: Path, operation: str, options: Sequence[str], *, careless: bool = False) -> int:
        """How an operation ended under strace with these options: an `Ending`, or minus the signal that ended it."""
        pid = self._forks.begin(str(folder), operation, careless)
        command = [self._strace, "-f", "-p", str(pid), "-e", f"trace={CALLS}", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            if strace.stderr is None or "attached" not in strace.stderr.readline():
                raise Skipped("strace cannot attach to a process of ours")
            late = threading.Timer(_HANGS_SECONDS, _kill, [pid])
            late.start()
            ending = self._forks.end()
            late.cancel()
            strace.stderr.read()
        return ending

    def close(self) -> None:
        self._forks.close()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _describe(folder: Path) -> Any:
    """Everything in a store but times and random names; None where there is no store."""
    if not folder.exists():
        return None
    with open_store(folder) as store:
        users = store.user_ids("", 100)
        told = [store.export_user(user) for user in users]
        for one in told:
            for row in [*one["versions"], *one["jobs"]]:
                row["created_at"] = row["job_id"] = None
        return users, told, [store.view(user).vectors.near_rows.tolist() for user in users], store.n_open_jobs()


def _prepare(plan: Plan, whole: Path, operation: str) -> Path:
    folder = plan.folder / operation / "store"
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.parent.mkdir(parents=True)
    if operation != "build":
        shutil.copytree(whole, folder)
    return folder


def _count_calls(plan: Plan, operator: Operator, whole: Path, operation: str) -> int:
    """How many write calls the process itself makes."""
    trace = plan.folder / "trace"
    folder = _prepare(plan, whole, operation)
    operator.run(folder, operation, ["-o", str(trace)])
    pids = re.findall(r"^(\d+) +\w+\(", trace.read_text(errors="replace"), re.MULTILINE)
    return max((pids.count(pid) for pid in set(pids)), default=0)


def _try(plan: Plan, operator: Operator, whole: Path, trial: Trial, expected: Expected, careless: bool) -> Ended:
    """How a trial ended, and what is wrong afterwards."""
    folder = _prepare(plan, whole, trial.operation)
    when = f"{trial.place}{'+' if trial.for_ever else ''}"
    options = ["-e", f"inject={CALLS}:error={trial.error}:when={when}", "-o", "/dev/null"]
    ending = operator.run(folder, trial.operation, options, careless=careless)
    if ending not in (Ending.DONE, Ending.REFUSED):
        named = {-9: "it hung", Ending.UNNAMED: "an error without a name", Ending.UNREADABLE: "others unreadable"}
        return ending, named.get(ending, f"ended with status {ending}")
    return ending, _find_fault(folder, trial.operation, ending, expected)


def _find_fault(folder: Path, operation: str, ending: int, expected: Expected) -> str:
    """What is wrong with a store after an operation that failed or not; nothing where it is well."""
    try:
        found = _describe(folder)
        if ending == Ending.DONE and found != expected.after:
            return "acknowledged, but not there"
        if operation in _ATOMIC and found not in (expected.before, expected.after):
            return "neither as before nor as after"
        if found != expected.after and operation not in _IN_STEPS:
            do_operation(folder, operation)
            found = _describe(folder)
        if operation not in _IN_STEPS and found != expected.after:
            return "the same again, without a fault, does not come to the right end"
        if operation == "delete" and USER.encode() in b"".join(p.read_bytes() for p in folder.glob("store*")):
            return "bytes of the deleted user are left"
    except BluerecError as error:
        return str(error)
    return ""


def _choose_trials(plan: Plan, n_calls: dict[str, int], n_trials: int | None) -> list[Trial]:
    trials = [
        Trial(operation, place, error, for_ever)
        for operation, n in n_calls.items()
        for place in range(1, n + 1)
        for error in ERRORS
        for for_ever in (False, True)
    ]
    # In no order, so that a run that ends early has tried all operations alike.
    return random.Random(plan.seed).sample(trials, min(n_trials or len(trials), len(trials)))


def _fail_calls(plan: Plan, operations: Sequence[str], n_trials: int | None, careless: bool = False) -> Outcome:
    whole, operator = make_store(plan.folder / "whole"), Operator()
    try:
        n_calls = {operation: _count_calls(plan, operator, whole, operation) for operation in operations}
        expected = {operation: _expect(plan, whole, operation) for operation in operations}
        trials = _choose_trials(plan, n_calls, n_trials)
        outcome = Outcome({"operations": len(operations), "write calls of them": sum(n_calls.values()), "faults": 0})
        for done, trial in enumerate(trials):
            if plan.is_over:
                break
            plan.progress(done, len(trials))
            ending, fault = _try(plan, operator, whole, trial, expected[trial.operation], careless)
            outcome.count("faults")
            outcome.count("refused by name" if ending == Ending.REFUSED else "done in spite of it", 1)
            if fault:
                outcome.faults.append(f"{trial}: {fault}")
    finally:
        operator.close()
    return outcome


def _expect(plan: Plan, whole: Path, operation: str) -> Expected:
    folder = _prepare(plan, whole, operation)
    before = _describe(folder)
    do_operation(folder, operation)
    return Expected(before, _describe(folder))


DISK_FAULTS = Suite(
    title="full and broken disks",
    promise=(
        "Where a write call fails, the operation succeeds or is refused with one line that says where; the store "
        "stays whole, reading goes on, and the same again succeeds once the disk is well."
    ),
    planted_fault="an operation that takes every failure for a success",
    run=lambda plan: _fail_calls(plan, OPERATIONS, None if plan.long else 24),
    plant=lambda plan: _fail_calls(plan, ("edit",), 8, careless=True),
)
