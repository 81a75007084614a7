"""Splits in time, and the histories and examples built from them.

An example is a user, a target event and a cutoff; its history is every event of that user strictly before the
cutoff. Two protocols:

- `leave-one-out`: the target is the user's last event. Users, not events, are split into train, validation and
  test by a hash of their id, so no profile of a test user is ever seen in training. Other users' events may lie
  later in time than the target: popularity and co-occurrence counts can therefore see the future.
- `global-time`: two points in time cut train from validation from test; only this protocol excludes any use of
  the future. It needs real timestamps. Counts see what lies before the first point, without the targets of train
  examples: what is measured on these, or written for them to learn from, must not rest on the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from bluerec.data.hashing import hash_name
from bluerec.data.tables import Dataset
from bluerec.errors import DataError
from bluerec.types import Event, Example, History, IntArray, Interaction

Protocol = Literal["leave-one-out", "global-time"]
PROTOCOLS: tuple[Protocol, ...] = ("leave-one-out", "global-time")
SPLITS = ("train", "validation", "test")
VALIDATION_SHARE = 0.10
TEST_SHARE = 0.25


@dataclass(frozen=True)
class ExampleTable:
    """Many examples as arrays of shape (n_examples,), and the data they point into.

    The history of example `i` is the event slice `history_start[i]:history_stop[i]`, its target the event
    `target_event[i]`. `countable` marks the events (n_events,) that counts such as popularity may use.
    """

    dataset: Dataset
    user_rows: IntArray
    history_start: IntArray
    history_stop: IntArray
    target_event: IntArray
    cutoffs: IntArray
    splits: np.ndarray
    countable: np.ndarray
    protocol: Protocol
    n_dropped: int = 0

    def __len__(self) -> int:
        return len(self.user_rows)

    @property
    def target_rows(self) -> IntArray:
        """Item row of each target."""
        return self.dataset.item_rows[self.target_event]

    @property
    def user_ids(self) -> list[str]:
        return [self.dataset.user_ids[row] for row in self.user_rows]

    @property
    def example_ids(self) -> list[str]:
        return [
            f"{self.dataset.user_ids[row]}@{cutoff}" for row, cutoff in zip(self.user_rows, self.cutoffs, strict=True)
        ]

    def take(self, rows: IntArray | np.ndarray) -> ExampleTable:
        """The examples at `rows` (positions or a mask)."""
        return replace(
            self,
            user_rows=self.user_rows[rows],
            history_start=self.history_start[rows],
            history_stop=self.history_stop[rows],
            target_event=self.target_event[rows],
            cutoffs=self.cutoffs[rows],
            splits=self.splits[rows],
        )

    def select(self, split: str, *, max_users: int | None = None, seed: int = 0) -> ExampleTable:
        """The examples of one split, or of several joined by commas, or of `all`.

        With `max_users`, a random sample of that size: nested (a larger sample contains the smaller ones) and
        the same on every machine, because the order is by a hash of the user id.
        """
        wanted = SPLITS if split == "all" else tuple(part.strip() for part in split.split(","))
        unknown = [part for part in wanted if part not in SPLITS]
        if unknown:
            raise DataError(f"unknown split {unknown[0]!r}; choose from {', '.join(SPLITS)}, all")
        chosen = self.take(np.flatnonzero(np.isin(self.splits, wanted)))
        if max_users is None or max_users >= len(chosen):
            return chosen
        keys = [_unit_hash(f"sample:{seed}:{user_id}") for user_id in chosen.user_ids]
        return chosen.take(np.sort(np.argsort(keys, kind="stable")[:max_users]))

    def without(self, others: ExampleTable) -> ExampleTable:
        """The examples that are not among the others."""
        left_out = set(others.example_ids)
        return self.take(np.flatnonzero([example_id not in left_out for example_id in self.example_ids]))

    def history_rows(self, example: int, *, last: int | None = None) -> IntArray:
        """Item rows of one history, oldest first; the `last` ones only if given."""
        start, stop = self.history_start[example], self.history_stop[example]
        if last is not None:
            start = max(start, stop - last)
        return self.dataset.item_rows[start:stop]

    def history_events(self, *, last: int | None = None) -> tuple[IntArray, IntArray]:
        """The events of all histories in one array, oldest first within each, and the place where each history begins.

        Only the `last` ones of each if given.
        """
        starts = self.history_start if last is None else np.maximum(self.history_start, self.history_stop - last)
        lengths = self.history_stop - starts
        places = np.cumsum(lengths) - lengths
        return np.arange(lengths.sum()) + np.repeat(starts - places, lengths), places

    def count_items(self) -> IntArray:
        """How often each item was taken, (n_items,), among the countable events."""
        return np.bincount(self.dataset.item_rows[self.countable], minlength=self.dataset.n_items)

    def examples(self, *, last: int | None = None) -> Iterator[Example]:
        """Build the dataclasses, in order; the `last` events of each history only if given."""
        reviews = _load_reviews(self.dataset, self.user_rows)
        for row, example_id in enumerate(self.example_ids):
            history = self._history(row, last, reviews)
            target = self.dataset.item(int(self.target_rows[row]))
            yield Example(example_id, history, target, str(self.splits[row]))

    def _history(self, row: int, last: int | None, reviews: _Reviews) -> History:
        data = self.dataset
        user_id = data.user_ids[self.user_rows[row]]
        start, stop = int(self.history_start[row]), int(self.history_stop[row])
        if last is not None:
            start = max(start, stop - last)
        events = []
        for event in range(start, stop):
            item = data.item(int(data.item_rows[event]))
            timestamp, rating = int(data.timestamps[event]), float(data.ratings[event])
            title, text = reviews.get((user_id, item.item_id, timestamp), (None, None))
            interaction = Interaction(
                user_id, item.item_id, timestamp, None if np.isnan(rating) else rating, title, text
            )
            events.append(Event(interaction, item))
        return History(user_id, tuple(events), int(self.cutoffs[row]))


_Reviews = dict[tuple[str, str, int], tuple[str | None, str | None]]


def split_examples(dataset: Dataset, protocol: str = "leave-one-out", *, seed: int = 0) -> ExampleTable:
    """Build every example of a data set. Users without any event before their target are dropped and counted.

    Raises `DataError` for an unknown protocol, and for `global-time` where timestamps are only positions.
    """
    if protocol == "leave-one-out":
        return _leave_one_out(dataset, seed)
    if protocol == "global-time":
        return _global_time(dataset)
    raise DataError(f"unknown split protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}")


def split_of_user(user_id: str, *, seed: int = 0) -> str:
    """Train, validation or test, by a hash of the id: adding users never moves the others."""
    position = _unit_hash(f"split:{seed}:{user_id}")
    if position < TEST_SHARE:
        return "test"
    return "validation" if position < TEST_SHARE + VALIDATION_SHARE else "train"


def _leave_one_out(data: Dataset, seed: int) -> ExampleTable:
    target_event = data.user_offsets[1:] - 1
    cutoffs = data.timestamps[target_event]
    starts = data.user_offsets[:-1]
    before = data.timestamps < np.repeat(cutoffs, np.diff(data.user_offsets))
    stops = starts + np.add.reduceat(before.astype(np.int64), starts)
    splits = np.array([split_of_user(user_id, seed=seed) for user_id in data.user_ids])
    return _build(data, np.arange(data.n_users), starts, stops, target_event, cutoffs, splits, before, "leave-one-out")


def _global_time(data: Dataset) -> ExampleTable:
    if not data.has_real_times:
        raise DataError(
            f"{data.folder or 'data'}: timestamps are positions, not times, so a global-time split has no meaning; "
            "use leave-one-out"
        )
    first_cut, second_cut = (int(cut) for cut in np.quantile(data.timestamps, (0.8, 0.9)))
    parts = []
    user_of_event = np.repeat(np.arange(data.n_users), np.diff(data.user_offsets))
    for split, low, high in (("validation", first_cut, second_cut), ("test", second_cut, None)):
        inside = (data.timestamps >= low) & (data.timestamps < high if high else True)
        users, first = np.unique(user_of_event[inside], return_index=True)
        parts.append((split, users, np.flatnonzero(inside)[first], np.full(len(users), low)))
    early = np.flatnonzero(data.timestamps < first_cut)
    users, first = np.unique(user_of_event[early][::-1], return_index=True)
    last_early = early[::-1][first]
    parts.append(("train", users, last_early, data.timestamps[last_early]))

    user_rows = np.concatenate([part[1] for part in parts])
    target_event = np.concatenate([part[2] for part in parts])
    cutoffs = np.concatenate([part[3] for part in parts])
    splits = np.concatenate([np.full(len(part[1]), part[0], dtype=object) for part in parts]).astype(str)
    starts = data.user_offsets[user_rows]
    stops = np.array(
        [
            start + np.searchsorted(data.timestamps[start:stop], cutoff, side="left")
            for start, stop, cutoff in zip(starts, data.user_offsets[user_rows + 1], cutoffs, strict=True)
        ],
        dtype=np.int64,
    )
    countable = data.timestamps < first_cut
    is_answer = (splits == "train") & (stops > starts)  # who has no history makes no example
    countable[target_event[is_answer]] = False
    return _build(data, user_rows, starts, stops, target_event, cutoffs, splits, countable, "global-time")


def _build(
    data: Dataset,
    user_rows: IntArray,
    starts: IntArray,
    stops: IntArray,
    target_event: IntArray,
    cutoffs: IntArray,
    splits: np.ndarray,
    countable: np.ndarray,
    protocol: Protocol,
) -> ExampleTable:
    table = ExampleTable(data, user_rows, starts, stops, target_event, cutoffs, splits, countable, protocol)
    has_history = stops > starts
    return replace(table.take(np.flatnonzero(has_history)), n_dropped=int((~has_history).sum()))


def _load_reviews(data: Dataset, user_rows: Sequence[int] | IntArray) -> _Reviews:
    """Titles and texts of the reviews of these users, read from disk."""
    if data.reviews is None:
        return {}
    wanted = pl.Series([data.user_ids[row] for row in user_rows], dtype=pl.String)
    written = pl.col("review_title").is_not_null() | pl.col("review_text").is_not_null()
    rows = data.reviews.filter(pl.col("user_id").is_in(wanted.implode()) & written).collect().rows()
    return {(user_id, item_id, timestamp): (title, text) for user_id, item_id, timestamp, title, text in rows}


def _unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return hash_name(text) / 2**64
