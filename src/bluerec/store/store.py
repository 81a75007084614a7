"""The store: items, histories, profiles in versions, their vectors and the queue, in one folder.

An acknowledged write survives a crash of the process and, as far as the disk keeps its word, loss of power: every
method that changes something returns after its transaction has been synchronised to the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bluerec.data.wishes import read_contents
from bluerec.errors import BluerecError, StoreError
from bluerec.store import queries
from bluerec.store.catalogue import Catalogue, load_vectors
from bluerec.store.database import Database
from bluerec.store.deletion import delete_user
from bluerec.store.embedding import BoundEmbedder, bind_embedder
from bluerec.store.index import SearchFacts, open_search
from bluerec.store.inspection import TableState, inspect_tables
from bluerec.store.jobs import JobQueue
from bluerec.store.records import (
    Damaged,
    KnownHistory,
    SentenceVectors,
    StoredJob,
    StoredVersion,
    UserView,
    pack_event,
    unpack_event,
    unpack_version,
    unpack_view,
)
from bluerec.store.sentences import find_locked, split_sentences
from bluerec.store.transactions import (
    accept_written,
    add_user,
    append_version,
    check_events,
    clean_row,
    digest_events,
    find_user,
    insert_events,
    merge_written,
    next_version,
    read_digest,
    read_facts,
    replace_version,
    require_text,
    seen_history,
    update_digest,
    written_by,
)
from bluerec.types import Embedder, Event, Interaction, Item

PERSON = "person"


class Store:
    """Implements the service's `ProfileStore`. Open with `Store.open`; any thread may use it."""

    def __init__(self, folder: Path, database: Database, catalogue: Catalogue, embedder: BoundEmbedder) -> None:
        self.folder = folder
        self.catalogue = catalogue
        self.embedder = embedder
        self.search_facts = SearchFacts()
        self._database = database
        self._queue = JobQueue(database)

    @classmethod
    def open(cls, folder: str | Path, *, embedder: Embedder | None = None, offline: bool = False) -> Store:
        """Open a store that `bluerec index` has made.

        `embedder` takes the place of the one that the store names, which is loaded when a text first needs it; either
        must be the one that the store was made with. Raises `StoreError` where something is missing or damaged,
        `MissingExtraError` where the store has an index and the library for it is not installed.
        """
        folder = Path(folder)
        database = Database.open(folder)
        try:
            facts = read_facts(database)
            shape = (int(facts["n_items"]), int(facts["dimension"]))
            vectors = load_vectors(folder / facts["vectors_file"], shape, int(facts["vectors_checksum"]))
            bound = bind_embedder(facts, folder, embedder, offline=offline)
            if embedder is not None:
                bound.warm()
            searched, search = open_search(folder, vectors, facts.get("search"))
        except (KeyError, ValueError) as error:
            database.close()
            raise database.damaged(f"meta: {error}") from error
        except BluerecError:
            database.close()
            raise
        store = cls(folder, database, Catalogue(database, vectors, search), bound)
        store.search_facts = searched
        return store

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction for bulk work inside this package."""
        with self._database.writing() as writer:
            yield writer

    # Profiles

    def profile(self, user_id: str) -> StoredVersion | None:
        """The latest version, or None."""
        with self._database.reading() as reader:
            return self._latest(reader, user_id)

    def versions(self, user_id: str) -> Sequence[StoredVersion]:
        """All versions, oldest first."""
        with self._database.reading() as reader:
            rows = queries.find_versions(reader, user_id)
        return [self._unpack(row) for row in rows]

    def save_edit(self, user_id: str, text: str) -> StoredVersion:
        """A person's own text as the latest version; sentences that are new in it are locked.

        Raises `DataError` for a text without a visible character.
        """
        text = require_text(text)
        sentences = split_sentences(text)
        vectors = self.embed_sentences(sentences)
        with self._database.writing() as writer:
            user_row, history_digest = add_user(writer, user_id)
            last = self._latest(writer, user_id)
            locked = find_locked(sentences, last.sentences, last.locked) if last else sentences
            seen = last.history_digest if last else history_digest
            made = written_by(next_version(last, text, sentences, locked), PERSON, seen, edited=True)
            append_version(writer, user_row, made, vectors)
        return made

    def save_written(
        self, user_id: str, text: str, writer: str, job_id: str | None = None, *, known: KnownHistory | None = None
    ) -> StoredVersion:
        """What a writer wrote: the latest version, in which locked sentences stay as they are.

        Where a person wrote the whole profile it does not change, and the text is kept beside it as `offered`.
        As seen counts the history `known`, or with `job_id` the one that was there when the job was taken: what came
        since makes the user stale. Where others have written from today's history meanwhile, and this text is from an
        older one, theirs stays and is returned: the user would be stale with nobody who waits. Raises `GoneError` where
        that user was deleted meanwhile, or that job closed.
        """
        text = accept_written(text)
        while True:
            last = self.profile(user_id)
            made = merge_written(last, text, writer)
            is_new = last is None or made.version > last.version
            vectors = self.embed_sentences(made.sentences if is_new else ())
            with self._database.writing() as connection:
                if self._latest(connection, user_id) != last:
                    continue  # somebody edited while the vectors were made
                user_row, seen = seen_history(connection, user_id, job_id, known)
                if last and last.history_digest != seen and last.history_digest == read_digest(connection, user_row):
                    return last
                made = replace(made, history_digest=seen)
                if is_new:
                    append_version(connection, user_row, made, vectors)
                else:
                    replace_version(connection, user_row, made)
                return made

    def revert(self, user_id: str, version: int) -> StoredVersion:
        """An earlier version as the latest one, with the sentences that were locked in it. `StoreError` if unknown."""
        with self._database.reading() as reader:
            rows = queries.find_versions(reader, user_id, version)
        if not rows:
            raise StoreError(f"the user has no version {version}; see the versions of the profile")
        old = self._unpack(rows[0])
        sentences = split_sentences(old.text)  # an older splitter may have cut it elsewhere
        vectors = self.embed_sentences(sentences)
        with self._database.writing() as writer:
            last = self._latest(writer, user_id)
            if last is None:
                raise StoreError("the user was deleted meanwhile; nothing was changed")
            locked = find_locked(sentences, old.sentences, old.locked)
            made = next_version(last, old.text, sentences, locked)
            made = written_by(made, old.writer, last.history_digest, edited=old.edited)
            append_version(writer, find_user(writer, user_id), made, vectors)
        return made

    def embed_sentences(self, sentences: Sequence[str]) -> SentenceVectors:
        """Vectors of sentences and the items nearest to each."""
        vectors = self.embedder.embed(read_contents(sentences), "profile")
        rows, scores = self.catalogue.search.find_near(vectors)
        return SentenceVectors(vectors, rows, scores)

    def view(self, user_id: str) -> UserView:
        """The latest profile with its vectors, and the items of the history, in one snapshot."""
        with self._database.reading() as reader:
            return self._view(reader, user_id)

    def small_view(self, user_id: str) -> UserView | None:
        """The same, or None where it would take long to read (`queries.is_small`)."""
        with self._database.reading() as reader:
            return self._view(reader, user_id) if queries.is_small(reader, user_id) else None

    def _view(self, reader: sqlite3.Connection, user_id: str) -> UserView:
        latest, vectors = queries.find_latest(reader, user_id), queries.find_vectors(reader, user_id)
        taken = queries.find_taken(reader, user_id)
        try:
            return unpack_view(latest, vectors, taken, self.embedder.dimension, self.catalogue.n_items)
        except Damaged as error:
            raise self._database.damaged(str(error)) from error

    # Histories

    def add_interactions(self, user_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Add events (item_id, timestamp, and rating, review_title, review_text if known); how many were new.

        An event of the same item at the same second is the same event. Raises `DataError` for an unknown item, and for
        a timestamp that is not in seconds.
        """
        events = [Interaction(user_id=user_id, **clean_row(row)) for row in rows]
        return self.add_events(user_id, events)

    def add_events(self, user_id: str, events: Sequence[Interaction]) -> int:
        """The same for dataclasses; all of one user."""
        item_rows = self.catalogue.rows_of(event.item_id for event in events)
        check_events(events, item_rows)
        with self._database.writing() as writer:
            user_row, _ = add_user(writer, user_id)
            packed = [pack_event(user_row, item_rows[event.item_id], event) for event in events]
            n_new = insert_events(writer, packed)
            if n_new:
                update_digest(writer, user_row)
        return n_new

    def history(self, user_id: str) -> Sequence[Event]:
        """The user's events, oldest first."""
        return self.load_history(user_id).events

    def load_history(self, user_id: str, *, before: int | None = None) -> KnownHistory:
        """The user's events, all or those before a second, with what tells later whose they were and which."""
        with self._database.reading() as reader:
            user_row, digest, rows = queries.find_history(reader, user_id)
            if before is not None:
                digest = digest_events(reader, user_row, before)
        items = self.catalogue.items_at([row[1] for row in rows])
        try:
            events = [unpack_event(row, user_id, item) for row, item in zip(rows, items, strict=True)]
        except Damaged as error:
            raise self._database.damaged(str(error)) from error
        known = [event for event in events if before is None or event.interaction.timestamp < before]
        return KnownHistory(user_row, digest, known)

    def stale_users(self) -> Sequence[str]:
        """Users with a history that their latest profile has not seen, or without a profile.

        In order of their ids, those whose last try failed at the end.
        """
        with self._database.reading() as reader:
            return queries.find_stale(reader)

    def user_ids(self, prefix: str, limit: int) -> Sequence[str]:
        """Users with a profile whose ids begin with `prefix`, in order, at most `limit`."""
        with self._database.reading() as reader:
            return queries.find_users(reader, prefix, limit)

    def count_users(self) -> int:
        """How many users there are, with a profile or without."""
        with self._database.reading() as reader:
            return queries.count_users(reader)

    def count_profiles(self) -> int:
        """How many users have a profile."""
        with self._database.reading() as reader:
            return queries.count_profiles(reader)

    def item(self, item_id: str) -> Item | None:
        """An item of the catalogue, or None."""
        return self.catalogue.item(item_id)

    def inspect(self) -> Sequence[TableState]:
        """Look through every row for damage, table by table."""
        return inspect_tables(self._database)

    # The rights of the person

    def delete_user(self, user_id: str) -> Mapping[str, Any]:
        """Remove everything of a user from every file; a receipt of what was removed and what was searched for it."""
        try:
            return delete_user(self._database, self.folder, user_id)
        finally:
            self.embedder.forget()  # whatever failed, no vector of the user's sentences stays in memory

    def export_user(self, user_id: str) -> Mapping[str, Any]:
        """Everything that is kept about a user, as plain data."""
        events = self.history(user_id)
        return {
            "user_id": user_id,
            "versions": [asdict(version) for version in self.versions(user_id)],
            "history": [asdict(event.interaction) | {"title": event.item.title} for event in events],
            "jobs": [asdict(job) for job in self.jobs(user_id)],
        }

    # The queue

    def enqueue(self, user_id: str) -> StoredJob:
        """Ask for a profile to be written; a user who waits already keeps their place."""
        with self._database.writing() as writer:
            return self._queue.add(writer, add_user(writer, user_id)[0])

    def next_job(self) -> StoredJob | None:
        """The job to do now, marked as running; None where nothing waits."""
        return self._queue.take()

    def finish_job(self, job_id: str, error: str | None = None) -> None:
        """Close a job as done, or as failed with the name of the error."""
        self._queue.finish(job_id, error)

    def close_answered_jobs(self) -> None:
        """Close the jobs of users whose profile has seen their history already, whoever wrote it."""
        self._queue.close_answered()

    def note_failure(self, user_id: str, error: str) -> None:
        """Remember that a profile could not be written: the user's job has failed, and other users come first."""
        self._queue.fail_user(user_id, error)

    def jobs(self, user_id: str | None = None) -> Sequence[StoredJob]:
        """Jobs, oldest first, of one user or of all."""
        return self._queue.list(user_id)

    def n_open_jobs(self) -> int:
        """How many profiles wait to be written or are being written."""
        return self._queue.count_open()

    def _latest(self, connection: sqlite3.Connection, user_id: str) -> StoredVersion | None:
        row = queries.find_latest(connection, user_id)
        return self._unpack(row) if row else None

    def _unpack(self, row: Sequence[Any]) -> StoredVersion:
        try:
            return unpack_version(row)
        except Damaged as error:
            raise self._database.damaged(str(error)) from error
