"""A sequence model on item texts (UniSRec, Hou et al. 2022), tuned and ranked for the door of the benchmark.

    python benchmarks/unisrec.py data/games RUN/examples/games.leave-one-out.masked.ID.parquet \
        --out unisrec.games.parquet
    python benchmarks/unisrec.py data/beauty RUN/examples/beauty.leave-one-out.masked.ID.parquet \
        --model unisrec.games.pt --out unisrec.beauty.parquet
    bluerec bench CONFIG --data data --out RUN --external unisrec@games=unisrec.games.parquet

Items are the vectors that the frozen embedder makes of their texts, so a model trained on one data set ranks the items
of another. As published: a mixture of whitening experts, a causal transformer, contrastive softmax over cosines at
temperature .07, items without ids (the inductive setting). Not as published: one data set and one stage of training,
gates without noise, a next item at every position, negatives drawn from the catalogue; the experts begin as a principal
component analysis of the catalogue, and the transformer adds to the items that it reads, so that the untrained model
is the last item's vector and not noise. Training sees the events that bluerec's own counts see; the epoch is chosen
on validation users. Beside OUT lie OUT.json, everything that was tried, OUT.lists.parquet for fusion, and OUT.pt, the
model, with which `--model` ranks another data set without training there.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

from bluerec.config import EmbedderConfig
from bluerec.data.candidates import FULL_POOL, find_seen
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
BATCHES_SORTED = 50  # among so many batches' histories, those of like length come together
TUNED = ("factors", "blocks", "dropout", "lr", "temperature")


class ItemAdaptor(nn.Module):
    """A mixture of whitening experts: (..., d_text) to (..., d). `vectors` (n_items, d_text) tell where they begin."""

    def __init__(self, vectors: torch.Tensor, d: int, n_experts: int) -> None:
        super().__init__()
        mean = vectors.mean(dim=0)
        _, spread, axes = torch.linalg.svd(vectors - mean, full_matrices=False)
        # Half-way to whitening, which would make noise as loud as what tells items apart.
        begin = axes[:d].T * (spread[0] / spread[:d]).sqrt()
        noise = torch.randn(n_experts, *begin.shape) * 0.1 * begin.std()
        self.shift = nn.Parameter(mean.repeat(n_experts, 1))
        self.experts = nn.Parameter(begin + noise)
        self.gate = nn.Linear(vectors.shape[1], n_experts, bias=False)

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        weights = self.gate(texts).softmax(dim=-1)
        mapped = torch.einsum("ntd,tdo->nto", texts.unsqueeze(-2) - self.shift, self.experts)
        return functional.normalize((weights.unsqueeze(-1) * mapped).sum(dim=-2), dim=-1)


class TextSequenceModel(nn.Module):
    """From the text vectors of a history to where the next item should lie."""

    def __init__(self, vectors: torch.Tensor, settings: dict[str, float], options: argparse.Namespace) -> None:
        super().__init__()
        d, dropout = int(settings["factors"]), settings["dropout"]
        self.adaptor = ItemAdaptor(vectors, d, options.experts)
        self.positions = nn.Embedding(MAX_LENGTH, d)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(d, options.heads, 4 * d, dropout, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, int(settings["blocks"]), enable_nested_tensor=False)
        for block in self.encoder.layers:  # what a block adds begins small beside a vector of length 1
            nn.init.normal_(block.linear2.weight, std=0.02 / d**0.5)
            nn.init.normal_(block.self_attn.out_proj.weight, std=0.02 / d**0.5)

    def forward(self, items: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """`items` (n, length, d) adapted and right-padded with zeros; returns unit vectors (n, length, d).

        Positions are counted from the latest item. What follows a position, padding too, is hidden from it.
        """
        length = items.shape[1]
        age = (lengths[:, None] - 1 - torch.arange(length)).clamp(min=0)
        hidden = self.dropout(items + self.positions(age))
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
        with torch.inference_mode():
            self.model.eval()
            adapted = self.model.adaptor(self.vectors)
            rows, lengths = pad([table.history_rows(row, last=MAX_LENGTH) for row in range(len(table))])
            queries = self.model(adapted[rows] * (rows >= 0)[:, :, None], lengths)
            return (queries[torch.arange(len(rows)), lengths - 1] @ adapted.T).numpy()


def pad(sequences: list[IntArray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (n, longest), -1 where there is nothing, and lengths (n,)."""
    lengths = torch.tensor([len(rows) for rows in sequences])
    padded = torch.full((len(sequences), int(lengths.max())), -1)
    for place, rows in enumerate(sequences):
        padded[place, : len(rows)] = torch.from_numpy(np.asarray(rows, dtype=np.int64))
    return padded, lengths


