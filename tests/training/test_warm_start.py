"""The supervised stage: it learns what it is shown, masks what it is not asked for, and hands its adapter on."""

import json
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import load_file

from bluerec.config import config_from_dict
from bluerec.data.toy import build_world
from bluerec.errors import ConfigError, TrainingError
from bluerec.profiling.models import load_profiler
from bluerec.runs import read_log
from bluerec.training import supervised
from bluerec.training.adapters import prepare_lora
from bluerec.training.profiler import train_profiler
from bluerec.training.supervised import IGNORED, Lesson, _collate, _CompletionTrainer
from bluerec.training.warm_start import FOLDER

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")


@pytest.fixture(scope="module")
def dataset():
    return build_world(n_users=60, n_items=48, seed=2).dataset


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tiny_models.save_causal("llama", tmp_path_factory.mktemp("models") / "tiny")
    return {
        "profiler": {"model": str(folder), "max_events": 2, "max_prompt_tokens": 600, "max_new_tokens": 200},
        "embedder": {"model": "hashing"},
        "embedding_reward": {"n_random": 8, "n_popular": 4, "n_references": 4},
        "choice_reward": {"weight": 0.0},
        "sft": {"n_users": 24, "batch_size": 4, "micro_batch_size": 2, "learning_rate": 3e-2, "dtype": "float32",
                "save_every": 2, "log_every": 1},
        "train": {"stages": ["sft"], "lora_rank": 4, "n_steps": 1, "users_per_step": 2, "users_per_micro_batch": 1,
                  "group_size": 2, "rollout_dtype": "float32", "learning_rate": 1e-6},
    }  # fmt: skip


def log_of(run_path: Path) -> list[dict]:
    return [json.loads(line) for line in (run_path / FOLDER / "log.jsonl").read_text().splitlines()]


def adapter_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_the_loss_falls_and_the_adapter_is_the_runs(dataset, settings, tmp_path: Path) -> None:
    run = train_profiler(dataset, config_from_dict(settings), tmp_path / "run")
    assert run.is_whole
    losses = [row["loss"] for row in log_of(run.path)]
    assert len(losses) == 6
    assert sum(losses[-2:]) / 2 < losses[0] - 0.1
    weights = adapter_of(run.path / "adapter")
    assert any(values.abs().max() > 1e-3 for name, values in weights.items() if "lora_B" in name)


@pytest.mark.parametrize(("template", "opening"), [("interests", "This shopper likes"), ("open", "This person likes")])
def test_what_is_imitated_is_a_whole_sentence(
    dataset, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, opening: str
) -> None:
    taught: list[Lesson] = []
    monkeypatch.setattr(supervised, "fit_supervised", lambda model, lessons, *args, **kwargs: taught.extend(lessons))
    said: list[str] = []
    config = config_from_dict(settings | {"profiler": settings["profiler"] | {"template": template}})
    train_profiler(dataset, config, tmp_path / "run", say=said.append)
    shown = [line.removeprefix("  e.g. ") for line in said if line.startswith("  e.g. ")]
    assert shown
    assert all(line.startswith(f"{opening} ") for line in shown)
    tokenizer = load_profiler(settings["profiler"]["model"]).tokenizer
    for lesson in taught:
        written = tokenizer.decode(lesson.prompt[-len(opening) :] + lesson.completion, skip_special_tokens=True)
        assert f"{opening} " in written


