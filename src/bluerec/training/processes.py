"""Several processes on one training (`accelerate launch`): who writes the files, and who waits for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bluerec.config import Config
from bluerec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of a training. The first one writes; alone, there is nothing to wait for."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs the block, then the others: what it has written lies there for them."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()


def join_processes() -> Processes:
    """Meet the others where a launcher has started several processes."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(int(state.process_index), int(state.num_processes))


def check_processes(config: Config, count: int) -> None:
    """Raise `ConfigError` where the settings cannot be spread over so many processes."""
    if count == 1:
        return
    alone = [stage for stage in config.train.stages if stage != "grpo"]
    if alone:
        raise ConfigError(
            f"train.stages={list(config.train.stages)!r} with {count} processes: {alone[0]} runs in one; train it by "
            "itself first, then start grpo from its run (profiler.adapter, embedder.model)"
        )
    train = config.train
    if train.users_per_step % (train.users_per_micro_batch * count):
        raise ConfigError(
            f"train.users_per_step={train.users_per_step} must be a multiple of train.users_per_micro_batch="
            f"{train.users_per_micro_batch} times {count} processes"
        )


def check_resumed(checkpoint: Path, count: int) -> None:
    """Raise `ConfigError` for a checkpoint of another number of processes; one from before they were counted passes."""
    n_saved = len(list(checkpoint.glob("progress_*.safetensors")))
    if n_saved not in (0, count):
        raise ConfigError(
            f"{checkpoint}: written by {n_saved} processes, resumed by {count}; each goes on from its own place, so "
            f"start {n_saved} of them"
        )
