"""The sequence model on item texts looks back only, learns, and ranks again as it did when it was saved."""

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from bluerec.data.histories import split_examples
from bluerec.data.tables import Dataset
from bluerec.data.toy import build_world
from bluerec.profiling.embedders import HashingEmbedder, embed_items

SETTINGS = {"factors": 16, "blocks": 1, "dropout": 0.0, "lr": 3e-3, "temperature": 0.1}


@pytest.fixture(scope="module")
def unisrec(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("unisrec")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build_world(n_users=150, n_items=80, seed=0).dataset


@pytest.fixture(scope="module")
def vectors(dataset: Dataset) -> torch.Tensor:
    return torch.from_numpy(embed_items(dataset, HashingEmbedder(64)))


def make_options(**changes: object) -> argparse.Namespace:
    options = {"experts": 2, "heads": 2, "negatives": 64, "weight_decay": 0.0, "batch_size": 32, "epochs": 6,
               "patience": 6, "seed": 0}  # fmt: skip
    return argparse.Namespace(**(options | changes))


def test_a_position_sees_neither_what_follows_nor_padding(unisrec: ModuleType, vectors: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = unisrec.TextSequenceModel(vectors, SETTINGS, make_options()).eval()
    rows = [np.arange(6), np.arange(6), np.arange(3)]
    rows[1] = np.array([0, 1, 2, 3, 60, 70])
    padded, lengths = unisrec.pad(rows)
    with torch.no_grad():
        adapted = model.adaptor(vectors)[padded] * (padded >= 0)[:, :, None]
        together = model(adapted, lengths)
        alone = model(adapted[2:, :3], lengths[2:])
    assert torch.allclose(together[0, :4], together[1, :4], atol=1e-6)
    assert not torch.allclose(together[0, 4], together[1, 4], atol=1e-3)
    assert torch.allclose(together[2, :3], alone[0], atol=1e-6)


def test_the_loss_falls(unisrec: ModuleType, dataset: Dataset, vectors: torch.Tensor) -> None:
    torch.manual_seed(0)
    sequences, _ = unisrec.training_sequences(dataset, "leave-one-out")
    model = unisrec.TextSequenceModel(vectors, SETTINGS, make_options())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = [unisrec.train_epoch(model, sequences, vectors, optimizer, 0.1, make_options()) for _ in range(6)]
    assert losses[-1] < 0.75 * losses[0]


def test_a_saved_model_ranks_as_before(
    unisrec: ModuleType, dataset: Dataset, vectors: torch.Tensor, tmp_path: Path
) -> None:
    grid = {name: [value] for name, value in SETTINGS.items()} | {"lr": [1e-3, 3e-3]}
    options = make_options(out=tmp_path / "unisrec.parquet", epochs=2, **grid)
    model, trials = unisrec.tune(dataset, vectors, "leave-one-out", options)
    assert [trial["settings"]["lr"] for trial in trials] == [1e-3, 3e-3]
    table = split_examples(dataset).select("test")
    again = unisrec.load_model(tmp_path / "unisrec.pt", vectors)
    scores = unisrec.TextSequenceRanker(model, vectors).score(table)
    assert np.array_equal(unisrec.TextSequenceRanker(again, vectors).score(table), scores)


def test_training_sees_no_target(unisrec: ModuleType, dataset: Dataset) -> None:
    sequences, _ = unisrec.training_sequences(dataset, "leave-one-out")
    table = split_examples(dataset)
    n_taken = int(np.diff(dataset.user_offsets).sum())
    assert sum(map(len, sequences)) <= n_taken - len(table.select("test")) - len(table.select("validation"))
