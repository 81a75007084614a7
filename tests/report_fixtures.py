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


def write_run(folder: Path, *, n_steps: int, is_whole: bool, config: Config | None = None) -> Path:
    """A training run folder with `n_steps` logged steps."""
    folder.mkdir(parents=True)
    config = config or Config()
    identity = {"config": config.as_dict(), "digest": config.digest, "data_digest": "d1d1"}
    (folder / "config.json").write_text(json.dumps(identity))
    (folder / "environment.json").write_text(json.dumps({"command": ["bluerec", "train"], "versions": {"torch": "2"}}))
    (folder / "log.jsonl").write_text("".join(json.dumps(log_row(step)) + "\n" for step in range(1, n_steps + 1)))
    if is_whole:
        (folder / "manifest.json").write_text("{}")
    return folder


def results_content(**identity: Any) -> dict[str, Any]:
    """Results of three rankers in two pools, as `results.json` holds them, with an identity changed by `identity`."""
    means = {"popularity": 0.0072, "profile:trained": 0.0112, "profile:untrained": 0.0042}
    rows = [
        {"ranker": ranker, "pool": pool, "metric": metric, "mean": mean * easier * more,
         "low": mean * easier * more - 0.001, "high": mean * easier * more + 0.001, "n_users": 800}
        for pool, easier in (("100", 9.0), ("full", 1.0))
        for metric, more in (("ndcg@10", 1.0), ("recall@10", 1.8), ("mrr@5", 0.7))
        for ranker, mean in means.items()
    ]  # fmt: skip
    paired = [
        {"a": "profile:trained", "b": "profile:untrained", "pool": pool, "metric": "ndcg@10", "difference": 0.007,
         "low": 0.005, "high": 0.009, "p_value": 0.0002, "n_users": 800}
        for pool in ("100", "full")
    ]  # fmt: skip
    return {
        "schema": "bluerec-results-1",
        "identity": {
            "data": "games", "data_digest": "d1d1", "config_digest": "c2c2", "embedder": "hashing-256", "seed": 0,
            "protocol": "leave-one-out", "split": "test", "mask_seen": True, "n_users": 800, "synthetic": False,
            "profiles": [
                {"name": name, "writer": "w", "template": "interests", "digest": "p3", "n_profiles": 800}
                for name in ("trained", "untrained")
            ],
            "command": "bluerec evaluate games", "created": "2026-11-02T10:11:12+00:00", "versions": {"numpy": "2"},
            **identity,
        },
        "rows": rows,
        "paired": paired,
        "notes": ["Popularity may see the future."],
    }  # fmt: skip


def write_results(path: Path, content: dict[str, Any] | None = None) -> Path:
    path.write_text(json.dumps(results_content() if content is None else content))
    return path
