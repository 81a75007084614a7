"""The settings of a run: frozen dataclasses, read from TOML without tolerance for what they do not know.

A recipe file holds any subset of the sections below; `--set section.key=value` overrides single values. The
`trl` table passes to TRL's GRPOConfig as it is. `docs/config.md` is generated from the field texts here.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from bluerec.errors import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")
STAGES = ("sft", "grpo")
SFT_SOURCES = ("composed",)
FAULT_ACTIONS = ("stop", "skip")


def _setting(default: Any, text: str) -> Any:
    """A field with its default and the text that documents it."""
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which examples are used."""

    protocol: str = _setting("leave-one-out", "how time is split: leave-one-out or global-time")
    split_seed: int = _setting(0, "seed of the hash that puts users into train, validation and test")
    max_users: int = _setting(0, "train on at most this many users (0: all train users)")


@dataclass(frozen=True, slots=True)
class ProfilerConfig:
    """The language model that writes profiles, and what it is asked."""

    model: str = _setting("SmolLM2-135M-Instruct", "embedded name, folder, or hub name of a causal chat model")
    adapter: str = _setting("none", "folder of a LoRA adapter to start from, shipped (the one in the package), or none")
    template: str = _setting("interests", "wording of the prompt, see bluerec.profiling.prompts")
    max_events: int = _setting(12, "latest events of the history that the prompt shows")
    max_prompt_tokens: int = _setting(384, "token budget of the prompt; the oldest events are dropped first")
    max_new_tokens: int = _setting(48, "length limit of a profile in tokens")
    temperature: float = _setting(0.0, "sampling temperature when writing; 0 is greedy")
    dtype: str = _setting("float32", "precision when writing: float32, bfloat16 (faster where native), or auto")


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    """The model that maps profiles and items into one space."""

    model: str = _setting("all-MiniLM-L6-v2", "embedded name, folder, or hub name of a sentence-transformers model")
    instruction: str = _setting("", "put before profiles (never items) where the model was trained with one")


@dataclass(frozen=True, slots=True)
class EmbeddingRewardConfig:
    """Bidirectional InfoNCE between the profile and the next item."""

    weight: float = _setting(1.0, "weight in the sum of rewards; 0 only logs it")
    temperature: float = _setting(0.05, "temperature of the softmax, in units of cosine")
    item_to_profile: float = _setting(0.5, "share of the item-to-profile direction, 0 to 1")
    n_random: int = _setting(192, "negatives drawn uniformly from the catalogue, per example")
    n_popular: int = _setting(64, "negatives drawn by popularity, per example")
    n_near: int = _setting(0, "negatives nearest to the history, never touched by the user, per example")
    n_references: int = _setting(64, "profiles of other users that the item must prefer this one to")
    bridge: float = _setting(0.0, "reward what the profile, with this weight, adds to the history vector; 0 is off")


