"""The promise about power loss, checked where it is made: no acknowledgement without a synchronisation before it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bluerec.selftest.kills import WRITER
from bluerec.selftest.small_store import make_store
from bluerec.selftest.suite import Outcome, Plan, Skipped, Suite


def find_strace() -> str:
    """Where strace is. Raises `Skipped` where it is missing or the system does not let it trace."""
    found = shutil.which("strace")
    if found is None:
        raise Skipped("strace is not installed (Debian: apt install strace)")
    if subprocess.run([found, "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        raise Skipped("strace may not trace processes here")
    return found


def _trace(plan: Plan, n_writes: int, fault: str = "") -> Outcome:
    folder, trace = make_store(plan.folder / "store"), plan.folder / "trace"
    strace = [find_strace(), "-f", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)]
    with subprocess.Popen([*strace, *WRITER, str(folder), "1", *([fault] if fault else [])], stdout=-1) as process:
        for _ in range(n_writes):
            if process.stdout and not process.stdout.readline():
                break
        process.terminate()
    return _read(trace)


def _read(trace: Path) -> Outcome:
    outcome, synchronised = Outcome({"acknowledged writes": 0}), False
    for line in trace.read_text(errors="replace").splitlines():
        if "sync(" in line and line.rstrip().endswith("= 0"):
            synchronised = True
            outcome.count("synchronisations")
        elif 'write(1, "{' in line:
            # A job that waited already writes nothing.
            if not synchronised and '\\"job\\"' not in line:
                outcome.faults.append(f"acknowledged without a synchronisation: {line[:120]}")
            outcome.count("acknowledged writes")
            synchronised = False
    if not outcome.counts["acknowledged writes"]:
        outcome.faults.append("the writer acknowledged nothing")
    return outcome


DURABILITY = Suite(
    title="fsync before the word",
    promise="A write is acknowledged only after the journal was synchronised to the disk (seen in the system calls).",
    planted_fault="a writer with synchronisation switched off",
    run=lambda plan: _trace(plan, plan.choose(50, 2_000)),
    plant=lambda plan: _trace(plan, 20, "unsynced"),
)
