"""The steps of which writes are made; each runs inside a transaction of its caller."""

from __future__ import annotations

import hashlib
import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bluerec.data.personal_data import strip_personal_data
from bluerec.errors import DataError, StoreError
from bluerec.store.database import Database, place_holders
from bluerec.store.records import (
    KnownHistory,
    SentenceVectors,
    StoredVersion,
    pack_vectors,
    pack_version,
)
from bluerec.store.sentences import (
    clean_line,
    clean_text,
    cut_each,
    cut_sentences,
    find_locked,
    join_sentences,
    merge_offer,
    split_sentences,
)
from bluerec.types import FIRST_SECOND, LAST_SECOND, Interaction, Item

# The digest of a user without a history.
NO_HISTORY = "none"
_EVENT_TEXTS = ("review_title", "review_text")


class GoneError(StoreError):
    """Whom a text was written for is no longer there: the user was deleted, or the job was closed by others."""


def read_facts(database: Database) -> dict[str, str]:
    """What the store is made of: embedder, dimension, number of items, file of the vectors."""
    with database.reading() as reader:
        return dict(reader.execute("SELECT key, value FROM meta").fetchall())


def save_facts(writer: sqlite3.Connection, facts: Mapping[str, Any]) -> None:
    """Set facts."""
    rows = [(key, str(value)) for key, value in facts.items()]
    writer.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", rows)


def find_user(connection: sqlite3.Connection, user_id: str) -> int:
    """The row of a user, -1 where there is none."""
    found = connection.execute("SELECT user_row FROM users WHERE user_id = ?", (user_id,)).fetchone()
    return int(found[0]) if found else -1


def add_user(writer: sqlite3.Connection, user_id: str) -> tuple[int, str]:
    """Row and history digest of a user, who is added if new."""
    writer.execute("INSERT OR IGNORE INTO users (user_id, history_digest) VALUES (?, ?)", (user_id, NO_HISTORY))
    asked = "SELECT user_row, history_digest FROM users WHERE user_id = ?"
    user_row, history_digest = writer.execute(asked, (user_id,)).fetchone()
    return int(user_row), str(history_digest)


def check_events(events: Sequence[Interaction], item_rows: Mapping[str, int]) -> None:
    """Raises `DataError` for an item that is not among these, for a timestamp that cannot be in seconds, and for a
    rating that no export could write as JSON.
    """
    unknown = next((event.item_id for event in events if event.item_id not in item_rows), None)
    if unknown is not None:
        raise DataError(f"item {unknown!r} is not in the store's catalogue; index it first: bluerec index")
    if not all(FIRST_SECOND <= event.timestamp <= LAST_SECOND for event in events):
        raise DataError("a timestamp is not between the years 1 and 9999; give Unix seconds, not milliseconds")
    infinite = next((event.item_id for event in events if event.rating and math.isinf(event.rating)), None)
    if infinite is not None:
        raise DataError(f"the rating of item {infinite!r} is infinite; leave it out, or run: bluerec prepare")


def insert_events(writer: sqlite3.Connection, packed: Sequence[tuple[Any, ...]]) -> int:
    """Add packed events that are not there yet; how many were new."""
    before = writer.total_changes
    writer.executemany(f"INSERT OR IGNORE INTO interactions VALUES ({place_holders(range(7))})", packed)
    return writer.total_changes - before


def update_digest(writer: sqlite3.Connection, user_row: int) -> None:
    """Make the digest of a user that of the history as it is now."""
    writer.execute(
        "UPDATE users SET history_digest = ? WHERE user_row = ?", (digest_events(writer, user_row), user_row)
    )


def digest_events(connection: sqlite3.Connection, user_row: int, before: int = LAST_SECOND + 1) -> str:
    """The digest of a user's events, or of those before a second."""
    asked = (
        "SELECT item_id, timestamp, rating, review_title, review_text FROM interactions JOIN items USING (item_row) "
        "WHERE user_row = ? AND timestamp < ? ORDER BY timestamp, item_row"
    )
    digest = hashlib.blake2b(digest_size=12)
    for row in connection.execute(asked, (user_row, before)):
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def read_digest(connection: sqlite3.Connection, user_row: int) -> str:
    """The digest of a user's history as it is now."""
    asked = "SELECT history_digest FROM users WHERE user_row = ?"
    return str(connection.execute(asked, (user_row,)).fetchone()[0])


