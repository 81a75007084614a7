"""A run has one reward of one's own: its file is found again from anywhere, and refused where it was changed."""

from pathlib import Path

import pytest
import tiny_runs
import torch

from bluerec.config import Config, config_from_dict
from bluerec.errors import ConfigError
from bluerec.rewards.own import OwnReward
from bluerec.runs import RunFolder
from bluerec.training.grpo import RolloutBatch
from bluerec.training.own_reward import FaintScores, settle_own_reward
from bluerec.training.profiler import train_profiler

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")

SOURCE = """
class Calm:
    name = "calm"

    def __init__(self, table, embedder, item_vectors):
        pass

    def score(self, texts, example_ids):
        return [-float(len(text)) for text in texts]
"""


def configure(place: str, weight: float = 1.0) -> Config:
    return config_from_dict({"own_reward": {"function": place, "weight": weight}})


def test_a_run_goes_on_with_the_file_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    config, out, said = configure("mine.py:Calm"), tmp_path / "run", []
    settled, kept = settle_own_reward(config, out, resume=False, say=said.append)
    assert settled.own_reward.function == f"{tmp_path}/mine.py:Calm"
    RunFolder.start(out, config, **kept)

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.py").write_text(SOURCE.replace("calm", "other"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert settle_own_reward(config, out, resume=True, say=said.append) == (settled, kept)

    (tmp_path / "mine.py").write_text(SOURCE.replace("-float", "float"))
    with pytest.raises(
        ConfigError, match=r"mine\.py has changed since .*run was begun .*; put the file back"
    ) as caught:
        settle_own_reward(config, out, resume=True, say=said.append)
    assert "\n" not in str(caught.value)
    assert not said


class Mine:
    name = "mine"

    def score(self, texts, example_ids):
        return [0.0 for _ in texts]


def score_groups(columns: list[list[float]], *, aggregation: str = "normalize_then_sum") -> list[str]:
    """What is said of groups of four candidates, each group scored by `columns`; every batch is seen twice."""
    said: list[str] = []
    train = config_from_dict({"train": {"group_size": 4, "aggregation": aggregation}}).train
    rewards = [(Mine(), 1.0), (OwnReward(Mine(), "mine.py:Mine"), 1.0)]
    watch = FaintScores(rewards, train, said.append)
    mine = torch.tensor(columns).flatten()
    for _ in range(2):
        watch(RolloutBatch([""] * len(mine), ["e"] * len(mine), torch.stack([torch.zeros_like(mine), mine], dim=1)))
    return said


def test_scores_that_the_normalisation_takes_away_are_told_once() -> None:
    faint = [0.0, 1e-5, 2e-5, 3e-5]
    (told,) = score_groups([faint, faint, [7.0] * 4])
    assert told == (
        "warning: scores of reward 'mine' (mine.py:Mine) deviate by only 1.3e-05 within a user's candidates: beside "
        "the 1e-04 that TRL adds to a deviation before it divides by it, 89% of them is lost; multiply them by 1000 "
        "in its code, and begin a new run with another --out"
    )
    assert not score_groups([faint, faint], aggregation="sum_then_normalize")  # there they count as they are


@pytest.mark.parametrize(
    "columns",
    [
        [[0.0, 1.0, 2.0, 3.0]],
        [[0.0, 2e-3, 4e-3, 6e-3], [0.0, 0.0, 0.0, 1e-6], [0.0, 1.0, 0.0, 0.0]],  # one of several
        [[0.1 + 0.2] * 4],  # equal: a flat group, of which the log tells
        [[float("nan")] * 4],  # the example lacks the reward
    ],
)
def test_scores_that_count_are_not_told_of(columns: list[list[float]]) -> None:
    assert not score_groups(columns)


@pytest.mark.parametrize(("scale", "n_told"), [(1e-5, 1), (1.0, 0)])
def test_the_training_tells_of_them(tmp_path: Path, scale: float, n_told: int) -> None:
    (tmp_path / "mine.py").write_text(SOURCE.replace("-float(len(text))", f"{scale} * len(text)"))
    settings = tiny_runs.build_settings(tmp_path / "tiny")
    settings |= {"own_reward": {"function": f"{tmp_path}/mine.py:Calm", "weight": 1.0}}
    said: list[str] = []
    config = tiny_runs.configure(settings, n_steps=2)
    train_profiler(tiny_runs.build_dataset(), config, tmp_path / "run", say=said.append)
    assert len([line for line in said if line.startswith("warning: scores of reward 'calm'")]) == n_told


def test_a_reward_without_weight_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    config = configure("nowhere.py:Calm", weight=0.0)
    assert settle_own_reward(config, tmp_path, resume=False, say=said.append) == (config, {})
    assert said == [
        "warning: own_reward.function='nowhere.py:Calm' is not used, its weight is 0; set own_reward.weight"
    ]


def test_a_bad_reward_is_found_before_the_run_is_made(tmp_path: Path) -> None:
    config = configure(f"{tmp_path}/none.py:Calm")
    with pytest.raises(ConfigError, match="is not there"):
        train_profiler(tiny_runs.build_dataset(), config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
