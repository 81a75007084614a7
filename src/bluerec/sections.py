"""The sections of a configuration: one frozen dataclass each, with the texts that `docs/config.md` is made from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

PRECISIONS = ("auto", "float32", "bfloat16")
TEMPLATE_NAMES = ("interests", "open")
STAGES = ("sft", "embedder", "grpo")
SFT_SOURCES = ("composed", "best-of-n")
EMBEDDER_SOURCES = ("profiler", "composed")
RANK_MEASURES = ("ndcg", "reciprocal")
FAULT_ACTIONS = ("stop", "skip")
# By TRL's names.
AGGREGATIONS = ("normalize_then_sum", "sum_then_normalize")
REWARD_SCALES = ("group", "batch", "none")

# Keys of TRL's GRPOConfig that settings of ours decide, and which; "" is what no run may change.
OWNED_TRL_KEYS = {
    "num_generations": "train.group_size",
    "max_steps": "train.n_steps",
    "num_train_epochs": "train.n_steps",
    "per_device_train_batch_size": "train.users_per_micro_batch",
    "gradient_accumulation_steps": "train.users_per_step",
    "learning_rate": "train.learning_rate",
    "lr_scheduler_type": "train.schedule",
    "warmup_steps": "train.warmup_steps",
    "warmup_ratio": "train.warmup_steps",
    "temperature": "train.temperature",
    "top_p": "train.top_p",
    "beta": "train.kl",
    "multi_objective_aggregation": "train.aggregation",
    "scale_rewards": "train.scale_rewards",
    "reward_weights": "the weight of each reward",
    "max_completion_length": "profiler.max_new_tokens",
    "seed": "train.seed",
    "save_steps": "train.save_every",
    "output_dir": "",
    "logging_steps": "",
    "logging_nan_inf_filter": "",
}

# What the generators of random numbers take.
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Range:
    """The finite numbers that a setting may be: from `at_least`, or only `above` a bound, to `at_most`."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None

    def find_fault(self, value: float) -> str | None:
        """What is wrong with a value, as a remedy; None if nothing is."""
        if isinstance(value, float) and not math.isfinite(value):
            return "must be a finite number"
        if (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
        ):
            return None
        if self.at_least is None:
            low = "must be positive" if self.above == 0 else f"must be above {self.above}"
            return low if self.at_most is None else f"{low} and at most {self.at_most}"
        if self.at_most is not None:
            return f"must lie between {self.at_least} and {self.at_most}"
        return "must not be negative" if self.at_least == 0 else f"use at least {self.at_least}"


