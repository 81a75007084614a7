"""Rows that add texts to another recommender's lists: what a profile is worth beside a sequence model.

For an external system E whose lists hold enough validation users: `history+E`, the best history vector added, and for
each set of profiles `profile+E:SET` and `profile+history+E:SET`. Only the full catalogue is ranked. How the two are
made comparable (by scores or by ranks) and the weight of the text are those with the best NDCG@10 on validation users.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.evaluation.bench_systems import Setting
from bluerec.evaluation.external_lists import SCALES, ListRanker, RememberedRanker, RescaledRanker, Scale, ScoredLists
from bluerec.evaluation.lineup import Vectors
from bluerec.evaluation.profile_sets import (
    FUSION_WEIGHTS,
    MAX_VALIDATION_USERS,
    MIN_VALIDATION_USERS,
    ProfileSet,
    choose_fusion_weight,
    find_best_weight,
)
from bluerec.evaluation.rankers import Ranker, SumRanker
from bluerec.evaluation.vector_rankers import (
    ItemSpace,
    Queries,
    VectorRanker,
    history_queries,
    stored_queries,
    sum_queries,
)

HISTORY, PROFILE, BOTH = "history", "profile", "profile+history"


@dataclass(frozen=True)
class Fusion:
    """One fused row and the profiles that it needs, if any."""

    kind: str
    external: str
    profiles: ProfileSet | None = None

    @property
    def name(self) -> str:
        own = f"{self.kind}+{self.external}"
        return f"{own}:{self.profiles.name}" if self.profiles else own

    @property
    def set_name(self) -> str:
        return self.profiles.name if self.profiles else ""


def name_fusions(externals: Sequence[str], set_names: Sequence[str]) -> tuple[str, ...]:
    """The names of all fused rows that these external systems may have."""
    return tuple(
        name
        for external in externals
        for name in (
            f"{HISTORY}+{external}",
            *(f"{kind}+{external}:{its}" for its in set_names for kind in (PROFILE, BOTH)),
        )
    )


def plan_fusions(external: str, sets: Mapping[str, ProfileSet]) -> list[Fusion]:
    """The fused rows of one external system."""
    with_profiles = [Fusion(kind, external, profiles) for profiles in sets.values() for kind in (PROFILE, BOTH)]
    return [Fusion(HISTORY, external), *with_profiles]


def find_known(fusion: Fusion, lists: ScoredLists, setting: Setting) -> ExampleTable:
    """The validation users that have all that is fused; at least `MIN_VALIDATION_USERS` are needed."""
    covered = lists.covers(setting.validation)
    if fusion.profiles is not None:
        covered &= fusion.profiles.covers(setting.validation)
    return setting.validation.take(np.flatnonzero(covered)).select("all", max_users=MAX_VALIDATION_USERS)


def describe_gap(fusion: Fusion, known: ExampleTable) -> str | None:
    """Why a row cannot be measured, if so."""
    if len(known) >= MIN_VALIDATION_USERS:
        return None
    what = "a list and a profile" if fusion.profiles else "a list"
    return (
        f"{fusion.name} is left out: {len(known)} validation users have {what}, {MIN_VALIDATION_USERS} are needed to "
        "choose its weight; rank those of examples/validation too."
    )


def build_fusion(fusion: Fusion, lists: ScoredLists, setting: Setting) -> tuple[Ranker, list[str]]:
    """The ranker of a fused row and notes on what was chosen. Raises `ConfigError` where there are no vectors."""
    vectors = setting.vectors_of(fusion.set_name)
    if vectors is None:
        raise ConfigError(f"{fusion.name}: compares texts and needs the vectors of the catalogue")
    known = find_known(fusion, lists, setting)
    space = ItemSpace.centred(vectors.items)
    history_weight, notes = _weigh_history(fusion, setting, vectors, space)

    def build_parts(table: ExampleTable, scale: Scale) -> tuple[Ranker, Ranker]:
        text = VectorRanker("text", space, _text_queries(fusion, vectors, space, table, history_weight))
        return (
            RememberedRanker(ListRanker(fusion.external, lists, scale)),
            RememberedRanker(RescaledRanker(text, scale)),
        )

    parts = {scale: build_parts(known, scale) for scale in SCALES}

    def build(choice: tuple[Scale, float]) -> Ranker:
        scale, weight = choice
        return SumRanker(fusion.name, [(1.0, parts[scale][0]), (weight, parts[scale][1])])

    scale, weight = find_best_weight(known, list(itertools.product(SCALES, FUSION_WEIGHTS)), build)
    theirs, text = build_parts(setting.table, scale)
    note = f"{fusion.name}: fused by {scale}, weight {weight}, chosen by NDCG@10 on {len(known)} validation users."
    return SumRanker(fusion.name, [(1.0, theirs), (weight, text)]), [*notes, note]


def _weigh_history(
    fusion: Fusion, setting: Setting, vectors: Vectors, space: ItemSpace
) -> tuple[float | None, list[str]]:
    """The weight of the profile beside the history, as `profile+history` has it; None where there is no such sum."""
    if fusion.kind != BOTH or fusion.profiles is None:
        return None, []
    history = history_queries(space, "harmonic")
    weight, note = choose_fusion_weight(fusion.profiles, setting.validation, history, space, vectors.embedder)
    return weight, [note]


def _text_queries(
    fusion: Fusion, vectors: Vectors, space: ItemSpace, table: ExampleTable, history_weight: float | None
) -> Queries:
    history = history_queries(space, "harmonic")
    if fusion.profiles is None:
        return history
    own = stored_queries(table.example_ids, space.place(fusion.profiles.embed(table, vectors.embedder)))
    return own if history_weight is None else sum_queries(history, own, history_weight)
