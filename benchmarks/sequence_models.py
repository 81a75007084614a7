"""SASRec or BERT4Rec of RecTools on a prepared data set, ranked for `bluerec bench --external NAME@DATA=ranks.parquet`.

    make bench-env
    .venv-bench/bin/python benchmarks/sequence_models.py sasrec data/games \
        RUN/examples/games.leave-one-out.masked.ID.parquet --out sasrec.parquet

RecTools wants numpy<2, so it lives in an environment of its own and nothing of bluerec is imported here: the two sides
share Parquet files only. Both models are trained with the softmax loss over the whole catalogue. Training sees the
events that bluerec's own counts see: under leave-one-out those of every user before their target, under global-time
those before the first cut.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

PROTOCOLS = ("leave-one-out", "global-time")
FIRST_CUT = 0.8  # quantile of the timestamps, as in bluerec.data.histories
MAX_LENGTH = 50
CHUNK = 128
TIE_TOLERANCE = 1e-6  # as in bluerec.evaluation.protocol


def select_training(events: pd.DataFrame, protocol: str, max_users: int) -> pd.DataFrame:
    """The events that a model may see; with `max_users`, those of the first users only, for a trial."""
    if protocol == "global-time":
        chosen = events[events["timestamp"] < int(np.quantile(events["timestamp"], FIRST_CUT))]
    else:
        last = events.groupby("user_id")["timestamp"].transform("max")
        chosen = events[events["timestamp"] < last]
    if max_users:
        chosen = chosen[chosen["user_id"].isin(chosen["user_id"].drop_duplicates().head(max_users))]
    return chosen


def count_above(scores: np.ndarray, target: int) -> np.ndarray:
    """Which items (n_items,) reach the score of the target, itself left out: ties count against it."""
    lowest = scores[target] - TIE_TOLERANCE * max(1.0, abs(scores[target])) if np.isfinite(scores[target]) else -np.inf
    above = scores >= lowest
    above[target] = False
    return above


def rank_example(scores: np.ndarray, example: pd.Series, masked: bool) -> list[dict[str, object]]:
    """The rank in each sampled pool and in the full catalogue. Items the model does not know have no score, -inf."""
    target = int(example["target"])
    above = count_above(scores, target)
    n_full = len(scores)
    if masked:
        seen = np.setdiff1d(np.unique(example["history"]), [target])
        above[seen] = False
        n_full -= len(seen)
    negatives = np.asarray(example["negatives"], dtype=np.int64)
    pools = {str(n): negatives[:n] for n in (100, 500, 1000) if len(negatives) >= n}
    rows = [(pool, int(above[its].sum()), len(its) + 1) for pool, its in pools.items()]
    rows.append(("full", int(above.sum()), n_full))
    return [
        {"example_id": example["example_id"], "pool": pool, "rank": 1 + n_above, "n_candidates": n_candidates}
        for pool, n_above, n_candidates in rows
    ]


def build_model(name: str, options: argparse.Namespace):
    """The model with the settings asked for; RecTools' own defaults elsewhere."""
    import torch
    from pytorch_lightning import Trainer, seed_everything
    from rectools.models import BERT4RecModel, SASRecModel

    torch.set_num_threads(options.threads)
    seed_everything(options.seed, verbose=False)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=options.epochs,
            accelerator="auto",
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
        )

    kind = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}[name]
    return kind(
        loss="softmax",
        n_factors=options.factors,
        n_blocks=options.blocks,
        n_heads=options.heads,
        dropout_rate=options.dropout,
        lr=options.lr,
        batch_size=options.batch_size,
        epochs=options.epochs,
        session_max_len=MAX_LENGTH,
        get_trainer_func=trainer,
    )


def rank_all(model, dataset, examples: pd.DataFrame, item_ids: list[str], masked: bool) -> pd.DataFrame:
    """Ranks of every example; the model gives its whole catalogue, chunk by chunk."""
    place_of = {item_id: row for row, item_id in enumerate(item_ids)}
    known = set(dataset.user_id_map.external_ids)
    rows: list[dict[str, object]] = []
    for start in range(0, len(examples), CHUNK):
        chunk = examples.iloc[start : start + CHUNK]
        users = [user for user in chunk["user_id"].unique() if user in known]
        scores = np.full((len(users), len(item_ids)), -np.inf)
        if users:
            listed = model.recommend(users=users, dataset=dataset, k=len(item_ids), filter_viewed=False,
                                     on_unsupported_targets="ignore", add_rank_col=False)  # fmt: skip
            row_of = {user: row for row, user in enumerate(users)}
            places = listed["item_id"].map(place_of).to_numpy()
            scores[listed["user_id"].map(row_of).to_numpy(), places] = listed["score"].to_numpy()
        row_of = {user: row for row, user in enumerate(users)}
        nothing = np.full(len(item_ids), -np.inf)
        for _, example in chunk.iterrows():
            row = row_of.get(example["user_id"])
            rows += rank_example(nothing if row is None else scores[row], example, masked)
    return pd.DataFrame(rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=("sasrec", "bert4rec"))
    parser.add_argument("data", type=Path, help="a prepared folder")
    parser.add_argument("examples", type=Path, help="a file of RUN/examples: DATA.PROTOCOL.MASK.ID.parquet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-train-users", type=int, default=0, help="train on these users only: a trial, no result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    from rectools.dataset import Dataset

    protocol, mask = options.examples.name.split(".")[-4:-2]
    if protocol not in PROTOCOLS:
        raise SystemExit(f"{options.examples}: expected a name such as games.leave-one-out.masked.ID.parquet")
    item_ids = pd.read_parquet(options.data / "items.parquet", columns=["item_id"])["item_id"].tolist()
    events = pd.read_parquet(options.data / "interactions.parquet", columns=["user_id", "item_id", "timestamp"])
    examples = pd.read_parquet(options.examples)
    training = select_training(events, protocol, options.max_train_users)
    # Times may be positions; RecTools wants dates, of which only the order counts.
    training = training.assign(weight=1, datetime=pd.to_datetime(training["timestamp"], unit="s"))
    dataset = Dataset.construct(training[["user_id", "item_id", "weight", "datetime"]])
    begin = time.perf_counter()
    model = build_model(options.model, options).fit(dataset)
    trained = time.perf_counter()
    ranks = rank_all(model, dataset, examples, item_ids, mask == "masked")
    ranks.to_parquet(options.out, index=False)
    facts = vars(options) | {"events": len(training), "seconds_training": round(trained - begin, 1),
                             "seconds_ranking": round(time.perf_counter() - trained, 1)}  # fmt: skip
    print(json.dumps({key: str(value) if isinstance(value, Path) else value for key, value in facts.items()}))
    full = ranks[ranks["pool"] == "full"]["rank"]
    print(f"NDCG@10 (full catalogue): {np.where(full <= 10, 1 / np.log2(1 + full), 0).mean():.4f}, {len(full)} users")


if __name__ == "__main__":
    main()
