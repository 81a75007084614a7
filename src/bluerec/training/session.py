"""What the stages of a training share: the data, the settings, the run folder, and whom to tell."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluerec.config import Config, EmbedderConfig
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.profiles import load_profiles
from bluerec.data.tables import Dataset
from bluerec.errors import DataError
from bluerec.profiling.embedders import embed_items, load_embedder
from bluerec.profiling.models import NO_ADAPTER, Profiler, load_profiler
from bluerec.profiling.writers import LocalWriter, write_profiles
from bluerec.runs import RunFolder
from bluerec.training.processes import Processes
from bluerec.types import CountDone, Embedder, Float32Array

ADAPTER_FOLDER = "adapter"
EMBEDDER_FOLDER = "embedder"
REFERENCES_FILE = "references.parquet"
# Written before the training, to draw each example's reference profiles from.
N_REFERENCE_PROFILES = 128

Say = Callable[[str], None]
# Shown a row of the log.
TellRow = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Session:
    """One call of `train_profiler`. `tell` is shown every row of the log, `progress` (steps done, steps)."""

    dataset: Dataset
    config: Config
    run: RunFolder
    processes: Processes
    resume: bool
    offline: bool
    say: Say
    tell: TellRow | None
    progress: CountDone | None

    def load_profiler(self, adapter: Path | None = None) -> Profiler:
        """The language model, with the weights of an adapter where one is given."""
        return load_profiler(
            self.config.profiler.model,
            adapter=str(adapter) if adapter else NO_ADAPTER,
            offline=self.offline,
            announce=self.say,
        )

    def embed_catalogue(self, config: EmbedderConfig) -> tuple[Embedder, Float32Array]:
        """An embedder, and its vectors (n_items, d) of all items, which are kept in the cache."""
        embedder = load_embedder(config, offline=self.offline, announce=self.say)
        self.say(f"embedding {self.dataset.n_items} items with {embedder.name}")
        with self.processes.first_alone():
            vectors = embed_items(self.dataset, embedder, progress=self.progress)
        return embedder, vectors

    def all_examples(self) -> ExampleTable:
        """Every example of the data, of all splits."""
        return split_examples(self.dataset, self.config.data.protocol, seed=self.config.data.split_seed)

    def choose_users(self, n_users: int, *, seed: int) -> ExampleTable:
        """Examples of so many train users."""
        return self.all_examples().select("train", max_users=n_users, seed=seed)

    def write_profiles(self, table: ExampleTable, adapter: Path | None, path: Path, *, seed: int) -> dict[str, str]:
        """Profiles by example id, by the profiler with this adapter, written to `path` unless they lie there."""
        with self.processes.first_alone():
            if path.exists():
                written = load_profiles(path)
            else:
                profiler = self.load_profiler(adapter)
                writer = LocalWriter(profiler, self.config.profiler, seed=seed)
                count = profiler.count_tokens
                written = write_profiles(table, writer, self.config.profiler, count, path, progress=self.progress)
        return dict(zip(written["example_id"], written["text"], strict=True))

    def write_references(self, table: ExampleTable, adapter: Path | None, folder: Path, *, seed: int) -> dict[str, str]:
        """Profiles of some train users by the profiler as this training finds it, kept in the folder."""
        n_profiles = min(N_REFERENCE_PROFILES, 2 * self.config.embedding_reward.n_references)
        chosen = table.select("train", max_users=max(n_profiles, 2), seed=seed + 1)
        path = folder / REFERENCES_FILE
        if not path.exists():
            self.say("writing reference profiles of other users")
        return self.write_profiles(chosen, adapter, path, seed=seed)


@dataclass(frozen=True, slots=True)
class Round:
    """One of the rounds of a training: its number from 1, where its files lie, the steps done before it, its seed."""

    number: int
    folder: Path
    first_step: int
    seed: int


def list_rounds(config: Config, run: RunFolder) -> list[Round]:
    """The rounds of a training. The files of an only round lie in the run folder itself."""
    train = config.train
    if train.rounds == 1:
        return [Round(1, run.path, 0, train.seed)]
    return [
        Round(number, run.path / f"round-{number}", (number - 1) * train.n_steps, train.seed + 1000 * (number - 1))
        for number in range(1, train.rounds + 1)
    ]


def copy_folder(source: Path, target: Path) -> None:
    """A copy that is whole or absent; one that is there is replaced. Raises `DataError` where it cannot be written."""
    partial = target.with_name(f".{target.name}.tmp")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error.strerror}); free space, then go on with --resume"
        ) from error
