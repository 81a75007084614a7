"""A suite: a promise, trials that could break it, and a planted fault that the same trials must find."""

from __future__ import annotations

import importlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bluerec.errors import ConfigError, MissingExtraError, ModelError
from bluerec.types import CountDone

# In the order of the report. Modules are loaded when their suite runs: some need the service, some a model.
SUITES = {
    "kills": "kills:KILLS",
    "durability": "durability:DURABILITY",
    "disk-faults": "disk_faults:DISK_FAULTS",
    "damage": "damage:DAMAGE",
    "growth": "growth:GROWTH",
    "locks": "locks:LOCKS",
    "deletion": "deletion:DELETION",
    "hidden-characters": "hostile_text:HIDDEN_CHARACTERS",
    "pages": "pages:PAGES",
    "containment": "containment:CONTAINMENT",
    "steering": "steering:STEERING",
    "personal-data": "personal:PERSONAL_DATA",
    "isolation": "isolation:ISOLATION",
    "api-fuzz": "fuzz:API_FUZZ",
}
MAX_FAULTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to do: the short form is for every day, the long one for a release.

    `data` is a folder with prepared folders: suites that judge titles look at the real ones in it too. After `end`, a
    time of `time.monotonic`, a suite stops early; its counts say what was done.
    """

    folder: Path
    long: bool = False
    seed: int = 0
    data: Path | None = None
    tell: CountDone | None = None
    end: float = math.inf

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.end

    def choose(self, short: int, long: int) -> int:
        return long if self.long else short

    def progress(self, done: int, total: int) -> None:
        if self.tell:
            self.tell(done, total)


@dataclass
class Outcome:
    """What was done, as numbers with their names, and each breach of the promise in a line."""

    counts: dict[str, int | float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def count(self, name: str, more: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + more


@dataclass(frozen=True, slots=True)
class Suite:
    """`run` tries to break `promise`; `plant` does the same with `planted_fault` in place and must find faults.

    A suite that cannot run here raises `Skipped`, `MissingExtraError` or `ModelError`.
    """

    title: str
    promise: str
    planted_fault: str
    run: Callable[[Plan], Outcome]
    plant: Callable[[Plan], Outcome]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one suite. `skipped` says why it did not run; then nothing was shown."""

    name: str
    title: str
    promise: str
    planted_fault: str
    long: bool
    day: str
    seconds: float
    counts: dict[str, int | float]
    faults: list[str]
    fault_caught: bool
    skipped: str = ""

    @property
    def passed(self) -> bool:
        return not self.skipped and not self.faults and self.fault_caught


class Skipped(Exception):
    """The reason why a suite cannot run on this machine."""


def find_suite(name: str) -> Suite:
    """The suite of a name. Raises `ConfigError` naming the known ones."""
    if name not in SUITES:
        raise ConfigError(f"unknown suite {name!r}; choose from {', '.join(SUITES)}")
    module, _, variable = SUITES[name].partition(":")
    suite: Suite = getattr(importlib.import_module(f"bluerec.selftest.{module}"), variable)
    return suite


def run_suite(
    name: str,
    *,
    long: bool = False,
    seed: int = 0,
    data: Path | None = None,
    minutes: float = math.inf,
    tell: CountDone | None = None,
) -> Result:
    """Run a suite and its planted fault in temporary folders; what it found. Raises `ConfigError` for unknown names.

    The trials stop after so many minutes, however many were meant.
    """
    suite = find_suite(name)
    begin, skipped = time.perf_counter(), ""
    outcome, caught = Outcome(), False
    try:
        with tempfile.TemporaryDirectory(prefix="bluerec-selftest-") as folder:
            planted = suite.plant(Plan(Path(folder), False, seed, data))
        caught = bool(planted.faults)
        with tempfile.TemporaryDirectory(prefix="bluerec-selftest-") as folder:
            end = time.monotonic() + 60 * minutes
            outcome = suite.run(Plan(Path(folder), long, seed, data, tell, end))
    except (Skipped, MissingExtraError, ModelError) as error:
        skipped = str(error)
    return Result(
        name, suite.title, suite.promise, suite.planted_fault, long, datetime.now(UTC).strftime("%Y-%m-%d"),
        round(time.perf_counter() - begin, 1), dict(outcome.counts), list(outcome.faults), caught, skipped,
    )  # fmt: skip


@contextmanager
def replaced(owner: Any, name: str, other: Any) -> Iterator[None]:
    """An attribute that is another one for a while: how faults are planted."""
    known = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, known)


def shorten(faults: Sequence[str]) -> list[str]:
    """The first faults, and how many more there are."""
    kept = [" ".join(fault.split())[:300] for fault in faults[:MAX_FAULTS_SHOWN]]
    return kept + ([f"and {len(faults) - len(kept)} more"] if len(faults) > len(kept) else [])
