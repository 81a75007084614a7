"""Profiles made ready for ranking: checked against the data, embedded, fused with the history, or shuffled."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from bluerec.data.candidates import FULL_POOL, example_seed
from bluerec.data.histories import PROTOCOLS, ExampleTable
from bluerec.data.profiles import load_profiles
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation.metrics import METRIC_NAMES, average_by_user, score_ranks
from bluerec.evaluation.protocol import rank_targets
from bluerec.evaluation.rankers import Ranker
from bluerec.evaluation.vector_rankers import ItemSpace, Queries, VectorRanker, stored_queries, sum_queries
from bluerec.types import Embedder, Float32Array

DEFAULT_SPLIT = "test"  # of the commands that measure
FUSION_WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
# Found with the texts of the last five items in the place of a profile, on validation users.
DEFAULT_FUSION_WEIGHT = 0.3
MIN_VALIDATION_USERS = 100
MAX_VALIDATION_USERS = 2_000
_CHOSEN_BY = "ndcg@10"
_Weight = TypeVar("_Weight")


@dataclass(frozen=True)
class ProfileSet:
    """The profiles of one file, under the name that stands in the results.

    `seconds`: what writing one of them took, where it is known.
    """

    name: str
    frame: pl.DataFrame
    seconds: float | None = None

    @property
    def identity(self) -> Mapping[str, str | int]:
        """What tells this set from another: who wrote it, how, and a hash of the texts."""
        texts = "\x1f".join(
            f"{row[0]}\x1e{row[1]}" for row in self.frame.select("example_id", "text").sort(pl.all()).rows()
        )
        return {
            "name": self.name,
            "writer": ", ".join(sorted(self.frame["writer"].unique())),
            "template": ", ".join(sorted(self.frame["template"].unique())),
            "digest": hashlib.blake2b(texts.encode(), digest_size=8).hexdigest(),
            "n_profiles": self.frame.height,
        }

    @property
    def texts(self) -> dict[str, str]:
        """The profiles by example id."""
        return dict(self.frame.select("example_id", "text").iter_rows())

    def covers(self, table: ExampleTable) -> np.ndarray:
        """Which examples (n_examples,) have a profile."""
        known = set(self.frame["example_id"])
        return np.array([example_id in known for example_id in table.example_ids], dtype=np.bool_)

    def embed(self, table: ExampleTable, embedder: Embedder) -> Float32Array:
        """The profiles (n_examples, d) of these examples, all of which must have one."""
        text_of = self.texts
        return embedder.embed([text_of[example_id] for example_id in table.example_ids], "profile")


def load_profile_sets(arguments: Sequence[str], table: ExampleTable, *, split: str = DEFAULT_SPLIT) -> list[ProfileSet]:
    """Load `NAME=PATH` or `PATH` (named after its file) and check each against all examples of a data set.

    `split` is what they are wanted for: the command that an error names writes profiles of it. Raises `ConfigError` if
    two have one name, `DataError` if a profile is not of an example of this table.
    """
    named = [_parse_argument(argument) for argument in arguments]
    names = [name for name, _ in named]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ConfigError(f"--profiles: two sets are called {repeated[0]!r}; name them, e.g. --profiles trained=PATH")
    cutoff_of = dict(zip(table.example_ids, table.cutoffs.tolist(), strict=True))
    sets = []
    for name, path in named:
        frame = load_profiles(path, table)
        _check_belongs(frame, cutoff_of, table, path, split)
        sets.append(ProfileSet(name, frame))
    return sets


def shuffle_profiles(example_ids: Sequence[str], vectors: Float32Array, *, seed: int = 0) -> Queries:
    """The control: everybody gets the profile of the next one in a random order, so nobody gets their own.

    What it still achieves owes nothing to the user.
    """
    order = np.argsort([example_seed(f"shuffle:{example_id}", seed) for example_id in example_ids])
    shuffled = np.empty_like(vectors)
    shuffled[order] = vectors[np.roll(order, 1)]
    return stored_queries(example_ids, shuffled)


def choose_fusion_weight(
    profiles: ProfileSet, validation: ExampleTable, history: Queries, space: ItemSpace, embedder: Embedder
) -> tuple[float, str]:
    """The weight of the profile beside the history, and a sentence that says where it is from.

    It is the one with the best NDCG@10 (full catalogue, seen items masked) on validation users with a profile, or
    the default where there are fewer than `MIN_VALIDATION_USERS`.
    """
    known = validation.take(np.flatnonzero(profiles.covers(validation))).select("all", max_users=MAX_VALIDATION_USERS)
    if len(known) < MIN_VALIDATION_USERS:
        return DEFAULT_FUSION_WEIGHT, (
            f"{profiles.name}: profiles are fused with the history at the default weight {DEFAULT_FUSION_WEIGHT}; "
            f"only {len(known)} validation users have one, {MIN_VALIDATION_USERS} are needed to choose it."
        )
    own = stored_queries(known.example_ids, space.place(profiles.embed(known, embedder)))
    weight = find_best_weight(
        known, FUSION_WEIGHTS, lambda weight: VectorRanker("fused", space, sum_queries(history, own, weight))
    )
    return weight, (
        f"{profiles.name}: profiles are fused with the history at weight {weight}, "
        f"chosen by NDCG@10 on {len(known)} validation users."
    )


def find_best_weight(known: ExampleTable, weights: Sequence[_Weight], build: Callable[[_Weight], Ranker]) -> _Weight:
    """The weight whose ranker has the best NDCG@10 on these users (full catalogue, seen items masked); ties: the first.

    A weight is whatever `build` takes.
    """
    ranking = rank_targets(known, [build(weight) for weight in weights], (FULL_POOL,))
    column = METRIC_NAMES.index(_CHOSEN_BY)
    scores = [average_by_user(score_ranks(ranks), known.user_rows)[:, column].mean() for ranks in ranking.ranks[:, 0]]
    return weights[int(np.argmax(scores))]


def _parse_argument(argument: str) -> tuple[str, Path]:
    name, separator, path = argument.partition("=")
    return (name, Path(path)) if separator and name else (Path(argument).stem, Path(argument))


def suggest_writing(table: ExampleTable, split: str) -> str:
    """The command that writes profiles of these examples."""
    where = shlex.quote(str(table.dataset.folder or "DIR"))
    return f"bluerec write {where}{name_choice(table.protocol, split)} --out PATH"


def name_choice(protocol: str, split: str) -> str:
    """The options that choose these examples, alike for `write` and `evaluate`; empty where they are the defaults."""
    options = f" --protocol {protocol}" if protocol != PROTOCOLS[0] else ""
    return f"{options} --split {shlex.quote(split)}" if split != DEFAULT_SPLIT else options


def _check_belongs(
    frame: pl.DataFrame, cutoff_of: Mapping[str, int], table: ExampleTable, path: Path, split: str
) -> None:
    where = table.dataset.folder or "data"
    foreign = [example_id for example_id in frame["example_id"] if example_id not in cutoff_of]
    if foreign or not frame.height:
        raise DataError(
            f"{path}: {len(foreign)} of {frame.height} profiles are not of examples of {where} under "
            f"{table.protocol}, e.g. {foreign[0] if foreign else 'none'!r}; "
            f"write profiles for it, run: {suggest_writing(table, split)}"
        )
    for example_id, cutoff in frame.select("example_id", "cutoff").iter_rows():
        if cutoff != cutoff_of[example_id]:
            raise DataError(
                f"{path}: profile of {example_id!r} was written at cutoff {cutoff}, not {cutoff_of[example_id]}: "
                f"it may know the target; write the profiles again, run: {suggest_writing(table, split)}"
            )
