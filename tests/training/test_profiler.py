"""Whole training runs on a tiny model: what they leave behind, that they learn, and how they stop."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from tiny_runs import adapter_of, build_dataset, build_settings, configure, without_clock

from bluerec.config import TrainConfig, config_from_dict
from bluerec.errors import ConfigError, ModelError
from bluerec.profiling.models import load_profiler
from bluerec.runs import read_log
from bluerec.training.checkpoints import find_checkpoint
from bluerec.training.grpo_stage import find_short_warmup
from bluerec.training.profiler import choose_examples, train_profiler

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")


@pytest.fixture(scope="module")
def dataset():
    return build_dataset()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return build_settings(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def run(dataset, settings, tmp_path_factory: pytest.TempPathFactory):
    return train_profiler(dataset, configure(settings), tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_leaves_an_adapter_and_a_log(run, settings) -> None:
    assert run.is_whole
    rows = read_log(run.path)
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row["rewards"]) >= {"embedding", "choice", "guard_repetition", "guard_foreign_title"}
        assert {"diversity", "repetition", "copied", "invented_person"} <= set(row["watch"])
        assert np.isfinite([row["loss"], row["entropy"], row["reward"], row["gradient_norm"]]).all()
        assert 0 <= row["flat_groups"] <= 1
        assert row["samples"][0]["text"].startswith("This shopper likes")
    # One card, of facts, and no form that nobody filled in; what safetensors writes can be read like the rest.
    (card,) = run.path.rglob("README.md")
    text = card.read_text()
    assert card.parent == run.path / "adapter"
    for fact in ("base model | tiny", "3 of 2 users x 3 profiles", "embedding 1, choice 0.5, repetition 0.2"):
        assert fact in text
    assert json.loads((run.path / "config.json").read_text())["digest"] in text
    assert str(run.path.parent) not in text
    assert len({path.stat().st_mode for path in run.path.rglob("*") if path.is_file()}) == 1
    # The prompt is the longest part by far, so sharing it saves nearly the group size.
    assert rows[-1]["token_ratio"] > 2.5
    trained = adapter_of(run.path)
    assert any(values.abs().max() > 1e-3 for name, values in trained.items() if "lora_B" in name)
    profiler = load_profiler(settings["profiler"]["model"], adapter=str(run.path))
    assert profiler.adapter is not None
    assert profiler.adapter.startswith("whole-")


def test_shared_prefixes_change_nothing_but_the_time(dataset, settings, run, tmp_path: Path) -> None:
    plain = train_profiler(dataset, configure(settings, shared_prefix=False), tmp_path / "plain")
    ours, theirs = read_log(run.path), read_log(plain.path)
    for name in ("loss", "reward", "entropy", "gradient_norm"):
        np.testing.assert_allclose([row[name] for row in ours], [row[name] for row in theirs], rtol=2e-3, atol=1e-5)
    assert [row["samples"] for row in ours] == [row["samples"] for row in theirs]
    assert theirs[-1]["n_tokens"] == 0  # the counter of the shared path: it was off


def test_the_same_seed_gives_the_same_run(dataset, settings, run, tmp_path: Path) -> None:
    again = train_profiler(dataset, configure(settings), tmp_path / "again")
    for name, values in adapter_of(again.path).items():
        assert torch.equal(values, adapter_of(run.path)[name])


def test_a_stopped_run_goes_on_to_the_same_end(dataset, settings, run, tmp_path: Path) -> None:
    def stop(row) -> None:
        if row["step"] == 2:
            raise KeyboardInterrupt

    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train_profiler(dataset, configure(settings), out, tell=stop)
    assert find_checkpoint(out).name == "checkpoint-1"
    with pytest.raises(ConfigError, match="already holds a run"):
        train_profiler(dataset, configure(settings), out)
    with pytest.raises(ConfigError, match=r"train\.learning_rate was 0\.01, is 0\.1"):
        train_profiler(dataset, configure(settings, learning_rate=0.1), out, resume=True)
    resumed = train_profiler(dataset, configure(settings), out, resume=True)
    assert [row["step"] for row in read_log(out)] == [1, 2, 3]
    for name, values in adapter_of(resumed.path).items():
        assert torch.equal(values, adapter_of(run.path)[name]), name
    for ours, theirs in zip(read_log(out), read_log(run.path), strict=True):
        assert without_clock(ours) == without_clock(theirs)


def test_training_goes_on_from_an_adapter(dataset, settings, run, tmp_path: Path) -> None:
    config = configure(settings, n_steps=1)
    config = replace(config, profiler=replace(config.profiler, adapter=str(run.path)))
    further = train_profiler(dataset, config, tmp_path / "further")
    assert adapter_of(further.path).keys() == adapter_of(run.path).keys()


def test_an_adapter_of_another_model_is_refused(dataset, settings, run, tmp_path: Path) -> None:
    other = tiny_models.save_causal("qwen3", tmp_path / "other")
    config = config_from_dict(
        settings | {"profiler": settings["profiler"] | {"model": str(other), "adapter": str(run.path)}}
    )
    with pytest.raises(ModelError, match="trained on 'tiny', not on 'other'"):
        train_profiler(dataset, config, tmp_path / "run")


def test_the_limit_of_users_is_kept(dataset, settings) -> None:
    assert len(choose_examples(dataset, config_from_dict(settings | {"data": {"max_users": 5}}))) == 5


def test_too_few_users_for_a_step_are_refused(dataset, settings) -> None:
    """The trainer would leave the step out, and the run would end as if it had been done."""
    with pytest.raises(ConfigError, match=r"4 train users .* do not fill a step of train\.users_per_step=8"):
        choose_examples(
            dataset, config_from_dict({**settings, "data": {"max_users": 4}, "train": {"users_per_step": 8}})
        )


def test_settings_that_trl_refuses_are_one_line(dataset, settings, tmp_path: Path) -> None:
    config = config_from_dict(settings | {"trl": {"no_such_setting": 1}})
    with pytest.raises(ConfigError, match=r"no_such_setting.*\[trl\]") as caught:
        train_profiler(dataset, config, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_run_that_ends_within_its_warm_up_is_told(tmp_path: Path, dataset, settings) -> None:
    assert find_short_warmup(TrainConfig(n_steps=6, warmup_steps=5)) is None
    assert find_short_warmup(TrainConfig(n_steps=1, warmup_steps=5, schedule="constant")) is None
    assert "comes to 80% of train.learning_rate" in str(find_short_warmup(TrainConfig(n_steps=5, warmup_steps=5)))
    said: list[str] = []
    run = train_profiler(dataset, configure(settings, n_steps=2, warmup_steps=2), tmp_path / "run", say=said.append)
    rates = [row["learning_rate"] for row in read_log(run.path)]
    assert rates == [0.0, settings["train"]["learning_rate"] / 2]  # what the warning says
    (line,) = (text for text in said if "warning" in text)
    assert "begins at 0 and comes to 50%" in line


def test_only_train_users_are_seen(dataset, settings, run) -> None:
    table = choose_examples(dataset, configure(settings))
    assert set(table.splits) == {"train"}
    seen = {sample["example_id"] for row in read_log(run.path) for sample in row["samples"]}
    assert seen <= set(table.example_ids)
    assert json.loads((run.path / "config.json").read_text())["data_digest"] == dataset.digest