def training_sequences(dataset: Dataset, protocol: str) -> tuple[list[IntArray], ExampleTable]:
    """What every user took, as far as it may be counted, and the validation examples."""
    examples = split_examples(dataset, protocol)
    rows = np.flatnonzero(examples.countable)
    users = np.repeat(np.arange(dataset.n_users), np.diff(dataset.user_offsets))[rows]
    cuts = np.flatnonzero(np.diff(users)) + 1
    sequences = [part[-MAX_LENGTH - 1 :] for part in np.split(dataset.item_rows[rows], cuts) if len(part) > 1]
    return sequences, examples.select("validation", max_users=N_VALIDATION_USERS)


def batches(sequences: list[IntArray], size: int) -> Iterator[list[IntArray]]:
    """Batches in random order, each of sequences of about the same length."""
    lengths = torch.tensor([len(rows) for rows in sequences])
    found = []
    for part in torch.randperm(len(sequences)).split(size * BATCHES_SORTED):
        found += part[lengths[part].argsort()].split(size)
    for place in torch.randperm(len(found)).tolist():
        yield [sequences[row] for row in found[place].tolist()]


def train_epoch(
    model: TextSequenceModel,
    sequences: list[IntArray],
    vectors: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    temperature: float,
    options: argparse.Namespace,
) -> float:
    """One pass over the sequences; the mean loss of a next item."""
    model.train()
    total, n_batches = 0.0, 0
    for chosen in batches(sequences, options.batch_size):
        rows, lengths = pad(chosen)
        inputs, targets = rows[:, :-1], rows[:, 1:]
        is_target = targets >= 0
        negatives = torch.randint(len(vectors), (options.negatives,))
        wanted, places = torch.cat([inputs.clamp(min=0).flatten(), targets[is_target], negatives]).unique(
            return_inverse=True
        )
        adapted = model.adaptor(vectors[wanted])[places]
        history, own, others = adapted.split([inputs.numel(), int(is_target.sum()), len(negatives)])
        history = history.view(*inputs.shape, -1) * (inputs >= 0)[:, :, None]
        queries = model(history, lengths - 1)[is_target]
        against = (queries @ others.T).masked_fill(targets[is_target][:, None] == negatives, float("-inf"))
        logits = torch.cat([(queries * own).sum(dim=-1, keepdim=True), against], dim=1) / temperature
        loss = functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, n_batches = total + float(loss.detach()), n_batches + 1
    return total / n_batches


def measure(model: TextSequenceModel, vectors: torch.Tensor, table: ExampleTable) -> float:
    """NDCG@10 in the full catalogue."""
    ranking = rank_targets(table, [TextSequenceRanker(model, vectors)], (FULL_POOL,))
    return float(ranking.values("unisrec", FULL_POOL)[:, METRIC_NAMES.index(HEADLINE)].mean())


def fit(
    dataset: Dataset, vectors: torch.Tensor, protocol: str, settings: dict[str, float], options: argparse.Namespace
) -> tuple[TextSequenceModel, dict[str, object]]:
    """Train until validation users stop gaining; returns the model of the best epoch, and how it went."""
    torch.manual_seed(options.seed)
    sequences, validation = training_sequences(dataset, protocol)
    model = TextSequenceModel(vectors, settings, options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=options.weight_decay)
    values, seconds = [measure(model, vectors, validation)], []
    kept = copy.deepcopy(model.state_dict())
    print(f"{settings}\n  untrained: validation NDCG@10 {values[0]:.4f}", flush=True)
    for epoch in range(1, options.epochs + 1):
        begin = time.perf_counter()
        loss = train_epoch(model, sequences, vectors, optimizer, settings["temperature"], options)
        values.append(measure(model, vectors, validation))
        seconds.append(round(time.perf_counter() - begin, 1))
        print(f"  epoch {epoch}: loss {loss:.4f}, validation NDCG@10 {values[-1]:.4f}, {seconds[-1]} s", flush=True)
        best = int(np.argmax(values))
        if best == epoch:
            kept = copy.deepcopy(model.state_dict())
        if epoch - best >= options.patience:
            break
    model.load_state_dict(kept)
    rounded = [round(value, 5) for value in values]
    return model, {"settings": settings, "validation_ndcg10": rounded, "seconds": seconds, "best": max(rounded)}


