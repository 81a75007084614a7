"""The store's embedder under many callers: together where they wait, each with their own vectors and faults."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bluerec.errors import ModelError
from bluerec.evaluation.vector_rankers import ItemSpace
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.rewards.scoring import normalise
from bluerec.store.embedding import MIN_CENTRED, BoundEmbedder, bind_embedder, find_centre, place_vectors
from bluerec.types import Float32Array, TextKind


class SlowEmbedder(HashingEmbedder):
    """Notes how many texts came together; refuses the text `bad`."""

    def __init__(self) -> None:
        super().__init__(64)
        self.together: list[int] = []
        self.free = threading.Event()
        self.free.set()

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array:
        self.together.append(len(texts))
        assert self.free.wait(10)
        if "bad" in texts:
            raise ModelError("a vector is not finite")
        return super().embed(texts, kind)


@pytest.fixture
def slow() -> SlowEmbedder:
    return SlowEmbedder()


@pytest.fixture
def bound(slow: SlowEmbedder) -> BoundEmbedder:
    return BoundEmbedder(slow.name, np.zeros(slow.dimension, np.float32), lambda: slow, Path("store"))


def ask_while_busy(bound: BoundEmbedder, slow: SlowEmbedder, asked: list[list[str]], pool: ThreadPoolExecutor) -> list:
    """Futures of calls that all came while the model was busy with the first text."""
    slow.free.clear()
    first = pool.submit(bound.embed, ["first"], "profile")
    while not slow.together:
        time.sleep(0.001)
    rest = [pool.submit(bound.embed, texts, "profile") for texts in asked]
    while len(bound._waiting) < len(asked):
        time.sleep(0.001)
    slow.free.set()
    return [first, *rest]


def test_callers_that_wait_are_served_together(bound: BoundEmbedder, slow: SlowEmbedder) -> None:
    asked = [[f"text {n}", "shared", f"more {n}"] for n in range(8)]
    with ThreadPoolExecutor(9) as pool:
        found = [future.result(10) for future in ask_while_busy(bound, slow, asked, pool)]
    assert slow.together == [1, 17]
    for texts, vectors in zip([["first"], *asked], found, strict=True):
        np.testing.assert_allclose(vectors, HashingEmbedder(64).embed(texts, "profile"), atol=1e-6)


def test_a_fault_is_its_callers_alone(bound: BoundEmbedder, slow: SlowEmbedder) -> None:
    asked = [["good 1"], ["bad"], ["good 2"]]
    with ThreadPoolExecutor(4) as pool:
        _, *futures = ask_while_busy(bound, slow, asked, pool)
        failed = [future.exception(10) for future in futures]
    assert [type(error) for error in failed] == [type(None), ModelError, type(None)]


def test_what_is_known_does_not_wait_and_can_be_forgotten(bound: BoundEmbedder, slow: SlowEmbedder) -> None:
    bound.embed(["known"], "profile")
    slow.free.clear()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(bound.embed, ["other"], "profile")
        while len(slow.together) < 2:
            time.sleep(0.001)
        assert bound.embed(["known", "known"], "profile").shape == (2, 64)
        slow.free.set()
        busy.result(10)
    bound.forget()
    bound.embed(["known"], "profile")
    bound.embed(["known"], "item")  # the same words as another kind are another text
    assert slow.together == [1, 1, 1, 1]
    assert bound.embed([], "item").shape == (0, 64)


def test_the_catalogues_mean_is_taken_from_items_and_sentences_alike() -> None:
    rng = np.random.default_rng(0)
    items = normalise(rng.normal(size=(300, 64)).astype(np.float32) + 2.0)
    centre = find_centre(items)
    placed = place_vectors(items, centre)
    assert centre == pytest.approx(items.mean(axis=0), abs=1e-6)
    assert placed == pytest.approx(ItemSpace.centred(items).vectors, abs=1e-6)
    assert np.abs(placed.mean(axis=0)).max() < 0.02 < np.abs(items.mean(axis=0)).max()
    bound = BoundEmbedder("hashing-64", centre, lambda: HashingEmbedder(64), Path("store"))
    assert bound.embed(["chess"], "profile") == pytest.approx(
        ItemSpace.centred(items).place(HashingEmbedder(64).embed(["chess"], "profile")), abs=1e-6
    )


def test_the_mean_of_few_items_is_left_alone() -> None:
    items = HashingEmbedder(64).embed([f"thing {place}" for place in range(MIN_CENTRED - 1)], "item")
    assert not find_centre(items).any()
    assert place_vectors(items, find_centre(items)) is items


def test_a_store_from_before_has_no_centre_and_one_of_another_length_is_damaged() -> None:
    facts = {"embedder": "hashing-64", "dimension": "64", "embedder_model": "x", "embedder_instruction": ""}
    embedder = HashingEmbedder(64)
    old = bind_embedder(facts, Path("store"), embedder)
    assert old.embed(["chess"], "item").tolist() == embedder.embed(["chess"], "item").tolist()
    for centre in ("00000000", "no number"):
        with pytest.raises(ValueError, match=r"centre has 1 numbers|non-hexadecimal"):
            bind_embedder({**facts, "centre": centre}, Path("store"), embedder)
