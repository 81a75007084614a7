"""What must not be trained on silently: numbers that are none, groups without differences, runaway length, collapse.

A pure state machine over what is known of each step before its update; a resumed run replays its log through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bluerec.config import TrainConfig

# Single steps show different users: entropy and length are judged by means of so many steps.
N_SMOOTHED = 3
N_FIRST = 5
ENTROPY_SPAN = 20


@dataclass(frozen=True, slots=True)
class StepFacts:
    """A step before its update. The shares lie between 0 and 1; None where a number is not known."""

    is_finite: bool
    flat_groups: float | None
    clipped_share: float | None
    entropy: float | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a step, and what may mend it; both are parts of one line."""

    what: str
    remedy: str


class FaultWatch:
    """Tells whether a step must not be trained on."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._flat_steps = 0
        self._clipped: list[float] = []
        self._entropies: list[float] = []

    def replay(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in the rows of a log, oldest first."""
        for row in rows:
            self.find(StepFacts(True, row.get("flat_groups"), row.get("clipped_share"), row.get("entropy")))

    def find(self, facts: StepFacts) -> Fault | None:
        """The fault of the next step, the gravest if there are several."""
        found = [self._flat(facts.flat_groups), self._length(facts.clipped_share), self._entropy(facts.entropy)]
        if not facts.is_finite:
            return Fault("the loss or its gradient is not a finite number", "lower train.learning_rate")
        return next((fault for fault in found if fault), None)

    def _flat(self, share: float | None) -> Fault | None:
        limit = self._config.flat_steps
        self._flat_steps = self._flat_steps + 1 if share == 1.0 else 0
        if not limit or self._flat_steps < limit:
            return None
        return Fault(
            f"in {self._flat_steps} steps in a row all candidates of a user have had equal rewards: nothing is learnt",
            "raise train.temperature or train.group_size",
        )

    def _length(self, share: float | None) -> Fault | None:
        if share is None:
            return None
        self._clipped.append(share)
        first, last = self._clipped[:N_FIRST], self._clipped[-N_SMOOTHED:]
        risen = _mean(last) - _mean(first)
        limit = self._config.runaway_length
        if not limit or len(self._clipped) < N_FIRST + N_SMOOTHED or risen < limit:
            return None
        return Fault(
            f"runaway length: {_mean(last):.0%} of the candidates reach profiler.max_new_tokens, "
            f"at the beginning {_mean(first):.0%}",
            "raise guards.unfinished or lower train.learning_rate",
        )

    def _entropy(self, entropy: float | None) -> Fault | None:
        if entropy is None:
            return None
        self._entropies = [*self._entropies[-(ENTROPY_SPAN + N_SMOOTHED - 1) :], entropy]
        n_means = len(self._entropies) - N_SMOOTHED + 1
        limit = self._config.entropy_drop
        if not limit or n_means < 2:
            return None
        means = [_mean(self._entropies[start : start + N_SMOOTHED]) for start in range(n_means)]
        if means[-1] > (1 - limit) * max(means):
            return None
        return Fault(
            f"the entropy fell from {max(means):.2f} to {means[-1]:.2f} within {ENTROPY_SPAN} steps",
            "lower train.learning_rate, or raise train.temperature or train.kl",
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
