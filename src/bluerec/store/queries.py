"""Questions about users, each asked inside a snapshot of its caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from bluerec.store.records import EVENT_COLUMNS, VECTOR_COLUMNS, VERSION_COLUMNS
from bluerec.store.transactions import NO_HISTORY, find_user

Row = Sequence[Any]
# A short list from so much takes a few milliseconds (docs/serving.md).
MAX_SMALL_SENTENCES, MAX_SMALL_EVENTS = 8, 500


def find_versions(reader: sqlite3.Connection, user_id: str, version: int | None = None) -> list[Row]:
    """The versions of a profile, oldest first, or the one of a number."""
    asked = f"SELECT {VERSION_COLUMNS} FROM versions WHERE user_row = ?1 AND version = ifnull(?2, version)"
    return reader.execute(f"{asked} ORDER BY version", (find_user(reader, user_id), version)).fetchall()


def find_latest(reader: sqlite3.Connection, user_id: str) -> Row | None:
    """The latest version of a profile, None where there is none."""
    asked = f"SELECT {VERSION_COLUMNS} FROM versions WHERE user_row = ? ORDER BY version DESC LIMIT 1"
    row: Row | None = reader.execute(asked, (find_user(reader, user_id),)).fetchone()
    return row


def find_vectors(reader: sqlite3.Connection, user_id: str) -> list[Row]:
    """The vectors of a profile's sentences, in their order."""
    asked = f"SELECT {VECTOR_COLUMNS} FROM sentence_vectors WHERE user_row = ? ORDER BY place"
    return reader.execute(asked, (find_user(reader, user_id),)).fetchall()


def find_taken(reader: sqlite3.Connection, user_id: str) -> list[int]:
    """The rows of the items in a history, oldest first."""
    asked = "SELECT item_row FROM interactions WHERE user_row = ? ORDER BY timestamp, item_row"
    return [row for (row,) in reader.execute(asked, (find_user(reader, user_id),)).fetchall()]


def is_small(reader: sqlite3.Connection, user_id: str) -> bool:
    """Whether a profile has at most `MAX_SMALL_SENTENCES` and a history `MAX_SMALL_EVENTS`; counts no further."""
    user_row = find_user(reader, user_id)
    for table, most in (("sentence_vectors", MAX_SMALL_SENTENCES), ("interactions", MAX_SMALL_EVENTS)):
        asked = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE user_row = ? LIMIT ?)"
        if reader.execute(asked, (user_row, most + 1)).fetchone()[0] > most:
            return False
    return True


def find_history(reader: sqlite3.Connection, user_id: str) -> tuple[int, str, list[Row]]:
    """Row of a user (-1 where there is none), digest of their history, and its rows, oldest first."""
    asked = "SELECT user_row, history_digest FROM users WHERE user_id = ?"
    user_row, digest = reader.execute(asked, (user_id,)).fetchone() or (-1, NO_HISTORY)
    asked = f"SELECT {EVENT_COLUMNS} FROM interactions WHERE user_row = ? ORDER BY timestamp, item_row"
    return int(user_row), str(digest), reader.execute(asked, (user_row,)).fetchall()


def find_stale(reader: sqlite3.Connection) -> list[str]:
    """Users with a history that their latest profile has not seen, or without a profile.

    In order of their ids, those whose last try failed at the end: they hold up nobody.
    """
    asked = (
        "SELECT user_id FROM users WHERE history_digest != ? AND history_digest IS NOT (SELECT history_digest FROM "
        "versions WHERE versions.user_row = users.user_row ORDER BY version DESC LIMIT 1) ORDER BY "
        "EXISTS (SELECT 1 FROM jobs WHERE jobs.user_row = users.user_row AND state = 'failed'), user_id"
    )
    return [user_id for (user_id,) in reader.execute(asked, (NO_HISTORY,)).fetchall()]


def find_users(reader: sqlite3.Connection, prefix: str, limit: int) -> list[str]:
    """Users with a profile whose ids begin with `prefix`, in order, at most `limit`."""
    asked = (
        "SELECT user_id FROM users WHERE user_id >= ?1 AND substr(user_id, 1, length(?1)) = ?1 "
        "AND EXISTS (SELECT 1 FROM versions WHERE versions.user_row = users.user_row) ORDER BY user_id LIMIT ?2"
    )
    return [user_id for (user_id,) in reader.execute(asked, (prefix, limit)).fetchall()]


def count_users(reader: sqlite3.Connection) -> int:
    """How many users there are, with a profile or without."""
    return int(reader.execute("SELECT count(*) FROM users").fetchone()[0])


def count_profiles(reader: sqlite3.Connection) -> int:
    """How many users have a profile."""
    return int(reader.execute("SELECT count(DISTINCT user_row) FROM versions").fetchone()[0])
