"""A reward of one's own in a run: looked at before anything is loaded, kept the same, told of where it is too small.

The last digits of what a model computes depend on the batch that a text is in. What TRL adds to a deviation keeps such
noise from being trained on, so it is not taken away here: whether small scores are noise only their author knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bluerec.config import Config, TrainConfig
from bluerec.errors import ConfigError
from bluerec.rewards.own import OwnReward, check_own_reward
from bluerec.runs import CONFIG_FILE, read_json
from bluerec.training.session import Say
from bluerec.types import RewardFunction

if TYPE_CHECKING:
    from bluerec.training.grpo import RolloutBatch

# Its key in config.json, beside the settings.
OWN_REWARD_KEY = "own_reward"
# What TRL adds to the deviation of a group before it divides by it.
TRL_EPSILON = 1e-4
# Scores that deviate by less lose a tenth and more to it; by so much as is enough they lose a hundredth.
FAINT_DEVIATION, ENOUGH_DEVIATION = 1e-3, 1e-2


def settle_own_reward(config: Config, out: Path, *, resume: bool, say: Say) -> tuple[Config, dict[str, dict[str, str]]]:
    """The settings with an absolute path, and what the run folder keeps of the reward; both as they are without one.

    A run that goes on takes the file that it began with, from wherever it is called. Raises `ConfigError` where the
    code cannot be used, or is another than at the beginning of the run.
    """
    place = config.own_reward.function
    if config.own_reward.weight == 0:
        if place:
            say(f"warning: own_reward.function={place!r} is not used, its weight is 0; set own_reward.weight")
        return config, {}
    # A run from before it was kept is taken as it is.
    saved = read_json(out / CONFIG_FILE, "run folder").get(OWN_REWARD_KEY) if resume else None
    found = check_own_reward(saved["function"] if saved else place)
    if saved and saved.get("digest") != found.get("digest"):
        raise ConfigError(
            f"{found.get('file', place)} has changed since {out} was begun (own_reward.function): one run has one "
            "reward; put the file back, or begin a new run with another --out"
        )
    own = replace(config.own_reward, function=found["function"])
    return replace(config, own_reward=own), {OWN_REWARD_KEY: found}


class FaintScores:
    """Shown every batch; tells once where the scores of an own reward are too close to each other to count.

    Judged by the median group of those that differ at all, and only where each reward is normalised by itself.
    """

    def __init__(self, rewards: Sequence[tuple[RewardFunction, float]], config: TrainConfig, say: Say) -> None:
        is_normalised = config.aggregation == "normalize_then_sum"
        self._own = [
            (column, reward)
            for column, (reward, _) in enumerate(rewards)
            if is_normalised and isinstance(reward, OwnReward)
        ]
        self._group_size = config.group_size
        self._say = say

    def __call__(self, batch: RolloutBatch) -> None:
        for column, reward in list(self._own):
            groups = batch.rewards[:, column].double().view(-1, self._group_size)
            # Not by the deviation, which rounding makes more than 0 of equal numbers. NaN is no difference.
            groups = groups[groups.amax(dim=1) > groups.amin(dim=1)]
            deviation = float(groups.std(dim=1).median()) if len(groups) else math.inf
            if deviation < FAINT_DEVIATION:
                self._own.remove((column, reward))
                self._say(_describe_faint(reward, deviation))


def _describe_faint(reward: OwnReward, deviation: float) -> str:
    lost = TRL_EPSILON / (TRL_EPSILON + deviation)
    factor = 10 ** math.ceil(math.log10(ENOUGH_DEVIATION / deviation))
    return (
        f"warning: scores of {reward.label} deviate by only {deviation:.1e} within a user's candidates: beside the "
        f"{TRL_EPSILON:.0e} that TRL adds to a deviation before it divides by it, {lost:.0%} of them is lost; multiply "
        f"them by {factor} in its code, and begin a new run with another --out"
    )
