"""Making a store of a prepared folder, and making its vectors anew for another embedder or catalogue."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bluerec.config import EmbedderConfig
from bluerec.data.tables import INTERACTIONS_SCHEMA, Dataset
from bluerec.data.wishes import read_contents
from bluerec.errors import ConfigError, DataError, StoreError
from bluerec.profiling.embedders import embed_items
from bluerec.store.catalogue import VECTORS_SUFFIX, load_vectors, save_vectors, sync_folder
from bluerec.store.database import Database, place_holders
from bluerec.store.embedding import bind_embedder, find_centre, place_vectors
from bluerec.store.index import INDEX_SUFFIX, SearchFacts
from bluerec.store.indexing import draw_sample, make_index, needs_index, reindex_store, remove_others
from bluerec.store.records import (
    EVENT_COLUMNS,
    VERSION_COLUMNS,
    Damaged,
    SentenceVectors,
    StoredVersion,
    pack_event,
    pack_item,
    unpack_event,
    unpack_version,
)
from bluerec.store.search import EXACT_UP_TO, find_near
from bluerec.store.sentences import split_sentences
from bluerec.store.store import Store
from bluerec.store.transactions import (
    accept_written,
    add_user,
    append_version,
    check_events,
    clean_item,
    clean_row,
    digest_events,
    insert_events,
    next_version,
    replace_vectors,
    save_facts,
    update_digest,
    written_by,
)
from bluerec.types import Embedder, Float32Array, Interaction, Item

Tell = Callable[[int, int], None]
# Is told of a user and of why the text that came for them could not be taken.
Refuse = Callable[[str, str], None]
_USERS_AT_ONCE = 256


def build_store(
    out: str | Path,
    dataset: Dataset,
    embedder: Embedder,
    config: EmbedderConfig,
    *,
    users: Sequence[str] | None = None,
    profiles: pl.DataFrame | None = None,
    item_vectors: Float32Array | None = None,
    exact_up_to: int = EXACT_UP_TO,
    progress: Tell | None = None,
    refuse: Refuse | None = None,
) -> Path:
    """Make a store in a new or empty folder: the catalogue, the whole histories of `users` (all), their profiles.

    `profiles` is a profile table; of several for a user the one with the latest cutoff counts. `config` is how the
    embedder is loaded again, `item_vectors` (n_items, dimension) spares embedding. A catalogue of more than
    `exact_up_to` items gets an index. The folder appears when it is whole. A user whose text is empty is told to
    `refuse` and has no profile. Raises `DataError` for one where nobody is to be told, `ConfigError` where the folder
    holds something, `MissingExtraError` where an index is needed and faiss is not installed.
    """
    out = Path(out)
    is_indexed = needs_index(dataset.n_items, exact_up_to)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there and not empty; choose another --out, or make its vectors anew: --rebuild")
    partial = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(mode=0o700)  # what people took and wrote is nobody else's to read
        database = Database.create(partial)
        try:
            facts = _save_vectors(partial, dataset, embedder, config, item_vectors, progress)
            with database.writing() as writer:
                _insert_items(writer, dataset)
                save_facts(writer, facts)
        finally:
            database.close()
        with Store.open(partial, embedder=embedder) as store:
            _fill(store, dataset, users, _latest_profiles(profiles), progress, refuse)
        if is_indexed:
            reindex_store(partial, exact_up_to=exact_up_to, embedder=embedder)
        if out.exists():
            out.rmdir()
        partial.replace(out)
        sync_folder(out.absolute().parent)
    except OSError as error:
        raise StoreError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def rebuild_store(
    folder: str | Path,
    dataset: Dataset,
    embedder: Embedder,
    config: EmbedderConfig,
    *,
    exact_up_to: int = EXACT_UP_TO,
    progress: Tell | None = None,
) -> None:
    """Give a store the catalogue of a prepared folder and the vectors of an embedder; users and profiles stay.

    The old vectors and the old index count until one transaction has put the new ones in their place. Raises
    `DataError` where the new catalogue lacks an item of somebody's history, `StoreError` where an event is damaged. No
    service may run on the store meanwhile.
    """
    folder = Path(folder)
    is_indexed = needs_index(dataset.n_items, exact_up_to)
    database = Database.open(folder)
    try:
        rows_of = {item_id: row for row, item_id in enumerate(dataset.item_ids)}
        _check_histories(database, rows_of)
        facts = _save_vectors(folder, dataset, embedder, config, None, progress)
        shape = (dataset.n_items, embedder.dimension)
        vectors = load_vectors(folder / facts["vectors_file"], shape, facts["vectors_checksum"])
        bound = bind_embedder(facts, folder, embedder)
        with database.writing() as writer:
            _renumber_items(writer, database, dataset)
            save_facts(writer, facts)
            _embed_profiles(writer, database, bound, vectors, progress)
            search = SearchFacts()
            if is_indexed:
                sample = draw_sample(writer, shape, lambda texts: bound.embed(texts, "profile"))
                search = make_index(folder, vectors, sample)
            save_facts(writer, {"search": search.as_json()})
    finally:
        database.close()
    remove_others(folder, VECTORS_SUFFIX, facts["vectors_file"])
    remove_others(folder, INDEX_SUFFIX, search.file)


def _save_vectors(
    folder: Path,
    dataset: Dataset,
    embedder: Embedder,
    config: EmbedderConfig,
    item_vectors: Float32Array | None,
    progress: Tell | None,
) -> dict[str, Any]:
    vectors = embed_items(dataset, embedder, progress=progress) if item_vectors is None else item_vectors
    centre = find_centre(vectors)
    name = f"items-{secrets.token_hex(4)}{VECTORS_SUFFIX}"
    model = Path(config.model)
    return {
        "embedder": embedder.name,
        "embedder_model": str(model.resolve()) if model.is_dir() else config.model,
        "embedder_instruction": config.instruction,
        "dimension": embedder.dimension,
        "n_items": dataset.n_items,
        "centre": centre.astype("<f4").tobytes().hex(),
        "vectors_file": name,
        "vectors_checksum": save_vectors(folder, name, place_vectors(vectors, centre)),
    }


def _insert_items(writer: sqlite3.Connection, dataset: Dataset) -> None:
    rows = (pack_item(row, clean_item(dataset.item(row))) for row in range(dataset.n_items))
    writer.executemany(f"INSERT INTO items VALUES ({place_holders(range(9))})", rows)


def _check_histories(database: Database, rows_of: Mapping[str, int]) -> None:
    asked = "SELECT DISTINCT item_id FROM interactions JOIN items USING (item_row)"
    with database.reading() as reader:
        lost = [item_id for (item_id,) in reader.execute(asked).fetchall() if item_id not in rows_of]
    if lost:
        raise DataError(
            f"the catalogue lacks {len(lost)} item(s) of the store's histories, e.g. {lost[0]!r}; give the prepared "
            "folder that the store was made from, or one with more"
        )


def _renumber_items(writer: sqlite3.Connection, database: Database, dataset: Dataset) -> None:
    """Put the new catalogue in the place of the old one; events follow their items to the new rows.

    Raises `StoreError` for a damaged event: packed anew, it would count as whole.
    """
    writer.execute("PRAGMA defer_foreign_keys = ON")
    old_ids = dict(writer.execute("SELECT item_row, item_id FROM items").fetchall())
    asked = f"SELECT {EVENT_COLUMNS} FROM interactions WHERE user_row = ?"
    for user_row, user_id in writer.execute("SELECT user_row, user_id FROM users").fetchall():
        rows = writer.execute(asked, (user_row,)).fetchall()
        try:
            events = [unpack_event(row, user_id, Item(old_ids[row[1]], "")).interaction for row in rows]
        except Damaged as error:
            # The row only: of whom it is, `bluerec doctor --store` says, and no log.
            raise database.damaged(f"{error}, user row {user_row}") from error
        except KeyError as error:
            raise database.damaged(f"items: no row {error}") from error
        writer.execute("DELETE FROM interactions WHERE user_row = ?", (user_row,))
        insert_events(writer, [pack_event(user_row, dataset.item_row_of[event.item_id], event) for event in events])
    writer.execute("DELETE FROM items")
    _insert_items(writer, dataset)


def _fill(
    store: Store,
    dataset: Dataset,
    users: Sequence[str] | None,
    texts: Mapping[str, tuple[str, str, int]],
    progress: Tell | None,
    refuse: Refuse | None,
) -> None:
    wanted = list(users) if users is not None else dataset.user_ids
    unknown = next((user for user in wanted if user not in dataset.user_row_of), None)
    if unknown is not None:
        raise DataError(f"user {unknown!r} is not in the prepared folder; choose others")
    reviews = _find_reviews(dataset, wanted)
    for start in range(0, len(wanted), _USERS_AT_ONCE):
        part = wanted[start : start + _USERS_AT_ONCE]
        made = _make_versions({user: texts[user][0] for user in part if user in texts}, refuse)
        sentences = [sentence for version in made.values() for sentence in version.sentences]
        lengths = [len(version.sentences) for version in made.values()]
        found = _split_vectors(store.embed_sentences(sentences), lengths)
        with store.writing() as writer:
            for user in part:
                user_row, _ = add_user(writer, user)
                events = list(_events(dataset, user, reviews))
                check_events([event for _, event in events], dataset.item_row_of)
                insert_events(writer, [pack_event(user_row, *event) for event in events])
                update_digest(writer, user_row)
                if user in made:
                    _, name, cutoff = texts[user]
                    # Of what the text was written from: a refresh sees that the rest came later.
                    version = written_by(made[user], name, digest_events(writer, user_row, cutoff))
                    append_version(writer, user_row, version, next(found))
        if progress:
            progress(start + len(part), len(wanted))


def _latest_profiles(profiles: pl.DataFrame | None) -> dict[str, tuple[str, str, int]]:
    """Text, writer and cutoff of each user's latest profile."""
    if profiles is None:
        return {}
    latest = profiles.sort("cutoff", maintain_order=True).unique("user_id", keep="last")
    rows = latest.select("user_id", "text", "writer", "cutoff").iter_rows()
    return {user: (text, writer, cutoff) for user, text, writer, cutoff in rows}


