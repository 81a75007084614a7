"""The stage before reinforcement learning: the profiler imitates given profiles (supervised fine-tuning with LoRA)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainingArguments

from bluerec.config import SftConfig
from bluerec.profiling.precision import choose_dtype
from bluerec.training.checkpoints import CHECKPOINTS_FOLDER, find_checkpoint
from bluerec.training.trainer_log import follow_loss

IGNORED = -100
# Micro-batches among whose lessons is sorted by length.
MICRO_BATCHES_SORTED = 32


@dataclass(frozen=True, slots=True)
class Lesson:
    """Token ids of a prompt and of the profile to be written after it, the end-of-turn token last."""

    prompt: list[int]
    completion: list[int]

    @property
    def n_tokens(self) -> int:
        return len(self.prompt) + len(self.completion)


def fit_supervised(
    model: Any,
    lessons: Sequence[Lesson],
    config: SftConfig,
    folder: Path,
    *,
    pad_token: int,
    seed: int,
    resume: bool = False,
    log: Callable[[Mapping[str, Any]], None] = lambda row: None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Train the LoRA weights of `model` in place on the mean log-likelihood of the completions' tokens.

    `n_epochs` passes over the lessons. Checkpoints are written to `folder/checkpoints`; with `resume` it goes on from
    the last whole one. Raises `TrainingError` if the loss is not a number.
    """
    batches = group_by_length(lessons, config.micro_batch_size, seed)
    n_left_out = len(lessons) - sum(map(len, batches))
    if n_left_out:
        say(
            f"warm start: {n_left_out} of {len(lessons)} are left out: they do not fill a batch of "
            f"sft.micro_batch_size={config.micro_batch_size}"
        )
    args = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS_FOLDER),
        seed=seed,
        num_train_epochs=config.n_epochs,
        # A row of the data is a micro-batch already.
        per_device_train_batch_size=1,
        gradient_accumulation_steps=config.batch_size // config.micro_batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=20,
        bf16=choose_dtype(config.dtype) is torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_steps=config.log_every,
        logging_nan_inf_filter=False,
        save_steps=config.save_every,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    trainer = _CompletionTrainer(
        model=model,
        args=args,
        train_dataset=batches,
        data_collator=lambda rows: _collate(rows[0], pad_token),
    )
    follow_loss(trainer, "sft", log, name="warm start", setting="sft.learning_rate")
    # Named, not left to the trainer: it would take the newest folder, also one that a kill cut off.
    checkpoint = find_checkpoint(folder) if resume else None
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def group_by_length(lessons: Sequence[Lesson], size: int, seed: int) -> list[list[Lesson]]:
    """Micro-batches of `size` lessons of similar length, so that little is padding; a smaller last one is left out.

    The lessons are shuffled, and sorted by length within stretches only, so that each step still sees all lengths.
    """
    order = np.random.default_rng(seed).permutation(len(lessons))
    stretch = size * MICRO_BATCHES_SORTED
    batches = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda row: lessons[row].n_tokens)
        batches += [[lessons[row] for row in part[first : first + size]] for first in range(0, len(part), size)]
    return [batch for batch in batches if len(batch) == size] or batches


class _CompletionTrainer(Trainer):  # type: ignore[misc]
    """Computes the vocabulary's logits at the completions' positions only; they are a fifth of the work elsewhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Our loss is a mean over the micro-batch; otherwise the trainer takes it for a sum and does not divide it.
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], *_: Any, **__: Any) -> torch.Tensor:
        labels = inputs["labels"]
        causal = model.get_base_model()
        hidden = causal.model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state
        wanted = labels[:, 1:] != IGNORED
        logits = causal.lm_head(hidden[:, :-1][wanted]).float()
        return torch.nn.functional.cross_entropy(logits, labels[:, 1:][wanted])


def _collate(rows: Sequence[Lesson], pad_token: int) -> dict[str, torch.Tensor]:
    """Right-padded (n_rows, longest) tensors; labels are `IGNORED` but for the completion."""
    longest = max(row.n_tokens for row in rows)
    ids = torch.full((len(rows), longest), pad_token)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED)
    for place, row in enumerate(rows):
        n_prompt, end = len(row.prompt), row.n_tokens
        ids[place, :end] = torch.tensor(row.prompt + row.completion)
        mask[place, :end] = 1
        labels[place, n_prompt:end] = torch.tensor(row.completion)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
