"""A run has one reward of one's own: its file is found again from anywhere, and refused where it was changed."""

from pathlib import Path

import pytest
import tiny_runs

from bluerec.config import Config, config_from_dict
from bluerec.errors import ConfigError
from bluerec.runs import RunFolder
from bluerec.training.own_reward import settle_own_reward
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