def _make_versions(texts: Mapping[str, str], refuse: Refuse | None) -> dict[str, StoredVersion]:
    """A first version for each user, in the order of the users, without those whose text is empty."""
    made = {}
    for user, written in texts.items():
        try:
            text = accept_written(written)
        except DataError as error:
            if refuse is None:
                raise DataError(f"user {user!r}: {error}") from error
            refuse(user, str(error))
        else:
            made[user] = next_version(None, text, split_sentences(text), ())
    return made


def _split_vectors(found: SentenceVectors, lengths: Sequence[int]) -> Iterator[SentenceVectors]:
    """The vectors of many profiles that were embedded and searched at once, profile by profile."""
    start = 0
    for length in lengths:
        part = slice(start, start + length)
        yield SentenceVectors(found.vectors[part], found.near_rows[part], found.near_scores[part])
        start += length


_Reviews = Mapping[tuple[str, str, int], tuple[str | None, str | None]]


def _find_reviews(dataset: Dataset, users: Sequence[str]) -> _Reviews:
    if dataset.reviews is None:
        return {}
    wanted = pl.Series(users, dtype=INTERACTIONS_SCHEMA["user_id"])
    rows = dataset.reviews.filter(
        pl.col("user_id").is_in(wanted.implode())
        & (pl.col("review_title").is_not_null() | pl.col("review_text").is_not_null())
    ).collect()
    return {(user, item, timestamp): (title, text) for user, item, timestamp, title, text in rows.iter_rows()}


