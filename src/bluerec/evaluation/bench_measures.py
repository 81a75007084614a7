"""Measures of a benchmark beside ranks: what a system costs, and what its profiles are like.

A measure takes one set of profiles on one data set and gives rows {system, dataset, protocol, measure, mean, ...}.
New ones are added to `PROFILE_MEASURES`; a benchmark names those it wants, and how many users they are taken on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.evaluation.answerers import Answerer
from bluerec.evaluation.bench_cells import Cell
from bluerec.evaluation.bench_systems import BESIDE_HISTORY
from bluerec.evaluation.faithfulness import measure_distinctness, measure_guards, measure_reading_ease, measure_support
from bluerec.evaluation.lineup import BEST_HISTORY, Vectors
from bluerec.evaluation.metrics import INTERVAL, Float64Array, resample_means
from bluerec.evaluation.profile_sets import ProfileSet
from bluerec.evaluation.qa import build_questions, measure_answers, render_raw_history
from bluerec.evaluation.steering import measure_moves
from bluerec.evaluation.topics import find_topics
from bluerec.evaluation.vector_rankers import ItemSpace

BYTES_PER_ID = 8
BYTES_PER_FLOAT = 4
# Events that a system looks at; None: all.
_EVENTS_READ = {
    "last-item": 1,
    "transition-graph": 2,
    "co-occurrence": 10,
    "history-text-5": 5,
    "history-text-10": 10,
    "history-text-20": 20,
    "history-text-short": 20,
}
QA = "qa"
NO_CONTEXT, RAW_HISTORY = "no context", "raw history"
SUPPORTED = "sentences supported by the own history (share)"
MIN_STEERED = 20  # users
_NOTHING_KEPT = ("random", "popularity")


@dataclass(frozen=True)
class MeasureRow:
    """A mean over `n` users with its 95% interval, equal to the mean where nothing varies between users."""

    system: str
    dataset: str
    protocol: str
    measure: str
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ProfilesAtHand:
    """What a measure may look at: the profiles of the measured users, and the catalogue as the embedder sees it."""

    dataset: str
    table: ExampleTable
    profiles: ProfileSet
    vectors: Vectors
    seed: int
    answerer: Answerer | None = None

    @property
    def texts(self) -> list[str]:
        """The profiles in the order of the examples."""
        text_of = self.profiles.texts
        return [text_of[example_id] for example_id in self.table.example_ids]

    def row(self, measure: str, values: Float64Array) -> MeasureRow:
        """A row of values (n_users,), NaN where a user has none."""
        place = (self.profiles.name, self.dataset, self.table.protocol)
        return summarise_measure(place, measure, values, seed=self.seed)


ProfileMeasure = Callable[[ProfilesAtHand], list[MeasureRow]]


def summarise_measure(place: tuple[str, str, str], measure: str, values: Float64Array, *, seed: int = 0) -> MeasureRow:
    """Mean and 95% bootstrap interval of values (n_users,); NaN values are left out of all three and of `n`.

    `place` is system, data set and protocol. Raises `DataError` where no user has a value.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    low, high = np.percentile(resample_means(known[:, None], seed=seed)[:, 0], INTERVAL)
    return MeasureRow(*place, measure, float(known.mean()), float(low), float(high), len(known))


def measure_size(given: ProfilesAtHand) -> list[MeasureRow]:
    """Tokens (where the writer counted them), words and bytes of a profile, and the time of writing where known."""
    texts = given.texts
    counts = dict(given.profiles.frame.select("example_id", "n_tokens").iter_rows())
    tokens = np.array([counts[example_id] for example_id in given.table.example_ids], dtype=float)
    rows = [
        given.row("words per profile", np.array([len(text.split()) for text in texts], dtype=float)),
        given.row("bytes per profile", np.array([len(text.encode()) for text in texts], dtype=float)),
    ]
    if np.isfinite(tokens).any():
        rows.insert(0, given.row("tokens per profile", tokens))
    if given.profiles.seconds is not None:
        rows.insert(0, given.row("seconds of writing per profile", np.full(len(texts), given.profiles.seconds)))
    return rows