def find_examples(table: ExampleTable, path: Path) -> ExampleTable:
    """The examples of a file, in its order."""
    row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}
    return table.take(np.array([row_of[name] for name in pl.read_parquet(path, columns=["example_id"])["example_id"]]))


def list_best(ranker: TextSequenceRanker, table: ExampleTable, length: int, *, masked: bool) -> pl.DataFrame:
    """The best candidates of every example, with their scores."""
    parts = []
    item_ids = np.array(table.dataset.item_ids, dtype=object)
    for start in range(0, len(table), 256):
        chunk = table.take(np.arange(start, min(start + 256, len(table))))
        scores = ranker.score(chunk).copy()
        if masked:
            scores[find_seen(chunk)] = -np.inf
        for example_id, own in zip(chunk.example_ids, scores, strict=True):
            best = np.argsort(-own, kind="stable")[:length]
            best = best[np.isfinite(own[best])]
            parts.append(pl.DataFrame({"example_id": [example_id] * len(best), "item_id": item_ids[best].tolist(),
                                       "score": own[best]}))  # fmt: skip
    return pl.concat(parts)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a prepared folder")
    parser.add_argument("examples", type=Path, help="a file of RUN/examples: DATA.PROTOCOL.MASK.ID.parquet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="rank with this model, trained before; nothing is trained")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--patience", type=int, default=3, help="epochs without a gain on validation users")
    for name, kind, default in (
        ("factors", int, 128),
        ("blocks", int, 2),
        ("dropout", float, 0.2),
        ("lr", float, 1e-3),
        ("temperature", float, 0.07),
    ):
        parser.add_argument(f"--{name}", type=kind, nargs="+", default=[default], help="several make a grid")
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--negatives", type=int, default=2048)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--list-length", type=int, default=500, help="items in a list")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)  # now, and not after the training
    return options


def tune(
    dataset: Dataset, vectors: torch.Tensor, protocol: str, options: argparse.Namespace
) -> tuple[TextSequenceModel, list[dict[str, object]]]:
    """Every configuration of the grid in turn; returns the best model, and how all went."""
    grid = itertools.product(*(getattr(options, key) for key in TUNED))
    tried = [fit(dataset, vectors, protocol, dict(zip(TUNED, values, strict=True)), options) for values in grid]
    model, chosen = max(tried, key=lambda found: found[1]["best"])
    shape = {"experts": options.experts, "heads": options.heads, "settings": chosen["settings"]}
    torch.save({"shape": shape, "weights": model.state_dict()}, options.out.with_suffix(".pt"))
    return model, [found[1] for found in tried]


def load_model(path: Path, vectors: torch.Tensor) -> TextSequenceModel:
    """A model that `tune` has saved."""
    saved = torch.load(path, weights_only=True)
    model = TextSequenceModel(vectors, saved["shape"]["settings"], argparse.Namespace(**saved["shape"]))
    model.load_state_dict(saved["weights"])
    return model


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    protocol, mask = options.examples.name.split(".")[-4:-2]
    masked = mask == "masked"
    dataset = load_dataset(options.data)
    vectors = torch.from_numpy(embed_items(dataset, load_embedder(EmbedderConfig())))
    begin = time.perf_counter()
    if options.model:
        model, trials = load_model(options.model, vectors), []
    else:
        model, trials = tune(dataset, vectors, protocol, options)
    trained = time.perf_counter()
    ranker = TextSequenceRanker(model, vectors)
    examples = split_examples(dataset, protocol)
    table = find_examples(examples, options.examples)
    ranking = rank_targets(table, [ranker], POOLS, mask_seen=masked)
    ranking.to_frame().select("example_id", "pool", "rank", "n_candidates").write_parquet(options.out)
    parts = [table, examples.select("validation", max_users=N_VALIDATION_USERS)]
    pl.concat([list_best(ranker, part, options.list_length, masked=masked) for part in parts]).write_parquet(
        options.out.with_suffix(".lists.parquet")
    )
    value = float(ranking.values(ranker.name, FULL_POOL)[:, METRIC_NAMES.index(HEADLINE)].mean())
    facts = {key: str(its) if isinstance(its, Path) else its for key, its in vars(options).items()}
    facts |= {"trials": trials, "test_ndcg10": round(value, 5), "test_users": len(table),
              "seconds_training": round(trained - begin, 1)}  # fmt: skip
    options.out.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"{HEADLINE} (full catalogue): {value:.4f}, {len(table)} users, {trained - begin:.0f} s of training")


if __name__ == "__main__":
    main()