def _events(dataset: Dataset, user_id: str, reviews: _Reviews) -> Iterable[tuple[int, Interaction]]:
    user = dataset.user_row_of[user_id]
    for event in range(int(dataset.user_offsets[user]), int(dataset.user_offsets[user + 1])):
        row, rating = int(dataset.item_rows[event]), float(dataset.ratings[event])
        item_id, timestamp = dataset.item_ids[row], int(dataset.timestamps[event])
        title, text = reviews.get((user_id, item_id, timestamp), (None, None))
        known = None if rating != rating else rating
        fields = {"item_id": item_id, "timestamp": timestamp, "rating": known, "review_title": title}
        yield row, Interaction(user_id=user_id, **clean_row({**fields, "review_text": text}))


def _embed_profiles(
    writer: sqlite3.Connection,
    database: Database,
    embedder: Embedder,
    item_vectors: Float32Array,
    progress: Tell | None,
) -> None:
    """New vectors for the latest version of every profile, in the transaction that brings the new catalogue."""
    writer.execute("DELETE FROM sentence_vectors")
    asked = (
        f"SELECT {VERSION_COLUMNS} FROM versions AS latest WHERE version = "
        "(SELECT max(version) FROM versions WHERE user_row = latest.user_row) ORDER BY user_row"
    )
    cursor, done = writer.execute(asked), 0
    while rows := cursor.fetchmany(_USERS_AT_ONCE):
        try:
            versions = [unpack_version(row) for row in rows]
        except Damaged as error:
            raise database.damaged(str(error)) from error
        sentences = read_contents([sentence for version in versions for sentence in version.sentences])
        made = embedder.embed(sentences, "profile")
        found = SentenceVectors(made, *find_near(item_vectors, made))
        lengths = [len(version.sentences) for version in versions]
        for row, part in zip(rows, _split_vectors(found, lengths), strict=True):
            replace_vectors(writer, row[0], part)
        done += len(rows)
        if progress:
            progress(done, done)
