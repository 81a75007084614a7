"""The stage that trains a profiler: from a prepared folder and a config to a run folder with a LoRA adapter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bluerec.config import Config
from bluerec.data.histories import PROTOCOLS, ExampleTable, split_examples
from bluerec.data.profiles import load_profiles
from bluerec.data.tables import Dataset
from bluerec.errors import ConfigError, MissingExtraError, ModelError
from bluerec.profiling.decoding import Sampling
from bluerec.profiling.embedders import embed_items, load_embedder
from bluerec.profiling.models import NO_ADAPTER, Profiler, load_profiler, resolve_adapter, save_adapter
from bluerec.profiling.precision import choose_dtype
from bluerec.profiling.prompts import encode_prompt, find_template, join_profile, render_prompt
from bluerec.profiling.readers import LetterReader, LikelihoodReader
from bluerec.profiling.writers import LocalWriter, find_stop_tokens, write_profiles
from bluerec.rewards.functions import build_rewards
from bluerec.rewards.title_index import TitleIndex
from bluerec.runs import RunFolder
from bluerec.training.adapters import load_lora, prepare_lora
from bluerec.training.checkpoints import CHECKPOINTS_FOLDER, checkpoint_step, recover_checkpoint, rewind_log
from bluerec.training.warm_start import run_warm_start
from bluerec.types import Reader, RewardFunction, Stateful

ADAPTER_FOLDER = "adapter"
REFERENCES_FILE = "references.parquet"
# Written before the training, to draw each example's reference profiles from.
N_REFERENCE_PROFILES = 128

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


def train_profiler(
    dataset: Dataset,
    config: Config,
    out: str | Path,
    *,
    resume: bool = False,
    offline: bool = False,
    say: Say = lambda text: None,
    tell: Callable[[Mapping[str, Any]], None] | None = None,
    progress: Progress | None = None,
) -> RunFolder:
    """Train with GRPO and LoRA; returns the finished run with its adapter in `adapter/`.

    `tell` is shown every row of the log, `progress` (steps done, steps). With `resume` the run in `out` goes on from
    its last whole checkpoint. Raises `ConfigError` for contradicting settings, `ModelError` for models that cannot
    be used, `TrainingError` where the training stops itself.
    """
    _require_training_libraries()
    table = choose_examples(dataset, config)
    run = (RunFolder.resume if resume else RunFolder.start)(out, config, data_digest=dataset.digest)
    if run.is_whole:
        say(f"{run.path}: this run is whole already")
        return run
    checkpoint = recover_checkpoint(run.path, say)
    embedder = load_embedder(config.embedder, offline=offline)
    say(f"embedding {dataset.n_items} items with {embedder.name}")
    item_vectors = embed_items(dataset, embedder, progress=progress)
    load = partial(load_profiler, config.profiler.model, offline=offline, announce=say)
    adapter = resolve_adapter(config.profiler.adapter)
    if "sft" in config.train.stages:
        adapter = run_warm_start(dataset, config, run, load(), adapter, embedder, item_vectors, resume, say, tell)
    if "grpo" not in config.train.stages:
        shutil.copytree(adapter or "", run.path / ADAPTER_FOLDER)
        run.finish(n_steps=0)
        return run
    references = _write_references(
        table, partial(load, adapter=str(adapter) if adapter else NO_ADAPTER), config, run, say, progress
    )
    profiler = load()
    index = TitleIndex(dataset.titles)
    policy = _Policy(profiler, config, adapter)
    rewards = build_rewards(
        config,
        table,
        # Candidates are seen once, so their vectors are not kept.
        load_embedder(config.embedder, cache=False, offline=offline),
        item_vectors,
        policy.reader(config),
        references,
        title_index=index,
    )
    say(f"training {profiler.label} on {len(table)} users: {config.train.n_steps} steps of "
        f"{config.train.users_per_step} users x {config.train.group_size} profiles")  # fmt: skip
    _run_grpo(table, config, run, policy, rewards, index, checkpoint, tell, progress)
    save_adapter(policy.model, run.path / ADAPTER_FOLDER)
    run.finish(n_steps=config.train.n_steps)
    return run


def choose_examples(dataset: Dataset, config: Config) -> ExampleTable:
    """The train examples of a run: as many users as its steps can show, at most `data.max_users`."""
    if config.data.protocol not in PROTOCOLS:
        raise ConfigError(f"data.protocol={config.data.protocol!r}: choose from {', '.join(PROTOCOLS)}")
    examples = split_examples(dataset, config.data.protocol, seed=config.data.split_seed)
    n_users = max(config.train.n_steps * config.train.users_per_step, N_REFERENCE_PROFILES)
    if config.data.max_users:
        n_users = min(n_users, config.data.max_users)
    table = examples.select("train", max_users=n_users, seed=config.train.seed)
    if len(table) < 2:
        raise ConfigError(f"{dataset.folder or 'data'}: {len(table)} train users; training needs at least 2")
    return table


class _Policy:
    """The profiler in its roles during training: trained, sampled from, and read with its adapter off."""

    def __init__(self, profiler: Profiler, config: Config, adapter: Path | None) -> None:
        from transformers import set_seed

        from bluerec.training.rollouts import RolloutModel

        self._profiler = profiler
        self.tokenizer = profiler.tokenizer
        self.stop_tokens = find_stop_tokens(profiler)
        self._dtype = choose_dtype(config.train.rollout_dtype)
        self.rollouts = RolloutModel(profiler.model, self._dtype)
        set_seed(config.train.seed)  # the trainer sets it too, but after the adapter has drawn its first weights
        self.model = prepare_lora(profiler, adapter, config)

    def reader(self, config: Config) -> Reader | None:
        """The frozen base model that answers the multiple choice."""
        if config.choice_reward.weight == 0:
            return None
        kind = LikelihoodReader if config.choice_reward.scoring == "likelihood" else LetterReader
        return kind(
            self.model, self.tokenizer, self._profiler.name, frozen=self.model.disable_adapter, dtype=self._dtype
        )


def _write_references(
    table: ExampleTable,
    load: Callable[[], Profiler],
    config: Config,
    run: RunFolder,
    say: Say,
    progress: Progress | None,
) -> dict[str, str]:
    """Profiles of some train users by the profiler as this training finds it, kept in the run folder."""
    path = run.path / REFERENCES_FILE
    if path.exists():
        written = load_profiles(path)
    else:
        say("writing reference profiles of other users")
        n_profiles = min(N_REFERENCE_PROFILES, 2 * config.embedding_reward.n_references)
        chosen = table.select("train", max_users=max(n_profiles, 2), seed=config.train.seed + 1)
        profiler = load()
        writer = LocalWriter(profiler, config.profiler, seed=config.train.seed)
        written = write_profiles(chosen, writer, config.profiler, profiler.count_tokens, path, progress=progress)
    return dict(zip(written["example_id"], written["text"], strict=True))


def _run_grpo(
    table: ExampleTable,
    config: Config,
    run: RunFolder,
    policy: _Policy,
    rewards: list[tuple[RewardFunction, float]],
    index: TitleIndex,
    checkpoint: Path | None,
    tell: Callable[[Mapping[str, Any]], None] | None,
    progress: Progress | None,
) -> None:
    from datasets import Dataset as Rows

    from bluerec.training.grpo import SharedPrefixGRPOTrainer
    from bluerec.training.run_log import StepLog

    prefill = find_template(config.profiler.template).prefill
    steps = StepLog(
        run,
        table,
        [function.name for function, _ in rewards],
        [weight for _, weight in rewards],
        config.train,
        title_index=index,
        rows=rewind_log(run, checkpoint),
        tell=_join(tell, progress, config.train.n_steps),
    )
    trainer = SharedPrefixGRPOTrainer(
        model=policy.model,
        reward_funcs=[_as_trl_reward(function, prefill) for function, _ in rewards],
        args=_grpo_config(config, run, [weight for _, weight in rewards]),
        train_dataset=Rows.from_list(_render_rows(table, config, policy.tokenizer)),
        processing_class=policy.tokenizer,
        callbacks=[steps],
        rollouts=policy.rollouts,
        sampling=Sampling(
            config.profiler.max_new_tokens, policy.stop_tokens, config.train.temperature, config.train.top_p
        ),
        observe=lambda batch: steps.observe(batch.with_prefill(prefill)),
        shared_prefix=config.train.shared_prefix,
        memories={function.name: function for function, _ in rewards if isinstance(function, Stateful)},
    )
    steps.trainer = trainer
    _quieten(trainer)
    if checkpoint and checkpoint_step(checkpoint) >= config.train.n_steps:
        # All steps are done; the trainer would do one more.
        load_lora(policy.model, checkpoint)
        return
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _grpo_config(config: Config, run: RunFolder, weights: list[float]) -> Any:
    import torch
    from trl import GRPOConfig

    train = config.train
    settings: dict[str, Any] = {
        "output_dir": str(run.path / CHECKPOINTS_FOLDER),
        "seed": train.seed,
        "max_steps": train.n_steps,
        "per_device_train_batch_size": train.users_per_micro_batch * train.group_size,
        "gradient_accumulation_steps": train.users_per_step // train.users_per_micro_batch,
        "num_generations": train.group_size,
        "max_completion_length": config.profiler.max_new_tokens,
        "temperature": train.temperature,
        "top_p": train.top_p,
        "beta": train.kl,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.schedule,
        "warmup_steps": train.warmup_steps,
        "reward_weights": weights,
        "multi_objective_aggregation": "normalize_then_sum",
        "scale_rewards": train.scale_rewards,
        "save_steps": train.save_every,
        "save_total_limit": 2,
        "logging_steps": 1,
        # TRL would hide a loss that is not a number behind the last good one.
        "logging_nan_inf_filter": False,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "report_to": "none",
        "disable_tqdm": True,
    }
    try:
        return GRPOConfig(**(settings | dict(config.trl)))
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"TRL refuses the settings: {reason}; see the [trl] table and [train]") from error


def _render_rows(table: ExampleTable, config: Config, tokenizer: Any) -> list[dict[str, str]]:
    """What TRL is given: the rendered prompt and the example it belongs to."""

    def count_tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    rows = []
    for example in table.examples(last=config.profiler.max_events):
        prompt = render_prompt(example.history, config.profiler, count_tokens)
        tokens = encode_prompt(prompt, tokenizer)
        window = getattr(tokenizer, "model_max_length", len(tokens))
        if len(tokens) + config.profiler.max_new_tokens > window:
            raise ModelError(
                f"prompt of {example.example_id!r} has {len(tokens)} tokens, the model's window is {window}; "
                "lower profiler.max_prompt_tokens"
            )
        rows.append({"prompt": tokenizer.decode(tokens), "example_id": example.example_id})
    return rows


def _as_trl_reward(function: RewardFunction, prefill: str) -> Callable[..., list[float | None]]:
    """A reward in TRL's dialect: it is given completions, and scores profiles."""

    def reward(completions: list[str], example_id: list[str], **_: Any) -> list[float | None]:
        return function.score([join_profile(prefill, text) for text in completions], example_id)

    reward.__name__ = function.name
    return reward


def _join(
    tell: Callable[[Mapping[str, Any]], None] | None, progress: Progress | None, n_steps: int
) -> Callable[[Mapping[str, Any]], None]:
    def both(row: Mapping[str, Any]) -> None:
        if progress:
            progress(int(row["step"]), n_steps)
        if tell:
            tell(row)

    return both


def _quieten(trainer: Any) -> None:
    """The log file and our own bar say what Transformers would print."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def _require_training_libraries() -> None:
    try:
        import datasets  # noqa: F401
        import peft  # noqa: F401
        import torch  # noqa: F401
        import trl  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "trl", "train") from error
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
