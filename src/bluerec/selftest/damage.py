"""Files of a store with flipped bits, blanked or cut off: the right data or one named error, never other data."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bluerec.errors import StoreError
from bluerec.selftest.small_store import make_store, open_store
from bluerec.selftest.suite import Outcome, Plan, Suite
from bluerec.store.database import DATABASE_FILE, row_checksum
from bluerec.store.recommender import Recommender
from bluerec.store.records import VERSION_COLUMNS

MAX_SECONDS = 5.0
Damage = Callable[[Path, random.Random], None]


def read_everything(folder: Path) -> Any:
    """All that can be asked of a store: users, their texts and histories, their lists with reasons."""
    with open_store(folder) as store:
        recommender = Recommender(store)
        users = list(store.user_ids("", 100))
        lists = [
            [(row.item, row.rank, row.sentence, row.evidence) for row in recommender.recommend_with_reasons(user)]
            for user in users
        ]
        return users, [store.export_user(user) for user in users], lists, store.stale_users()


def flip_bits(path: Path, draw: random.Random) -> None:
    """One bit, a few or many."""
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 1, 4, 64])):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut_off(path: Path, draw: random.Random) -> None:
    """Everything from some byte on is gone."""
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def blank_block(path: Path, draw: random.Random) -> None:
    """A block of the disk reads as zeros."""
    content = bytearray(path.read_bytes())
    start = draw.randrange(len(content))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(content)


def forge_text(path: Path, draw: random.Random) -> None:
    """Another text with a checksum that fits: damage that no reader can see. Only for planting."""
    with sqlite3.connect(path.with_name(DATABASE_FILE)) as connection:
        row = list(connection.execute(f"SELECT {VERSION_COLUMNS} FROM versions LIMIT 1").fetchone())
        row[2] = f"{row[2]} And chess."
        connection.execute("UPDATE versions SET text = ?, checksum = ? WHERE user_row = ? AND version = ?",
                           (row[2], row_checksum(*row[:-1]), row[0], row[1]))  # fmt: skip
    connection.close()


def _damage_files(plan: Plan, n_files: int, ways: list[Damage]) -> Outcome:
    whole = make_store(plan.folder / "store")
    expected, draw = read_everything(whole), random.Random(plan.seed + 5)
    outcome = Outcome({"damaged files": 0, "named errors": 0, "right data": 0})
    for number in range(n_files):
        if plan.is_over:
            break
        plan.progress(number, n_files)
        outcome.count("damaged files")
        copy = plan.folder / "copy"
        shutil.copytree(whole, copy)
        victim = draw.choice(sorted(path for path in copy.iterdir() if path.stat().st_size))
        damage = draw.choice(ways)
        damage(victim, draw)
        where = f"file {number}, {victim.suffix}, {damage.__name__}"
        begin = time.perf_counter()
        try:
            if read_everything(copy) == expected:
                outcome.count("right data")
            else:
                outcome.faults.append(f"{where}: other data than was written")
        except StoreError as error:
            outcome.count("named errors")
            if "\n" in str(error) or str(copy) not in str(error):
                outcome.faults.append(f"{where}: an error that does not say where: {error}")
        except (ValueError, OSError, RuntimeError, LookupError, TypeError, ArithmeticError, sqlite3.Error) as error:
            outcome.faults.append(f"{where}: {type(error).__name__} and not a named error")
        if time.perf_counter() - begin > MAX_SECONDS:
            outcome.faults.append(f"{where}: took longer than {MAX_SECONDS:g} s")
        shutil.rmtree(copy)
    return outcome


DAMAGE = Suite(
    title="damaged files",
    promise="A store with damaged files gives the data that was written, or one error that names it; nothing else.",
    planted_fault="a changed text with a checksum that fits",
    run=lambda plan: _damage_files(plan, plan.choose(150, 1_000), [flip_bits, flip_bits, cut_off, blank_block]),
    plant=lambda plan: _damage_files(plan, 2, [forge_text]),
)
