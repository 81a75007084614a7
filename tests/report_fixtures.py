"""Small results and run folders for the tests of the report."""

import json
from pathlib import Path
from typing import Any

from bluerec.config import Config


def log_row(step: int, reward: float | None = None) -> dict[str, Any]:
    """One row as the trainer logs it."""
    value = -1.0 / step if reward is None else reward
    return {
        "step": step, "time": 30.0 * step, "reward": value, "reward_std": 0.5,
        "rewards": {"embedding": value, "choice": -1.3}, "loss": 0.0, "entropy": 2.0 / step, "kl": 0.01 * step,
        "watch": {"copied": 0.1, "repetition": 0.0, "n_words": 30.0, "something_new": 0.4},
        "learning_rate": 1e-4, "n_tokens": 3000, "tokens_per_second": 180.0, "token_ratio": 4.0, "flat_groups": 0.0,
        "mean_length": 40.0,
        "samples": [{"example_id": f"u{step}@9", "text": f"profile of step {step}", "reward": value}],
    }  # fmt: skip


def write_run(folder: Path, *, n_steps: int, is_whole: bool) -> Path:
    """A training run folder with `n_steps` logged steps."""
    folder.mkdir(parents=True)
    config = Config()
    identity = {"config": config.as_dict(), "digest": config.digest, "data_digest": "d1d1"}
    (folder / "config.json").write_text(json.dumps(identity))
    (folder / "environment.json").write_text(json.dumps({"command": ["bluerec", "train"], "versions": {"torch": "2"}}))
    (folder / "log.jsonl").write_text("".join(json.dumps(log_row(step)) + "\n" for step in range(1, n_steps + 1)))
    if is_whole:
        (folder / "manifest.json").write_text("{}")
    return folder
