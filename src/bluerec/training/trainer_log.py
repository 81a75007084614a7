"""What a trainer of Transformers says: rows of our log in place of its prints, and a stop where a number is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bluerec.errors import TrainingError

# What the trainer reports, and its name in a message. `train_loss`, reported at the end, is of all steps, of those too
# that come after the last row of the log.
_WATCHED = {"loss": "loss", "grad_norm": "norm of the gradient", "train_loss": "loss"}


def quieten(trainer: Any) -> None:
    """The log file and our own bar say what Transformers would print."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def follow_loss(trainer: Any, stage: str, log: Callable[[Mapping[str, Any]], None], *, name: str, setting: str) -> None:
    """Rows of the log from the trainer, which prints nothing itself.

    It is stopped by a `TrainingError` where its loss or gradient is not a number; `name` is the stage's in words, and
    `setting` that of its learning rate.
    """
    from transformers import TrainerCallback

    class Follow(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            step, reported = state.global_step, logs or {}
            for key, what in _WATCHED.items():
                if key in reported and not math.isfinite(value := float(reported[key])):
                    raise TrainingError(f"{name}: the {what} of step {step} is {value}; lower {setting}")
            if "loss" in reported:
                loss, rate = round(float(reported["loss"]), 5), float(reported["learning_rate"])
                log({"stage": stage, "step": step, "n_steps": state.max_steps, "loss": loss, "learning_rate": rate})

    quieten(trainer)
    trainer.add_callback(Follow())