def seen_history(
    writer: sqlite3.Connection, user_id: str, job_id: str | None, known: KnownHistory | None
) -> tuple[int, str]:
    """Row of a user and digest of the history that a text was written from: the one known, the job's, or today's.

    Raises `GoneError` where the user, or the job that asked for the text, is gone.
    """
    if known is not None:
        asked = "SELECT user_row, ? FROM users WHERE user_row = ? AND user_id = ?"
        found = writer.execute(asked, (known.digest, known.user_row, user_id)).fetchone()
    elif job_id is not None:
        # A job that another process has closed meanwhile: its profile is there already, from this history or a later.
        asked = (
            "SELECT user_row, jobs.history_digest FROM jobs JOIN users USING (user_row) "
            "WHERE job_id = ? AND user_id = ? AND state IN ('queued', 'running')"
        )
        found = writer.execute(asked, (job_id, user_id)).fetchone()
    else:
        asked = "SELECT user_row, history_digest FROM users WHERE user_id = ?"
        found = writer.execute(asked, (user_id,)).fetchone()
    if found is None:
        raise GoneError("the user, or the job for them, is not in the store, or no longer; nothing was kept")
    return int(found[0]), str(found[1] or NO_HISTORY)


def append_version(writer: sqlite3.Connection, user_row: int, made: StoredVersion, found: SentenceVectors) -> None:
    """Add a version; its vectors take the place of those of the version before."""
    writer.execute(f"INSERT INTO versions VALUES ({place_holders(range(11))})", pack_version(user_row, made))
    replace_vectors(writer, user_row, found)


def replace_vectors(writer: sqlite3.Connection, user_row: int, found: SentenceVectors) -> None:
    """Make these the vectors of a user's profile."""
    writer.execute("DELETE FROM sentence_vectors WHERE user_row = ?", (user_row,))
    rows = pack_vectors(user_row, found)
    writer.executemany(f"INSERT INTO sentence_vectors VALUES ({place_holders(range(6))})", rows)


def replace_version(writer: sqlite3.Connection, user_row: int, made: StoredVersion) -> None:
    """Write a version again in its place: same text, another offer beside it."""
    writer.execute(f"INSERT OR REPLACE INTO versions VALUES ({place_holders(range(11))})", pack_version(user_row, made))


def next_version(
    last: StoredVersion | None, text: str, sentences: Sequence[str], locked: Sequence[str]
) -> StoredVersion:
    """The version after `last`, as yet without a writer."""
    number = last.version + 1 if last else 1
    return StoredVersion(number, text, tuple(sentences), tuple(locked), "", time.time(), False, NO_HISTORY)


def merge_written(last: StoredVersion | None, text: str, writer: str) -> StoredVersion:
    """The version after `last` when a writer has written `text`, as yet without the history that it was written from.

    Where a person wrote all of `last` it is `last` itself, under the same number, with the text beside it.
    """
    if last is None or not last.locked:
        return replace(next_version(last, text, split_sentences(text), ()), writer=writer)
    mine = cut_each(last.locked)
    merged = merge_offer(cut_each(last.sentences), mine, cut_sentences(text))
    if merged is None:
        return replace(last, offered=text)
    joined = join_sentences(merged)
    sentences = split_sentences(joined)
    made = next_version(last, joined, sentences, find_locked(sentences, merged, mine))
    return replace(made, writer=writer, offered=text)


def written_by(made: StoredVersion, writer: str, history_digest: str, *, edited: bool = False) -> StoredVersion:
    """The version with who wrote it, and from what."""
    return replace(made, writer=writer, history_digest=history_digest, edited=edited)


def require_text(text: str) -> str:
    """The text without hidden characters. Raises `DataError` if nothing is left."""
    cleaned = clean_text(text)
    if not cleaned:
        raise DataError("a profile needs a text; write at least a word")
    return cleaned


def accept_written(text: str) -> str:
    """What a writer wrote as it is kept: without hidden characters and without personal data that reviews brought in.

    Raises `DataError` if nothing is left.
    """
    return require_text(strip_personal_data(clean_text(text)))


def clean_item(item: Item) -> Item:
    """An item with every text a stranger wrote on one line and without hidden characters; its id stays as it is.

    Raises `DataError` for a price that is infinite.
    """
    if item.price and math.isinf(item.price):
        raise DataError(f"the price of item {item.item_id!r} is infinite; leave it out, or run: bluerec prepare")
    return replace(
        item,
        title=clean_line(item.title),
        description=clean_line(item.description),
        categories=tuple(name for category in item.categories if (name := clean_line(category))),
        brand=clean_line(item.brand) or None if item.brand else item.brand,
        domain=clean_line(item.domain) or None if item.domain else item.domain,
    )


def clean_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """An event's fields, the texts of strangers without hidden characters."""
    fields = dict(row)
    for name in _EVENT_TEXTS:
        if fields.get(name):
            fields[name] = clean_text(fields[name]) or None
    return fields
