"""The settings of a run: frozen dataclasses, read from TOML without tolerance for what they do not know.

A recipe file holds any subset of the sections of `bluerec.sections`; `--set section.key=value` overrides single
values. The `trl` table passes to TRL's GRPOConfig as it is.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from bluerec.errors import ConfigError
from bluerec.sections import (
    AGGREGATIONS,
    EMBEDDER_SOURCES,
    FAULT_ACTIONS,
    OWNED_TRL_KEYS,
    PRECISIONS,
    RANK_MEASURES,
    REWARD_SCALES,
    SFT_SOURCES,
    STAGES,
    TEMPLATE_NAMES,
    ChoiceRewardConfig,
    DataConfig,
    EmbedderConfig,
    EmbedderTrainingConfig,
    EmbeddingRewardConfig,
    GuardConfig,
    LengthRewardConfig,
    OwnRewardConfig,
    ProfilerConfig,
    QualityRewardConfig,
    RankingRewardConfig,
    SftConfig,
    TrainConfig,
)

__all__ = [
    "ChoiceRewardConfig",
    "Config",
    "DataConfig",
    "EmbedderConfig",
    "EmbedderTrainingConfig",
    "EmbeddingRewardConfig",
    "GuardConfig",
    "LengthRewardConfig",
    "OwnRewardConfig",
    "ProfilerConfig",
    "QualityRewardConfig",
    "RankingRewardConfig",
    "SftConfig",
    "TrainConfig",
    "config_from_dict",
    "digest_settings",
    "load_config",
    "override_text",
]


REWARD_SECTIONS = (
    "embedding_reward", "choice_reward", "ranking_reward", "length_reward", "quality_reward", "own_reward",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a training run."""

    data: DataConfig = field(default_factory=DataConfig)
    profiler: ProfilerConfig = field(default_factory=ProfilerConfig)
    embedder: EmbedderConfig = field(default_factory=EmbedderConfig)
    embedding_reward: EmbeddingRewardConfig = field(default_factory=EmbeddingRewardConfig)
    choice_reward: ChoiceRewardConfig = field(default_factory=ChoiceRewardConfig)
    ranking_reward: RankingRewardConfig = field(default_factory=RankingRewardConfig)
    length_reward: LengthRewardConfig = field(default_factory=LengthRewardConfig)
    quality_reward: QualityRewardConfig = field(default_factory=QualityRewardConfig)
    own_reward: OwnRewardConfig = field(default_factory=OwnRewardConfig)
    guards: GuardConfig = field(default_factory=GuardConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    embedder_training: EmbedderTrainingConfig = field(default_factory=EmbedderTrainingConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    trl: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [*_find_faults(self), *(text for bad, text in _contradictions(self) if bad)]
        if problems:
            raise ConfigError("; ".join(problems))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"trl": dict(self.trl)}

    @property
    def digest(self) -> str:
        """Hash of all settings (16 hexadecimal digits)."""
        return digest_settings(self.as_dict())


def load_config(
    path: str | Path | None, overrides: Sequence[str] = (), *, base: Mapping[str, Mapping[str, Any]] | None = None
) -> Config:
    """Read a recipe (None: the defaults) and apply `section.key=value` overrides.

    `base` holds values, by section, for what neither of them names. Raises `ConfigError` naming the path of an unknown
    key or a value of the wrong type.
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
    for section, values in (base or {}).items():
        table[section] = {**values, **table.get(section, {})}
    return config_from_dict(table, where=str(path) if path else "--set")


def override_text(key: str, text: str) -> str:
    """The override that gives a setting a text: `4` and `true` are names here, and no number or truth value."""
    return f"{key}={json.dumps(text, ensure_ascii=False)}"


def digest_settings(table: Mapping[str, Any]) -> str:
    """Hash of settings by section (16 hexadecimal digits), whether or not all are there."""
    return hashlib.blake2b(json.dumps(table, sort_keys=True).encode(), digest_size=8).hexdigest()


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
        near = difflib.get_close_matches(unknown[0], known, 1, cutoff=0.8)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{where}: unknown setting {_join(path, unknown[0])}; {meant}known here: {', '.join(known)}")
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


def _find_faults(config: Config) -> Iterator[str]:
    """Numbers outside the ranges that their sections give them."""
    for section in fields(config):
        values = getattr(config, section.name)
        for item in fields(values) if is_dataclass(values) else ():
            value = getattr(values, item.name)
            fault = item.metadata["range"].find_fault(value) if "range" in item.metadata else None
            if fault is not None:
                yield f"{section.name}.{item.name}={value}: {fault}"


def _contradictions(config: Config) -> list[tuple[bool, str]]:
    train, embedding, choice = config.train, config.embedding_reward, config.choice_reward
    return [
        *_stage_contradictions(config),
        *_weight_contradictions(config),
        *_advantage_contradictions(train),
        *_trl_contradictions(config.trl),
        (
            min(embedding.n_random, embedding.n_popular, embedding.n_near) < 0
            or embedding.n_random + embedding.n_popular + embedding.n_near < 1,
            f"embedding_reward.n_random={embedding.n_random}, n_popular={embedding.n_popular}, "
            f"n_near={embedding.n_near}: use at least one negative",
        ),
        (
            train.users_per_micro_batch > 0 and train.users_per_step % train.users_per_micro_batch != 0,
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
        (
            config.profiler.template not in TEMPLATE_NAMES,
            f"profiler.template: unknown template {config.profiler.template!r}; choose from "
            f"{', '.join(TEMPLATE_NAMES)}",
        ),
        (train.on_fault not in FAULT_ACTIONS, f"train.on_fault={train.on_fault!r}: {', '.join(FAULT_ACTIONS)}"),
        (
            train.runaway_length > 1 or train.entropy_drop >= 1,
            f"train.runaway_length={train.runaway_length}, train.entropy_drop={train.entropy_drop}: "
            "shares between 0 (off) and 1",
        ),
    ]


def _advantage_contradictions(train: TrainConfig) -> list[tuple[bool, str]]:
    return [
        (train.aggregation not in AGGREGATIONS, f"train.aggregation={train.aggregation!r}: {', '.join(AGGREGATIONS)}"),
        (
            train.scale_rewards not in REWARD_SCALES,
            f"train.scale_rewards={train.scale_rewards!r}: {', '.join(REWARD_SCALES)}",
        ),
        (
            # TRL would read it in the other case only.
            train.aggregation == "normalize_then_sum" and train.scale_rewards in REWARD_SCALES[1:],
            f"train.scale_rewards={train.scale_rewards!r} has no effect with train.aggregation={train.aggregation}; "
            "leave it out, or set train.aggregation=sum_then_normalize",
        ),
    ]


def _trl_contradictions(trl: Mapping[str, Any]) -> list[tuple[bool, str]]:
    owned = [(key, OWNED_TRL_KEYS[key]) for key in trl if key in OWNED_TRL_KEYS]
    # What json does not know cannot be kept in a run folder.
    endless = [key for key, value in trl.items() if isinstance(value, float) and not math.isfinite(value)]
    return [
        *(
            (True, f"trl.{key}: {f'set {ours} instead' if ours else 'bluerec needs its own; leave it out'}")
            for key, ours in owned
        ),
        *((True, f"trl.{key}={trl[key]}: must be a finite number") for key in endless),
    ]


def _stage_contradictions(config: Config) -> list[tuple[bool, str]]:
    stages = config.train.stages
    wanted = config.embedder_training
    return [
        (
            not stages or [stage for stage in STAGES if stage in stages] != list(stages),
            f"train.stages={list(stages)!r}: one or several of {', '.join(STAGES)}, in this order, each once",
        ),
        (config.sft.source not in SFT_SOURCES, f"sft.source={config.sft.source!r}: {', '.join(SFT_SOURCES)}"),
        (config.sft.dtype not in PRECISIONS, f"sft.dtype={config.sft.dtype!r}: {', '.join(PRECISIONS)}"),
        (
            config.sft.micro_batch_size > 0 and config.sft.batch_size % config.sft.micro_batch_size != 0,
            f"sft.batch_size={config.sft.batch_size} must be a multiple of sft.micro_batch_size",
        ),
        (
            "grpo" not in stages and config.train.rounds > 1,
            f"train.stages={list(stages)!r}, train.rounds={config.train.rounds}: rounds are of grpo; add it to "
            "train.stages, or use one round",
        ),
        (
            wanted.source not in EMBEDDER_SOURCES,
            f"embedder_training.source={wanted.source!r}: {', '.join(EMBEDDER_SOURCES)}",
        ),
    ]


def _weight_contradictions(config: Config) -> list[tuple[bool, str]]:
    rewards = {name: getattr(config, name) for name in REWARD_SECTIONS}
    ranking, own = config.ranking_reward, config.own_reward
    return [
        (
            # Length alone says nothing of a user.
            all(its.weight == 0 for name, its in rewards.items() if name != "length_reward"),
            "the reward weights sum to nothing; set embedding_reward.weight or choice_reward.weight",
        ),
        (
            ranking.measure not in RANK_MEASURES,
            f"ranking_reward.measure={ranking.measure!r}: {', '.join(RANK_MEASURES)}",
        ),
        (
            own.weight > 0 and not own.function,
            "own_reward.weight is given, but no own_reward.function; name it as FILE.py:NAME",
        ),
    ]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
