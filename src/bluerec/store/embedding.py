"""The one embedder that a store is bound to, loaded when a text first needs it, and the space that it is used in.

All texts of one embedder share a direction that tells nothing about taste: the mean of the catalogue. Items, sentences
and queries lose it before they are compared. That ranks the next item better than cosines as they come
(docs/results.md, `profile-centred` beside `profile`), and lets what is not wanted count against what is near it alone.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bluerec.config import EmbedderConfig
from bluerec.errors import BluerecError, StoreError
from bluerec.rewards.scoring import normalise
from bluerec.types import Embedder, Float32Array, TextKind

# The mean of fewer items is these items rather than what all texts share: then vectors stay as they are.
MIN_CENTRED = 100
_MAX_CACHED = 2_048
_MAX_TOGETHER = 32
_BLOCK = 32_768


def find_centre(item_vectors: Float32Array) -> Float32Array:
    """What all vectors of a store lose (dimension,): the mean of its items (n_items, dimension), 0 for few items."""
    if len(item_vectors) < MIN_CENTRED:
        return np.zeros(item_vectors.shape[1], dtype=np.float32)
    return item_vectors.mean(axis=0, dtype=np.float64).astype(np.float32)


def place_vectors(vectors: Float32Array, centre: Float32Array) -> Float32Array:
    """Vectors of the embedder (n, dimension) as unit vectors of the store; as they are where the centre is 0."""
    if not centre.any():
        return vectors
    placed = np.empty_like(vectors, dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):  # a large catalogue is not copied more than once
        part = slice(start, start + _BLOCK)
        placed[part] = normalise(vectors[part] - centre)
    return placed


@dataclass(eq=False)
class _Asked:
    """Texts that one caller waits for, under their hashes, and their vectors once they are there."""

    kind: TextKind
    texts: Mapping[bytes, str]
    vectors: Mapping[bytes, Float32Array] = field(default_factory=dict)


class BoundEmbedder:
    """Embeds with the model of the store and no other; latest vectors are kept in memory.

    They are kept under hashes: no text stays here. The model is used by one caller at a time, who takes along what
    others are waiting for: together they cost little more than one.
    """

    def __init__(self, name: str, centre: Float32Array, load: Callable[[], Embedder], folder: Path) -> None:
        self.name = name
        self.dimension = len(centre)
        self._centre = centre
        self._load = load
        self._folder = folder
        self._embedder: Embedder | None = None
        self._model_lock = threading.Lock()
        # Held for moments only, inside the other or alone.
        self._lock = threading.Lock()
        self._waiting: list[_Asked] = []
        self._cache: OrderedDict[bytes, Float32Array] = OrderedDict()

    def warm(self) -> None:
        """Load the model now. Raises `StoreError` if it is another than the store's."""
        with self._model_lock:
            self._loaded()

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array:
        """Unit vectors (n_texts, dimension) of the store's space.

        Raises `StoreError` if the embedder is another than the store's.
        """
        keys = [hashlib.blake2b(f"{kind}\x1f{text}".encode(), digest_size=16).digest() for text in texts]
        with self._lock:
            known = {key: self._cache[key] for key in keys if key in self._cache}
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
            asked = _Asked(kind, missing)
            if missing:
                self._waiting.append(asked)
        if missing:
            self._wait_for(asked)
        vectors = [known[key] if key in known else asked.vectors[key] for key in keys]
        return np.stack(vectors) if vectors else np.zeros((0, self.dimension), dtype=np.float32)

    def _wait_for(self, mine: _Asked) -> None:
        with self._model_lock:
            if mine.vectors:  # whoever had the model before took this along
                return
            together = self._take(mine)
            try:
                self._run(together)
            except BluerecError:
                if len(together) == 1:
                    raise
                self._run([mine])  # the fault may be another's, who will find it

    def _take(self, mine: _Asked) -> list[_Asked]:
        with self._lock:
            others = [asked for asked in self._waiting if asked.kind == mine.kind and asked is not mine]
            taken = [mine, *others[: _MAX_TOGETHER - 1]]
            self._waiting = [asked for asked in self._waiting if asked not in taken]
        return taken

    def _run(self, together: Sequence[_Asked]) -> None:
        texts = {key: text for asked in together for key, text in asked.texts.items()}
        vectors = self._loaded().embed(list(texts.values()), together[0].kind)
        fresh = dict(zip(texts, place_vectors(vectors, self._centre), strict=True))
        for asked in together:
            asked.vectors = {key: fresh[key] for key in asked.texts}
        with self._lock:
            self._cache.update(fresh)
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)

    def forget(self) -> None:
        """Drop the vectors that are kept in memory."""
        with self._model_lock, self._lock:
            self._cache.clear()

    def _loaded(self) -> Embedder:
        if self._embedder is None:
            embedder = self._load()
            if embedder.name != self.name or embedder.dimension != self.dimension:
                raise StoreError(
                    f"{self._folder}: made with embedder {self.name}, not with {embedder.name}; "
                    f"run: bluerec index DIR --out {self._folder} --rebuild"
                )
            self._embedder = embedder
        return self._embedder


def bind_embedder(
    facts: Mapping[str, str], folder: Path, embedder: Embedder | None, *, offline: bool = False
) -> BoundEmbedder:
    """The embedder that a store names, loaded when it is needed, or the one given; checked when it is used.

    Raises `KeyError` or `ValueError` where the facts are not whole.
    """
    # A store that was made before its vectors lost their mean has no centre, and goes on without.
    centre = np.frombuffer(bytes.fromhex(facts.get("centre", "")), dtype="<f4").astype(np.float32)
    if not len(centre):
        centre = np.zeros(int(facts["dimension"]), dtype=np.float32)
    if len(centre) != int(facts["dimension"]):
        raise ValueError(f"centre has {len(centre)} numbers, not {facts['dimension']}")

    def load() -> Embedder:
        if embedder is not None:
            return embedder
        from bluerec.profiling.embedders import load_embedder

        config = EmbedderConfig(model=facts["embedder_model"], instruction=facts["embedder_instruction"])
        # Without the cache on disk: what people write about themselves lies in the store and nowhere else.
        return load_embedder(config, cache=False, offline=offline)

    return BoundEmbedder(facts["embedder"], centre, load, folder)
