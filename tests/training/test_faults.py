"""A training never goes on silently over numbers that are none, flat groups, runaway length, or lost entropy."""

from pathlib import Path

import pytest
import tiny_runs
import torch

from bluerec.config import TrainConfig, config_from_dict
from bluerec.errors import ConfigError, TrainingError
from bluerec.runs import read_log
from bluerec.training import grpo, grpo_stage
from bluerec.training.faults import ENTROPY_SPAN, N_FIRST, N_SMOOTHED, FaultWatch, StepFacts
from bluerec.training.profiler import train_profiler
from bluerec.training.rollouts import RolloutModel

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")


@pytest.fixture(scope="module")
def dataset():
    return tiny_runs.build_dataset()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return tiny_runs.build_settings(tmp_path_factory.mktemp("models") / "tiny")


def facts(*, is_finite: bool = True, flat: float = 0.0, clipped: float = 0.2, entropy: float | None = 2.0) -> StepFacts:
    return StepFacts(is_finite, flat, clipped, entropy)


def run_through(watch: FaultWatch, *steps: StepFacts) -> list[str | None]:
    return [fault.what if (fault := watch.find(step)) else None for step in steps]


def test_a_number_that_is_none_is_a_fault_at_once() -> None:
    assert run_through(FaultWatch(TrainConfig()), facts(), facts(is_finite=False, entropy=None), facts()) == [
        None, "the loss or its gradient is not a finite number", None,
    ]  # fmt: skip


def test_flat_groups_are_a_fault_after_so_many_steps_in_a_row() -> None:
    watch = FaultWatch(TrainConfig(flat_steps=3))
    flat = facts(flat=1.0)
    found = run_through(watch, flat, flat, facts(flat=0.9), flat, flat, flat, flat, facts())
    assert [what is not None for what in found] == [False] * 5 + [True, True, False]
    assert "in 3 steps in a row" in found[5]


def test_length_is_a_fault_where_it_rises_not_where_it_is_high() -> None:
    always = [facts(clipped=1.0)] * 20
    assert not any(run_through(FaultWatch(TrainConfig()), *always))
    rising = [facts(clipped=0.1)] * N_FIRST + [facts(clipped=0.9)] * N_SMOOTHED
    found = run_through(FaultWatch(TrainConfig()), *rising)
    assert not any(found[:-1])
    assert "90% of the candidates reach profiler.max_new_tokens, at the beginning 10%" in found[-1]


def test_entropy_is_a_fault_where_it_halves_within_twenty_steps() -> None:
    def fall(n_steps: int) -> list[bool]:
        path = [facts(entropy=2.0 - 1.1 * step / n_steps) for step in range(n_steps + 1)]
        return [what is not None for what in run_through(FaultWatch(TrainConfig()), *path)]

    assert any(fall(ENTROPY_SPAN - 2))
    assert not any(fall(3 * ENTROPY_SPAN))  # as far, but slowly: that is learning
    one_low = [facts(), facts(), facts(entropy=0.5), facts(), facts()]
    assert not any(run_through(FaultWatch(TrainConfig()), *one_low))


def test_each_check_can_be_switched_off() -> None:
    watch = FaultWatch(TrainConfig(flat_steps=0, runaway_length=0.0, entropy_drop=0.0))
    worse = [facts()] * 6 + [facts(flat=1.0, clipped=1.0, entropy=0.1)] * 20
    assert not any(run_through(watch, *worse))


def test_a_watch_goes_on_from_a_log() -> None:
    rows = [{"flat_groups": 1.0, "clipped_share": 0.5, "entropy": 2.0}] * 2
    watch = FaultWatch(TrainConfig(flat_steps=3))
    watch.replay(rows)
    assert watch.find(facts(flat=1.0)) is not None


def test_settings_of_faults_are_checked() -> None:
    for wrong, text in (
        ({"on_fault": "ignore"}, "stop, skip"),
        ({"flat_steps": -1}, "must not be negative"),
        ({"entropy_drop": 1.5}, "shares between"),
    ):
        with pytest.raises(ConfigError, match=text):
            config_from_dict({"train": wrong})


