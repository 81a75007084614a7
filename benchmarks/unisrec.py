"""A sequence model on item texts (UniSRec, Hou et al. 2022), ranked for the door of the benchmark.

    python benchmarks/unisrec.py data/games RUN/examples/games.leave-one-out.masked.ID.parquet --out uni.parquet
    python benchmarks/unisrec.py data/beauty RUN/examples/beauty.leave-one-out.masked.ID.parquet \
        --train-on data/games --out uni-from-games.parquet
    bluerec bench CONFIG --data data --out RUN --external unisrec@games=uni.parquet

Items are the vectors that the frozen embedder makes of their texts, so a model trained on one data set ranks the items
of another. As published: a mixture of whitening experts, a causal transformer, contrastive softmax over cosines, items
without ids (the inductive setting). Not as published: one data set and one stage of training, gates without noise, a
next item at every position, negatives from the batch and at random. Training sees the events that bluerec's own counts
see; the epoch is chosen on validation users.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

from bluerec.config import EmbedderConfig
from bluerec.data.candidates import FULL_POOL
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import Dataset, load_dataset
from bluerec.evaluation.metrics import METRIC_NAMES
from bluerec.evaluation.protocol import rank_targets
from bluerec.profiling.embedders import embed_items, load_embedder
from bluerec.types import Float32Array, IntArray

MAX_LENGTH = 50
POOLS = ("100", "500", "1000", FULL_POOL)
N_VALIDATION_USERS = 2_000
HEADLINE = "ndcg@10"


class ItemAdaptor(nn.Module):
    """A mixture of whitening experts: (..., d_text) to (..., d)."""

    def __init__(self, d_text: int, d: int, n_experts: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(n_experts, d_text))
        self.experts = nn.Parameter(torch.randn(n_experts, d_text, d) * d_text**-0.5)
        self.gate = nn.Linear(d_text, n_experts, bias=False)

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        weights = self.gate(texts).softmax(dim=-1)
        mapped = torch.einsum("...td,tdo->...to", texts.unsqueeze(-2) - self.shift, self.experts)
        return (weights.unsqueeze(-1) * mapped).sum(dim=-2)


class TextSequenceModel(nn.Module):
    """From the text vectors of a history to where the next item should lie."""

    def __init__(self, d_text: int, options: argparse.Namespace) -> None:
        super().__init__()
        self.adaptor = ItemAdaptor(d_text, options.factors, options.experts)
        self.positions = nn.Embedding(MAX_LENGTH, options.factors)
        self.norm = nn.LayerNorm(options.factors)
        self.dropout = nn.Dropout(options.dropout)
        layer = nn.TransformerEncoderLayer(
            options.factors, options.heads, 4 * options.factors, options.dropout, "gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, options.blocks, enable_nested_tensor=False)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """`items` (n, length, d) adapted and right-padded with zeros; returns unit vectors (n, length, d).

        What follows a position, padding too, is hidden from it.
        """
        length = items.shape[1]
        hidden = self.dropout(self.norm(items + self.positions.weight[:length]))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return functional.normalize(self.encoder(hidden, mask=mask, is_causal=True), dim=-1)


@dataclass
class TextSequenceRanker:
    """The model as a ranker: cosine of the history's last position and each item."""

    model: TextSequenceModel
    vectors: torch.Tensor  # (n_items, d_text)
    name: str = "unisrec"

    def score(self, table: ExampleTable) -> Float32Array:
        """Scores (n_examples, n_items)."""
        histories = [table.history_rows(row, last=MAX_LENGTH) for row in range(len(table))]
        with torch.inference_mode():
            self.model.eval()
            adapted = self.model.adaptor(self.vectors)
            rows, lengths = pad(histories)
            queries = self.model(adapted[rows] * (rows >= 0)[:, :, None])
            last = queries[torch.arange(len(rows)), (lengths - 1).clamp(min=0)]
            return (last @ functional.normalize(adapted, dim=-1).T).numpy()