def test_an_interrupted_warm_start_goes_on_to_the_same_weights(
    dataset, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_from_dict(settings)
    whole = train_profiler(dataset, config, tmp_path / "whole")

    n_steps = 0
    step = _CompletionTrainer.training_step

    def stop_in_the_fourth(self, *args, **kwargs):
        nonlocal n_steps
        n_steps += 1
        if n_steps == 4:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(_CompletionTrainer, "training_step", stop_in_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            train_profiler(dataset, config, tmp_path / "cut")
    # A kill while a checkpoint is written leaves a folder without the trainer's state.
    (tmp_path / "cut" / FOLDER / "checkpoints" / "checkpoint-5").mkdir()
    resumed = train_profiler(dataset, config, tmp_path / "cut", resume=True)
    first, second = adapter_of(whole.path / "adapter"), adapter_of(resumed.path / "adapter")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_grpo_goes_on_from_the_warm_start(dataset, settings, tmp_path: Path) -> None:
    config = config_from_dict(settings | {"train": settings["train"] | {"stages": ["sft", "grpo"]}})
    run = train_profiler(dataset, config, tmp_path / "run")
    assert [row["step"] for row in read_log(run.path)] == [1]
    warm, final = adapter_of(run.path / FOLDER / "adapter"), adapter_of(run.path / "adapter")
    # A step of 1e-6 moves the weights by little: they are those of the warm start, and not new ones.
    assert all(torch.allclose(warm[name], final[name], atol=1e-4) for name in warm)


def test_the_loss_is_the_mean_over_the_tokens_of_the_completions(settings) -> None:
    profiler = load_profiler(settings["profiler"]["model"])
    model = prepare_lora(profiler, None, config_from_dict(settings))
    rows = [Lesson([5, 6, 7], [8, 9]), Lesson([4], [10, 11, 12])]
    batch = _collate(rows, pad_token=0)
    assert (batch["labels"] != IGNORED).sum() == 5
    loss = _CompletionTrainer.compute_loss(None, model, batch)
    naive = []
    for row in rows:
        logits = model(input_ids=torch.tensor([row.prompt + row.completion])).logits[0]
        logps = torch.log_softmax(logits, dim=-1)
        naive += [-logps[len(row.prompt) + place - 1, token] for place, token in enumerate(row.completion)]
    torch.testing.assert_close(loss, torch.stack(naive).mean(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("log_every", "bad_step"), [(1, 2), (4, 3), (4, 6)])
def test_a_loss_that_is_no_number_stops_it_and_no_adapter_is_written(
    dataset, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_every: int, bad_step: int
) -> None:
    """Also in the last steps, after the last row of the log."""
    compute = _CompletionTrainer.compute_loss

    def spoil(self, *args, **kwargs):
        is_bad = self.state.global_step + 1 == bad_step
        return compute(self, *args, **kwargs) * (float("nan") if is_bad else 1.0)

    monkeypatch.setattr(_CompletionTrainer, "compute_loss", spoil)
    config = config_from_dict(settings | {"sft": settings["sft"] | {"log_every": log_every}})
    noticed = -(-bad_step // log_every) * log_every
    message = rf"warm start: the loss of step {min(noticed, 6)} is nan; lower sft\.learning_rate"
    with pytest.raises(TrainingError, match=message):
        train_profiler(dataset, config, tmp_path / "run")
    assert not (tmp_path / "run" / FOLDER / "adapter").exists()
    log = tmp_path / "run" / FOLDER / "log.jsonl"
    assert len(log.read_text().splitlines() if log.exists() else []) == (noticed - 1) // log_every


def test_lessons_that_fill_no_batch_are_counted(dataset, settings, tmp_path: Path) -> None:
    said = []
    config = config_from_dict(settings | {"sft": settings["sft"] | {"n_users": 7}})
    train_profiler(dataset, config, tmp_path / "run", say=said.append)
    assert "warm start: 1 of 7 are left out: they do not fill a batch of sft.micro_batch_size=2" in said


def test_profiles_that_are_all_too_long_stop_it(dataset, settings, tmp_path: Path) -> None:
    config = config_from_dict(settings | {"profiler": settings["profiler"] | {"max_new_tokens": 2}})
    with pytest.raises(TrainingError, match=r"none of 24 composed profiles .* profiler\.max_new_tokens=2 tokens"):
        train_profiler(dataset, config, tmp_path / "run")


@pytest.mark.parametrize("stages", [[], ["grpo", "sft"], ["sft", "sft"], ["dance"]])
def test_unknown_or_unordered_stages_are_refused(settings, stages) -> None:
    with pytest.raises(ConfigError, match=r"train\.stages"):
        config_from_dict(settings | {"train": settings["train"] | {"stages": stages}})
