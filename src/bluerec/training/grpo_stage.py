"""The stage of reinforcement learning: rewards, prompts and settings are put together for the trainer, and it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bluerec.config import Config, EmbedderConfig, TrainConfig
from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError, ModelError, TrainingError, first_line
from bluerec.profiling.decoding import Sampling
from bluerec.profiling.embedders import load_embedder
from bluerec.profiling.models import save_adapter
from bluerec.profiling.prompt_settings import save_prompt_settings
from bluerec.profiling.prompts import encode_prompt, find_template, join_profile, render_prompt
from bluerec.rewards.functions import build_rewards
from bluerec.rewards.title_index import TitleIndex
from bluerec.training.adapters import SETTINGS_FILE, check_same_lora, load_lora
from bluerec.training.checkpoints import CHECKPOINTS_FOLDER, checkpoint_step, recover_checkpoint, rewind_log
from bluerec.training.own_reward import FaintScores
from bluerec.training.policy import Policy
from bluerec.training.processes import check_resumed
from bluerec.training.session import ADAPTER_FOLDER, Round, Session, TellRow
from bluerec.training.trainer_log import quieten
from bluerec.types import CountDone, Float32Array, RewardFunction, Stateful

# Models below this size are trained in float32 only.
MIN_HALF_PARAMETERS = 200_000_000

Rewards = list[tuple[RewardFunction, float]]


def run_grpo(session: Session, one: Round, table: ExampleTable, adapter: Path | None, embedder: EmbedderConfig) -> Path:
    """Train one round from an adapter (None: new weights) against an embedder; returns the folder of its adapter."""
    done = one.folder / ADAPTER_FOLDER
    if session.config.train.rounds > 1 and (done / SETTINGS_FILE).is_file():
        return done
    with session.processes.first_alone():
        checkpoint = recover_checkpoint(one.folder, session.say)
    if checkpoint is not None:
        check_resumed(checkpoint, session.processes.count)
    _, item_vectors = session.embed_catalogue(embedder)
    references = session.write_references(table, adapter, one.folder, seed=one.seed)
    index = TitleIndex(session.dataset.titles)
    profiler = session.load_profiler()
    policy = Policy(profiler, session.config, adapter, seed=one.seed)
    _check_precision(policy, session.config)
    if checkpoint is not None:
        check_same_lora(policy.model, checkpoint)
    rewards = build_stage_rewards(session, table, policy, embedder, item_vectors, references, index)
    train = session.config.train
    of_rounds = f"round {one.number} of {train.rounds}: " if train.rounds > 1 else ""
    n_done = checkpoint_step(checkpoint) if checkpoint else 0
    going_on = f", going on after step {one.first_step + n_done} from {checkpoint}" if checkpoint else ""
    session.say(f"{of_rounds}training {profiler.label} on {len(table)} users: {train.n_steps} steps of "
        f"{train.users_per_step} users x {train.group_size} profiles{going_on}")  # fmt: skip
    warning = find_short_warmup(train)
    if warning:
        session.say(warning)
    _run_trainer(session, one, table, policy, rewards, index, checkpoint)
    if session.processes.is_first:
        save_prompt_settings(session.config.profiler, done)
        save_adapter(policy.model, done)
    session.processes.wait()
    return done


def find_short_warmup(train: TrainConfig) -> str | None:
    """A warning where the learning rate never reaches its peak: it is 0 at the first step of every warm-up."""
    if train.schedule == "constant" or train.warmup_steps < train.n_steps:
        return None
    highest = (train.n_steps - 1) / train.warmup_steps
    return (
        f"warning: train.n_steps={train.n_steps} ends within train.warmup_steps={train.warmup_steps}: the learning "
        f"rate begins at 0 and comes to {highest:.0%} of train.learning_rate; train longer, or "
        "--set train.warmup_steps=0"
    )


def build_stage_rewards(
    session: Session,
    table: ExampleTable,
    policy: Policy,
    embedder: EmbedderConfig,
    item_vectors: Float32Array,
    references: Mapping[str, str],
    index: TitleIndex,
) -> Rewards:
    """The rewards of the configuration, read and judged by the policy's frozen base."""
    return build_rewards(
        session.config,
        table,
        # Candidates are seen once, so their vectors are not kept.
        load_embedder(embedder, cache=False, offline=session.offline),
        item_vectors,
        policy.reader(),
        references,
        judge=policy.judge(),
        title_index=index,
    )


