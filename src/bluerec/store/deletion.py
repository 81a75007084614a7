"""Deleting a user: every row, the bytes under them, and a receipt that says what was searched afterwards."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bluerec.errors import StoreError
from bluerec.store import file_scan
from bluerec.store.catalogue import VECTORS_SUFFIX
from bluerec.store.database import Database, reading_anything
from bluerec.store.index import INDEX_SUFFIX

USER_TABLES = ("interactions", "versions", "sentence_vectors", "jobs")
# Shorter texts stand by chance in the data of others.
MIN_SEARCHED_CHARACTERS = 8
MAX_SEARCHED_TEXTS = 64
_SCAN_SECONDS = 60.0
_REMEDY = "look yourself with: grep -a -c TEXT FILE"


@dataclass
class Receipt:
    """What was removed from where, and what a search of the store's files found afterwards."""

    rows_removed: dict[str, int] = field(default_factory=dict)
    journal_emptied: bool = True
    files_searched: dict[str, int] = field(default_factory=dict)
    n_texts_searched: int = 0
    n_texts_not_searched: int = 0
    n_texts_found: int = 0
    n_texts_of_others: int = 0
    search_failed: str | None = None

    def as_dict(self, seconds: float) -> dict[str, Any]:
        """Plain data. Where nothing was searched, nobody knows what is left, and `search_failed` says why."""
        failed = {"texts_found": None, "texts_of_others": None, "search_failed": self.search_failed}
        return {
            "versions_removed": self.rows_removed.get("versions", 0),
            "interactions_removed": self.rows_removed.get("interactions", 0),
            "rows_removed": self.rows_removed,
            "journal_emptied": self.journal_emptied,
            "files_searched": self.files_searched,
            "texts_searched": self.n_texts_searched,
            "texts_not_searched": self.n_texts_not_searched,
            "texts_found": self.n_texts_found,
            "texts_of_others": self.n_texts_of_others,
            "seconds": round(seconds, 3),
            **(failed if self.search_failed else {}),
        }


def delete_user(database: Database, folder: Path, user_id: str) -> dict[str, Any]:
    """Remove everything of a user; the receipt as plain data.

    The rows go in one transaction. SQLite overwrites deleted cells, but where it moved cells within a page before, old
    bytes can stay between them: so the file is written anew, and the journal is cut to nothing, before this returns.
    Then the bytes of all files are searched for the user's texts; one that is found only because others have the same
    text is counted apart. A kill in between is made good when the store is opened again, a failure also by the next
    deletion, of the same user or of another. Where the search fails, or nobody knows any more what to search for, the
    user is deleted all the same, and the receipt says that it is not complete.
    """
    begin = time.monotonic()
    receipt = Receipt()
    texts: list[str] = []
    with database.writing() as writer:
        found = writer.execute("SELECT user_row FROM users WHERE user_id = ?", (user_id,)).fetchone()
        if found:
            with reading_anything(writer):
                texts = _collect_texts(writer, found[0], user_id)
            for table in USER_TABLES:
                removed = writer.execute(f"DELETE FROM {table} WHERE user_row = ?", found)
                receipt.rows_removed[table] = removed.rowcount
            receipt.rows_removed["users"] = writer.execute("DELETE FROM users WHERE user_row = ?", found).rowcount
            database.ask_for_compaction(writer)
        # Also for a deletion before that failed after its rows had gone: of its user nothing else tells any more.
        due = database.is_compaction_due(writer)
    receipt.journal_emptied = database.compact() if due else database.empty_journal()
    if not texts:
        known = f"no text of the user has {MIN_SEARCHED_CHARACTERS} characters" if found else "no such user any more"
        receipt.search_failed = f"{known}, so nothing was searched for; {_REMEDY}"
        return receipt.as_dict(time.monotonic() - begin)
    try:
        _search(database, folder, texts, receipt)
    except (StoreError, OSError, subprocess.SubprocessError, ValueError) as error:
        receipt.n_texts_searched, receipt.n_texts_not_searched = 0, len(texts)
        receipt.search_failed = f"{type(error).__name__}; {_REMEDY}"
    return receipt.as_dict(time.monotonic() - begin)


def _collect_texts(writer: sqlite3.Connection, user_row: int, user_id: str) -> list[str]:
    """What only this user should have brought: the id, texts of profiles, offers, reviews; the longest first."""
    texts = {user_id}
    for row in writer.execute("SELECT text, offered FROM versions WHERE user_row = ?", (user_row,)):
        texts.update(text for text in row if text)
    asked = "SELECT review_title, review_text FROM interactions WHERE user_row = ?"
    for row in writer.execute(asked, (user_row,)):
        texts.update(text for text in row if text)
    return sorted((text for text in texts if len(text) >= MIN_SEARCHED_CHARACTERS), key=lambda text: (-len(text), text))


def _search(database: Database, folder: Path, texts: Sequence[str], receipt: Receipt) -> None:
    of_items = (VECTORS_SUFFIX, INDEX_SUFFIX)
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.endswith(of_items)]
    receipt.files_searched = {path.name: path.stat().st_size for path in files}
    searched = list(texts[:MAX_SEARCHED_TEXTS])
    receipt.n_texts_searched = len(searched)
    receipt.n_texts_not_searched = len(texts) - len(searched)
    for text, found in zip(searched, _scan(files, searched), strict=True):
        if found and _others_have(database, text):
            receipt.n_texts_of_others += 1
        elif found:
            receipt.n_texts_found += 1


def _scan(files: Sequence[Path], texts: Sequence[str]) -> list[bool]:
    command = [sys.executable, "-I", "-S", file_scan.__file__, *map(str, files)]
    result = subprocess.run(
        command, input=json.dumps(texts), capture_output=True, text=True, timeout=_SCAN_SECONDS, check=True
    )
    found: list[bool] = json.loads(result.stdout)
    return found


def _others_have(database: Database, text: str) -> bool:
    """Whether a row that is still there accounts for these bytes."""
    columns = {
        "versions": ("text", "offered"),
        "interactions": ("review_title", "review_text"),
        "items": ("title", "description", "item_id"),
        "users": ("user_id",),
    }
    with database.reading() as reader:
        return any(
            reader.execute(f"SELECT 1 FROM {table} WHERE instr({column}, ?) LIMIT 1", (text,)).fetchone()
            for table, names in columns.items()
            for column in names
        )
