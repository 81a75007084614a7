"""Rejection sampling: of several candidates that the profiler writes for a user, the one with the best rewards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.profiling.decoding import Sampling
from bluerec.profiling.prompts import join_profile
from bluerec.rewards.scoring import combine_in_groups
from bluerec.runs import atomic_path
from bluerec.training.policy import Policy
from bluerec.types import CountDone, RewardFunction

# Users whose candidates are sampled together; a kill loses at most so many.
USERS_PER_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Best:
    """The best candidate of an example: its token ids, None if none of them is worth imitating.

    `gain` is what it is worth above the mean of its group, in standard deviations summed over the rewards.
    """

    example_id: str
    tokens: list[int] | None
    text: str
    gain: float


class BestOf:
    """Samples candidates and keeps the best of each user.

    Each reward is normalised within the candidates of a user, as GRPO does it. A candidate that has not ended by itself
    is none to imitate.
    """

    def __init__(
        self,
        table: ExampleTable,
        prompts: Sequence[Sequence[int]],
        policy: Policy,
        rewards: Sequence[tuple[RewardFunction, float]],
        sampling: Sampling,
        n_candidates: int,
        *,
        prefill: str,
        seed: int,
    ) -> None:
        """`prompts` are the token ids of each example's prompt. Raises `ConfigError` where vLLM samples."""
        self._example_ids = table.example_ids
        self._prompts = prompts
        if policy.rollouts is None:
            raise ConfigError("sft.source='best-of-n' samples with its own decoder; leave out trl.use_vllm")
        self._policy = policy
        self._rollouts = policy.rollouts
        self._rewards = list(rewards)
        self._sampling = sampling
        self._n_candidates = n_candidates
        self._prefill = prefill
        self._seed = seed

    def choose(self, path: Path, tell: CountDone | None = None) -> list[Best]:
        """One `Best` per example. Chunks are appended to `path`, and those that stand there are not sampled again.

        `tell` is called with (users done, users).
        """
        done = _load(path, len(self._example_ids))
        self._rollouts.refresh(self._policy.model)
        for start in range(len(done), len(self._example_ids), USERS_PER_CHUNK):
            chunk = self._choose_chunk(range(start, min(start + USERS_PER_CHUNK, len(self._example_ids))))
            with path.open("a", encoding="utf-8") as file:
                file.write(_render(chunk))
            done += chunk
            if tell:
                tell(len(done), len(self._example_ids))
        return done

    def _choose_chunk(self, rows: range) -> list[Best]:
        import torch

        torch.manual_seed(self._seed + rows.start)  # a resumed run samples the same
        tokenizer, size = self._policy.tokenizer, self._n_candidates
        prompts = [self._prompts[row] for row in rows]
        written = self._rollouts.generate(prompts, size, self._sampling, int(tokenizer.pad_token_id))
        texts = [join_profile(self._prefill, tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in written]
        example_ids = [self._example_ids[row] for row in rows for _ in range(size)]
        columns = [function.score(texts, example_ids) for function, _ in self._rewards]
        scores = np.array([[np.nan if score is None else score for score in column] for column in columns]).T
        ended = [bool(tokens) and tokens[-1] in self._sampling.stop_tokens for tokens in written]
        picked = pick_best(scores, np.array([weight for _, weight in self._rewards]), size, ended)
        return [
            Best(self._example_ids[row], written[one[0]], texts[one[0]], one[1])
            if one
            else Best(self._example_ids[row], None, "", 0.0)
            for row, one in zip(rows, picked, strict=True)
        ]


def pick_best(
    scores: np.ndarray, weights: np.ndarray, group_size: int, ended: Sequence[bool]
) -> list[tuple[int, float] | None]:
    """Row and gain of the best of each group, (n, n_rewards) scores; None where none has ended or all are equal."""
    gains = combine_in_groups(scores, weights, group_size)
    picked: list[tuple[int, float] | None] = []
    for start in range(0, len(gains), group_size):
        allowed = [row for row in range(start, start + group_size) if ended[row]]
        best = max(allowed, key=lambda row: (gains[row], -row), default=None)
        picked.append((best, float(gains[best])) if best is not None and gains[best] > 0 else None)
    return picked


def _render(found: Sequence[Best]) -> str:
    """One line of JSON each."""
    rows = (
        {"example_id": best.example_id, "tokens": best.tokens, "text": best.text, "gain": round(best.gain, 4)}
        for best in found
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def _load(path: Path, n_examples: int) -> list[Best]:
    """The whole chunks of a file, which is cut back to them: a kill may have left a part of one."""
    if not path.is_file():
        return []
    found = []
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        found.append(Best(row["example_id"], row["tokens"], row["text"], row["gain"]))
    if len(found) < n_examples:
        found = found[: len(found) // USERS_PER_CHUNK * USERS_PER_CHUNK]
    whole = _render(found)
    if text != whole:
        with atomic_path(path) as partial:
            partial.write_text(whole, encoding="utf-8")
    return found
