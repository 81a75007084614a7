"""The reward in embedding space: how well the profile retrieves the next item, and the item the profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.config import EmbeddingRewardConfig
from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.rewards.negatives import NegativeSampler, seeded_generator
from bluerec.rewards.scoring import Float64Array, info_nce, info_nce_bridge, normalise, weigh_history
from bluerec.rewards.texts import check_scores, find_rows, is_usable
from bluerec.types import Embedder, Float32Array, IntArray

# An unusable text is worth this much less than the worst profile of a stranger. A fixed value will not do: where the
# next item is a surprise, every honest profile lies far below chance, and silence would pay.
FLOOR_MARGIN = 1.0


@dataclass(frozen=True, slots=True)
class _Contrast:
    """What the profiles of one example are compared with, as rows."""

    example: int
    target: int
    negatives: IntArray  # (m,)
    references: IntArray  # (r,)


class EmbeddingReward:
    """Bidirectional InfoNCE of profile and next item (`bluerec.rewards.scoring`), or with `bridge` its gain over the
    history alone.

    Every example has its own negatives and references (profiles of other users), drawn by seed. `bridge` works on
    vectors from which the mean of the catalogue is taken, with the recency-weighted history: the best representation
    without training that we know. No score lies below the floor of its example, which is the score of the worst
    reference there less `FLOOR_MARGIN`; an unusable text gets just that.
    """

    def __init__(
        self,
        config: EmbeddingRewardConfig,
        table: ExampleTable,
        embedder: Embedder,
        item_vectors: Float32Array,
        reference_texts: Mapping[str, str],
        *,
        seed: int = 0,
    ) -> None:
        """`item_vectors` (n_items, d); `reference_texts` are profiles of train users by example id.

        Raises `ConfigError` if no reference is usable or, with `bridge`, if the table lacks the example of one.
        """
        if item_vectors.shape != (table.dataset.n_items, embedder.dimension):
            raise ConfigError(
                f"embedding reward: item vectors {item_vectors.shape}, but {table.dataset.n_items} items and "
                f"{embedder.dimension} dimensions of {embedder.name}; embed the catalogue with this embedder"
            )
        self._config = config
        self._table = table
        self._embedder = embedder
        self._seed = seed
        self._example_ids = table.example_ids
        self._row_of = {example_id: row for row, example_id in enumerate(self._example_ids)}
        self._negatives = NegativeSampler(
            table, item_vectors, n_random=config.n_random, n_popular=config.n_popular, n_near=config.n_near, seed=seed
        )
        self._centre = item_vectors.mean(axis=0) if config.bridge else None  # (d,)
        self._items = self._place(item_vectors)  # (n_items, d)
        usable = _usable_references(reference_texts)
        self._reference_users = np.array([_user_of(example_id) for example_id in usable])  # (n_references,)
        self._references = self._embed([reference_texts[example_id] for example_id in usable])  # (n_references, d)
        self._reference_histories = self._embed_histories(usable) if config.bridge else self._references[:0]
        self._contrasts: dict[int, tuple[_Contrast, float]] = {}

    @property
    def name(self) -> str:
        return "embedding"

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """One score per text, never None. Raises `DataError` for an unknown example, `TrainingError` for a NaN."""
        rows = find_rows(self.name, texts, example_ids, self._row_of)
        contrasts = [self._contrast(row) for row in rows]
        scores = [floor for _, floor in contrasts]
        usable = [place for place, text in enumerate(texts) if is_usable(text)]
        vectors = self._embed([texts[place] for place in usable])
        for place, vector in zip(usable, vectors, strict=True):
            contrast, floor = contrasts[place]
            # The value comes first: max() would replace a NaN in the other order, and hide it.
            scores[place] = max(float(self._compare(contrast, vector[None])[0]), floor)
        return check_scores(self.name, scores, example_ids)

    def _compare(self, contrast: _Contrast, profiles: Float32Array) -> Float64Array:
        """Scores (n,) of profiles (n, d) of one example."""
        item = self._items[[contrast.target]]  # (1, d)
        negatives = self._items[None, contrast.negatives]  # (1, m, d)
        references = self._references[None, contrast.references]  # (1, r, d)
        temperature, share = self._config.temperature, self._config.item_to_profile
        if not self._config.bridge:
            return info_nce(profiles, item, negatives, references, temperature=temperature, share=share)
        return info_nce_bridge(
            self._history(contrast.example)[None],
            profiles,
            item,
            negatives,
            references,
            self._reference_histories[None, contrast.references],
            weight=self._config.bridge,
            temperature=temperature,
            share=share,
        )

    def _contrast(self, row: int) -> tuple[_Contrast, float]:
        """What an example is compared with, and its floor."""
        if row not in self._contrasts:
            target = int(self._table.target_rows[row])
            contrast = _Contrast(row, target, self._negatives.sample(row), self._sample_references(row))
            strangers = self._compare(contrast, self._references[contrast.references])
            self._contrasts[row] = contrast, float(strangers.min()) - FLOOR_MARGIN
        return self._contrasts[row]

    def _sample_references(self, row: int) -> IntArray:
        example_id = self._example_ids[row]
        others = np.flatnonzero(self._reference_users != _user_of(example_id))
        if not len(others):
            raise ConfigError(
                f"embedding reward: the only reference profiles are of the user of example {example_id!r}; "
                "write reference profiles of at least two users"
            )
        generator = seeded_generator(f"references:{self._seed}:{example_id}")
        return generator.permutation(others)[: max(self._config.n_references, 1)]

    def _embed(self, profiles: Sequence[str]) -> Float32Array:
        return self._place(self._embedder.embed(profiles, "profile"))

    def _place(self, vectors: Float32Array) -> Float32Array:
        """Vectors in the space of the comparison."""
        return vectors if self._centre is None else normalise(vectors - self._centre)

    def _history(self, row: int) -> Float32Array:
        return weigh_history(self._items[self._table.history_rows(row)])

    def _embed_histories(self, example_ids: Sequence[str]) -> Float32Array:
        absent = [example_id for example_id in example_ids if example_id not in self._row_of]
        if absent:
            raise ConfigError(
                f"embedding reward: {len(absent)} reference profiles, e.g. of {absent[0]!r}, are not of the examples "
                "at hand, and embedding_reward.bridge needs their histories; write them from the same data and split"
            )
        return np.stack([self._history(self._row_of[example_id]) for example_id in example_ids])


def _usable_references(texts: Mapping[str, str]) -> list[str]:
    usable = sorted(example_id for example_id, text in texts.items() if is_usable(text))
    if not usable:
        raise ConfigError(
            f"embedding reward: none of {len(texts)} reference profiles has three words or more; "
            "write profiles of some train users first"
        )
    return usable


def _user_of(example_id: str) -> str:
    """The user of an example id, `user@cutoff`; a user id may itself contain an @."""
    return example_id.rpartition("@")[0]
