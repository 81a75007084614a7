"""What a training run writes down at every step, and the checks that stop it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch
from transformers import TrainerCallback

from bluerec.config import TrainConfig
from bluerec.data.histories import ExampleTable
from bluerec.errors import TrainingError
from bluerec.rewards.title_index import TitleIndex
from bluerec.rewards.watch import summarise
from bluerec.runs import RunFolder
from bluerec.training.checkpoints import find_checkpoint
from bluerec.training.faults import Fault, FaultWatch
from bluerec.training.grpo import RolloutBatch, SharedPrefixGRPOTrainer, measure_flat_groups
from bluerec.training.session import Round, TellRow

MAX_SAMPLE_CHARACTERS = 1000
_OF_BATCH = ("reward", "reward_std", "rewards", "watch", "flat_groups", "samples")


class StepLog(TrainerCallback):  # type: ignore[misc]
    """One row of log.jsonl per optimiser step: rewards, watch-list, speed, and some of the candidates.

    `observe` is called with the candidates, `on_pre_optimizer_step` and `on_log` by the trainer. At a fault the update
    of the step is left out, or `TrainingError` is raised, as `train.on_fault` says.

    `seconds_left` is that of the steps to come, of later rounds too, at the pace of this process in this round. What
    lies between rounds (the embedder, reference profiles) takes time that is not known and not in it.
    """

    def __init__(
        self,
        run: RunFolder,
        one: Round,
        table: ExampleTable,
        names: Sequence[str],
        weights: Sequence[float],
        config: TrainConfig,
        *,
        title_index: TitleIndex | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
        tell: TellRow | None = None,
        look: Callable[[RolloutBatch], None] | None = None,
        is_writer: bool = True,
    ) -> None:
        """`rows` are those of a log that goes on, of earlier rounds too; `tell` is shown every new row.

        `look` is shown every batch of candidates.

        Of several processes one is the writer; all of them watch for faults, which are the same for all.
        """
        self._run = run
        self._round = one
        self._is_writer = is_writer
        self._began = time.monotonic() - max((float(row["time"]) for row in rows), default=0.0)
        self._n_logged = 0
        rows = [row for row in rows if row["step"] > one.first_step]
        self._names = list(names)
        self._weights = list(weights)
        self._config = config
        self._group_size = config.group_size
        self._index = title_index
        self._n_samples = config.log_samples
        self._tell = tell
        self._look = look
        self._watch = FaultWatch(config)
        self._watch.replay(rows)
        self._n_skipped = sum(1 for _ in takewhile(lambda row: row.get("skipped"), reversed(rows)))
        self._skipped: str | None = None
        self._started = self._last_log = time.monotonic()
        self._n_tokens_before = int(rows[-1]["n_tokens"]) if rows else 0
        self._titles = _HistoryTitles(table)
        # Where candidates are used for several updates, those of the last row may be in use still.
        self._batch: dict[str, Any] = {name: rows[-1][name] for name in _OF_BATCH} if rows else {}
        self.trainer: SharedPrefixGRPOTrainer | None = None

    def observe(self, batch: RolloutBatch) -> None:
        """Summarise the candidates of a step."""
        if self._look:
            self._look(batch)
        totals = (batch.rewards * torch.tensor(self._weights, device=batch.rewards.device)).nansum(dim=1)
        means = torch.nanmean(batch.rewards, dim=0).tolist()
        stride = max(len(batch.texts) // max(self._n_samples, 1), 1)
        self._batch = {
            "reward": float(totals.mean()),
            "reward_std": float(totals.view(-1, self._group_size).std(dim=1).mean()),
            "rewards": {name: _number(mean) for name, mean in zip(self._names, means, strict=True)},
            "watch": summarise(
                batch.texts,
                [self._titles.of(example_id) for example_id in batch.example_ids],
                user_ids=batch.example_ids,
                index=self._index,
            ),
            "flat_groups": measure_flat_groups(batch.rewards, self._weights, self._group_size),
            "samples": [
                {
                    "example_id": batch.example_ids[row],
                    "text": batch.texts[row][:MAX_SAMPLE_CHARACTERS],
                    "reward": float(totals[row]),
                }
                for row in range(0, len(batch.texts), stride)
            ][: self._n_samples],
        }

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.trainer is None:
            return
        fault = self._watch.find(self.trainer.take_step_facts(self._batch.get("flat_groups")))
        self._skipped = fault.what if fault else None
        self._n_skipped = self._n_skipped + 1 if fault else 0
        if fault is None:
            return
        if self._config.on_fault == "stop" or self._n_skipped > self._config.max_skips:
            self._stop(self._round.first_step + state.global_step + 1, fault)
        self.trainer.drop_gradients()

    def _stop(self, step: int, fault: Fault) -> None:
        skipped = f" ({self._n_skipped - 1} updates were skipped before)" if self._n_skipped > 1 else ""
        checkpoint = find_checkpoint(self._round.folder)
        start = f"start again from {checkpoint} (profiler.adapter)" if checkpoint else "start again"
        raise TrainingError(f"step {step}: {fault.what}{skipped}; {fault.remedy}, and {start} with another --out")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs or self.trainer is None:
            return
        now = time.monotonic()
        n_tokens, token_ratio = self.trainer.count_tokens()
        self._n_logged += 1
        seconds_a_step = (now - self._started) / self._n_logged
        step = self._round.first_step + state.global_step
        row = {
            "step": step,
            "time": round(now - self._began, 2),
            "seconds_left": round(seconds_a_step * (self._config.total_steps - step)),
            **self._batch,
            "loss": _number(logs["loss"]),
            "entropy": _number(logs.get("entropy")),
            "kl": _number(logs.get("kl")),
            "gradient_norm": _number(logs.get("grad_norm")),
            "learning_rate": _number(logs.get("learning_rate")),
            "mean_length": _number(logs.get("completions/mean_length")),
            "clipped_share": _number(logs.get("completions/clipped_ratio")),
            "n_tokens": n_tokens,
            "tokens_per_second": round((n_tokens - self._n_tokens_before) / max(now - self._last_log, 1e-9), 1),
            "token_ratio": round(token_ratio, 3),
            "skipped": self._skipped,
        }
        if self._config.rounds > 1:
            row["round"] = self._round.number
        self._last_log, self._n_tokens_before = now, n_tokens
        if not self._is_writer:
            return
        self._run.log(row)
        if self._tell:
            self._tell(row)


class _HistoryTitles:
    """Titles of the items in an example's history."""

    def __init__(self, table: ExampleTable) -> None:
        self._table = table
        self._row_of = {example_id: row for row, example_id in enumerate(table.example_ids)}

    def of(self, example_id: str) -> list[str]:
        titles = self._table.dataset.titles
        return [titles[item_row] for item_row in self._table.history_rows(self._row_of[example_id])]


def _number(value: Any) -> float | None:
    """A finite number for JSON, or None."""
    return float(value) if value is not None and math.isfinite(float(value)) else None
