"""Search in catalogues beyond a million items: inverted lists of rounded vectors (faiss), the best scored exactly.

Vectors lie in lists around centres and are kept there in one byte a dimension. A query goes through the lists in the
order in which their centres are near, until these hold enough items that the filter allows; the best of them are
scored again with the whole vectors. So a filter works inside the search: the fewer items it leaves, the more lists are
gone through, and no list gets shorter. What leaves few items is searched exactly.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from bluerec.errors import MissingExtraError, StoreError
from bluerec.store.catalogue import checksum_file, save_file
from bluerec.store.records import SentenceVectors
from bluerec.store.search import N_NEAR, NOTHING, BoolArray, Found, find_near, search_all, search_near
from bluerec.types import Float32Array, IntArray

INDEX_SUFFIX = ".index.faiss"
# Rounded vectors may put an item some places too low: so many times as many are scored exactly.
_OVERSAMPLED = 2
# What is searched exactly though there is an index: so many allowed items, or such a share of all.
_FEW_ITEMS = 10_000
_FEW_SHARE = 16
# k-means: rounds, vectors a centre, lists for the square root of the number of items.
_N_ROUNDS = 10
_TRAINED_PER_LIST = 64
_LISTS_PER_ROOT = 4.0
_MIN_PER_LIST = 39
_BLOCK_ITEMS = 65_536


@dataclass(frozen=True, slots=True)
class SearchFacts:
    """How a store is searched, and what was measured when that was decided.

    `recall` is the share of the exact search's neighbours that the index finds, `filtered_recall` the lowest under any
    of the filters that were tried; None where nothing was measured. `n_scanned` is how many allowed items are looked
    at. Without a `file` the search is exact.
    """

    n_scanned: int = 0
    recall: float | None = None
    filtered_recall: float | None = None
    n_queries: int = 0
    file: str = ""
    checksum: int = 0

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> SearchFacts:
        """The inverse; None is a store that never needed an index. Raises `ValueError` for anything else."""
        try:
            return cls(**json.loads(text)) if text else cls()
        except TypeError as error:
            raise ValueError(f"search: {error}") from error

    def describe(self) -> str:
        """For people: what searches, and the recall that goes with it."""
        if self.file:
            return f"an index, recall {self.recall:.3f}, under filters {self.filtered_recall:.3f}"
        if self.recall is None:
            return "exact"
        return f"exact: an index came to a recall of {min(self.recall, self.filtered_recall or 0.0):.3f} only"


class IndexedSearch:
    """Implements `ItemSearch`. `n_scanned` allowed items are looked at for each query; any thread may search."""

    def __init__(self, item_vectors: Float32Array, lists: Any, n_scanned: int) -> None:
        faiss = import_faiss()
        self.n_scanned = n_scanned
        self._item_vectors = item_vectors
        self._lists = lists
        self._centres: Float32Array = lists.quantizer.reconstruct_n(0, lists.nlist)  # (n_lists, dimension)
        self._list_of = np.zeros(len(item_vectors), dtype=np.int32)
        for place in range(lists.nlist):
            n_members = lists.invlists.list_size(place)
            if n_members:
                self._list_of[faiss.rev_swig_ptr(lists.invlists.get_ids(place), n_members)] = place
        self._sizes = np.bincount(self._list_of, minlength=lists.nlist)
        self._n_few = max(N_NEAR, min(_FEW_ITEMS, len(item_vectors) // _FEW_SHARE))

    def with_effort(self, n_scanned: int) -> IndexedSearch:
        """The same index, searched with another effort."""
        other = copy.copy(self)
        other.n_scanned = n_scanned
        return other

    def find_near(self, queries: Float32Array, allowed: BoolArray | None = None) -> tuple[IntArray, Float32Array]:
        """As `ItemSearch` has it; exactly where the filter leaves few items."""
        n_allowed = len(self._item_vectors) if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed <= self._n_few:
            return self._find_among(queries, np.flatnonzero(allowed) if allowed is not None else np.arange(n_allowed))
        sizes = self._sizes if allowed is None else np.bincount(self._list_of[allowed], minlength=len(self._sizes))
        selector = None
        if allowed is not None:
            selector = import_faiss().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        found = [self._find_one(query, sizes, selector, allowed) for query in np.asarray(queries, dtype=np.float32)]
        if not found:
            return np.zeros((0, N_NEAR), np.int64), np.zeros((0, N_NEAR), np.float32)
        return np.stack([rows for rows, _ in found]), np.stack([scores for _, scores in found])

    def find_best(self, vectors: Float32Array, signs: IntArray, k: int, allowed: BoolArray | None = None) -> Found:
        """As `ItemSearch` has it: from the neighbours of each sentence; exactly where these do not suffice."""
        if not (signs > 0).any() or k < 1:
            return NOTHING
        n_allowed = len(self._item_vectors) if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed > self._n_few and k <= N_NEAR:
            near = SentenceVectors(vectors, *self.find_near(vectors, allowed))
            found = search_near(self._item_vectors, near, signs, k, np.zeros(0, dtype=np.int64))
            if found is not None:
                return found
        return search_all(self._item_vectors, vectors, signs, k, allowed)

    def _find_one(
        self, query: Float32Array, sizes: IntArray, selector: Any, allowed: BoolArray | None
    ) -> tuple[IntArray, Float32Array]:
        nearest = np.argsort(-(self._centres @ query), kind="stable")
        enough = int(np.searchsorted(np.cumsum(sizes[nearest]), self.n_scanned)) + 1
        parameters = import_faiss().SearchParametersIVF(sel=selector, nprobe=min(enough, len(nearest)))
        _, rows = self._lists.search(query[None], _OVERSAMPLED * N_NEAR, params=parameters)
        rows = rows[0][rows[0] >= 0]
        if len(rows) < N_NEAR:  # a query that is not a number has no neighbours in lists
            exact_rows, exact_scores = find_near(self._item_vectors, query[None], allowed=allowed)
            return exact_rows[0], exact_scores[0]
        return self._score(query, rows)

    def _find_among(self, queries: Float32Array, rows: IntArray) -> tuple[IntArray, Float32Array]:
        places, scores = find_near(self._item_vectors[rows], queries)
        return rows[places], scores

    def _score(self, query: Float32Array, rows: IntArray) -> tuple[IntArray, Float32Array]:
        rows = np.sort(rows)
        scores = self._item_vectors[rows] @ query
        best = np.argsort(-scores, kind="stable")[:N_NEAR]
        return rows[best], scores[best]


def import_faiss() -> ModuleType:
    """The library. Raises `MissingExtraError` where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("faiss-cpu", "ann") from error
    return faiss


