"""How several rewards become one advantage: each setting of it gives what its formula says, and no setting is idle."""

from pathlib import Path

import numpy as np
import pytest
import tiny_runs
from trl import GRPOConfig

from bluerec.config import Config, TrainConfig, load_config
from bluerec.errors import ConfigError
from bluerec.sections import AGGREGATIONS, REWARD_SCALES
from bluerec.training.grpo import SharedPrefixGRPOTrainer
from bluerec.training.profiler import train_profiler

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")

# What TRL adds to a deviation before it divides by it.
EPSILON = 1e-4
FAINT = """
class Faint:
    name = "faint"

    def __init__(self, table, embedder, item_vectors):
        pass

    def score(self, texts, example_ids):
        return [1e-6 * (sum(map(ord, text)) % 7) for text in texts]
"""


def normalise_then_sum(rewards: np.ndarray, weights: np.ndarray, epsilon: float = EPSILON) -> np.ndarray:
    """Of rewards (n_users, group_size, n_rewards): each z-scored in its group, then weighted, then over the batch."""
    means, deviations = rewards.mean(axis=1, keepdims=True), rewards.std(axis=1, ddof=1, keepdims=True)
    totals = ((rewards - means) / (deviations + epsilon) * weights).sum(axis=2).ravel()
    return (totals - totals.mean()) / (totals.std(ddof=1) + epsilon)


def sum_then_normalise(rewards: np.ndarray, weights: np.ndarray, scale: str) -> np.ndarray:
    """The weighted sums, less the mean of their group, divided by the deviation of the group, the batch, or nothing."""
    totals = (rewards * weights).sum(axis=2)
    centred = totals - totals.mean(axis=1, keepdims=True)
    if scale == "group":
        centred = centred / (totals.std(axis=1, ddof=1, keepdims=True) + EPSILON)
    elif scale == "batch":
        centred = centred / (totals.std(ddof=1) + EPSILON)
    return centred.ravel()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    settings = tiny_runs.build_settings(tmp_path_factory.mktemp("models") / "tiny")
    return settings | {"choice_reward": {"every": 1}}  # so that every group has every reward


def observe_step(config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, ...]:
    """Of the candidates of a step: rewards (2 users, 3, n_rewards), their weights, and the advantages (6,)."""
    seen: dict[str, np.ndarray] = {}
    score, finish = SharedPrefixGRPOTrainer._calculate_rewards, SharedPrefixGRPOTrainer._generate_and_score_completions

    def observe_rewards(self, *args):
        rewards = score(self, *args)
        seen["rewards"], seen["weights"] = rewards.numpy(), self.reward_weights.numpy()
        return rewards

    def observe_advantages(self, inputs):
        output = finish(self, inputs)
        seen["advantages"] = output["advantages"].numpy()
        return output

    monkeypatch.setattr(SharedPrefixGRPOTrainer, "_calculate_rewards", observe_rewards)
    monkeypatch.setattr(SharedPrefixGRPOTrainer, "_generate_and_score_completions", observe_advantages)
    train_profiler(tiny_runs.build_dataset(), config, folder)
    return seen["rewards"].reshape(2, 3, -1).astype(float), seen["weights"].astype(float), seen["advantages"]


@pytest.mark.parametrize(
    ("aggregation", "scale"),
    [("normalize_then_sum", "group"), *(("sum_then_normalize", scale) for scale in REWARD_SCALES)],
)
def test_the_advantages_are_those_of_the_formula(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aggregation: str, scale: str
) -> None:
    config = tiny_runs.configure(settings, n_steps=1, aggregation=aggregation, scale_rewards=scale)
    rewards, weights, advantages = observe_step(config, tmp_path / "run", monkeypatch)
    expected = {
        ("normalize_then_sum", "group"): normalise_then_sum(rewards, weights),
        **{("sum_then_normalize", one): sum_then_normalise(rewards, weights, one) for one in REWARD_SCALES},
    }
    np.testing.assert_allclose(advantages, expected.pop((aggregation, scale)), rtol=1e-3, atol=1e-4)
    for other in expected.values():  # the setting is not idle
        assert not np.allclose(advantages, other, rtol=1e-2, atol=1e-2)


