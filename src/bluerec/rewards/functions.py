"""The reward functions of a run, built from its config, and the rewards of a single profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bluerec.config import Config
from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.rewards.choice import ChoiceReward
from bluerec.rewards.embedding import EmbeddingReward
from bluerec.rewards.guards import GuardReward, build_guards
from bluerec.rewards.length import LengthReward
from bluerec.rewards.own import load_own_reward
from bluerec.rewards.quality import Judge, QualityReward
from bluerec.rewards.ranking import RankingReward
from bluerec.rewards.title_index import TitleIndex
from bluerec.types import Embedder, Float32Array, Reader, Reward, RewardFunction

__all__ = [
    "ChoiceReward",
    "EmbeddingReward",
    "GuardReward",
    "LengthReward",
    "QualityReward",
    "RankingReward",
    "build_rewards",
    "score_profile",
]


def build_rewards(
    config: Config,
    table: ExampleTable,
    embedder: Embedder,
    item_vectors: Float32Array,
    reader: Reader | None,
    reference_texts: Mapping[str, str],
    *,
    judge: Judge | None = None,
    title_index: TitleIndex | None = None,
) -> list[tuple[RewardFunction, float]]:
    """All rewards with their weights: embedding, choice, ranking, length, quality, one of your own, guards.

    A weight of 0 makes the embedding and the guards pure metrics, and the choice where a reader is given all the same
    (a training gives none then); the others are left out.

    `table` holds every example that will be scored, `item_vectors` (n_items, d) are the catalogue's by `embedder`,
    `reference_texts` are profiles of train users by example id, written before the training. Without a `reader`
    there is no choice, without a `judge` no quality; `title_index` saves building one. Raises `ConfigError` where what
    a weight needs is missing.
    """
    if reader is None and config.choice_reward.weight > 0:
        raise ConfigError(
            f"choice_reward.weight={config.choice_reward.weight}, but there is no reading model; "
            "give one, or set choice_reward.weight=0"
        )
    if judge is None and config.quality_reward.weight > 0:
        raise ConfigError(
            f"quality_reward.weight={config.quality_reward.weight}, but there is no judge; "
            "give one, or set quality_reward.weight=0"
        )
    seed = config.train.seed
    embedding = EmbeddingReward(config.embedding_reward, table, embedder, item_vectors, reference_texts, seed=seed)
    rewards: list[tuple[RewardFunction, float]] = [(embedding, config.embedding_reward.weight)]
    if reader is not None:
        choice = ChoiceReward(config.choice_reward, table, reader, seed=seed)
        rewards.append((choice, config.choice_reward.weight))
    if config.ranking_reward.weight > 0:
        ranking = RankingReward(config.ranking_reward, table, embedder, item_vectors)
        rewards.append((ranking, config.ranking_reward.weight))
    if config.length_reward.weight > 0:
        rewards.append((LengthReward(config.length_reward, table), config.length_reward.weight))
    if judge is not None and config.quality_reward.weight > 0:
        rewards.append((QualityReward(config.quality_reward, table, judge), config.quality_reward.weight))
    if config.own_reward.weight > 0:
        own = load_own_reward(config.own_reward.function, table, embedder, item_vectors)
        rewards.append((own, config.own_reward.weight))
    rewards.extend(build_guards(config.guards, table, title_index=title_index))
    names = [function.name for function, _ in rewards]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"two rewards are called {twice!r}; give own_reward.function another name")
    return rewards


def score_profile(rewards: Sequence[tuple[RewardFunction, float]], text: str, example_id: str) -> list[Reward]:
    """Every reward of one profile of one example."""
    return [Reward(function.name, function.score([text], [example_id])[0], weight) for function, weight in rewards]
