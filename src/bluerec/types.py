"""The nouns of the package: one user's worth of data, and the protocols that the parts fulfil.

Tables hold millions of rows (`bluerec.data.tables`), the dataclasses here hold one. Both use the same field
names. Ids are strings; positions in an array are called `*_row`; counts are called `n_*`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bluerec.errors import DataError

Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
TextKind = Literal["profile", "item"]
Message = dict[str, str]
# Told how much of the work is done: (done, total).
CountDone = Callable[[int, int], None]

# The start of the year 1 and the end of the year 9999 in Unix seconds: what lies outside was meant as milliseconds.
FIRST_SECOND = -62_135_596_800
LAST_SECOND = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Interaction:
    """One event of a user with an item. `timestamp` is in seconds, or a position where only the order is known."""

    user_id: str
    item_id: str
    timestamp: int
    rating: float | None = None
    review_title: str | None = None
    review_text: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One catalogue entry. Every text of it is untrusted."""

    item_id: str
    title: str
    description: str = ""
    categories: tuple[str, ...] = ()
    brand: str | None = None
    price: float | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An interaction together with the item it was with."""

    interaction: Interaction
    item: Item


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a user strictly before `cutoff`, oldest event first.

    Raises `DataError` if an event is at or after the cutoff: such a history would leak the future.
    """

    user_id: str
    events: tuple[Event, ...]
    cutoff: int

    def __post_init__(self) -> None:
        late = [event for event in self.events if event.interaction.timestamp >= self.cutoff]
        if late:
            raise DataError(
                f"history of user {self.user_id!r}: {len(late)} event(s) at or after the cutoff {self.cutoff}; "
                "build histories with bluerec.data.histories"
            )


@dataclass(frozen=True, slots=True)
class Example:
    """A history and the item that came next."""

    example_id: str
    history: History
    target: Item
    split: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """The items that a ranker has to order for one example; `relevant`, the target's id, is among them once."""

    example_id: str
    item_ids: tuple[str, ...]
    relevant: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered request for a profile.

    `messages` are chat messages, `prefill` the first words of the answer that are given to the model,
    `template` the name of the wording, `n_omitted` the number of events that are not in it: the oldest, which did not
    fit, those with a title that is an instruction, and those without anything to name them; `n_withheld` the number of
    events of which such a title, review or category was left out; `n_cut` the number of events that the token budget
    alone left out.
    """

    messages: tuple[Message, ...]
    prefill: str
    template: str
    n_events: int
    n_omitted: int
    n_withheld: int = 0
    n_cut: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """A text about a user, written from what happened before `cutoff`."""

    user_id: str
    text: str
    cutoff: int
    writer: str
    template: str

    @property
    def profile_id(self) -> str:
        """Content hash over all fields (16 hexadecimal digits)."""
        content = "\x1f".join((self.user_id, self.text, str(self.cutoff), self.writer, self.template))
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Reward:
    """One score of one profile; `score` is None only where the whole prompt lacks this reward."""

    name: str
    score: float | None
    weight: float

    @property
    def value(self) -> float:
        return 0.0 if self.score is None else self.weight * self.score


@dataclass(frozen=True, slots=True)
class Metric:
    """A mean over users with its 95% bootstrap interval."""

    name: str
    mean: float
    low: float
    high: float
    n_users: int


@runtime_checkable
class ProfileWriter(Protocol):
    """Writes one text per prompt, in the order of the prompts."""

    @property
    def name(self) -> str: ...

    def write(self, prompts: Sequence[Prompt]) -> list[str]: ...


@runtime_checkable
class Embedder(Protocol):
    """Maps texts to unit vectors, (n_texts, dimension) float32. `name` identifies model and settings."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str], kind: TextKind) -> Float32Array: ...


@runtime_checkable
class Reader(Protocol):
    """Reads a context and says how plausible each option is as what comes next.

    Returns log-probabilities (n_contexts, n_options) float32, each row normalised over the options.
    """

    @property
    def name(self) -> str: ...

    def choose(self, contexts: Sequence[str], options: Sequence[Sequence[str]]) -> Float32Array: ...


@runtime_checkable
class RewardFunction(Protocol):
    """Scores profiles by themselves: the result for a text never depends on the other texts of the call."""

    @property
    def name(self) -> str: ...

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]: ...


@runtime_checkable
class Stateful(Protocol):
    """Keeps numbers from call to call; their last bits may depend on earlier calls, so a resumed run restores them."""

    def state(self) -> dict[str, float]: ...

    def restore(self, state: Mapping[str, float]) -> None: ...
