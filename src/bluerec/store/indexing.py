"""Deciding how a store is searched: the index is made, measured against the exact search, and kept if it holds."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bluerec.errors import StoreError
from bluerec.store.catalogue import load_vectors
from bluerec.store.database import Database, place_holders
from bluerec.store.embedding import bind_embedder
from bluerec.store.index import (
    INDEX_SUFFIX,
    IndexedSearch,
    SearchFacts,
    import_faiss,
    load_index,
    recall_of,
    save_lists,
    train_lists,
)
from bluerec.store.search import EXACT_UP_TO, N_NEAR, BoolArray, find_near
from bluerec.store.transactions import read_facts, save_facts
from bluerec.types import Embedder, Float32Array

# An index that finds less of what the exact search finds is not used; where it is cheap, more is asked for, because
# the queries to come are others than those of the sample.
MIN_RECALL = 0.98
AIMED_RECALL = 0.99
# Measured for the list that is shown and for the neighbours that are kept.
_DEPTHS = (10, N_NEAR)
_N_QUERIES = 200
_MIN_SENTENCES = 50
_FIRST_SHARE = 256
_MORE = 1.5
_MOST_SHARE = 2
_N_FILTERS_OF_A_KIND = 3

EmbedTexts = Callable[[Sequence[str]], Float32Array]


def needs_index(n_items: int, exact_up_to: int) -> bool:
    """Whether a catalogue gets an index. Raises `MissingExtraError` where it should and cannot."""
    if n_items <= exact_up_to:
        return False
    import_faiss()
    return True


@dataclass(frozen=True, slots=True)
class Sample:
    """What an index is measured with: queries (n_queries, dimension), and filters under names, "" the one without."""

    queries: Float32Array
    filters: Mapping[str, BoolArray | None]


def draw_sample(connection: sqlite3.Connection, shape: tuple[int, int], embed: EmbedTexts, *, seed: int = 0) -> Sample:
    """Real queries and filters of a store with vectors of this shape; `embed` is asked where sentences are too few."""
    rng = np.random.default_rng(seed)
    return Sample(_sample_queries(connection, shape[1], embed, rng), _sample_filters(connection, shape[0], rng))


def make_index(folder: Path, item_vectors: Float32Array, sample: Sample, *, seed: int = 0) -> SearchFacts:
    """Make an index, raise its effort until its recall holds, and write its file; the facts to keep.

    Where the recall does not hold with half of the items looked at, there is no file and the search stays exact.
    """
    name = f"items-{secrets.token_hex(4)}{INDEX_SUFFIX}"
    # Trained and let go before it is read again: what is measured is what is on the disk.
    checksum = save_lists(folder, name, train_lists(item_vectors, seed))
    facts = SearchFacts(n_scanned=1, n_queries=len(sample.queries), file=name, checksum=checksum)
    facts = _raise_effort(load_index(folder / name, item_vectors, facts), item_vectors, sample, facts)
    if not facts.file:
        (folder / name).unlink()
    return facts


def reindex_store(
    folder: str | Path, *, exact_up_to: int = EXACT_UP_TO, embedder: Embedder | None = None, offline: bool = False
) -> SearchFacts:
    """Make the index of a store anew, or do away with it where the catalogue is small enough; the facts.

    Vectors, users and profiles stay as they are; a service that runs goes on with what it has until it is started
    again. Raises `StoreError` where the store is damaged, `MissingExtraError` without faiss.
    """
    folder = Path(folder)
    database = Database.open(folder)
    try:
        known = read_facts(database)
        shape = (int(known["n_items"]), int(known["dimension"]))
        vectors = load_vectors(folder / known["vectors_file"], shape, int(known["vectors_checksum"]))
        facts = SearchFacts()
        if needs_index(shape[0], exact_up_to):
            bound = bind_embedder(known, folder, embedder, offline=offline)
            with database.reading() as reader:
                sample = draw_sample(reader, shape, lambda texts: bound.embed(texts, "profile"))
            facts = make_index(folder, vectors, sample)
        with database.writing() as writer:
            save_facts(writer, {"search": facts.as_json()})
    except (KeyError, ValueError) as error:
        raise database.damaged(f"meta: {error}") from error
    finally:
        database.close()
    remove_others(folder, INDEX_SUFFIX, facts.file)
    return facts


def remove_others(folder: Path, suffix: str, kept: str) -> None:
    """Remove the files of a kind that no longer count."""
    for path in folder.glob(f"*{suffix}"):
        if path.name != kept:
            with suppress(OSError):  # the store is whole; the next time tries again
                path.unlink()


def _raise_effort(search: IndexedSearch, item_vectors: Float32Array, sample: Sample, facts: SearchFacts) -> SearchFacts:
    exact = {name: find_near(item_vectors, sample.queries, allowed=mask)[1] for name, mask in sample.filters.items()}

    def measure(name: str) -> float:
        found = search.with_effort(n_scanned).find_near(sample.queries, sample.filters[name])[1]
        return recall_of(found, exact[name], _DEPTHS)

    n_scanned = max(2 * N_NEAR, len(item_vectors) // _FIRST_SHARE)
    while True:
        is_last = n_scanned * _MORE > len(item_vectors) // _MOST_SHARE
        plain = measure("")
        if plain >= AIMED_RECALL or is_last:
            filtered = min(measure(name) for name in sample.filters if name)
            measured = replace(facts, n_scanned=n_scanned, recall=plain, filtered_recall=filtered)
            if min(plain, filtered) >= (MIN_RECALL if is_last else AIMED_RECALL):
                return measured
            if is_last:
                return replace(measured, file="", checksum=0)
        n_scanned = int(n_scanned * _MORE)


def _sample_queries(
    connection: sqlite3.Connection, dimension: int, embed: EmbedTexts, rng: np.random.Generator
) -> Float32Array:
    """Vectors of sentences of profiles (n_queries, dimension); where there are too few, of titles of items too."""
    keys = connection.execute("SELECT rowid FROM sentence_vectors").fetchall()
    chosen = [keys[place][0] for place in rng.choice(len(keys), min(len(keys), _N_QUERIES), replace=False)]
    asked = f"SELECT vector FROM sentence_vectors WHERE rowid IN ({place_holders(chosen)}) ORDER BY rowid"
    blobs = [blob for (blob,) in connection.execute(asked, chosen).fetchall()]
    if any(len(blob) != 4 * dimension for blob in blobs):
        raise StoreError(
            "sentence_vectors: a vector has another length; make the vectors anew: bluerec index --rebuild"
        )
    queries = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(-1, dimension)
    if len(queries) >= _MIN_SENTENCES:
        return queries
    rows = connection.execute("SELECT count(*) FROM items").fetchone()[0]
    chosen = rng.choice(rows, min(rows, _N_QUERIES - len(queries)), replace=False).tolist()
    asked = f"SELECT title FROM items WHERE item_row IN ({place_holders(chosen)}) ORDER BY item_row"
    titles = [title or "untitled item" for (title,) in connection.execute(asked, chosen).fetchall()]
    return np.concatenate([queries, embed(titles)]).astype(np.float32)


def _sample_filters(
    connection: sqlite3.Connection, n_items: int, rng: np.random.Generator
) -> dict[str, BoolArray | None]:
    """No filter (under an empty name), the catalogue's largest, middle and smallest of a kind, and a tenth by lot."""
    masks: dict[str, BoolArray | None] = {"": None, "a tenth": rng.random(n_items) < 0.1}
    each = "SELECT value AS name, item_row FROM items, json_each(items.categories)"
    for kind, source in (
        ("category", each),
        ("domain", "SELECT domain AS name, item_row FROM items WHERE domain IS NOT NULL"),
    ):
        counted = connection.execute(f"SELECT name, count(*) AS n FROM ({source}) GROUP BY name ORDER BY n, name")
        names = [name for name, n in counted.fetchall() if n_items // 100 < n < n_items]
        places = np.linspace(0, len(names) - 1, _N_FILTERS_OF_A_KIND).astype(int) if names else ()
        for name in dict.fromkeys(names[place] for place in places):
            rows = connection.execute(f"SELECT item_row FROM ({source}) WHERE name = ?", (name,)).fetchall()
            masks[f"{kind} {name}"] = mask = np.zeros(n_items, dtype=bool)
            mask[np.array(rows)[:, 0]] = True
    priced = np.array(connection.execute("SELECT item_row, price FROM items WHERE price IS NOT NULL").fetchall())
    if len(priced):
        for share in (0.1, 0.5):
            masks[f"price {share}"] = mask = np.zeros(n_items, dtype=bool)
            mask[priced[priced[:, 1] <= np.quantile(priced[:, 1], share), 0].astype(np.int64)] = True
    return masks
