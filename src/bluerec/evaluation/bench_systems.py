"""The systems of a benchmark by name: what each needs, and the ranker it is.

Plain systems are named alone (`harmonic`), those of a set of profiles `KIND:SET` (`profile+history:blue`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.evaluation.interests import MultiInterestRanker
from bluerec.evaluation.lineup import (
    BEST_HISTORY,
    COUNT_RANKERS,
    FUSED,
    PLAIN_RANKERS,
    PROFILE_RANKERS,
    TEXT_WEIGHT,
    Vectors,
    build_counters,
    build_profile_rankers,
    build_vector_rankers,
)
from bluerec.evaluation.profile_sets import (
    DEFAULT_FUSION_WEIGHT,
    FUSION_WEIGHTS,
    MAX_VALIDATION_USERS,
    MIN_VALIDATION_USERS,
    ProfileSet,
    find_best_weight,
)
from bluerec.evaluation.protocol import digest_examples
from bluerec.evaluation.rankers import CooccurrenceRanker, Ranker, SumRanker
from bluerec.evaluation.shortcuts import TransitionGraphRanker
from bluerec.evaluation.vector_rankers import (
    ItemSpace,
    VectorRanker,
    history_queries,
    render_history_text,
    stored_queries,
    sum_queries,
    text_queries,
)

TRANSITION_GRAPH = "transition-graph"
LONG_TEXT, SHORT_TEXT = "history-text-20", "history-text-short"
PLAIN_SYSTEMS = (*PLAIN_RANKERS, TRANSITION_GRAPH, LONG_TEXT, SHORT_TEXT)
MULTI, MULTI_FUSED = "multi-interest", "multi-interest+history"
BESIDE_LAST, BESIDE_OTHERS = "profile+last-item", "profile+co-occurrence"
PROFILE_SYSTEMS = (*PROFILE_RANKERS, MULTI, MULTI_FUSED, BESIDE_LAST, BESIDE_OTHERS)
# Those that look at the history vector too.
BESIDE_HISTORY = (FUSED, MULTI_FUSED, BESIDE_OTHERS)
# Those that choose a weight on validation users, and those that look at sentences.
WEIGHED_SYSTEMS = (FUSED, MULTI_FUSED, BESIDE_LAST, BESIDE_OTHERS)
SENTENCE_SYSTEMS = (MULTI, MULTI_FUSED)
# As many words as a profile of 48 tokens has: English text has about three words for four tokens.
SHORT_TEXT_WORDS = 36
_WITHOUT_VECTORS = (*COUNT_RANKERS, TRANSITION_GRAPH)


@dataclass(frozen=True)
class Setting:
    """What systems are built from: the users measured, the validation users, and the vectors of the catalogue.

    `vectors` are by set of profiles, as its embedder sees the items, under the empty name those of the plain systems.
    """

    table: ExampleTable
    validation: ExampleTable  # none of the measured ones: weights are chosen on them
    vectors: Mapping[str, Vectors]
    seed: int = 0

    def vectors_of(self, set_name: str = "") -> Vectors | None:
        """The catalogue for a set of profiles, or for the plain systems."""
        return self.vectors.get(set_name)

    @property
    def weighed_on(self) -> dict[str, Any]:
        """Which users a weight depends on, where it is not all of the validation split.

        Elsewhere nothing is told, so that cells from before validation users could be measured are still found.
        """
        return {"validation": digest_examples(self.validation)} if "validation" in self.table.splits else {}

    def known_validation(self, profiles: ProfileSet) -> ExampleTable:
        """The validation users that have a profile of this set."""
        covered = np.flatnonzero(profiles.covers(self.validation))
        return self.validation.take(covered).select("all", max_users=MAX_VALIDATION_USERS)


def name_systems(
    systems: Sequence[str], kinds: Sequence[str], set_names: Sequence[str], with_embedder: Sequence[str] = ()
) -> tuple[str, ...]:
    """All systems of a benchmark in order. Raises `ConfigError` for an unknown one.

    Sets `with_embedder` of their own are joined by the best history vector in its space: what that embedder is worth
    without a profile.
    """
    for what, names, known in (("systems", systems, PLAIN_SYSTEMS), ("profile_systems", kinds, PROFILE_SYSTEMS)):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigError(f"{what}: no {unknown[0]!r}; choose from {', '.join(known)}")
    return (
        *systems,
        *(
            f"{kind}:{name}"
            for name in set_names
            for kind in (*kinds, *([BEST_HISTORY] if name in with_embedder else []))
        ),
    )


def needs_vectors(system: str) -> bool:
    """Whether a system looks at texts."""
    return system not in _WITHOUT_VECTORS


def build_system(system: str, setting: Setting, profiles: ProfileSet | None = None) -> tuple[Ranker, list[str]]:
    """The ranker of a system and notes on how it was set up. Raises `ConfigError` if what it needs is missing."""
    kind, _, set_name = system.partition(":")
    vectors = setting.vectors_of(set_name)
    if needs_vectors(system) and vectors is None:
        raise ConfigError(f"{system}: compares texts and needs the vectors of the catalogue")
    if set_name:
        if profiles is None or vectors is None:
            raise ConfigError(f"{system}: needs the profiles {set_name!r} and the vectors of the catalogue")
        return _build_profile_system(kind, setting, profiles, vectors)
    if system == TRANSITION_GRAPH:
        return TransitionGraphRanker(setting.table), []
    if vectors is None or system in COUNT_RANKERS:
        return build_counters((system,), setting.table, seed=setting.seed)[0], []
    plain = ItemSpace(vectors.items)
    if system == LONG_TEXT:
        return VectorRanker(system, plain, text_queries(plain, vectors.embedder, 20)), []
    if system == SHORT_TEXT:
        return _short_text(plain, vectors)
    return build_vector_rankers((system,), setting.table, vectors)[0], []


def _short_text(space: ItemSpace, vectors: Vectors) -> tuple[Ranker, list[str]]:
    def embed(table: ExampleTable) -> np.ndarray:
        texts = [render_history_text(table, row, 20) for row in range(len(table))]
        return vectors.embedder.embed([" ".join(text.split()[:SHORT_TEXT_WORDS]) for text in texts], "profile")

    note = f"{SHORT_TEXT}: the first {SHORT_TEXT_WORDS} words of the history, the latest item first."
    return VectorRanker(SHORT_TEXT, space, embed), [note]


def _build_profile_system(
    kind: str, setting: Setting, profiles: ProfileSet, vectors: Vectors
) -> tuple[Ranker, list[str]]:
    if kind in PROFILE_RANKERS:
        rankers, notes = build_profile_rankers(
            (kind,), profiles, setting.table, setting.validation, vectors, seed=setting.seed
        )
        return rankers[0], notes
    name, centred = f"{kind}:{profiles.name}", ItemSpace.centred(vectors.items)
    if kind == BEST_HISTORY:
        return VectorRanker(name, centred, history_queries(centred, "harmonic")), []
    if kind == MULTI:
        return MultiInterestRanker(name, centred, profiles.texts, vectors.embedder), []
    known = setting.known_validation(profiles)
    build = _fuse(kind, name, setting.table, known, profiles, vectors, centred)
    weight, note = _choose_weight(name, known, build)
    return build(weight), [note]


def _fuse(
    kind: str,
    name: str,
    table: ExampleTable,
    known: ExampleTable,
    profiles: ProfileSet,
    vectors: Vectors,
    space: ItemSpace,
) -> Callable[[float], Ranker]:
    """A system of two parts by the weight of the profile, for the measured and the validation users."""
    harmonic = history_queries(space, "harmonic")
    if kind == MULTI_FUSED:
        texts = profiles.texts
        return lambda weight: MultiInterestRanker(name, space, texts, vectors.embedder, history=harmonic, weight=weight)
    parts = [part for part in (known, table) if len(part)]
    own = stored_queries(
        [example_id for part in parts for example_id in part.example_ids],
        space.place(np.concatenate([profiles.embed(part, vectors.embedder) for part in parts])),
    )
    if kind == BESIDE_LAST:
        last = history_queries(space, "last")
        return lambda weight: VectorRanker(name, space, sum_queries(last, own, weight))
    others = CooccurrenceRanker(table, damped=True)

    def beside_others(weight: float) -> Ranker:
        text = VectorRanker(name, space, sum_queries(harmonic, own, weight))
        return SumRanker(name, [(1.0, others), (TEXT_WEIGHT, text)])

    return beside_others


def _choose_weight(name: str, known: ExampleTable, build: Callable[[float], Ranker]) -> tuple[float, str]:
    """The best of `FUSION_WEIGHTS` on validation users, or the default where they are too few, and where it is from."""
    if len(known) < MIN_VALIDATION_USERS:
        return DEFAULT_FUSION_WEIGHT, (
            f"{name}: the default weight {DEFAULT_FUSION_WEIGHT}; only {len(known)} validation users have a profile, "
            f"{MIN_VALIDATION_USERS} are needed to choose it."
        )
    weight = find_best_weight(known, FUSION_WEIGHTS, build)
    return weight, f"{name}: weight {weight}, chosen by NDCG@10 on {len(known)} validation users."
