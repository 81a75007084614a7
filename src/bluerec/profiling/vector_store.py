"""Vectors on disk by key. Many processes may write at once, and any of them may be killed at any moment.

Each `save` adds one file, moved into place when whole; files are never changed. Two writers of the same keys write
the same file name or two files with equal vectors, so the order in which they finish does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bluerec.errors import DataError
from bluerec.runs import atomic_path
from bluerec.types import Float32Array

_KEY_LENGTH = 32
_SUFFIX = ".npy"


class VectorStore:
    """A folder of shards; each row of a shard is a key (32 hexadecimal digits) and its vector.

    Vectors stay on disk (memory-mapped) until asked for. Raises `DataError` naming the file if a shard is damaged
    or has another dimension.
    """

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder = folder
        self._row_type = np.dtype([("key", f"S{_KEY_LENGTH}"), ("vector", "<f4", (dimension,))])
        self._known_shards: set[str] = set()
        self._places: dict[str, tuple[str, int]] = {}

    def absent(self, keys: Sequence[str]) -> set[str]:
        """The keys without a vector, after a look at what other processes have written."""
        missing = {key for key in keys if key not in self._places}
        if missing:
            self._refresh()
            missing = {key for key in missing if key not in self._places}
        return missing

    def save(self, keys: Sequence[str], vectors: Float32Array) -> None:
        """Add vectors (n_keys, dimension) under their keys."""
        rows = np.empty(len(keys), dtype=self._row_type)
        rows["key"] = np.array(keys, dtype=f"S{_KEY_LENGTH}")
        rows["vector"] = vectors
        name = hashlib.blake2b("".join(keys).encode(), digest_size=16).hexdigest() + _SUFFIX
        with atomic_path(self._folder / name) as partial, partial.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        self._open(self._folder / name)

    def load(self, keys: Sequence[str]) -> Float32Array:
        """Vectors in the order of the keys, (n_keys, dimension). Raises `DataError` for an unknown key."""
        vectors = np.empty((len(keys), self._row_type["vector"].shape[0]), dtype=np.float32)
        rows_of: dict[str, tuple[list[int], list[int]]] = {}
        for position, key in enumerate(keys):
            if key not in self._places:
                raise DataError(f"{self._folder}: no vector under {key}; save it first")
            shard, row = self._places[key]
            positions, rows = rows_of.setdefault(shard, ([], []))
            positions.append(position)
            rows.append(row)
        for shard, (positions, rows) in rows_of.items():
            vectors[positions] = self._map(self._folder / shard)["vector"][rows]
        return vectors

    def _refresh(self) -> None:
        for path in sorted(self._folder.glob(f"[0-9a-f]*{_SUFFIX}")):
            if path.name not in self._known_shards:
                self._open(path)

    def _open(self, path: Path) -> None:
        for row, key in enumerate(self._map(path)["key"].tolist()):
            self._places.setdefault(key.decode("ascii"), (path.name, row))
        self._known_shards.add(path.name)

    def _map(self, path: Path) -> np.ndarray:
        # Mapped for the moment only: each open map holds a file descriptor, and there may be thousands of shards.
        try:
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: damaged vectors ({error}); delete this file, it will be made again") from error
        if shard.dtype != self._row_type:
            raise DataError(f"{path}: not vectors of this embedder; delete this file, it will be made again")
        return shard
