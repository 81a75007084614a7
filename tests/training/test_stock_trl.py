"""A run of twenty steps against TRL's own trainer: the same candidates, loss curve, and adapter at the end."""

from pathlib import Path

import numpy as np
import one_of_several
import pytest
import tiny_runs
from trl import GRPOTrainer

from bluerec.runs import read_log
from bluerec.training import grpo
from bluerec.training.faults import StepFacts
from bluerec.training.grpo import RolloutBatch
from bluerec.training.profiler import train_profiler
from bluerec.training.rollouts import RolloutModel

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")

N_STEPS = 20


class StockTrainer(GRPOTrainer):
    """TRL's trainer as it is: its order of rows, its repeated prompts, its loss. Only candidates and log are ours."""

    def __init__(self, *args, rollouts, sampling, observe, shared_prefix, memories, say, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._rollouts, self._sampling, self._observe = rollouts, sampling, observe

    def _tokenize_prompts(self, prompts):
        return self.processing_class(text=prompts, add_special_tokens=False)["input_ids"], None, {}

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, *_, **__):
        return self._rollouts.generate(prompt_ids[::num_generations], num_generations, self._sampling, 0), None

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._observe(RolloutBatch(completions, [row["example_id"] for row in inputs], rewards))
        return rewards

    def count_tokens(self):
        return 0, 1.0

    def take_step_facts(self, flat_groups):
        return StepFacts(True, flat_groups, None, None)


def test_twenty_steps_are_those_of_stock_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny_runs.build_settings(tmp_path / "tiny")
    # With a KL term, whose reference is the base with the adapter off; prompts of different lengths side by side.
    settings["train"] |= {"users_per_step": 2, "users_per_micro_batch": 2, "learning_rate": 3e-3}
    config = tiny_runs.configure(settings, n_steps=N_STEPS, kl=0.1, flat_steps=0, entropy_drop=0.0)
    monkeypatch.setattr(RolloutModel, "generate", one_of_several.write_by_prompt)
    ours = train_profiler(tiny_runs.build_dataset(), config, tmp_path / "ours")
    monkeypatch.setattr(grpo, "SharedPrefixGRPOTrainer", StockTrainer)
    stock = train_profiler(tiny_runs.build_dataset(), config, tmp_path / "stock")

    rows, expected = read_log(ours.path), read_log(stock.path)
    assert len(rows) == len(expected) == N_STEPS
    assert rows[-1]["n_tokens"] > 0
    assert expected[-1]["n_tokens"] == 0
    assert [row["samples"] for row in rows] == [row["samples"] for row in expected]
    for name, tolerance in (("loss", 1e-4), ("entropy", 1e-4), ("gradient_norm", 1e-3)):
        curve = np.array([row[name] for row in rows])
        np.testing.assert_allclose(curve, [row[name] for row in expected], rtol=tolerance, atol=1e-5, err_msg=name)
        assert np.ptp(curve) > 10 * tolerance * np.abs(curve).mean(), name  # there is a curve to compare
    weights = tiny_runs.adapter_of(stock.path)
    for name, values in tiny_runs.adapter_of(ours.path).items():
        assert (values - weights[name]).norm() <= 1e-3 * weights[name].norm(), name