def train_lists(item_vectors: Float32Array, seed: int = 0) -> Any:
    """A faiss index of item vectors (n_items, dimension); it holds a byte a value, and while learning a sample."""
    faiss = import_faiss()
    n_items, dimension = item_vectors.shape
    n_lists = max(1, min(int(_LISTS_PER_ROOT * n_items**0.5), n_items // _MIN_PER_LIST))
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(n_items, min(n_items, _TRAINED_PER_LIST * n_lists), replace=False))
    kind, measure = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    lists = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dimension), dimension, n_lists, kind, measure, True)
    lists.cp.spherical, lists.cp.niter, lists.cp.seed = True, _N_ROUNDS, seed + 1
    lists.cp.min_points_per_centroid, lists.cp.max_points_per_centroid = 1, _TRAINED_PER_LIST
    lists.train(np.ascontiguousarray(item_vectors[sample], dtype=np.float32))
    for start in range(0, n_items, _BLOCK_ITEMS):
        lists.add(np.ascontiguousarray(item_vectors[start : start + _BLOCK_ITEMS], dtype=np.float32))
    return lists


def save_lists(folder: Path, name: str, lists: Any) -> int:
    """Write an index so that it is on the disk, whole, when this returns; the checksum."""
    # Not faiss.write_index: it says nothing where the disk is full when the file is closed.
    content = import_faiss().serialize_index(lists)

    def write(file: BinaryIO) -> None:
        file.write(memoryview(content))

    return save_file(folder, name, write)


def load_index(path: Path, item_vectors: Float32Array, facts: SearchFacts) -> IndexedSearch:
    """Read an index. Raises `StoreError` unless every byte is as it was written, `MissingExtraError` without faiss."""
    faiss = import_faiss()
    try:
        if checksum_file(path) != facts.checksum:
            raise ValueError("its checksum is another")
        lists = faiss.read_index(str(path))
        if (lists.ntotal, lists.d) != item_vectors.shape or facts.n_scanned < 1:
            raise ValueError(f"holds {lists.ntotal} vectors of {lists.d} dimensions, not {item_vectors.shape}")
        return IndexedSearch(item_vectors, lists, facts.n_scanned)
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(
            f"{path}: damaged or missing ({reason}); make it again with: bluerec reindex {path.parent}"
        ) from error


def open_search(folder: Path, item_vectors: Float32Array, text: str | None) -> tuple[SearchFacts, IndexedSearch | None]:
    """How the store in a folder is searched, from its facts as JSON; None is exactly. Raises as `load_index`."""
    facts = SearchFacts.from_json(text)
    return facts, load_index(folder / facts.file, item_vectors, facts) if facts.file else None


def recall_of(found: Float32Array, exact: Float32Array, depths: Sequence[int]) -> float:
    """The share of the exact search's places that are found, at the depth where it is lowest.

    Both are cosines (n_queries, n_near), best first, of different items: whatever ties with the last place counts.
    """
    if not exact.shape[1]:
        return 1.0
    shares = [
        float(np.mean(found[:, : min(depth, exact.shape[1])] >= exact[:, [min(depth, exact.shape[1]) - 1]] - 1e-6))
        for depth in depths
    ]
    return min(shares)
