"""GRPO with TRL, except for what its plain path wastes here: every prompt is run once for its whole group.

Three private methods of TRL's trainer are replaced (generation, the order of rows, and the log-probabilities), some
are extended (rewards are observed, a checkpoint holds what an exact resume needs);
`tests/training/test_trl_contract.py` fails within a second when TRL changes one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler, split_tensor_dict

from bluerec.profiling.decoding import Sampling
from bluerec.profiling.prompts import join_profile
from bluerec.runs import level_modes
from bluerec.training.faults import StepFacts
from bluerec.training.prefix_scores import group_by_prompt, score_completions
from bluerec.training.resume_state import EpochSampler, load_resume_state, save_resume_state
from bluerec.training.rollouts import RolloutModel
from bluerec.training.sharing import find_generation_obstacle, find_loss_obstacle, is_sharded
from bluerec.training.token_scores import choose_scorer
from bluerec.types import Stateful

# What a checkpoint of Transformers does not hold: the place inside a generation, and what the log counts.
_COUNTERS = ("_step", "n_tokens_run", "n_tokens_repeated")


@dataclass(frozen=True, slots=True)
class RolloutBatch:
    """The candidates of a step: `rewards` (n_texts, n_functions), NaN where a prompt lacks the reward."""

    texts: list[str]
    example_ids: list[str]
    rewards: torch.Tensor

    def with_prefill(self, prefill: str) -> RolloutBatch:
        """The same with whole profiles as texts, see `join_profile`."""
        return replace(self, texts=[join_profile(prefill, text) for text in self.texts])


class SharedPrefixGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer for rendered text prompts; groups stay whole in every micro-batch.

    `rollouts` writes the candidates (None: TRL does); `observe` is told of every batch of them, those of all processes,
    before the loss; `memories` go into the checkpoints. With `shared_prefix=False` the log-probabilities take TRL's
    own path, to compare with. Where a prompt cannot be shared (`bluerec.training.sharing`) TRL's own path is taken, and
    `say` is told once.
    """

    def __init__(
        self,
        *args: Any,
        rollouts: RolloutModel | None,
        sampling: Sampling,
        observe: Callable[[RolloutBatch], None],
        shared_prefix: bool = True,
        memories: Mapping[str, Stateful] | None = None,
        say: Callable[[str], None] = lambda text: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._rollouts = rollouts
        self._sampling = sampling
        self._observe = observe
        split = is_sharded(self.accelerator)
        loss_obstacle = find_loss_obstacle(self.model, self.args, is_sharded=split)
        self._shared_prefix = shared_prefix and loss_obstacle is None
        self._scorer = choose_scorer(self.model) if self._shared_prefix else None
        generation_obstacle = find_generation_obstacle(self.model, self.args, is_sharded=split)
        self._own_decoder = generation_obstacle is None and rollouts is not None
        if rollouts is not None:
            rollouts.to(self.accelerator.device)
        for what, obstacle in (("the loss", loss_obstacle), ("generation", generation_obstacle)):
            if obstacle:
                say(f"prompts are not shared in {what}: {obstacle}; it runs on TRL's own path")
        self._memories = dict(memories or {})
        self._buffered_inputs: list[Any] | None = None
        self._losses_finite = True
        self.n_tokens_run = 0
        self.n_tokens_repeated = 0

    def count_tokens(self) -> tuple[int, float]:
        """Tokens that the loss has run in all processes, and how many more it had run with repeated prompts."""
        counts = torch.tensor(
            [self.n_tokens_run, self.n_tokens_repeated], dtype=torch.float64, device=self.accelerator.device
        )
        n_run, n_repeated = self.accelerator.reduce(counts, "sum").tolist()
        return int(n_run), n_repeated / max(n_run, 1.0)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """As TRL's, but a loss that is not a number is kept out of the sum that is logged, where it would stay."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        if bool(torch.isfinite(loss)):
            return loss
        self._losses_finite = False
        return torch.zeros_like(loss)

    def take_step_facts(self, flat_groups: float | None) -> StepFacts:
        """What is known of the step whose gradients are ready; the same in all processes."""
        gradients = [weights.grad for weights in self.model.parameters() if weights.grad is not None]
        is_finite = self._losses_finite and all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        self._losses_finite = True
        n_faulty = self.accelerator.reduce(torch.tensor(float(not is_finite), device=self.accelerator.device), "sum")
        return StepFacts(
            is_finite=float(n_faulty) == 0,
            flat_groups=flat_groups,
            clipped_share=_mean(self._metrics["train"]["completions/clipped_ratio"]),
            entropy=_mean(self._metrics["train"]["entropy"]),
        )

    def drop_gradients(self) -> None:
        """Leave the update of this step out: the optimiser passes over weights without a gradient."""
        for weights in self.model.parameters():
            weights.grad = None

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: TRL's would speak of a model that is not on the hub, `bluerec.training.cards` writes a true one."""

    def _get_train_sampler(self, dataset: Any = None) -> RepeatSampler:
        return EpochSampler(super()._get_train_sampler(dataset), lambda: int(self.state.epoch or 0))

    def _save_rng_state(self, output_dir: str) -> None:
        # Called before the file that makes a checkpoint whole is written.
        super()._save_rng_state(output_dir)
        is_used_up = self._step % (self.args.steps_per_generation * self.num_iterations) == 0
        save_resume_state(
            self._resume_file(output_dir),
            {name: getattr(self, name) for name in _COUNTERS},
            [] if is_used_up else self._buffered_inputs or [],
            {name: memory.state() for name, memory in self._memories.items()},
        )
        level_modes(Path(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        # A checkpoint from before there was such a file ends with a generation that is used up.
        if checkpoint is None or not self._resume_file(checkpoint).is_file():
            return
        state = load_resume_state(self._resume_file(checkpoint), str(self.accelerator.device))
        for name in _COUNTERS:
            setattr(self, name, state.counters[name])
        self._buffered_inputs = state.buffer or None
        for name, memory in self._memories.items():
            memory.restore(state.memories.get(name, {}))

    def _resume_file(self, checkpoint: str) -> Path:
        return Path(checkpoint) / f"progress_{self.args.process_index}.safetensors"

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # The prompts are rendered in the chat format already; special tokens would be put in front twice.
        return self.processing_class(text=prompts, add_special_tokens=False)["input_ids"], None, {}

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: Any, num_generations: int, *_: Any, **__: Any
    ) -> tuple[list[list[int]], None]:
        if not self._own_decoder or self._rollouts is None:
            result: tuple[list[list[int]], None] = super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, *_, **__
            )
            return result
        self._rollouts.refresh(self.accelerator.unwrap_model(self.model))
        first_of_group = prompt_ids[::num_generations]
        pad_token = int(self.processing_class.pad_token_id)
        return self._rollouts.generate(first_of_group, num_generations, self._sampling, pad_token), None

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[str], completions: list[str], completion_ids_list: Any
    ) -> torch.Tensor:
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        # The rewards are those of all processes, the texts are this one's.
        example_ids = [row["example_id"] for row in inputs]
        self._observe(RolloutBatch(gather_object(completions), gather_object(example_ids), rewards))
        return rewards

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        # As TRL's, less its shuffling of rows: a group that is scattered over micro-batches shares nothing. The
        # prompts of a step are in random order already.
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        n_micro_batches = self.args.steps_per_generation
        if self._step % (n_micro_batches * self.num_iterations) == 0 or self._buffered_inputs is None:
            scored = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(scored, n_micro_batches)
        return self._buffered_inputs[self._step % n_micro_batches]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if self._scorer is None:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        batch = group_by_prompt(input_ids, attention_mask, logits_to_keep)
        self.n_tokens_run += int(batch.prefix_mask.sum() + batch.suffix_mask.sum())
        self.n_tokens_repeated += int(attention_mask.sum())
        # The model's own calls have it already; its head is multiplied outside of them.
        with self.accelerator.autocast():
            logps, entropies = score_completions(model, batch, self.temperature, self._scorer)
        padding = (0, logits_to_keep - logps.shape[1])
        return torch.nn.functional.pad(logps, padding), torch.nn.functional.pad(entropies, padding), None


def measure_flat_groups(rewards: torch.Tensor, weights: Sequence[float], group_size: int) -> float:
    """Share of groups whose weighted rewards do not vary: they give no gradient."""
    totals = (rewards * torch.tensor(weights, device=rewards.device)).nansum(dim=1).view(-1, group_size)
    return float((totals.std(dim=1) < 1e-6).float().mean())


def _mean(values: Sequence[float]) -> float | None:
    """None where there is no number, as TRL's own mean over a step."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None
