"""Texts to unit vectors: any sentence-transformers model, a cache on disk around it, and a legible fake.

Vectors are float32 with norm 1, so that a dot product is a cosine. The instruction, for models trained with one, is
put before profiles and never before items, as these models were trained (query side only).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bluerec.config import EmbedderConfig
from bluerec.data.hashing import hash_name
from bluerec.data.tables import Dataset
from bluerec.errors import MissingExtraError, ModelError, first_line
from bluerec.profiling.models import announce_download, cache_folder, hide_library_bars, resolve_model
from bluerec.profiling.vector_store import VectorStore
from bluerec.types import CountDone, Embedder, Float32Array, Item, TextKind

HASHING_MODEL = "hashing"
MAX_BRAND_CHARACTERS = 60
MAX_CATEGORIES = 3
MAX_CATEGORY_CHARACTERS = 60
MAX_DESCRIPTION_CHARACTERS = 240
MAX_TITLE_CHARACTERS = 300
_EMBED_CHUNK = 1024
_SAMPLED_VALUES = 64
_TEXT_FIELD = "{text}"


class SentenceTransformerEmbedder:
    """A sentence-transformers model. Texts beyond its length limit are cut by the model (MiniLM: 256 word pieces).

    An `instruction` that contains `{text}` is filled in as it is ("query: {text}"); any other becomes
    "Instruct: ...\\nQuery:..." as instruction-tuned embedders expect (Qwen3-Embedding, E5-instruct).
    """

    def __init__(self, model: Any, name: str, *, instruction: str = "", batch_size: int = 64) -> None:
        self._model = model
        self._instruction = instruction
        self._batch_size = batch_size
        dimension = model.get_embedding_dimension()
        if not dimension:
            raise ModelError(f"embedder {name!r} does not tell its dimension; use a model with a pooling layer")
        self._dimension = int(dimension)
        digest = hashlib.blake2b(_describe_weights(model), digest_size=4).hexdigest()
        suffix = hashlib.blake2b(instruction.encode(), digest_size=3).hexdigest() if instruction else ""
        self._name = f"{name}@{digest}" + (f"+{suffix}" if suffix else "")

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array:
        """Embed texts, shape (n_texts, dimension). Raises `ModelError` if a vector is not finite or zero."""
        if not texts:
            return np.zeros((0, self._dimension), dtype=np.float32)
        rendered = [render_for_embedder(text, kind, self._instruction) for text in texts]
        order = sorted(range(len(rendered)), key=lambda row: len(rendered[row]), reverse=True)
        encoded = self._model.encode(
            [rendered[row] for row in order],
            prompt="",  # or the model's own default prompt would be put before items too
            batch_size=self._batch_size,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        vectors = np.empty((len(rendered), self._dimension), dtype=np.float32)
        vectors[order] = encoded
        return _normalise(vectors, self._name)


class CachedEmbedder:
    """Another embedder with its vectors kept on disk, by content hash, in a folder per model and instruction.

    Not for texts that are seen once, such as the candidates of a training step: they would only fill the disk.
    """

    def __init__(self, inner: Embedder, folder: Path) -> None:
        self._inner = inner
        self._store = VectorStore(folder / _folder_name(inner.name), inner.dimension)

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array:
        keys = [hashlib.blake2b(f"{kind}\x1f{text}".encode(), digest_size=16).hexdigest() for text in texts]
        absent = self._store.absent(keys)
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key in absent}
        longest_first = sorted(unknown, key=lambda key: len(unknown[key]), reverse=True)
        for start in range(0, len(longest_first), _EMBED_CHUNK):
            chunk = longest_first[start : start + _EMBED_CHUNK]
            self._store.save(chunk, self._inner.embed([unknown[key] for key in chunk], kind))
        return self._store.load(keys)


class HashingEmbedder:
    """A legible fake: each word adds 1 or -1 to one place chosen by its hash; texts that share words are near."""

    def __init__(self, dimension: int = 256) -> None:
        self._dimension = dimension

    @property
    def name(self) -> str:
        return f"{HASHING_MODEL}-{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array:
        vectors = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.casefold()):
                place = hash_name(word)
                vectors[row, place // 2 % self._dimension] += 1.0 if place % 2 else -1.0
            if not vectors[row].any():
                vectors[row, 0] = 1.0  # no words, or words that cancel: one fixed direction
        return _normalise(vectors, self.name) if len(texts) else vectors


def load_embedder(
    config: EmbedderConfig,
    *,
    cache: bool = True,
    offline: bool = False,
    announce: Callable[[str], None] | None = None,
) -> Embedder:
    """Load an embedder by embedded name, folder or hub name; `hashing` is the fake.

    With `cache`, vectors are kept under the cache folder (`$BLUEREC_CACHE` or `~/.cache/bluerec`). `announce` is told
    the size of a download before it starts. Raises `ModelError` if the model cannot be found or loaded (weights must
    be safetensors), `MissingExtraError` without sentence-transformers.
    """
    if config.model == HASHING_MODEL:
        return HashingEmbedder()
    model, name = load_sentence_transformer(config.model, offline=offline, announce=announce)
    embedder = SentenceTransformerEmbedder(model, name, instruction=config.instruction)
    return CachedEmbedder(embedder, cache_folder() / "vectors") if cache else embedder


def load_sentence_transformer(
    name: str, *, offline: bool = False, announce: Callable[[str], None] | None = None
) -> tuple[Any, str]:
    """The model itself in float32, in evaluation mode, and its name on every machine. Raises as `load_embedder`."""
    source = resolve_model(name, offline=offline)
    try:
        import torch
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "models") from error
    hide_library_bars()
    if not source.is_local and not offline:
        offline = not announce_download(source.location, announce)
    try:
        model = SentenceTransformer(
            source.location,
            local_files_only=offline or source.is_local,
            model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"embedder {name!r} cannot be loaded ({first_line(error)}); give a sentence-transformers folder, "
            "a hub name, or all-MiniLM-L6-v2"
        ) from error
    return model.eval(), source.name


def render_for_embedder(text: str, kind: TextKind, instruction: str) -> str:
    """A text as the model is given it: the instruction stands before profiles only."""
    if kind == "item" or not instruction:
        return text
    if _TEXT_FIELD in instruction:
        return instruction.replace(_TEXT_FIELD, text)
    return f"Instruct: {instruction}\nQuery:{text}"


def render_item_text(item: Item) -> str:
    """What is embedded of an item: its title, then brand, categories and the start of the description if known."""
    title = _cut(item.title, MAX_TITLE_CHARACTERS)
    parts = [title or "untitled item"]
    brand = _cut(item.brand or "", MAX_BRAND_CHARACTERS)
    if brand and brand.casefold() not in title.casefold():
        parts.append(f"by {brand}")
    categories = [_cut(category, MAX_CATEGORY_CHARACTERS) for category in dict.fromkeys(item.categories)]
    categories = [category for category in categories if category][-MAX_CATEGORIES:]
    if categories:
        parts.append(", ".join(categories))
    description = _cut(item.description, MAX_DESCRIPTION_CHARACTERS)
    if description and description.casefold() != title.casefold():
        parts.append(description)
    return ". ".join(part.rstrip(".") for part in parts) if len(parts) > 1 else parts[0]


def embed_items(dataset: Dataset, embedder: Embedder, *, progress: CountDone | None = None) -> Float32Array:
    """Embed the whole catalogue, (n_items, dimension), in the order of `dataset.items`.

    `progress` is told the items done and in all. With a `CachedEmbedder` only new texts are computed, and a killed
    run keeps what it has embedded.
    """
    texts = [render_item_text(dataset.item(row)) for row in range(dataset.n_items)]
    vectors = np.empty((len(texts), embedder.dimension), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
    for start in range(0, len(order), _EMBED_CHUNK):
        rows = order[start : start + _EMBED_CHUNK]
        vectors[rows] = embedder.embed([texts[row] for row in rows], "item")
        if progress:
            progress(start + len(rows), len(order))
    return vectors


def _describe_weights(model: Any) -> bytes:
    """Bytes that differ between two models: layers, length limit, and sampled values of every parameter."""
    digest = hashlib.blake2b(digest_size=16)
    for module in model:
        digest.update(type(module).__name__.encode())
        if hasattr(module, "get_config_dict") and type(module).__name__ == "Pooling":
            digest.update(repr(sorted(module.get_config_dict().items(), key=str)).encode())
    digest.update(str(model.max_seq_length).encode())
    for name, values in model.state_dict().items():
        flat = values.reshape(-1)
        sample = flat[:: max(1, len(flat) // _SAMPLED_VALUES)].detach().cpu().float().numpy()
        digest.update(f"{name}{tuple(values.shape)}".encode())
        digest.update(sample.tobytes())
    return digest.digest()


def _normalise(vectors: Float32Array, name: str) -> Float32Array:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = ~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0)
    if bad.any():
        raise ModelError(f"embedder {name}: {int(bad.sum())} of {len(vectors)} vectors are zero or not finite")
    return (vectors / norms).astype(np.float32)


def _folder_name(name: str) -> str:
    """A file name that is safe whatever the model is called, and different for every name."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80].strip(".-")
    return f"{readable}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def _cut(text: str, n_characters: int) -> str:
    """White space made single, cut at a word boundary."""
    text = " ".join(text.split())
    if len(text) <= n_characters:
        return text
    head = text[:n_characters]
    return head.rsplit(" ", 1)[0] if " " in head else head
