"""The items of a store: their texts in the database, their vectors in a memory-mapped file beside it."""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bluerec.errors import StoreError
from bluerec.store.database import Database, place_holders, reading_anything
from bluerec.store.records import ITEM_COLUMNS, Damaged, unpack_item
from bluerec.store.search import BoolArray, ExactSearch, ItemSearch
from bluerec.types import Float32Array, IntArray, Item

VECTORS_SUFFIX = ".vectors.npy"
_MAX_CACHED = 20_000
_MAX_ASKED = 500
_NAMES_AT_ONCE = 5_000
_CHECK_BYTES = 1 << 24


def save_vectors(folder: Path, name: str, vectors: Float32Array) -> int:
    """Write item vectors (n_items, dimension) so that they are on the disk, whole, when this returns; the checksum."""
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    return save_file(folder, name, lambda file: np.save(file, rows, allow_pickle=False))


def save_file(folder: Path, name: str, write: Callable[[BinaryIO], None]) -> int:
    """Write a file that is on the disk, whole and under its name, when this returns; its checksum."""
    path = folder / name
    partial = path.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free the disk or mend the rights") from error
    finally:
        partial.unlink(missing_ok=True)
    return checksum_file(path)


def load_vectors(path: Path, shape: tuple[int, int], checksum: int) -> Float32Array:
    """Map the vectors into memory. Raises `StoreError` unless every byte is as it was written."""
    try:
        if checksum_file(path) != checksum:
            raise ValueError("its checksum is another")
        vectors: Float32Array = np.load(path, mmap_mode="r", allow_pickle=False)
        if vectors.shape != shape or vectors.dtype != np.float32:
            raise ValueError(f"holds {vectors.dtype} {vectors.shape}, not float32 {shape}")
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(
            f"{path}: damaged or missing ({error}); make it again with: bluerec index DIR --out {path.parent} --rebuild"
        ) from error
    return vectors


def checksum_file(path: Path) -> int:
    """CRC-32 of a file, read in pieces."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(_CHECK_BYTES):
            value = zlib.crc32(piece, value)
    return value


def sync_folder(folder: Path) -> None:
    """Wait until names made or removed in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Catalogue:
    """Items by row and by id, and what filters ask of them."""

    def __init__(self, database: Database, vectors: Float32Array, search: ItemSearch | None = None) -> None:
        self._database = database
        self.vectors = vectors
        self.search = search or ExactSearch(vectors)
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Item] = OrderedDict()

    @property
    def n_items(self) -> int:
        return len(self.vectors)

    def item(self, item_id: str) -> Item | None:
        """The item of an id, or None."""
        rows = self.rows_of([item_id])
        return self.items_at([rows[item_id]])[0] if rows else None

    def rows_of(self, item_ids: Iterable[str]) -> dict[str, int]:
        """The rows of those ids that are there."""
        wanted = list(dict.fromkeys(item_ids))
        found: dict[str, int] = {}
        with self._database.reading() as reader:
            for start in range(0, len(wanted), _MAX_ASKED):
                part = wanted[start : start + _MAX_ASKED]
                asked = f"SELECT item_id, item_row FROM items WHERE item_id IN ({place_holders(part)})"
                found.update(reader.execute(asked, part).fetchall())
        return found

    def items_at(self, rows: Sequence[int] | IntArray) -> list[Item]:
        """The items of rows, in their order. Raises `StoreError` where one is damaged or missing."""
        wanted = [int(row) for row in rows]
        with self._lock:
            known = {row: self._cache[row] for row in set(wanted) if row in self._cache}
        missing = [row for row in dict.fromkeys(wanted) if row not in known]
        for start in range(0, len(missing), _MAX_ASKED):
            known |= self._read(missing[start : start + _MAX_ASKED])
        try:
            return [known[row] for row in wanted]
        except KeyError as error:
            raise self._database.damaged(f"items: no row {error}") from error

    def names(self) -> Iterator[Item]:
        """Titles, brands and categories of all items, for counting words; rows that cannot be read are left out."""
        asked = (
            "SELECT item_row, item_id, title, brand, categories FROM items WHERE item_row > ? ORDER BY item_row LIMIT ?"
        )
        last = -1
        while True:
            with self._database.reading() as reader, reading_anything(reader):
                rows = reader.execute(asked, (last, _NAMES_AT_ONCE)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, item_id, title, brand, packed in rows:
                try:
                    categories = json.loads(packed)
                except (ValueError, TypeError, RecursionError):
                    continue
                if isinstance(categories, list):
                    yield Item(item_id, str(title), categories=tuple(map(str, categories)), brand=brand and str(brand))

    def _read(self, rows: list[int]) -> dict[int, Item]:
        with self._database.reading() as reader:
            asked = f"SELECT {ITEM_COLUMNS} FROM items WHERE item_row IN ({place_holders(rows)})"
            found = reader.execute(asked, rows).fetchall()
        try:
            items = {row[0]: unpack_item(row) for row in found}
        except Damaged as error:
            raise self._database.damaged(str(error)) from error
        with self._lock:
            self._cache.update(items)
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return items

    def allow(
        self, *, domain: str | None = None, category: str | None = None, max_price: float | None = None
    ) -> BoolArray | None:
        """Which items a list may hold, (n_items,); None where all. An item of unknown price is above every price."""
        allowed = None
        if max_price is not None:
            allowed = self._prices <= max_price
        if domain is not None:
            members = self._members("domain").get(domain.casefold(), [])
            allowed = self._restrict(allowed, members)
        if category is not None:
            members = self._members("category").get(category.casefold(), [])
            allowed = self._restrict(allowed, members)
        return allowed

    def _restrict(self, allowed: BoolArray | None, members: Sequence[int]) -> BoolArray:
        mask = np.zeros(self.n_items, dtype=bool)
        mask[np.asarray(members, dtype=np.int64)] = True
        return mask if allowed is None else allowed & mask

    def _members(self, kind: str) -> dict[str, list[int]]:
        return self._domains if kind == "domain" else self._categories

    @cached_property
    def _prices(self) -> Float32Array:
        prices = np.full(self.n_items, np.inf, dtype=np.float32)
        with self._database.reading() as reader:
            for row, price in reader.execute("SELECT item_row, price FROM items WHERE price IS NOT NULL").fetchall():
                prices[row] = price
        return prices

    @cached_property
    def _domains(self) -> dict[str, list[int]]:
        return self._group("SELECT item_row, domain FROM items WHERE domain IS NOT NULL")

    @cached_property
    def _categories(self) -> dict[str, list[int]]:
        return self._group("SELECT item_row, value FROM items, json_each(items.categories)")

    def _group(self, asked: str) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        with self._database.reading() as reader:
            for row, name in reader.execute(asked).fetchall():
                groups.setdefault(str(name).casefold(), []).append(row)
        return groups
