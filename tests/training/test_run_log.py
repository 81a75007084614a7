"""The rows of a training's log: what they say of the time that is left."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from reward_world import build_table

from bluerec.config import config_from_dict
from bluerec.runs import RunFolder
from bluerec.training import run_log
from bluerec.training.session import list_rounds


class Trainer:
    def count_tokens(self) -> tuple[int, float]:
        return 100, 1.0


@pytest.mark.parametrize(
    ("n_rounds", "number", "step", "n_left"), [(1, 1, 1, 4), (2, 1, 1, 9), (2, 2, 1, 4), (3, 2, 5, 5)]
)
def test_the_time_that_is_left_is_that_of_the_steps_of_all_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_rounds: int, number: int, step: int, n_left: int
) -> None:
    config = config_from_dict({"train": {"n_steps": 5, "rounds": n_rounds, "warmup_steps": 0}})
    run = RunFolder.start(tmp_path / "run", config)
    now = [0.0]
    monkeypatch.setattr(run_log, "time", SimpleNamespace(monotonic=lambda: now[0]))
    one, rows = list_rounds(config, run)[number - 1], []
    steps = run_log.StepLog(run, one, build_table(), ["length"], [1.0], config.train, tell=rows.append)
    steps.trainer = Trainer()  # type: ignore[assignment]
    for done in range(1, step + 1):
        now[0] += 7.0
        steps.on_log(None, SimpleNamespace(global_step=done, max_steps=5), None, {"loss": 0.1})
    assert rows[-1]["seconds_left"] == 7 * n_left
