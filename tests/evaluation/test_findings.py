"""What a report says of a run in one sentence: a rise only where the steps tell it from chance."""

import json
from pathlib import Path

import numpy as np
import pytest
from report_fixtures import log_row, write_run

from bluerec.evaluation.curves import load_training_run
from bluerec.evaluation.findings import compare_means, find_outcomes


def tell(folder: Path, rewards: list[float]) -> str:
    path = write_run(folder / "run", n_steps=1, is_whole=True)
    rows = [json.dumps(log_row(step, reward)) for step, reward in enumerate(rewards, start=1)]
    (path / "log.jsonl").write_text("\n".join(rows) + "\n")
    (sentence,) = find_outcomes([], [load_training_run(path)])
    return sentence


def test_few_steps_are_told_without_a_verb(tmp_path: Path) -> None:
    sentence = tell(tmp_path, [-6.42, -5.5, -5.05])
    assert "was −6.42 in the first step and −5.05 in the last of 3" in sentence
    assert "too few steps" in sentence
    assert "rose" not in sentence
    assert tell(tmp_path / "one", [-6.42]) == "run: the reward was −6.42 in the only step."


def test_a_rise_is_told_where_its_interval_is_above_zero(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=100) * 0.1
    assert "the reward rose from" in tell(tmp_path / "up", list(noise + np.linspace(-6, -5, 100)))
    assert "the reward fell from" in tell(tmp_path / "down", list(noise + np.linspace(-5, -6, 100)))
    level = tell(tmp_path / "level", list(noise))
    assert "cannot be told from chance (a difference of" in level
    assert "the first and the last 10 steps of 100" in level
    assert "the first and the last 5 steps of 12" in tell(tmp_path / "short", list(noise[:12]))


# Where both sides vary alike, Welch's degrees of freedom are 2 (n - 1); quantiles of Student's t from the tables.
@pytest.mark.parametrize(("n", "quantile"), [(3, 2.776445), (5, 2.306004), (16, 2.042272)])
def test_the_interval_is_that_of_welch(n: int, quantile: float) -> None:
    before = np.random.default_rng(n).normal(size=n)
    half = quantile * np.sqrt(2 * before.var(ddof=1) / n)
    np.testing.assert_allclose(compare_means(before, before + 1.0), (1.0 - half, 1.0 + half), rtol=5e-3)
    assert compare_means(np.ones(n), np.full(n, 3.0)) == (2.0, 2.0)


def test_chance_alone_rises_or_falls_in_one_run_of_twenty() -> None:
    chance = np.random.default_rng(1)
    intervals = [compare_means(chance.normal(size=5), chance.normal(size=5)) for _ in range(2000)]
    assert 0.03 < np.mean([low > 0 or high < 0 for low, high in intervals]) < 0.07
