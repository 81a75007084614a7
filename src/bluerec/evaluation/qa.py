"""Questions about a user, answered by a language model that reads nothing, the raw history, or a profile.

(a) Which item comes next, among 4 and among 10: the questions of the reward in text space. (b) Which rating from 1 to
5 the next item gets. The reader never sees more than the context and the question; a context is a text like any other,
so that no context, the history and every system's profile are compared by the same questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bluerec.config import ChoiceRewardConfig
from bluerec.data.histories import ExampleTable
from bluerec.data.instructions import is_instruction
from bluerec.data.personal_data import strip_personal_data
from bluerec.evaluation.answerers import RATINGS, Answerer, find_median
from bluerec.evaluation.metrics import Float64Array
from bluerec.profiling.prompts import MAX_REVIEW_CHARACTERS
from bluerec.rewards.choice import ChoiceReward
from bluerec.types import Float32Array, Reader

N_OPTIONS = (4, 10)
MIN_RATED = 20  # questions; fewer say nothing
RAW_EVENTS = 10
NO_ANSWER = "no readable answer (share)"
# Log-probabilities as near as this are tied.
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class AskedChoice:
    """A multiple choice asked of the user in a `row` of the table; the right one of the options is at `true`."""

    row: int
    options: tuple[str, ...]
    true: int


@dataclass(frozen=True)
class Questions:
    """What is asked of some users, the same for every context. `ratings` are NaN where the target has none."""

    table: ExampleTable
    choices: Mapping[int, Sequence[AskedChoice]]  # by the number of options
    titles: tuple[str, ...]
    ratings: Float64Array  # (n_users,)
    prior: Float64Array  # (5,) shares of the ratings among the countable events

    @property
    def rated(self) -> list[int]:
        """Rows with a rating and a title; none where they are too few."""
        rows = [row for row, title in enumerate(self.titles) if title.strip() and np.isfinite(self.ratings[row])]
        return rows if len(rows) >= MIN_RATED else []


def build_questions(table: ExampleTable, reader: Reader, *, seed: int = 0) -> Questions:
    """The multiple choices (of the reward, with this seed) and the ratings of the targets."""
    choices = {}
    for n_options in N_OPTIONS:
        maker = ChoiceReward(ChoiceRewardConfig(n_options=n_options), table, reader, seed=seed)
        made = [(row, maker.build_choice(row)) for row in range(len(table))]
        choices[n_options] = [AskedChoice(row, one.options, one.true) for row, one in made if one is not None]
    data = table.dataset
    ratings = data.ratings[table.target_event].astype(float)
    known = data.ratings[table.countable]
    known = np.clip(np.rint(known[np.isfinite(known)]), RATINGS[0], RATINGS[-1]).astype(np.int64)
    counts = np.bincount(known, minlength=RATINGS[-1] + 1)[RATINGS[0] :] + 1.0
    titles = tuple(data.titles[item] for item in table.target_rows)
    return Questions(table, choices, titles, ratings, counts / counts.sum())


def render_raw_history(table: ExampleTable) -> list[str]:
    """The latest events as plain text, the latest last: titles, ratings, titles of reviews.

    As in a prompt, what talks to a model is left out, and personal data is taken out of reviews: either may be sent to
    a reader elsewhere.
    """
    texts = []
    for example in table.examples(last=RAW_EVENTS):
        lines = []
        for event in example.history.events:
            if is_instruction(event.item.title):
                continue
            rating = event.interaction.rating
            line = event.item.title + (f", rated {rating:g}" if rating is not None else "")
            review = strip_personal_data(event.interaction.review_title or event.interaction.review_text or "")
            if review and not is_instruction(review[:MAX_REVIEW_CHARACTERS]):
                line = f"{line}: {review[:MAX_REVIEW_CHARACTERS]}"
            lines.append(" ".join(line.split()))
        texts.append("\n".join(lines))
    return texts


def measure_answers(questions: Questions, contexts: Sequence[str], answerer: Answerer) -> dict[str, Float64Array]:
    """Accuracy, rating error and tokens (n_users,) of one context for each user; NaN where a user was not asked.

    What could not be read as an answer counts as a guess, or as the median rating, and its share is a measure too.
    """
    measures: dict[str, Float64Array] = {}
    silent: dict[str, Float64Array] = {}
    for n_options, choices in questions.choices.items():
        if choices:
            name = f"next item among {n_options}"
            measures[f"{name}: accuracy"], silent[name] = _measure_choices(
                choices, contexts, answerer, n_users=len(questions.table), n_options=n_options
            )
    if questions.rated:
        name = "rating of the next item"
        measures[f"{name}: absolute error"], silent[name] = _measure_ratings(questions, contexts, answerer)
    for name, values in silent.items():
        if np.nansum(values) > 0:
            measures[f"{name}: {NO_ANSWER}"] = values
    measures["tokens of context"] = np.array([answerer.count_tokens(text) for text in contexts], dtype=float)
    return measures


def _measure_choices(
    choices: Sequence[AskedChoice], contexts: Sequence[str], answerer: Answerer, *, n_users: int, n_options: int
) -> tuple[Float64Array, Float64Array]:
    """Whether each user's (n_users,) choice is right, and whether there was no answer."""
    correct, silent = np.full(n_users, np.nan), np.full(n_users, np.nan)
    rows = [one.row for one in choices]
    correct[rows], silent[rows] = 1.0 / n_options, 0.0
    asked = [one for one in choices if contexts[one.row].strip() or not answerer.guesses_alone]
    if asked:
        answers = answerer.reader.choose([contexts[one.row] for one in asked], [one.options for one in asked])
        rows = [one.row for one in asked]
        correct[rows] = grade_choices(answers, [one.true for one in asked])
        silent[rows] = np.ptp(answers, axis=1) == 0
    return correct, silent


def _measure_ratings(
    questions: Questions, contexts: Sequence[str], answerer: Answerer
) -> tuple[Float64Array, Float64Array]:
    """How far each user's (n_users,) predicted rating is off, and whether there was no answer."""
    errors, silent = np.full(len(questions.table), np.nan), np.full(len(questions.table), np.nan)
    rated = questions.rated
    titles = [questions.titles[row] for row in rated]
    predicted = answerer.rate([contexts[row] for row in rated], titles, questions.prior)
    silent[rated] = np.isnan(predicted)
    predicted = np.where(np.isnan(predicted), find_median(questions.prior), predicted)
    errors[rated] = np.abs(predicted - questions.ratings[rated])
    return errors, silent


def grade_choices(answers: Float32Array, true: Sequence[int]) -> Float64Array:
    """1 where the true option is the likeliest, 0 where another is; among k tied for the first place, 1/k."""
    tied = answers >= answers.max(axis=1, keepdims=True) - _TIE
    return np.asarray(tied[np.arange(len(true)), list(true)] / tied.sum(axis=1), dtype=float)
