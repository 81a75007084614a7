"""The one embedder that a store is bound to, loaded when a text first needs it."""

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
from bluerec.types import Embedder, Float32Array, TextKind

_MAX_CACHED = 2_048
_MAX_TOGETHER = 32


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

    def __init__(self, name: str, dimension: int, load: Callable[[], Embedder], folder: Path) -> None:
        self.name = name
        self.dimension = dimension
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
        """Unit vectors (n_texts, dimension). Raises `StoreError` if the embedder is another than the store's."""
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
        fresh = dict(zip(texts, self._loaded().embed(list(texts.values()), together[0].kind), strict=True))
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
    """The embedder that a store names, loaded when it is needed, or the one given; checked when it is used."""

    def load() -> Embedder:
        if embedder is not None:
            return embedder
        from bluerec.profiling.embedders import load_embedder

        config = EmbedderConfig(model=facts["embedder_model"], instruction=facts["embedder_instruction"])
        # Without the cache on disk: what people write about themselves lies in the store and nowhere else.
        return load_embedder(config, cache=False, offline=offline)

    return BoundEmbedder(facts["embedder"], int(facts["dimension"]), load, folder)
