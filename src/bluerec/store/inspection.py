"""Looking through every row of a store: how many there are in each table, which are damaged, and whose."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bluerec.store.database import Database, reading_anything, row_checksum
from bluerec.store.records import EVENT_COLUMNS, ITEM_COLUMNS, VECTOR_COLUMNS, VERSION_COLUMNS

ITEMS, EVENTS, VERSIONS, VECTORS = "items", "interactions", "versions", "sentence_vectors"
# The tables whose rows have a checksum. In all but the first a row begins with the row of its user.
_COLUMNS = {ITEMS: ITEM_COLUMNS, EVENTS: EVENT_COLUMNS, VERSIONS: VERSION_COLUMNS, VECTORS: VECTOR_COLUMNS}
_ROWS_AT_ONCE = 1_000


@dataclass(slots=True)
class TableState:
    """What was found in a table: its rows, those that are damaged or missing, and the ids of the users behind them."""

    table: str
    n_rows: int = 0
    n_damaged: int = 0
    users: list[str] = field(default_factory=list)


def inspect_tables(database: Database) -> list[TableState]:
    """Compare every row with its checksum, and the vectors of each profile with its sentences. Changes nothing.

    Raises `StoreError` where a table cannot be read to its end.
    """
    n_sentences: dict[int, int] = {}
    n_vectors: Counter[int] = Counter()
    with database.reading() as reader, reading_anything(reader):
        found = [_inspect(reader, table, n_sentences, n_vectors) for table in _COLUMNS]
        _add_missing(reader, found[-1], n_sentences, n_vectors)
    return found


def _inspect(
    reader: sqlite3.Connection, table: str, n_sentences: dict[int, int], n_vectors: Counter[int]
) -> TableState:
    """Look through one table; what it tells of sentences and vectors is noted by the row of the user."""
    state, damaged = TableState(table), set()
    for row in _read(reader, table):
        state.n_rows += 1
        if row_checksum(*row[:-1]) != row[-1]:
            state.n_damaged += 1
            damaged.add(row[0])
            n_sentences.pop(row[0], None)
        elif table == VERSIONS:  # in the order of their numbers: the latest counts
            n_sentences[row[0]] = len(json.loads(row[3]))
        if table == VECTORS:
            n_vectors[row[0]] += 1
    if table != ITEMS:
        state.users = _name_users(reader, damaged)
    return state


def _read(reader: sqlite3.Connection, table: str) -> Iterator[Sequence[Any]]:
    order = "ORDER BY user_row, version" if table == VERSIONS else ""
    cursor = reader.execute(f"SELECT {_COLUMNS[table]} FROM {table} {order}")
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _add_missing(
    reader: sqlite3.Connection, state: TableState, n_sentences: dict[int, int], n_vectors: Counter[int]
) -> None:
    """Count what a profile has too few or too many vectors as damage of the vectors' table."""
    wrong = {row: abs(n_vectors[row] - n) for row, n in n_sentences.items() if n_vectors[row] != n}
    state.n_damaged += sum(wrong.values())
    state.users = sorted({*state.users, *_name_users(reader, wrong)})


def _name_users(reader: sqlite3.Connection, user_rows: Any) -> list[str]:
    asked = "SELECT user_id FROM users WHERE user_row = ?"
    found = (reader.execute(asked, (row,)).fetchone() for row in user_rows)
    return sorted(one[0] for one in found if one)
