"""Which rankers take part, by name, and which pairs of them are compared.

The plain rankers need no profile. For each set of profiles `NAME` there are further ones, called `KIND:NAME`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.evaluation.profile_sets import ProfileSet, choose_fusion_weight, shuffle_profiles
from bluerec.evaluation.rankers import CooccurrenceRanker, PopularityRanker, RandomRanker, Ranker, SumRanker
from bluerec.evaluation.vector_rankers import (
    ItemSpace,
    VectorRanker,
    history_queries,
    stored_queries,
    sum_queries,
    text_queries,
)
from bluerec.types import Embedder, Float32Array

# The strongest ranker that needs neither training nor other users: what a profile is fused with and measured against.
BEST_HISTORY = "harmonic-centred"
COUNT_RANKERS = ("random", "popularity", "co-occurrence")
VECTOR_RANKERS = (
    "last-item",
    "mean",
    "harmonic",
    BEST_HISTORY,
    f"{BEST_HISTORY}+popularity",
    "co-occurrence+text",
    "history-text-5",
    "history-text-10",
)
PLAIN_RANKERS = (*COUNT_RANKERS, *VECTOR_RANKERS)
PROFILE, CENTRED_PROFILE, FUSED, SHUFFLED = "profile", "profile-centred", "profile+history", "shuffled-profile"
PROFILE_RANKERS = (PROFILE, CENTRED_PROFILE, FUSED, SHUFFLED)
# Weights of what is added to a cosine; both found on validation users of Amazon Video Games.
POPULARITY_WEIGHT = 0.04
TEXT_WEIGHT = 1.5


@dataclass(frozen=True)
class Vectors:
    """An embedder and the catalogue as it sees it, (n_items, d)."""

    embedder: Embedder
    items: Float32Array


def choose_rankers(wanted: str | None, *, has_profiles: bool) -> tuple[str, ...]:
    """The names in a list such as `mean,profile`, or all that apply. Raises `ConfigError` for an unknown one."""
    known = PLAIN_RANKERS + (PROFILE_RANKERS if has_profiles else ())
    if wanted is None:
        return known
    names = tuple(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        needs = "; it needs --profiles" if unknown and unknown[0] in PROFILE_RANKERS else ""
        raise ConfigError(
            f"--rankers {wanted!r}: no ranker {unknown[0] if unknown else ''!r}{needs}; choose from {', '.join(known)}"
        )
    return names


def needs_vectors(names: Sequence[str]) -> bool:
    """Whether any of these rankers looks at texts."""
    return any(name not in COUNT_RANKERS for name in names)


def build_counters(names: Sequence[str], table: ExampleTable, *, seed: int = 0) -> list[Ranker]:
    """The wanted rankers that need no vectors. `table` tells which events may be counted.

    Raises `ConfigError` for one that nothing builds.
    """
    builders: Mapping[str, Callable[[], Ranker]] = {
        "random": lambda: RandomRanker(seed),
        "popularity": lambda: PopularityRanker(table),
        "co-occurrence": lambda: CooccurrenceRanker(table),
    }
    for name in names:
        if name not in builders:
            raise ConfigError(f"ranker {name!r}: known by name, but nothing builds it; see build_counters")
    return [builders[name]() for name in names]


def build_vector_rankers(names: Sequence[str], table: ExampleTable, vectors: Vectors) -> list[Ranker]:
    """The wanted rankers that compare histories with item vectors. Raises `ConfigError` for one that nothing builds."""
    plain, centred = ItemSpace(vectors.items), ItemSpace.centred(vectors.items)
    best_history = VectorRanker(BEST_HISTORY, centred, history_queries(centred, "harmonic"))
    queries = {
        "last-item": history_queries(plain, "last"),
        "mean": history_queries(plain, "mean"),
        "harmonic": history_queries(plain, "harmonic"),
        "history-text-5": text_queries(plain, vectors.embedder, 5),
        "history-text-10": text_queries(plain, vectors.embedder, 10),
    }
    # What counts events is made when it is wanted: that takes a while.
    sums: Mapping[str, Callable[[], list[tuple[float, Ranker]]]] = {
        f"{BEST_HISTORY}+popularity": lambda: [(1.0, best_history), (POPULARITY_WEIGHT, PopularityRanker(table))],
        "co-occurrence+text": lambda: [(1.0, CooccurrenceRanker(table, damped=True)), (TEXT_WEIGHT, best_history)],
    }
    rankers: list[Ranker] = []
    for name in names:
        if name == BEST_HISTORY:
            rankers.append(best_history)
        elif name in queries:
            rankers.append(VectorRanker(name, plain, queries[name]))
        elif name in sums:
            rankers.append(SumRanker(name, sums[name]()))
        else:
            raise ConfigError(f"ranker {name!r}: known by name, but nothing builds it; see build_vector_rankers")
    return rankers


def build_profile_rankers(
    names: Sequence[str],
    profiles: ProfileSet,
    table: ExampleTable,
    validation: ExampleTable,
    vectors: Vectors,
    *,
    seed: int = 0,
) -> tuple[list[Ranker], list[str]]:
    """The wanted rankers of one set, and notes. All examples of `table` must have a profile of it.

    `validation` are the users on whom the fusion weight may be chosen.
    """
    plain, centred = ItemSpace(vectors.items), ItemSpace.centred(vectors.items)
    embedded = profiles.embed(table, vectors.embedder)
    own = stored_queries(table.example_ids, embedded)
    own_centred = stored_queries(table.example_ids, centred.place(embedded))
    history = history_queries(centred, "harmonic")
    rankers: list[Ranker] = []
    notes = []
    if PROFILE in names:
        rankers.append(VectorRanker(f"{PROFILE}:{profiles.name}", plain, own))
    if CENTRED_PROFILE in names:
        rankers.append(VectorRanker(f"{CENTRED_PROFILE}:{profiles.name}", centred, own_centred))
    if FUSED in names:
        weight, note = choose_fusion_weight(profiles, validation, history, centred, vectors.embedder)
        notes.append(note)
        rankers.append(VectorRanker(f"{FUSED}:{profiles.name}", centred, sum_queries(history, own_centred, weight)))
    if SHUFFLED in names:
        others = shuffle_profiles(table.example_ids, embedded, seed=seed)
        rankers.append(VectorRanker(f"{SHUFFLED}:{profiles.name}", plain, others))
    return rankers, notes


def choose_pairs(rankers: Sequence[str], set_names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (a, b) of rankers that took part; the difference is a minus b. The most telling come first.

    Each set of profiles against those named before it; fused with the history against the history alone; a profile
    against its shuffled control; at last everything else against the best history vector.
    """
    pairs = dict.fromkeys([*_profile_pairs(set_names), *((ranker, BEST_HISTORY) for ranker in rankers)])
    return [(a, b) for a, b in pairs if a != b and a in rankers and b in rankers]


def _profile_pairs(set_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for kind in (PROFILE, CENTRED_PROFILE, FUSED):
        for place, later in enumerate(set_names):
            yield from ((f"{kind}:{later}", f"{kind}:{earlier}") for earlier in set_names[:place])
    yield from ((f"{FUSED}:{name}", BEST_HISTORY) for name in set_names)
    yield from ((f"{PROFILE}:{name}", f"{SHUFFLED}:{name}") for name in set_names)
