"""SASRec or BERT4Rec of RecTools, tuned on validation users and ranked for `bluerec bench --external`.

    make bench-env
    .venv-bench/bin/python benchmarks/sequence_models.py sasrec data/games \
        RUN/examples/games.leave-one-out.masked.ID.parquet --out sasrec.parquet --factors 64 128

RecTools wants numpy<2, so it lives in an environment of its own and nothing of bluerec is imported here: the two sides
share Parquet files only. Training sees the events that bluerec's own counts see: under leave-one-out those of every
user before their target, under global-time those before the first cut.

Settings that are given several values make a grid. Each of its configurations is trained until NDCG@10 of the
validation users (RUN/examples/validation; full catalogue, masked as the test users are) has not grown for some epochs;
the best epoch of the best configuration ranks the test users. Beside the ranks lie OUT.json, everything that was tried,
and OUT.lists.parquet, the best items of test and validation users, for fusion.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from packed_transformers import PACKED_SOFTMAX, PackedBERT4RecPreparator, PackedModule, PackedSASRecPreparator
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from ranked_examples import compute_ndcg, find_masked, rank_example
from rectools.dataset import Dataset
from rectools.models import BERT4RecModel, SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet

PROTOCOLS = ("leave-one-out", "global-time")
FIRST_CUT = 0.8  # quantile of the timestamps, as in bluerec.data.histories
CHUNK = 256
TUNED = ("factors", "blocks", "heads", "dropout", "lr", "batch_size", "mask_prob", "negatives")


@dataclass
class Trial:
    """One configuration and how it went."""

    settings: dict[str, float]
    validation_ndcg10: list[float] = field(default_factory=list)  # by epoch
    seconds: list[float] = field(default_factory=list)  # by epoch, validation included

    @property
    def best(self) -> float:
        return max(self.validation_ndcg10, default=-1.0)


@dataclass(frozen=True)
class Ground:
    """The catalogue in the order of items.parquet, the events to train on, and how examples are ranked."""

    item_ids: list[str]
    training: Dataset
    masked: bool


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


def build_histories(examples: pd.DataFrame, item_ids: list[str]) -> Dataset:
    """The histories of examples as users of RecTools, each called by its example."""
    catalogue = np.array(item_ids, dtype=object)
    lengths = examples["history"].str.len().to_numpy()
    # Of times only the order counts, within one history.
    seconds = np.concatenate([np.arange(length) for length in lengths])
    return Dataset.construct(
        pd.DataFrame(
            {
                "user_id": np.repeat(examples["example_id"].to_numpy(), lengths),
                "item_id": catalogue[np.concatenate(examples["history"].to_list())],
                "weight": 1,
                "datetime": pd.to_datetime(seconds, unit="s"),
            }
        )
    )


def score_examples(module: LightningModule, examples: pd.DataFrame, item_ids: list[str]) -> Iterator[np.ndarray]:
    """Scores (n_items,) of every example in turn; items that the model does not know have -inf.

    An example without any known item has -inf everywhere, and so the last rank.
    """
    preparator, model = module.data_preparator, module.torch_model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on histories without a known item
        prepared = preparator.transform_dataset_u2i(build_histories(examples, item_ids), examples["example_id"])
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    n_extra = preparator.n_item_extra_tokens
    known_items = np.array([row_of[item_id] for item_id in preparator.item_id_map.external_ids[n_extra:]])
    user_of = {example_id: user for user, example_id in enumerate(prepared.user_id_map.external_ids)}
    was_training = module.training
    module.eval()
    with torch.inference_mode():
        items = model.item_model.get_all_embeddings()
        loader = preparator.get_dataloader_recommend(prepared, CHUNK)
        users = torch.cat([model.encode_sessions(batch, items)[:, -1] for batch in loader])
        items = items[n_extra:]
        for example_id in examples["example_id"]:
            scores = np.full(len(item_ids), -np.inf)
            if example_id in user_of:
                scores[known_items] = (items @ users[user_of[example_id]]).numpy()
            yield scores
    module.train(was_training)


def rank_all(module: LightningModule, examples: pd.DataFrame, ground: Ground) -> pd.DataFrame:
    """Ranks of every example in every pool."""
    rows: list[dict[str, object]] = []
    scored = score_examples(module, examples, ground.item_ids)
    for example, scores in zip(examples.to_dict("records"), scored, strict=True):
        rows += rank_example(scores, example, ground.masked)
    return pd.DataFrame(rows)


def list_all(module: LightningModule, examples: pd.DataFrame, ground: Ground, length: int) -> pd.DataFrame:
    """The `length` best candidates of every example, with their scores."""
    parts, scored = [], score_examples(module, examples, ground.item_ids)
    for example, scores in zip(examples.to_dict("records"), scored, strict=True):
        scores[find_masked(example, ground.masked)] = -np.inf
        best = np.argpartition(-scores, length)[:length] if length < len(scores) else np.arange(len(scores))
        best = best[np.isfinite(scores[best])]
        best = best[np.argsort(-scores[best], kind="stable")]
        parts.append((example["example_id"], best, scores[best].astype(np.float32)))
    catalogue = np.array(ground.item_ids, dtype=object)
    return pd.DataFrame(
        {
            "example_id": np.repeat([part[0] for part in parts], [len(part[1]) for part in parts]),
            "item_id": catalogue[np.concatenate([part[1] for part in parts])],
            "score": np.concatenate([part[2] for part in parts]),
        }
    )


class Watcher(Callback):
    """Measures the validation users after every epoch, keeps the best weights, and ends the training."""

    def __init__(self, trial: Trial, validation: pd.DataFrame, ground: Ground, patience: int) -> None:
        self.trial, self.validation, self.ground, self.patience = trial, validation, ground, patience
        self.weights: dict[str, torch.Tensor] = {}
        self._begin = time.perf_counter()

    def __deepcopy__(self, memo: dict) -> Watcher:
        return self  # RecTools copies the trainer; what is found here must be seen outside

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = self.trial.validation_ndcg10
        value = compute_ndcg(rank_all(pl_module, self.validation, self.ground))
        if value > self.trial.best:
            self.weights = {name: tensor.clone() for name, tensor in pl_module.torch_model.state_dict().items()}
        values.append(round(value, 5))
        self.trial.seconds.append(round(time.perf_counter() - self._begin, 1))
        loss = float(trainer.callback_metrics.get("train_loss", np.nan))
        print(f"  epoch {len(values)}: loss {loss:.4f}, validation NDCG@10 {value:.4f}, {self.trial.seconds[-1]} s",
              flush=True)  # fmt: skip
        if len(values) - 1 - int(np.argmax(values)) >= self.patience:
            trainer.should_stop = True


def build_model(name: str, settings: dict[str, float], options: argparse.Namespace, watcher: Watcher):
    """The model of RecTools with these settings; its own defaults elsewhere."""
    seed_everything(options.seed, verbose=False)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=options.epochs,
            accelerator="cpu",
            callbacks=[watcher],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
        )

    kind, preparator = {
        "sasrec": (SASRecModel, PackedSASRecPreparator),
        "bert4rec": (BERT4RecModel, PackedBERT4RecPreparator),
    }[name]
    own = {"mask_prob": settings["mask_prob"]} if name == "bert4rec" else {}
    return kind(
        loss=PACKED_SOFTMAX,
        n_factors=int(settings["factors"]),
        n_blocks=int(settings["blocks"]),
        n_heads=int(settings["heads"]),
        dropout_rate=settings["dropout"],
        lr=settings["lr"],
        batch_size=int(settings["batch_size"]),
        epochs=options.epochs,
        session_max_len=options.max_length,
        use_key_padding_mask=True,
        item_net_block_types=(IdEmbeddingsItemNet,),
        data_preparator_type=preparator,
        lightning_module_type=PackedModule,
        lightning_module_kwargs={"n_negatives": int(settings["negatives"])},
        get_trainer_func=trainer,
        **own,
    )


def tune(
    name: str, validation: pd.DataFrame, ground: Ground, options: argparse.Namespace
) -> tuple[LightningModule, list[Trial]]:
    """Every configuration of the grid in turn, as long as there is time; returns the best with its best weights."""
    begin, trials = time.perf_counter(), []
    best: tuple[LightningModule, Watcher] | None = None
    for values in itertools.product(*(getattr(options, key) for key in TUNED)):
        if trials and time.perf_counter() - begin > 60 * options.minutes:
            print(f"{options.minutes} minutes are over; the rest of the grid is left out", flush=True)
            break
        trial = Trial(dict(zip(TUNED, values, strict=True)))
        print(f"{name} {trial.settings}", flush=True)
        watcher = Watcher(trial, validation, ground, options.patience)
        model = build_model(name, trial.settings, options, watcher).fit(ground.training)
        trials.append(trial)
        if best is None or trial.best > best[1].trial.best:
            best = model.lightning_model, watcher
    if best is None:
        raise SystemExit("the grid is empty: give every setting at least one value")
    module, watcher = best
    module.torch_model.load_state_dict(watcher.weights)
    print(f"chosen: {watcher.trial.settings}, validation NDCG@10 {watcher.trial.best:.4f}", flush=True)
    return module, trials


def find_validation(path: Path) -> Path:
    """The validation users that belong to a file of examples."""
    name = ".".join(path.name.split(".")[:-2])
    found = sorted((path.parent / "validation").glob(f"{name}.*.parquet"))
    if len(found) != 1:
        raise SystemExit(f"{path.parent / 'validation'}: {len(found)} files {name}.ID.parquet; name it: --validation")
    return found[0]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=("sasrec", "bert4rec"))
    parser.add_argument("data", type=Path, help="a prepared folder")
    parser.add_argument("examples", type=Path, help="a file of RUN/examples: DATA.PROTOCOL.MASK.ID.parquet")
    parser.add_argument("--validation", type=Path, help="a file of RUN/examples/validation [default: the only one]")
    parser.add_argument("--out", type=Path, required=True)
    for name, kind, default in (
        ("factors", int, 64),
        ("blocks", int, 2),
        ("heads", int, 1),
        ("dropout", float, 0.2),
        ("lr", float, 1e-3),
        ("batch-size", int, 128),
        ("mask-prob", float, 0.2),
        ("negatives", int, 0),
    ):
        parser.add_argument(f"--{name}", type=kind, nargs="+", default=[default], help="several make a grid")
    parser.add_argument("--epochs", type=int, default=100, help="at most")
    parser.add_argument("--patience", type=int, default=3, help="epochs without a gain on validation users")
    parser.add_argument("--minutes", type=float, default=60.0, help="no further configuration is begun after these")
    parser.add_argument("--max-length", type=int, default=50, help="events of a history that are looked at")
    parser.add_argument("--list-length", type=int, default=500, help="items in a list")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-train-users", type=int, default=0, help="train on these users only: a trial, no result")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)  # now, and not after the training
    return options


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", module="pytorch_lightning|rectools|pydantic")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    protocol, mask = options.examples.name.split(".")[-4:-2]
    if protocol not in PROTOCOLS:
        raise SystemExit(f"{options.examples}: expected a name such as games.leave-one-out.masked.ID.parquet")
    item_ids = pd.read_parquet(options.data / "items.parquet", columns=["item_id"])["item_id"].tolist()
    events = pd.read_parquet(options.data / "interactions.parquet", columns=["user_id", "item_id", "timestamp"])
    examples = pd.read_parquet(options.examples)
    validation = pd.read_parquet(options.validation or find_validation(options.examples))
    training = select_training(events, protocol, options.max_train_users)
    # Times may be positions; RecTools wants dates, of which only the order counts.
    training = training.assign(weight=1, datetime=pd.to_datetime(training["timestamp"], unit="s"))
    ground = Ground(
        item_ids, Dataset.construct(training[["user_id", "item_id", "weight", "datetime"]]), mask == "masked"
    )
    begin = time.perf_counter()
    module, trials = tune(options.model, validation, ground, options)
    trained = time.perf_counter()
    ranks = rank_all(module, examples, ground)
    ranks.to_parquet(options.out, index=False)
    ranked = time.perf_counter()
    both = pd.concat([examples, validation], ignore_index=True)
    list_all(module, both, ground, options.list_length).to_parquet(
        options.out.with_suffix(".lists.parquet"), index=False
    )
    facts = {
        "model": options.model,
        "data": options.data.name,
        "examples": options.examples.name,
        "events": len(training),
        "validation_users": len(validation),
        "seed": options.seed,
        "threads": options.threads,
        "max_length": options.max_length,
        "patience": options.patience,
        "max_train_users": options.max_train_users,
        "trials": [asdict(trial) | {"best": trial.best} for trial in trials],
        "seconds_training": round(trained - begin, 1),
        "seconds_ranking": round(ranked - trained, 1),
        "test_users": len(examples),
        "test_ndcg10": round(compute_ndcg(ranks), 5),
    }
    options.out.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"NDCG@10 (full catalogue): {facts['test_ndcg10']:.4f}, {len(examples)} users, "
          f"{facts['seconds_training']:.0f} s of training")  # fmt: skip


if __name__ == "__main__":
    main()