def setting(
    default: Any,
    text: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> Any:
    """A field with its default, the text that documents it and, of a number, the range that it must lie in."""
    bounds = {"range": Range(at_least, above, at_most)} if at_least is not None or above is not None else {}
    return field(default=default, metadata={"text": text, **bounds})


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which examples are used."""

    protocol: str = setting("leave-one-out", "how time is split: leave-one-out or global-time")
    split_seed: int = setting(0, "seed of the hash that puts users into train, validation and test", at_least=0)
    max_users: int = setting(0, "train on at most this many users (0: all train users)", at_least=0)


@dataclass(frozen=True, slots=True)
class ProfilerConfig:
    """The language model that writes profiles, and what it is asked.

    An adapter brings its own template, max_events, max_prompt_tokens and max_new_tokens, those of its training, which
    hold in place of these defaults wherever one writes, unless a recipe or --set names them. write prints what is in
    force.
    """

    model: str = setting("SmolLM2-135M-Instruct", "embedded name, folder, or hub name of a causal chat model")
    adapter: str = setting("none", "folder of a LoRA adapter to start from, shipped (the one in the package), or none")
    template: str = setting("interests", "wording of the prompt: interests (one sentence) or open (up to four)")
    max_events: int = setting(12, "latest events of the history that the prompt shows", at_least=1)
    max_prompt_tokens: int = setting(384, "token budget of the prompt; the oldest events are dropped first", at_least=1)
    max_new_tokens: int = setting(48, "length limit of a profile in tokens", at_least=1)
    temperature: float = setting(0.0, "sampling temperature when writing; 0 is greedy", at_least=0)
    dtype: str = setting("float32", "precision when writing: float32, bfloat16, or auto (the faster)")


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    """The model that maps profiles and items into one space."""

    model: str = setting("all-MiniLM-L6-v2", "embedded name, folder, or hub name of a sentence-transformers model")
    instruction: str = setting("", "put before profiles (never items) where the model was trained with one")


@dataclass(frozen=True, slots=True)
class EmbeddingRewardConfig:
    """Bidirectional InfoNCE between the profile and the next item."""

    weight: float = setting(1.0, "weight in the sum of rewards; 0 only logs it", at_least=0)
    temperature: float = setting(0.05, "temperature of the softmax, in units of cosine", above=0)
    item_to_profile: float = setting(0.5, "share of the item-to-profile direction, 0 to 1", at_least=0, at_most=1)
    n_random: int = setting(192, "negatives drawn uniformly from the catalogue, per example", at_least=0)
    n_popular: int = setting(64, "negatives drawn by popularity, per example", at_least=0)
    n_near: int = setting(0, "negatives nearest to the history, never touched by the user, per example", at_least=0)
    n_references: int = setting(64, "profiles of other users that the item must prefer this one to", at_least=1)
    bridge: float = setting(
        0.0, "reward what the profile, with this weight, adds to the history vector; 0 is off", at_least=0
    )


@dataclass(frozen=True, slots=True)
class ChoiceRewardConfig:
    """Multiple choice of the next item in text space, answered by a frozen language model."""

    weight: float = setting(0.5, "weight in the sum of rewards; 0 is off, its questions are not asked", at_least=0)
    scoring: str = setting("likelihood", "likelihood of the option's title given the profile, or letter")
    n_options: int = setting(4, "options, the next item included", at_least=2)
    every: int = setting(1, "score every n-th example only (others have no such reward)", at_least=1)


@dataclass(frozen=True, slots=True)
class RankingRewardConfig:
    """The place of the next item in the whole catalogue, ordered by closeness to the profile, history left out."""

    weight: float = setting(0.0, "weight in the sum of rewards; 0 is off", at_least=0)
    measure: str = setting("ndcg", "ndcg: 1 / log2(1 + rank), or reciprocal: 1 / rank")


@dataclass(frozen=True, slots=True)
class LengthRewardConfig:
    """Pays for every word that a profile stays below a length, and takes for every word above it."""

    weight: float = setting(0.0, "weight in the sum of rewards; 0 is off", at_least=0)
    target_words: int = setting(30, "a profile of this many words is worth 0", at_least=1)
    slope: float = setting(
        0.05,
        "worth of a word less; z-scored like any reward, so that with the default train.aggregation it matters only "
        "through the cap, which is reached cap / slope words from the target",
        above=0,
    )
    cap: float = setting(0.5, "the most that brevity is worth, and the most that length costs", above=0)


@dataclass(frozen=True, slots=True)
class QualityRewardConfig:
    """A frozen language model reads history and profile and grades the profile; its expected grade, 0 to 1."""

    weight: float = setting(0.0, "weight in the sum of rewards; 0 is off", at_least=0)
    n_grades: int = setting(5, "grades from 1 to this, each one digit", at_least=2, at_most=9)
    max_events: int = setting(8, "latest events of the history that the judge is shown", at_least=1)


@dataclass(frozen=True, slots=True)
class OwnRewardConfig:
    """A reward of your own, beside the others or in their place: see docs/recipes.md."""

    weight: float = setting(0.0, "weight in the sum of rewards; 0 is off", at_least=0)
    function: str = setting("", "FILE.py:NAME or MODULE:NAME, called as NAME(table, embedder, item_vectors)")


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """Penalties that keep profiles honest: each is minus a share between 0 and 1; a training logs all of them.

    With the default `train.aggregation` it is z-scored among the candidates of a user before it is weighted: what
    counts is who breaks the rule more than the others, not how much. Of one offender in a group a share of .01 weighs
    as much as one of .5; where all break it alike, it weighs nothing. With sum_then_normalize weight times share is
    subtracted.
    """

    repetition: float = setting(0.0, "weight of the share of repeated trigrams", at_least=0)
    copying: float = setting(0.0, "weight of the share of trigrams copied from titles in the history", at_least=0)
    foreign_title: float = setting(0.0, "weight of naming a catalogue title that is not in the history", at_least=0)
    unfinished: float = setting(0.0, "weight of ending at the length limit without an end", at_least=0)
    invented_person: float = setting(0.0, "weight of stating an age, sex, name or job", at_least=0)


@dataclass(frozen=True, slots=True)
class SftConfig:
    """Supervised warm start: the profiler imitates profiles that are known to be good (stage sft)."""

    source: str = setting(
        "composed",
        "what is imitated: composed (put together by rule from the history and what others took) or best-of-n (of the "
        "profiler's own candidates for a user the one with the highest rewards)",
    )
    n_candidates: int = setting(
        8, "candidates per user where the best of them is imitated; sampled as in [train]", at_least=2
    )
    n_users: int = setting(4000, "train users whose profiles are imitated", at_least=1)
    n_epochs: int = setting(1, "passes over them", at_least=1)
    batch_size: int = setting(32, "users in an optimiser step", at_least=1)
    micro_batch_size: int = setting(8, "users that pass through the loss at once; bounds memory", at_least=1)
    learning_rate: float = setting(5e-4, "peak learning rate; it falls as a cosine", above=0)
    dtype: str = setting("auto", "precision of the matrix products: float32, bfloat16, or auto (the faster)")
    save_every: int = setting(50, "steps between checkpoints", at_least=1)
    log_every: int = setting(5, "steps between rows of the log", at_least=1)


@dataclass(frozen=True, slots=True)
class EmbedderTrainingConfig:
    """Contrastive fine-tuning of the embedder on (current profile, next item) of train users (stage embedder)."""

    source: str = setting(
        "profiler",
        "whose profiles: the profiler's, as it writes now, or composed (by rule from what was taken: many users, at no "
        "cost)",
    )
    n_users: int = setting(2000, "train users whose profiles are taken for it, others in each round", at_least=2)
    n_epochs: int = setting(1, "passes over them", at_least=1)
    batch_size: int = setting(64, "pairs in a step; the other pairs are the negatives", at_least=2)
    learning_rate: float = setting(
        2e-5, "peak learning rate; it rises over a tenth of the steps, then falls linearly", above=0
    )
    temperature: float = setting(0.05, "temperature of the softmax, in units of cosine", above=0)
    item_to_profile: bool = setting(True, "also let each item find its profile, not only each profile its item")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The stages of a training with LoRA, and GRPO."""

    stages: tuple[str, ...] = setting(("grpo",), "what is done in turn: sft and embedder (see there), grpo")
    rounds: int = setting(
        1, "how often embedder and grpo are done in turn; n_steps is the length of one round", at_least=1
    )
    seed: int = setting(0, "the seed from which all others derive", at_least=0, at_most=MAX_SEED)
    n_steps: int = setting(100, "optimiser steps", at_least=1)
    users_per_step: int = setting(8, "users (prompts) in a step", at_least=1)
    group_size: int = setting(8, "candidate profiles per user (G)", at_least=2)
    users_per_micro_batch: int = setting(
        2, "users whose candidates pass through the loss at once; bounds memory", at_least=1
    )
    learning_rate: float = setting(1e-4, "peak learning rate of the adapter", above=0)
    warmup_steps: int = setting(5, "steps over which the learning rate rises", at_least=0)
    schedule: str = setting("constant_with_warmup", "learning-rate schedule, by Transformers' name")
    temperature: float = setting(1.0, "sampling temperature of the candidates", above=0)
    top_p: float = setting(1.0, "nucleus of the candidates", above=0, at_most=1)
    kl: float = setting(0.0, "weight of the KL divergence to the base model (TRL's beta)", at_least=0)
    lora_rank: int = setting(16, "rank of the adapter", at_least=1)
    lora_alpha: int = setting(32, "scale of the adapter is alpha divided by rank", at_least=1)
    aggregation: str = setting(
        "normalize_then_sum",
        "how rewards and guards become one advantage: normalize_then_sum (each z-scored in its group, weighted, "
        "summed, then scaled over the batch: GDPO) or sum_then_normalize (weighted, summed, then scaled as "
        "scale_rewards says: GRPO); sft by best-of-n always takes the first",
    )
    scale_rewards: str = setting(
        "group",
        "with sum_then_normalize: divide advantages by the deviation of the group, the batch, or none; "
        "normalize_then_sum knows only group",
    )
    shared_prefix: bool = setting(True, "run each prompt once for its whole group")
    rollout_dtype: str = setting("auto", "precision of the copy that samples: float32, bfloat16, or auto (the faster)")
    save_every: int = setting(10, "steps between checkpoints", at_least=1)
    log_samples: int = setting(2, "sampled profiles written to the log each step", at_least=0)
    on_fault: str = setting("stop", "a step that is not a number, or a collapse: stop, or skip its update")
    max_skips: int = setting(5, "updates in a row that may be skipped; one more stops the run", at_least=0)
    flat_steps: int = setting(10, "fault: steps in a row in which no group's rewards differ (0: off)", at_least=0)
    runaway_length: float = setting(
        0.5, "fault: rise in the share of candidates cut off at the length limit (0: off)", at_least=0
    )
    entropy_drop: float = setting(0.5, "fault: fall of the entropy within 20 steps, as a share (0: off)", at_least=0)

    @property
    def total_steps(self) -> int:
        """Steps of GRPO in all rounds; 0 where it is no stage."""
        return self.rounds * self.n_steps if "grpo" in self.stages else 0