def _run_trainer(
    session: Session,
    one: Round,
    table: ExampleTable,
    policy: Policy,
    rewards: Rewards,
    index: TitleIndex,
    checkpoint: Path | None,
) -> None:
    from datasets import Dataset as Rows

    from bluerec.training.grpo import SharedPrefixGRPOTrainer
    from bluerec.training.run_log import StepLog

    config, train = session.config, session.config.train
    prefill = find_template(config.profiler.template).prefill
    weights = [weight for _, weight in rewards]
    with session.processes.first_alone():
        rows = rewind_log(session.run, one.first_step + (checkpoint_step(checkpoint) if checkpoint else 0))
    steps = StepLog(
        session.run,
        one,
        table,
        [function.name for function, _ in rewards],
        weights,
        train,
        title_index=index,
        rows=rows,
        tell=_join(session.tell, session.progress, train.total_steps),
        look=FaintScores(rewards, train, session.say),
        is_writer=session.processes.is_first,
    )
    trainer = SharedPrefixGRPOTrainer(
        model=policy.model,
        reward_funcs=[_as_trl_reward(function, prefill) for function, _ in rewards],
        args=_grpo_config(session, one, weights),
        train_dataset=Rows.from_list(_render_rows(table, config, policy)),
        processing_class=policy.tokenizer,
        callbacks=[steps],
        rollouts=policy.rollouts,
        sampling=Sampling(config.profiler.max_new_tokens, policy.stop_tokens, train.temperature, train.top_p),
        observe=lambda batch: steps.observe(batch.with_prefill(prefill)),
        shared_prefix=train.shared_prefix,
        memories={function.name: function for function, _ in rewards if isinstance(function, Stateful)},
        say=session.say,
    )
    steps.trainer = trainer
    quieten(trainer)
    if checkpoint and checkpoint_step(checkpoint) >= train.n_steps:
        # All steps are done; the trainer would do one more.
        load_lora(policy.model, checkpoint)
        return
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < train.n_steps:
        raise TrainingError(
            f"the training ended after {trainer.state.global_step} of {train.n_steps} steps; "
            f"go on with: bluerec train DIR --resume {session.run.path}"
        )


def _check_precision(policy: Policy, config: Config) -> None:
    """Small models lose their way in 16 bits: the importance ratios blow up within a few steps."""
    n_parameters = sum(weights.numel() for weights in policy.model.get_base_model().parameters())
    halved = next((name for name in ("bf16", "fp16") if config.trl.get(name)), None)
    if halved and n_parameters < MIN_HALF_PARAMETERS:
        raise ConfigError(
            f"trl.{halved}=true: the profiler has {n_parameters / 1e6:.0f}M parameters, and below "
            f"{MIN_HALF_PARAMETERS / 1e6:.0f}M the loss needs float32; leave the setting out"
        )


def _grpo_config(session: Session, one: Round, weights: list[float]) -> Any:
    import torch
    from trl import GRPOConfig

    config, train = session.config, session.config.train
    settings: dict[str, Any] = {
        "output_dir": str(one.folder / CHECKPOINTS_FOLDER),
        "seed": one.seed,
        "max_steps": train.n_steps,
        "per_device_train_batch_size": train.users_per_micro_batch * train.group_size,
        "gradient_accumulation_steps": train.users_per_step // (train.users_per_micro_batch * session.processes.count),
        "num_generations": train.group_size,
        "max_completion_length": config.profiler.max_new_tokens,
        "temperature": train.temperature,
        "top_p": train.top_p,
        "beta": train.kl,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.schedule,
        "warmup_steps": train.warmup_steps,
        "reward_weights": weights,
        "multi_objective_aggregation": train.aggregation,
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
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"TRL refuses the settings: {first_line(error)}; see the [trl] table and [train]") from error


def _render_rows(table: ExampleTable, config: Config, policy: Policy) -> list[dict[str, str]]:
    """What TRL is given: the rendered prompt and the example it belongs to."""
    tokenizer = policy.tokenizer

    def count_tokens(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    rows = []
    for example in table.examples(last=config.profiler.max_events):
        prompt = render_prompt(example.history, config.profiler, count_tokens)
        tokens = encode_prompt(prompt, tokenizer)
        if len(tokens) + config.profiler.max_new_tokens > policy.window:
            raise ModelError(
                f"prompt of {example.example_id!r} has {len(tokens)} tokens, a profile up to "
                f"{config.profiler.max_new_tokens}, but the model's window is {policy.window}; "
                "lower profiler.max_prompt_tokens or profiler.max_new_tokens"
            )
        rows.append({"prompt": tokenizer.decode(tokens), "example_id": example.example_id})
    return rows


def _as_trl_reward(function: RewardFunction, prefill: str) -> Callable[..., list[float | None]]:
    """A reward in TRL's dialect: it is given completions, and scores profiles."""

    def reward(completions: list[str], example_id: list[str], **_: Any) -> list[float | None]:
        return function.score([join_profile(prefill, text) for text in completions], example_id)

    reward.__name__ = function.name
    return reward


def _join(tell: TellRow | None, progress: CountDone | None, n_steps: int) -> TellRow:
    def both(row: Mapping[str, Any]) -> None:
        if progress:
            progress(int(row["step"]), n_steps)
        if tell:
            tell(row)

    return both
