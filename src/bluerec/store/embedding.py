"""The one embedder that a store is bound to, loaded when a text first needs it."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bluerec.config import EmbedderConfig
from bluerec.errors import StoreError
from bluerec.types import Embedder, Float32Array, TextKind

_MAX_CACHED = 2_048


class BoundEmbedder:
    """Embeds with the model of the store and no other; one call at a time, latest vectors kept in memory.

    They are kept under hashes: no text stays here.
    """

    def __init__(self, name: str, dimension: int, load: Callable[[], Embedder], folder: Path) -> None:
        self.name = name
        self.dimension = dimension
        self._load = load
        self._folder = folder
        self._embedder: Embedder | None = None
        self._lock = threading.Lock()
        self._cache: OrderedDict[bytes, Float32Array] = OrderedDict()

    def warm(self) -> None:
        """Load the model now. Raises `StoreError` if it is another than the store's."""
        with self._lock:
            self._loaded()

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array:
        """Unit vectors (n_texts, dimension). Raises `StoreError` if the embedder is another than the store's."""
        keys = [hashlib.blake2b(f"{kind}\x1f{text}".encode(), digest_size=16).digest() for text in texts]
        with self._lock:
            missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._cache}
            fresh = (
                dict(zip(missing, self._loaded().embed(list(missing.values()), kind), strict=True)) if missing else {}
            )
            vectors = [fresh[key] if key in fresh else self._cache[key] for key in keys]
            self._cache.update(fresh)
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return np.stack(vectors) if vectors else np.zeros((0, self.dimension), dtype=np.float32)

    def forget(self) -> None:
        """Drop the vectors that are kept in memory."""
        with self._lock:
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
    """The embedder that a store names, loaded when it is needed, or the one given; checked when it is used."""

    def load() -> Embedder:
        if embedder is not None:
            return embedder
        from bluerec.profiling.embedders import load_embedder

        config = EmbedderConfig(model=facts["embedder_model"], instruction=facts["embedder_instruction"])
        # Without the cache on disk: what people write about themselves lies in the store and nowhere else.
        return load_embedder(config, cache=False, offline=offline)

    return BoundEmbedder(facts["embedder"], int(facts["dimension"]), load, folder)