def measure_truth(given: ProfilesAtHand) -> list[MeasureRow]:
    """Whether the profiles are true, readable and their owners' own, see `bluerec.evaluation.faithfulness`."""
    space = ItemSpace.centred(given.vectors.items)
    supported = measure_support(given.table, given.texts, space, given.vectors.embedder, seed=given.seed)
    own = space.place(given.vectors.embedder.embed(given.texts, "profile"))
    return [
        given.row(SUPPORTED, supported),
        *(given.row(name, values) for name, values in measure_guards(given.table, given.texts).items()),
        given.row("distance to other users' profiles (1 - cosine)", measure_distinctness(own)),
        given.row("reading ease (Flesch)", measure_reading_ease(given.texts)),
    ]


def measure_steering(given: ProfilesAtHand) -> list[MeasureRow]:
    """How far edits move what they name, see `bluerec.evaluation.steering`. An edit that nobody's profile takes is
    left out."""
    space, topics = ItemSpace.centred(given.vectors.items), find_topics(given.table.dataset)
    moves = measure_moves(given.table, given.texts, topics, space, given.vectors.embedder)
    return [given.row(kind, values) for kind, values in moves.items() if np.isfinite(values).sum() >= MIN_STEERED]


def measure_qa(given: ProfilesAtHand) -> list[MeasureRow]:
    """What a reader answers from the profiles, see `bluerec.evaluation.qa`."""
    if given.answerer is None:
        raise ConfigError("measure 'qa': needs a reading model")
    questions = build_questions(given.table, given.answerer.reader, seed=given.seed)
    return [given.row(name, values) for name, values in measure_answers(questions, given.texts, given.answerer).items()]


# Raised with the code of a measure, so that older values are measured anew.
MEASURE_VERSIONS: Mapping[str, int] = {"size": 5, "truth": 6, "steering": 6, QA: 4}
PROFILE_MEASURES: Mapping[str, ProfileMeasure] = {
    "size": measure_size,
    "truth": measure_truth,
    "steering": measure_steering,
    QA: measure_qa,
}


def measure_profiles(given: ProfilesAtHand, name: str) -> list[dict[str, Any]]:
    """One measure of one set of profiles on one data set."""
    return [asdict(row) for row in PROFILE_MEASURES[name](given)]


def build_controls(table: ExampleTable) -> list[ProfileSet]:
    """What a reader gets in the place of a profile: nothing, and the raw history."""
    texts = {NO_CONTEXT: [""] * len(table), RAW_HISTORY: render_raw_history(table)}
    constant = {"writer": "control", "template": "control", "n_tokens": None}
    return [
        ProfileSet(
            name,
            pl.DataFrame({"example_id": table.example_ids, "text": its}).with_columns(
                pl.lit(value, pl.String if isinstance(value, str) else pl.Int32).alias(column)
                for column, value in constant.items()
            ),
        )
        for name, its in texts.items()
    ]


def measure_cost(
    cell: Cell, table: ExampleTable, vectors: Vectors | None, profiles: ProfileSet | None
) -> list[dict[str, Any]]:
    """Seconds of ranking a user, and the bytes that are kept of one: event ids, the vector, or the profile's text.

    Seconds include all pools; embedding a text is included only the first time, as vectors are kept on disk.
    """
    if cell.is_external:  # what another program takes and keeps is not known here
        return []
    place = (cell.system, str(cell.identity["dataset"]), str(cell.identity["protocol"]))
    seconds = cell.seconds / len(table)
    rows = [MeasureRow(*place, "seconds per user", seconds, seconds, seconds, len(table))]
    kept = _bytes_kept(cell.system, table, vectors, profiles)
    if kept is not None:
        rows.append(summarise_measure(place, "bytes per user", kept))
    return [asdict(row) for row in rows]


def _bytes_kept(
    system: str, table: ExampleTable, vectors: Vectors | None, profiles: ProfileSet | None
) -> Float64Array | None:
    lengths = (table.history_stop - table.history_start).astype(float)
    kind = system.partition(":")[0]
    if system in _NOTHING_KEPT:
        return np.zeros(len(table))
    if profiles is not None and kind != BEST_HISTORY:  # which ranks in the space of the set, without its texts
        texts = profiles.texts
        sizes = np.array([len(texts[example_id].encode()) for example_id in table.example_ids], dtype=float)
        history = BYTES_PER_FLOAT * vectors.embedder.dimension if vectors and kind in BESIDE_HISTORY else 0
        others = BYTES_PER_ID * np.minimum(lengths, 10) if "co-occurrence" in kind else 0
        last = BYTES_PER_ID if "last-item" in kind else 0
        return sizes + history + others + last
    if system in _EVENTS_READ:
        return BYTES_PER_ID * np.minimum(lengths, _EVENTS_READ[system])
    return BYTES_PER_ID * lengths
