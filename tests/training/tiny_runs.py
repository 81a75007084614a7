"""Small trainings on a tiny model, to compare whole runs with each other."""

from pathlib import Path

import tiny_models
import torch
from safetensors.torch import load_file

from bluerec.config import Config, config_from_dict
from bluerec.data.tables import Dataset
from bluerec.data.toy import build_world
from bluerec.training.profiler import train_profiler

# What differs between two equal runs: the clock, and what counts since the start of the process.
CLOCK = ("time", "tokens_per_second", "seconds_left")


def build_dataset() -> Dataset:
    return build_world(n_users=60, n_items=48, seed=2).dataset


def build_settings(folder: Path) -> dict:
    """Settings of a training of three steps; the model is saved in `folder`."""
    model = tiny_models.save_causal("llama", folder)
    return {
        "profiler": {"model": str(model), "max_events": 2, "max_prompt_tokens": 600, "max_new_tokens": 6},
        "embedder": {"model": "hashing"},
        "embedding_reward": {"n_random": 8, "n_popular": 4, "n_near": 4, "n_references": 4},
        "choice_reward": {"every": 2},
        "guards": {"repetition": 0.2, "foreign_title": 0.2},
        "train": {
            "n_steps": 3, "users_per_step": 2, "group_size": 3, "users_per_micro_batch": 1, "learning_rate": 1e-2,
            "warmup_steps": 0, "lora_rank": 2, "save_every": 1, "rollout_dtype": "float32",
        },
    }  # fmt: skip


def configure(settings: dict, **train: object) -> Config:
    """The configuration with other settings of [train]."""
    return config_from_dict(settings | {"train": settings["train"] | train})


def train(settings: dict, out: Path) -> None:
    """Begin a run, or go on with the one that is there; the target of a process that may be killed."""
    resume = (out / "config.json").is_file()
    train_profiler(build_dataset(), config_from_dict(settings), out, resume=resume)


def adapter_of(run_path: Path) -> dict[str, torch.Tensor]:
    return load_file(run_path / "adapter" / "adapter_model.safetensors")


def without_clock(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in CLOCK}