@dataclass(frozen=True, slots=True)
class ChoiceRewardConfig:
    """Multiple choice of the next item in text space, answered by a frozen language model."""

    weight: float = _setting(0.5, "weight in the sum of rewards; 0 only logs it")
    scoring: str = _setting("likelihood", "likelihood of the option's title given the profile, or letter")
    n_options: int = _setting(4, "options, the next item included")
    every: int = _setting(1, "score every n-th example only (others have no such reward)")


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """Penalties that keep profiles honest. Each is subtracted, weight times a share between 0 and 1."""

    repetition: float = _setting(0.0, "weight of the share of repeated trigrams")
    copying: float = _setting(0.0, "weight of the share of trigrams copied from titles in the history")
    foreign_title: float = _setting(0.0, "weight of naming a catalogue title that is not in the history")
    unfinished: float = _setting(0.0, "weight of ending at the length limit without an end")
    invented_person: float = _setting(0.0, "weight of stating an age, sex, name or job")


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Supervised warm start: the profiler imitates profiles that are known to be good (stage sft)."""

    source: str = _setting("composed", "what is imitated: composed (put together by rule from history and future)")
    n_users: int = _setting(4000, "train users whose profiles are imitated")
    n_epochs: int = _setting(1, "passes over them")
    batch_size: int = _setting(32, "users in an optimiser step")
    micro_batch_size: int = _setting(8, "users that pass through the loss at once; bounds memory")
    learning_rate: float = _setting(5e-4, "peak learning rate; it falls as a cosine")
    dtype: str = _setting("auto", "precision of the matrix products: float32, bfloat16, or auto (the faster)")
    save_every: int = _setting(50, "steps between checkpoints")
    log_every: int = _setting(5, "steps between rows of the log")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The stages of a training with LoRA, and GRPO."""

    stages: tuple[str, ...] = _setting(("grpo",), "what is done in turn: sft (see there), grpo")
    seed: int = _setting(0, "the seed from which all others derive")
    n_steps: int = _setting(100, "optimiser steps")
    users_per_step: int = _setting(8, "users (prompts) in a step")
    group_size: int = _setting(8, "candidate profiles per user (G)")
    users_per_micro_batch: int = _setting(2, "users whose candidates pass through the loss at once; bounds memory")
    learning_rate: float = _setting(1e-4, "peak learning rate of the adapter")
    warmup_steps: int = _setting(5, "steps over which the learning rate rises")
    schedule: str = _setting("constant_with_warmup", "learning-rate schedule, by Transformers' name")
    temperature: float = _setting(1.0, "sampling temperature of the candidates")
    top_p: float = _setting(1.0, "nucleus of the candidates")
    kl: float = _setting(0.0, "weight of the KL divergence to the base model (TRL's beta)")
    lora_rank: int = _setting(16, "rank of the adapter")
    lora_alpha: int = _setting(32, "scale of the adapter is alpha divided by rank")
    scale_rewards: str = _setting("group", "divide advantages by the deviation of the group, the batch, or none")
    shared_prefix: bool = _setting(True, "run each prompt once for its whole group")
    rollout_dtype: str = _setting("auto", "precision of the copy that samples: float32, bfloat16, or auto (the faster)")
    save_every: int = _setting(10, "steps between checkpoints")
    log_samples: int = _setting(2, "sampled profiles written to the log each step")
    on_fault: str = _setting("stop", "a step that is not a number, or a collapse: stop, or skip its update")
    max_skips: int = _setting(5, "updates in a row that may be skipped; one more stops the run")
    flat_steps: int = _setting(10, "fault: steps in a row in which no group's rewards differ (0: off)")
    runaway_length: float = _setting(0.5, "fault: rise in the share of candidates cut off at the length limit (0: off)")
    entropy_drop: float = _setting(0.5, "fault: fall of the entropy within 20 steps, as a share (0: off)")


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a training run."""

    data: DataConfig = field(default_factory=DataConfig)
    profiler: ProfilerConfig = field(default_factory=ProfilerConfig)
    embedder: EmbedderConfig = field(default_factory=EmbedderConfig)
    embedding_reward: EmbeddingRewardConfig = field(default_factory=EmbeddingRewardConfig)
    choice_reward: ChoiceRewardConfig = field(default_factory=ChoiceRewardConfig)
    guards: GuardConfig = field(default_factory=GuardConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    trl: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [text for bad, text in _contradictions(self) if bad]
        if problems:
            raise ConfigError("; ".join(problems))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"trl": dict(self.trl)}

    @property
    def digest(self) -> str:
        """Hash of all settings (16 hexadecimal digits)."""
        return hashlib.blake2b(json.dumps(self.as_dict(), sort_keys=True).encode(), digest_size=8).hexdigest()


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a recipe (None: the defaults) and apply `section.key=value` overrides.

    Raises `ConfigError` naming the path of an unknown key or a value of the wrong type.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror}); recipes are in configs/") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _apply_override(table, override)
    return config_from_dict(table, where=str(path) if path else "--set")


def config_from_dict(table: Mapping[str, Any], *, where: str = "config") -> Config:
    """The inverse of `Config.as_dict`; missing keys take their defaults."""
    config: Config = _build(Config, table, where, "")
    return config


def _build(kind: type[Any], table: Any, where: str, path: str) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: {path or 'config'} must be a table, got {table!r}")
    known = {item.name: item for item in fields(kind)}
    unknown = [key for key in table if key not in known]
    if unknown:
        raise ConfigError(f"{where}: unknown setting {_join(path, unknown[0])}; known here: {', '.join(known)}")
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        key_path = _join(path, key)
        hint = hints[key]
        if isinstance(hint, type) and is_dataclass(hint):
            values[key] = _build(hint, value, where, key_path)
        else:
            values[key] = _checked(value, hint, where, key_path)
    return kind(**values)


def _checked(value: Any, hint: Any, where: str, path: str) -> Any:
    wanted = typing.get_origin(hint) or hint
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is tuple and isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    if wanted is int and isinstance(value, bool):
        raise ConfigError(f"{where}: {path} must be int, got {value!r}")
    if isinstance(wanted, type) and isinstance(value, wanted):
        return value
    name = wanted.__name__ if isinstance(wanted, type) and not isinstance(wanted, types.UnionType) else str(wanted)
    raise ConfigError(f"{where}: {path} must be {name}, got {value!r}")


def _apply_override(table: dict[str, Any], override: str) -> None:
    key_path, separator, text = override.partition("=")
    keys = key_path.strip().split(".")
    if not separator or len(keys) < 2:
        raise ConfigError(f"--set {override!r}: expected section.key=value, e.g. train.n_steps=20")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {key} is not a section")
    table[keys[-1]] = value


def _contradictions(config: Config) -> list[tuple[bool, str]]:
    train, embedding, choice = config.train, config.embedding_reward, config.choice_reward
    return [
        *_stage_contradictions(config),
        (train.group_size < 2, f"train.group_size={train.group_size}: GRPO compares candidates, use at least 2"),
        (train.n_steps < 1, f"train.n_steps={train.n_steps}: use at least 1"),
        (
            embedding.weight < 0 or choice.weight < 0,
            "reward weights must not be negative: "
            f"embedding_reward.weight={embedding.weight}, choice_reward.weight={choice.weight}",
        ),
        (
            embedding.weight + choice.weight == 0,
            "the reward weights sum to nothing; set embedding_reward.weight or choice_reward.weight",
        ),
        (embedding.temperature <= 0, f"embedding_reward.temperature={embedding.temperature}: must be positive"),
        (not 0 <= embedding.item_to_profile <= 1, "embedding_reward.item_to_profile must lie between 0 and 1"),
        (embedding.bridge < 0, f"embedding_reward.bridge={embedding.bridge}: must not be negative; 0 is off"),
        (
            min(embedding.n_random, embedding.n_popular, embedding.n_near) < 0
            or embedding.n_random + embedding.n_popular + embedding.n_near < 1,
            f"embedding_reward.n_random={embedding.n_random}, n_popular={embedding.n_popular}, "
            f"n_near={embedding.n_near}: use at least one negative",
        ),
        (embedding.n_references < 1, f"embedding_reward.n_references={embedding.n_references}: use at least 1"),
        (
            train.users_per_step % train.users_per_micro_batch != 0,
            f"train.users_per_step={train.users_per_step} must be a multiple of "
            f"train.users_per_micro_batch={train.users_per_micro_batch}",
        ),
        (
            choice.scoring not in ("likelihood", "letter"),
            f"choice_reward.scoring={choice.scoring!r}: likelihood or letter",
        ),
        (
            train.rollout_dtype not in PRECISIONS,
            f"train.rollout_dtype={train.rollout_dtype!r}: {', '.join(PRECISIONS)}",
        ),
        (
            config.profiler.dtype not in PRECISIONS,
            f"profiler.dtype={config.profiler.dtype!r}: {', '.join(PRECISIONS)}",
        ),
        (train.on_fault not in FAULT_ACTIONS, f"train.on_fault={train.on_fault!r}: {', '.join(FAULT_ACTIONS)}"),
        (min(train.max_skips, train.flat_steps) < 0, "train.max_skips and train.flat_steps must not be negative"),
        (
            not (0 <= train.runaway_length <= 1 and 0 <= train.entropy_drop < 1),
            f"train.runaway_length={train.runaway_length}, train.entropy_drop={train.entropy_drop}: "
            "shares between 0 (off) and 1",
        ),
        (train.temperature <= 0, f"train.temperature={train.temperature}: must be positive, candidates are sampled"),
        (choice.n_options < 2, f"choice_reward.n_options={choice.n_options}: use at least 2"),
        (choice.every < 1, f"choice_reward.every={choice.every}: use at least 1"),
        *(
            (getattr(config.guards, item.name) < 0, f"guards.{item.name} is negative; a penalty has a positive weight")
            for item in fields(config.guards)
        ),
    ]


def _stage_contradictions(config: Config) -> list[tuple[bool, str]]:
    stages = config.train.stages
    return [
        (
            not stages or [stage for stage in STAGES if stage in stages] != list(stages),
            f"train.stages={list(stages)!r}: one or several of {', '.join(STAGES)}, in this order, each once",
        ),
        (config.sft.source not in SFT_SOURCES, f"sft.source={config.sft.source!r}: {', '.join(SFT_SOURCES)}"),
        (config.sft.dtype not in PRECISIONS, f"sft.dtype={config.sft.dtype!r}: {', '.join(PRECISIONS)}"),
        (
            config.sft.micro_batch_size < 1 or config.sft.batch_size % config.sft.micro_batch_size != 0,
            f"sft.batch_size={config.sft.batch_size} must be a multiple of sft.micro_batch_size",
        ),
        (
            min(config.sft.n_users, config.sft.n_epochs, config.sft.batch_size, config.sft.save_every) < 1,
            "sft: n_users, n_epochs, batch_size and save_every must be at least 1",
        ),
    ]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
