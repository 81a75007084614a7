"""The training of a profiler: from a prepared folder and a config to a run folder with a LoRA adapter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bluerec.config import Config
from bluerec.data.histories import PROTOCOLS, ExampleTable, split_examples
from bluerec.data.tables import Dataset
from bluerec.errors import ConfigError, MissingExtraError
from bluerec.profiling.models import resolve_adapter
from bluerec.runs import RunFolder, level_modes
from bluerec.training.cards import write_card
from bluerec.training.embedder import run_embedder_stage
from bluerec.training.grpo_stage import run_grpo
from bluerec.training.own_reward import settle_own_reward
from bluerec.training.processes import Processes, check_processes, join_processes
from bluerec.training.session import (
    ADAPTER_FOLDER,
    EMBEDDER_FOLDER,
    N_REFERENCE_PROFILES,
    Say,
    Session,
    TellRow,
    copy_folder,
    list_rounds,
)
from bluerec.training.warm_start import run_warm_start
from bluerec.types import CountDone


def _say_nothing(text: str) -> None:
    pass


def train_profiler(
    dataset: Dataset,
    config: Config,
    out: str | Path,
    *,
    resume: bool = False,
    offline: bool = False,
    say: Say = _say_nothing,
    tell: TellRow | None = None,
    progress: CountDone | None = None,
) -> RunFolder:
    """Train with LoRA, stage by stage; returns the finished run with its adapter in `adapter/`.

    Where the embedder is trained too, it is in `embedder/`. `tell` is shown every row of the log, `progress` (steps
    done, steps). With `resume` the run in `out` goes on from its last whole checkpoint. Under `accelerate launch` all
    processes call this together. Raises `ConfigError` for contradicting settings, `ModelError` for models that cannot
    be used, `TrainingError` where the training stops itself.
    """
    _require_training_libraries(config)
    table = choose_examples(dataset, config)
    processes = join_processes()
    check_processes(config, processes.count)
    if not processes.is_first:
        say, tell, progress = _say_nothing, None, None
    # The run folder keeps the settings as they were given, the session has the reward's file wherever it goes on.
    settled, kept = settle_own_reward(config, Path(out), resume=resume, say=say)
    run = _open_run(out, config, dataset, processes, resume, kept)
    if run.is_whole:
        say(f"{run.path}: this run is whole already")
        return run
    session = Session(dataset, settled, run, processes, resume, offline, say, tell, progress)
    adapter = resolve_adapter(config.profiler.adapter)
    if "sft" in config.train.stages:
        adapter = run_warm_start(session, adapter)
    adapter = _run_rounds(session, table, adapter)
    if processes.is_first:
        if adapter is not None and adapter != run.path / ADAPTER_FOLDER:
            copy_folder(adapter, run.path / ADAPTER_FOLDER)
        if adapter is not None:
            write_card(run.path / ADAPTER_FOLDER, config, data_digest=dataset.digest)
        level_modes(run.path)
        run.finish(n_steps=config.train.total_steps)
    processes.wait()
    return run


def _run_rounds(session: Session, table: ExampleTable, adapter: Path | None) -> Path | None:
    """Rounds of embedder and reinforcement learning, as far as they are wanted; returns the last adapter."""
    embedder = session.config.embedder
    for one in list_rounds(session.config, session.run):
        if "embedder" in session.config.train.stages:
            embedder = run_embedder_stage(session, one, adapter, embedder)
        if "grpo" in session.config.train.stages:
            adapter = run_grpo(session, one, table, adapter, embedder)
    last = session.run.path / EMBEDDER_FOLDER
    if embedder != session.config.embedder and Path(embedder.model) != last:
        copy_folder(Path(embedder.model), last)
    return adapter


def choose_examples(dataset: Dataset, config: Config) -> ExampleTable:
    """The train examples of a run: as many users as its steps can show, at most `data.max_users`."""
    if config.data.protocol not in PROTOCOLS:
        raise ConfigError(f"data.protocol={config.data.protocol!r}: choose from {', '.join(PROTOCOLS)}")
    examples = split_examples(dataset, config.data.protocol, seed=config.data.split_seed)
    train = config.train
    n_users = max(train.total_steps * train.users_per_step, N_REFERENCE_PROFILES)
    if config.data.max_users:
        n_users = min(n_users, config.data.max_users)
    table = examples.select("train", max_users=n_users, seed=config.train.seed)
    if len(table) < 2:
        raise ConfigError(f"{dataset.folder or 'data'}: {len(table)} train users; training needs at least 2")
    if "grpo" in train.stages and len(table) < train.users_per_step:
        raise ConfigError(
            f"{dataset.folder or 'data'}: {len(table)} train users (data.max_users={config.data.max_users}) do not "
            f"fill a step of train.users_per_step={train.users_per_step}; use more users or a smaller step"
        )
    return table


def _open_run(
    out: str | Path,
    config: Config,
    dataset: Dataset,
    processes: Processes,
    resume: bool,
    kept: Mapping[str, Mapping[str, str]],
) -> RunFolder:
    """Begin or reopen the run folder; the first process makes it, the others find it there.

    `kept` is what a new one holds beside its settings.
    """
    if not processes.is_first:
        processes.wait()
        return RunFolder(Path(out))
    if resume:
        run = RunFolder.resume(out, config, data_digest=dataset.digest)
    else:
        run = RunFolder.start(out, config, data_digest=dataset.digest, **kept)
    processes.wait()
    return run


def _require_training_libraries(config: Config) -> None:
    from importlib.util import find_spec

    try:
        import datasets  # noqa: F401
        import peft  # noqa: F401
        import torch  # noqa: F401
        import trl  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "trl", "train") from error
    if config.trl.get("use_vllm") and find_spec("vllm") is None:
        raise ConfigError("trl.use_vllm: vllm is not installed; run: pip install 'trl[vllm]', or leave the setting out")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
