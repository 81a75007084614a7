"""What an exact resume needs beside a checkpoint of Transformers: its place, its buffer, what rewards remember."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from trl.trainer.utils import RepeatSampler

_FACTS = "facts"


@dataclass(frozen=True, slots=True)
class ResumeState:
    """Counters of the trainer, batches that were generated and are still to be used, and memories of rewards."""

    counters: dict[str, int]
    buffer: list[dict[str, torch.Tensor]]
    memories: dict[str, dict[str, float]]


def save_resume_state(
    path: Path,
    counters: Mapping[str, int],
    buffer: Sequence[Mapping[str, Any]],
    memories: Mapping[str, Mapping[str, float]],
) -> None:
    """Write one safetensors file; what is no tensor goes into its header as JSON, which keeps every bit of a float."""
    tensors = {
        # A slice of a larger tensor gets memory of its own.
        f"{index}.{name}": value.clone().contiguous()
        for index, batch in enumerate(buffer)
        for name, value in batch.items()
        if value is not None
    }
    facts = {"counters": counters, "memories": memories}
    save_file(tensors, path, metadata={_FACTS: json.dumps(facts)})


def load_resume_state(path: Path, device: str) -> ResumeState:
    """The inverse of `save_resume_state`."""
    batches: dict[int, dict[str, torch.Tensor]] = {}
    # Not read to the device itself: in one of several processes its name may be one that safetensors does not know.
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()[_FACTS])
        for key in file.keys():  # noqa: SIM118 - it is no mapping
            index, _, name = key.partition(".")
            batches.setdefault(int(index), {})[name] = file.get_tensor(key).to(device)
    return ResumeState(facts["counters"], [batches[index] for index in sorted(batches)], facts["memories"])


class EpochSampler(RepeatSampler):  # type: ignore[misc]
    """Shuffles by seed and epoch; TRL's goes on from the epoch before, which a resumed run has not seen."""

    def __init__(self, sampler: RepeatSampler, epoch: Callable[[], int]) -> None:
        super().__init__(
            sampler.data_source, sampler.mini_repeat_count, sampler.batch_size, sampler.repeat_count,
            sampler.shuffle, sampler.seed,
        )  # fmt: skip
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed(self.seed + self._epoch())
        return super().__iter__()