def pad(sequences: list[IntArray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (n, longest), -1 where there is nothing, and lengths (n,)."""
    lengths = torch.tensor([len(rows) for rows in sequences])
    padded = torch.full((len(sequences), max(int(lengths.max()), 1)), -1)
    for place, rows in enumerate(sequences):
        padded[place, : len(rows)] = torch.from_numpy(np.asarray(rows, dtype=np.int64))
    return padded, lengths


def training_sequences(dataset: Dataset, protocol: str) -> tuple[list[IntArray], ExampleTable]:
    """What every user took, as far as it may be counted, and the validation examples."""
    examples = split_examples(dataset, protocol)
    rows = np.where(examples.countable)[0]
    users = np.repeat(np.arange(dataset.n_users), np.diff(dataset.user_offsets))[rows]
    cuts = np.flatnonzero(np.diff(users)) + 1
    sequences = [part[-MAX_LENGTH - 1 :] for part in np.split(dataset.item_rows[rows], cuts) if len(part) > 1]
    return sequences, examples.select("validation", max_users=N_VALIDATION_USERS)


def train_epoch(
    model: TextSequenceModel,
    sequences: list[IntArray],
    vectors: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    options: argparse.Namespace,
) -> float:
    """One pass over the sequences; the mean loss of a next item."""
    model.train()
    total, n_batches = 0.0, 0
    for chosen in torch.randperm(len(sequences)).split(options.batch_size):
        rows, _ = pad([sequences[place] for place in chosen.tolist()])
        inputs, targets = rows[:, :-1], rows[:, 1:]
        is_target = targets >= 0
        # The catalogue of a step: what its users took, and random others; each item once.
        random = torch.randint(len(vectors), (options.negatives,))
        candidates, places = torch.cat([targets[is_target], random]).unique(return_inverse=True)
        adapted = model.adaptor(vectors[inputs.clamp(min=0)]) * (inputs >= 0)[:, :, None]
        queries = model(adapted)[is_target]
        logits = queries @ functional.normalize(model.adaptor(vectors[candidates]), dim=-1).T / options.temperature
        loss = functional.cross_entropy(logits, places[: len(queries)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, n_batches = total + float(loss.detach()), n_batches + 1
    return total / n_batches


def fit(dataset: Dataset, vectors: torch.Tensor, protocol: str, options: argparse.Namespace) -> TextSequenceModel:
    """Train until validation users stop gaining; returns the model of the best epoch."""
    sequences, validation = training_sequences(dataset, protocol)
    model = TextSequenceModel(vectors.shape[1], options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    best, kept, waited = -1.0, copy.deepcopy(model.state_dict()), 0
    for epoch in range(options.epochs):
        begin = time.perf_counter()
        loss = train_epoch(model, sequences, vectors, optimizer, options)
        ranking = rank_targets(validation, [TextSequenceRanker(model, vectors)], (FULL_POOL,))
        value = float(ranking.values("unisrec", FULL_POOL)[:, METRIC_NAMES.index(HEADLINE)].mean())
        print(json.dumps({"epoch": epoch, "loss": round(loss, 4), f"validation {HEADLINE}": round(value, 4),
                          "seconds": round(time.perf_counter() - begin, 1)}), flush=True)  # fmt: skip
        waited = 0 if value > best else waited + 1
        if value > best:
            best, kept = value, copy.deepcopy(model.state_dict())
        if waited == options.patience:
            break
    model.load_state_dict(kept)
    return model


def find_examples(table: ExampleTable, path: Path) -> ExampleTable:
    """The examples of a file, in its order."""
    row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}
    return table.take(np.array([row_of[name] for name in pl.read_parquet(path, columns=["example_id"])["example_id"]]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a prepared folder")
    parser.add_argument("examples", type=Path, help="a file of RUN/examples: DATA.PROTOCOL.MASK.ID.parquet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train-on", type=Path, help="another prepared folder to train on [default: DATA]")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--patience", type=int, default=3, help="epochs without a gain on validation users")
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument("--negatives", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    protocol, mask = options.examples.name.split(".")[-4:-2]
    embedder = load_embedder(EmbedderConfig())
    source = load_dataset(options.train_on or options.data)
    model = fit(source, torch.from_numpy(embed_items(source, embedder)), protocol, options)
    dataset = load_dataset(options.data)
    ranker = TextSequenceRanker(model, torch.from_numpy(embed_items(dataset, embedder)))
    table = find_examples(split_examples(dataset, protocol), options.examples)
    ranking = rank_targets(table, [ranker], POOLS, mask_seen=mask == "masked")
    ranking.to_frame().select("example_id", "pool", "rank", "n_candidates").write_parquet(options.out)
    value = ranking.values(ranker.name, FULL_POOL)[:, METRIC_NAMES.index(HEADLINE)].mean()
    print(f"{HEADLINE} (full catalogue): {value:.4f}, {len(table)} users")


if __name__ == "__main__":
    main()