def test_scores_that_hardly_differ_are_lost_in_the_normalisation(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which a run tells of, see `bluerec.training.own_reward`."""
    (tmp_path / "mine.py").write_text(FAINT)
    own = {"own_reward": {"function": f"{tmp_path}/mine.py:Faint", "weight": 3.0}}
    config = tiny_runs.configure(settings | own, n_steps=1)
    rewards, weights, advantages = observe_step(config, tmp_path / "run", monkeypatch)
    np.testing.assert_allclose(advantages, normalise_then_sum(rewards, weights), rtol=1e-3, atol=1e-3)
    assert not np.allclose(advantages, normalise_then_sum(rewards, weights, epsilon=1e-12), atol=0.1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("train.scale_rewards=foo",), r"train\.scale_rewards='foo': group, batch, none$"),
        (("train.aggregation=sum",), r"train\.aggregation='sum': normalize_then_sum, sum_then_normalize$"),
        (("train.scale_rewards=none",), r"scale_rewards='none' .* set train\.aggregation=sum_then_normalize"),
        (("train.scale_rewards=batch",), r"scale_rewards='batch' .* set train\.aggregation=sum_then_normalize"),
    ],
)
def test_a_setting_without_effect_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(None, overrides)
    assert "\n" not in str(caught.value)


def test_defaults_are_as_documented() -> None:
    """docs/recipes.md says so; TRL's own defaults may change with its version."""
    assert (TrainConfig().aggregation, TrainConfig().scale_rewards) == (AGGREGATIONS[0], REWARD_SCALES[0])
    assert AGGREGATIONS[0] == "normalize_then_sum"
    assert GRPOConfig.__dataclass_fields__["loss_type"].default == "dapo"


def test_a_guard_weighs_by_rank_and_not_by_share_unless_rewards_are_summed_first() -> None:
    """As docs/config.md says of [guards]: one offender of four, with a share of .01 or of .5."""
    reward = np.array([[0.1, 0.4, 0.2, 0.3]])

    def penalise(share: float) -> np.ndarray:
        return np.stack([reward, [[0.0, -share, 0.0, 0.0]]], axis=2)

    weights = np.array([1.0, 0.5])
    small, large = penalise(0.01), penalise(0.5)
    # EPSILON is felt in a deviation of .005.
    np.testing.assert_allclose(normalise_then_sum(small, weights), normalise_then_sum(large, weights), atol=0.02)
    apart = sum_then_normalise(large, weights, "none") - sum_then_normalise(small, weights, "none")
    np.testing.assert_allclose(apart, 0.5 * 0.49 * np.array([0.25, -0.75, 0.25, 0.25]))


@pytest.mark.parametrize(("spread", "kept"), [(1e-2, 0.99), (1e-3, 0.92), (1e-4, 0.55), (1e-5, 0.11)])
def test_what_differs_by_less_than_the_epsilon_weighs_next_to_nothing(spread: float, kept: float) -> None:
    """As docs/recipes.md says of a reward of one's own: beside another reward of the same weight."""
    ranks = np.array([0.0, 1.0, 2.0, 3.0])
    grouped = np.stack([ranks[[2, 0, 3, 1]], spread * ranks], axis=1)[None]
    alone = [normalise_then_sum(grouped, np.array(weights)) for weights in ((1.0, 0.0), (0.0, 1.0))]
    both = normalise_then_sum(grouped, np.array([1.0, 1.0]))
    shares, *_ = np.linalg.lstsq(np.stack(alone, axis=1), both, rcond=None)
    assert shares[1] / shares[0] == pytest.approx(kept, abs=0.02)
