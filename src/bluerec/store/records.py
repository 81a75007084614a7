"""Rows of the database as dataclasses, each checked against its checksum when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bluerec.store.database import row_checksum
from bluerec.types import Event, Float32Array, IntArray, Interaction, Item

VERSION_COLUMNS = (
    "user_row, version, text, sentences, locked, writer, created_at, edited, history_digest, offered, checksum"
)
ITEM_COLUMNS = "item_row, item_id, title, description, categories, brand, price, domain, checksum"
EVENT_COLUMNS = "user_row, item_row, timestamp, rating, review_title, review_text, checksum"
VECTOR_COLUMNS = "user_row, place, vector, near_rows, near_scores, checksum"
JOB_COLUMNS = "job_id, user_id, state, created_at, error, jobs.history_digest"


class Damaged(ValueError):
    """A row whose content is not what was written."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a profile, counted from 1.

    `locked` are the sentences that a person wrote, `offered` what a writer wrote since, where it was not taken over
    as it is; `history_digest` stands for the history that the text was written from, `created_at` in Unix seconds.
    """

    version: int
    text: str
    sentences: tuple[str, ...]
    locked: tuple[str, ...]
    writer: str
    created_at: float
    edited: bool
    history_digest: str
    offered: str | None = None


@dataclass(frozen=True, slots=True)
class KnownHistory:
    """A user's events at one moment, oldest first.

    `user_row` is never given to a second user, not even to one of the same id: a text that was written from these
    events cannot come to somebody else. `digest` tells later whether the history is still the same.
    """

    user_row: int
    digest: str
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A profile that is to be written; `state` is queued, running, done or failed."""

    job_id: str
    user_id: str
    state: str
    created_at: float
    error: str | None = None
    history_digest: str | None = None


@dataclass(frozen=True, slots=True)
class SentenceVectors:
    """The vectors of a profile's sentences and the items nearest to each, all found exactly and best first."""

    vectors: Float32Array  # (n_sentences, dimension)
    near_rows: IntArray  # (n_sentences, n_near)
    near_scores: Float32Array  # (n_sentences, n_near)


@dataclass(frozen=True, slots=True)
class UserView:
    """What a list of a user is made of, all of one moment."""

    profile: StoredVersion | None
    vectors: SentenceVectors
    item_rows: IntArray  # (n_events,) of the history, oldest first


def pack_version(user_row: int, made: StoredVersion) -> tuple[Any, ...]:
    """A version as a row of `versions`."""
    values = (
        user_row, made.version, made.text, _pack_texts(made.sentences), _pack_texts(made.locked), made.writer,
        made.created_at, int(made.edited), made.history_digest, made.offered,
    )  # fmt: skip
    return (*values, row_checksum(*values))


def unpack_version(row: Sequence[Any]) -> StoredVersion:
    """The version of a row of `versions`. Raises `Damaged`."""
    _verify(row, "versions")
    _, version, text, sentences, locked, writer, created_at, edited, history_digest, offered, _ = row
    return StoredVersion(
        version, text, tuple(json.loads(sentences)), tuple(json.loads(locked)), writer, created_at, bool(edited),
        history_digest, offered,
    )  # fmt: skip


def pack_item(item_row: int, item: Item) -> tuple[Any, ...]:
    """An item as a row of `items`."""
    values = (
        item_row, item.item_id, item.title, item.description, _pack_texts(item.categories), item.brand,
        _pack_number(item.price), item.domain,
    )  # fmt: skip
    return (*values, row_checksum(*values))


def unpack_item(row: Sequence[Any]) -> Item:
    """The item of a row of `items`. Raises `Damaged`."""
    _verify(row, "items")
    _, item_id, title, description, categories, brand, price, domain, _ = row
    return Item(item_id, title, description, tuple(json.loads(categories)), brand, price, domain)


def pack_event(user_row: int, item_row: int, event: Interaction) -> tuple[Any, ...]:
    """An interaction as a row of `interactions`."""
    rating = _pack_number(event.rating)
    values = (user_row, item_row, int(event.timestamp), rating, event.review_title, event.review_text)
    return (*values, row_checksum(*values))


def unpack_event(row: Sequence[Any], user_id: str, item: Item) -> Event:
    """The event of a row of `interactions`. Raises `Damaged`."""
    _verify(row, "interactions")
    _, _, timestamp, rating, review_title, review_text, _ = row
    return Event(Interaction(user_id, item.item_id, timestamp, rating, review_title, review_text), item)


def pack_vectors(user_row: int, found: SentenceVectors) -> list[tuple[Any, ...]]:
    """One row of `sentence_vectors` for each sentence."""
    rows = []
    for place, (vector, near_rows, near_scores) in enumerate(
        zip(found.vectors, found.near_rows, found.near_scores, strict=True)
    ):
        blobs = (
            np.asarray(vector, dtype="<f4").tobytes(), np.asarray(near_rows, dtype="<i4").tobytes(),
            np.asarray(near_scores, dtype="<f4").tobytes(),
        )  # fmt: skip
        rows.append((user_row, place, *blobs, row_checksum(user_row, place, *blobs)))
    return rows


def unpack_vectors(rows: Sequence[Sequence[Any]], dimension: int, n_items: int) -> SentenceVectors:
    """The vectors of rows in the order of their places. Raises `Damaged`."""
    for place, row in enumerate(rows):
        _verify(row, "sentence_vectors")
        if row[1] != place or len(row[2]) != 4 * dimension or len(row[3]) != len(row[4]):
            raise Damaged("sentence_vectors: a vector is missing or has another length")
    if not rows:
        nothing = np.zeros((0, 0))
        return SentenceVectors(np.zeros((0, dimension), np.float32), nothing.astype(np.int64), nothing.astype("f4"))
    near_rows = np.stack([np.frombuffer(row[3], dtype="<i4") for row in rows]).astype(np.int64)
    if near_rows.size and near_rows.max() >= n_items:
        raise Damaged("sentence_vectors: names an item that is not there")
    return SentenceVectors(
        np.stack([np.frombuffer(row[2], dtype="<f4") for row in rows]),
        near_rows,
        np.stack([np.frombuffer(row[4], dtype="<f4") for row in rows]),
    )


def unpack_view(
    latest: Sequence[Any] | None, vectors: Sequence[Sequence[Any]], taken: Sequence[int], dimension: int, n_items: int
) -> UserView:
    """The latest version, its vectors and the rows of the history's items. Raises `Damaged`."""
    profile = unpack_version(latest) if latest else None
    if profile is not None and len(vectors) != len(profile.sentences):
        raise Damaged("sentence_vectors: not as many as sentences")
    return UserView(profile, unpack_vectors(vectors, dimension, n_items), np.array(taken, dtype=np.int64))


def _pack_texts(texts: Sequence[str]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)


def _pack_number(number: float | None) -> float | None:
    """A number as SQLite gives it back: it has no NaN and no -0.0, and the checksum is over what is read."""
    return None if number is None or math.isnan(number) else float(number) + 0.0


def _verify(row: Sequence[Any], table: str) -> None:
    if row_checksum(*row[:-1]) != row[-1]:
        raise Damaged(f"{table}: a row does not match its checksum")