class Planted:
    """Faults put into a run at the steps named; a step has two micro-batches and one generation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def bad_loss(self, steps: set[int]) -> None:
        original, calls = grpo.score_completions, []

        def broken(*args):
            logps, entropies = original(*args)
            calls.append(1)
            return (logps * float("nan") if -(-len(calls) // 2) in steps else logps), entropies

        self._patch.setattr(grpo, "score_completions", broken)

    def low_entropy(self, after: int) -> None:
        original, calls = grpo.score_completions, []

        def broken(*args):
            logps, entropies = original(*args)
            calls.append(1)
            return logps, entropies * (0.1 if -(-len(calls) // 2) > after else 1.0)

        self._patch.setattr(grpo, "score_completions", broken)

    def flat_rewards(self) -> None:
        class Constant:
            name = "constant"

            def score(self, texts, example_ids):
                return [1.0] * len(texts)

        self._patch.setattr(grpo_stage, "build_rewards", lambda *_, **__: [(Constant(), 1.0)])

    def long_texts(self, after: int) -> None:
        original, calls = RolloutModel.generate, []

        def broken(model, prompts, n_samples, sampling, pad_token):
            texts = original(model, prompts, n_samples, sampling, pad_token)
            calls.append(1)
            ended = [[*text[:2], sampling.stop_tokens[0]] for text in texts]
            endless = [[7] * sampling.max_new_tokens for _ in texts]
            return endless if len(calls) > after else ended

        self._patch.setattr(RolloutModel, "generate", broken)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Planted:
    return Planted(monkeypatch)


def stop_of(dataset, config, out: Path) -> str:
    """The one line with which a run stops; its checkpoint is kept and can be started from."""
    with pytest.raises(TrainingError) as caught:
        train_profiler(dataset, config, out)
    message = str(caught.value)
    assert "\n" not in message
    assert not (out / "manifest.json").exists()
    return message


def test_a_loss_that_is_no_number_stops_the_run(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.bad_loss({3})
    message = stop_of(dataset, tiny_runs.configure(settings), tmp_path / "run")
    kept = tmp_path / "run" / "checkpoints" / "checkpoint-2"
    assert message == (
        "step 3: the loss or its gradient is not a finite number; lower train.learning_rate, and start again from "
        f"{kept} (profiler.adapter) with another --out"
    )
    assert [row["step"] for row in read_log(tmp_path / "run")] == [1, 2]
    # The remedy works.
    again = {**settings, "profiler": settings["profiler"] | {"adapter": str(kept)}}
    assert train_profiler(dataset, tiny_runs.configure(again, n_steps=1), tmp_path / "again").is_whole


def test_a_loss_that_is_no_number_is_skipped(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.bad_loss({2})
    run = train_profiler(dataset, tiny_runs.configure(settings, on_fault="skip"), tmp_path / "run")
    rows = read_log(run.path)
    assert [bool(row["skipped"]) for row in rows] == [False, True, False]
    assert all(torch.isfinite(weights).all() for weights in tiny_runs.adapter_of(run.path).values())
    before, after = (
        tiny_runs.load_file(run.path / "checkpoints" / f"checkpoint-{step}" / "adapter_model.safetensors")
        for step in (2, 3)
    )
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_skipped_step_changes_no_weight(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.bad_loss({2})
    config = tiny_runs.configure(settings, on_fault="skip", n_steps=2)
    run = train_profiler(dataset, config, tmp_path / "run")
    before, after = (
        tiny_runs.load_file(run.path / "checkpoints" / f"checkpoint-{step}" / "adapter_model.safetensors")
        for step in (1, 2)
    )
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_too_many_skips_stop_the_run(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.bad_loss({2, 3, 4, 5})
    config = tiny_runs.configure(settings, on_fault="skip", max_skips=2, n_steps=6)
    message = stop_of(dataset, config, tmp_path / "run")
    assert message.startswith("step 4: the loss or its gradient is not a finite number (2 updates were skipped before)")


def test_flat_groups_stop_the_run(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.flat_rewards()
    message = stop_of(dataset, tiny_runs.configure(settings, flat_steps=2), tmp_path / "run")
    assert message.startswith("step 2: in 2 steps in a row all candidates of a user have had equal rewards")
    assert "raise train.temperature or train.group_size" in message


def test_runaway_length_stops_the_run(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.long_texts(after=N_FIRST)
    config = tiny_runs.configure(settings, n_steps=N_FIRST + N_SMOOTHED, flat_steps=0)
    message = stop_of(dataset, config, tmp_path / "run")
    assert message.startswith("step 8: runaway length: 100% of the candidates reach profiler.max_new_tokens")
    assert "guards.unfinished" in message


def test_lost_entropy_stops_the_run(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.low_entropy(after=4)
    message = stop_of(dataset, tiny_runs.configure(settings, n_steps=8, flat_steps=0), tmp_path / "run")
    assert message.startswith("step 6: the entropy fell from")
    assert "train.learning_rate" in message


def test_a_fault_before_any_checkpoint_says_so(dataset, settings, planted: Planted, tmp_path: Path) -> None:
    planted.bad_loss({1})
    message = stop_of(dataset, tiny_runs.configure(settings), tmp_path / "run")
    assert message.endswith("lower train.learning_rate, and start again with another --out")
