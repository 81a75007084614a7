"""How well a profile picks out the next item, and the item the profile; ranks, lengths, grades: over arrays only.

Bidirectional InfoNCE after BLUE (arXiv 2605.06981): such a score is a log-probability, at most 0, and `log(1 / n)`
where nothing tells the true one from the n - 1 others. Vectors have norm 1, so a dot product is a cosine, and the
`temperature` is in units of cosine.

Shapes: n scores, d dimensions, m negative items, r reference profiles. Where all n rows share an item, its
negatives, its references or a history, pass them once, with a first dimension of 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bluerec.types import Float32Array, IntArray

Float64Array = NDArray[np.float64]
# Scores closer than this are ties, as in the evaluation.
TIE_MARGIN = 1e-6


def info_nce_to_item(
    profile: Float32Array, item: Float32Array, negatives: Float32Array, temperature: float
) -> Float64Array:
    """Log-probability (n,) of the true item among its negatives, as seen from the profile.

    `profile` (n, d), `item` (n, d), `negatives` (n, m, d).
    """
    return _log_share(_dot(profile, item), _dots(profile, negatives), temperature)


def info_nce_to_profile(
    profile: Float32Array, item: Float32Array, references: Float32Array, temperature: float
) -> Float64Array:
    """Log-probability (n,) of this profile among those of other users, as seen from the item.

    `profile` (n, d), `item` (n, d), `references` (n, r, d). The references stay the same whatever is scored, so the
    profiles of a group do not compete with each other, and the score differs within the group.
    """
    return _log_share(_dot(profile, item), _dots(item, references), temperature)


def info_nce(
    profile: Float32Array,
    item: Float32Array,
    negatives: Float32Array,
    references: Float32Array,
    *,
    temperature: float,
    share: float,
) -> Float64Array:
    """Both directions, (n,): `1 - share` of profile to item and `share` of item to profile. Shapes as above."""
    to_item = info_nce_to_item(profile, item, negatives, temperature)
    to_profile = info_nce_to_profile(profile, item, references, temperature)
    return (1.0 - share) * to_item + share * to_profile


def info_nce_bridge(
    history: Float32Array,
    profile: Float32Array,
    item: Float32Array,
    negatives: Float32Array,
    references: Float32Array,
    reference_histories: Float32Array,
    *,
    weight: float,
    temperature: float,
    share: float,
) -> Float64Array:
    """What the profile adds to the history, (n,): `info_nce` of the two fused minus that of the history alone.

    `history` (n, d), `reference_histories` (n, r, d): the histories of the users of the references, which are fused
    with them too. Histories need not be unit vectors, see `weigh_history`. Positive where the profile brings user and
    item closer than they were.
    """
    fused_references = fuse(reference_histories, references, weight)
    fused = info_nce(
        fuse(history, profile, weight), item, negatives, fused_references, temperature=temperature, share=share
    )
    alone = info_nce(
        normalise(history), item, negatives, normalise(reference_histories), temperature=temperature, share=share
    )
    return fused - alone


def fuse(history: Float32Array, profile: Float32Array, weight: float) -> Float32Array:
    """History and profile as one user vector, `normalise(history + weight * profile)`; (..., d) each."""
    return normalise(history + np.float32(weight) * profile)


def weigh_history(items: Float32Array) -> Float32Array:
    """Weighted mean (d,) of a history's item vectors (n_events, d), oldest first: 1/j for the j-th latest.

    Not made a unit vector: its length tells how much the items agree, and so how much a profile counts beside it.
    """
    weights = (1.0 / np.arange(len(items), 0, -1)).astype(np.float32)
    return (weights @ items) / weights.sum()


def normalise(vectors: Float32Array) -> Float32Array:
    """Rows of norm 1; a zero row, which points nowhere, stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(norms == 0, 1.0, norms)).astype(np.float32)


def rank_target(scores: Float32Array, targets: IntArray, hidden: NDArray[np.bool_]) -> IntArray:
    """Rank (n,) of each target, 1 is best, among the items that are not hidden; ties count against it.

    `scores` (n, n_items), `targets` (n,) are positions, `hidden` (n, n_items). The target itself is never hidden.
    """
    rows = np.arange(len(targets))
    rivals = (scores >= scores[rows, targets][:, None] - TIE_MARGIN) & ~hidden
    rivals[rows, targets] = False
    return 1 + rivals.sum(axis=1)


def ndcg_of_rank(ranks: IntArray) -> Float64Array:
    """Normalised discounted cumulative gain (n,) where one item is relevant, without a cut: 1 / log2(1 + rank)."""
    return np.asarray(1.0 / np.log2(1.0 + ranks))


def reciprocal_of_rank(ranks: IntArray) -> Float64Array:
    """1 / rank, (n,)."""
    return np.asarray(1.0 / ranks)


def score_length(n_words: IntArray, *, target: int, slope: float, cap: float) -> Float64Array:
    """`slope` for each word below the target and minus `slope` for each above, (n,), within -cap and cap."""
    return np.clip(slope * (target - np.asarray(n_words, dtype=np.float64)), -cap, cap)


def expected_grade(log_probabilities: Float32Array) -> Float64Array:
    """Mean grade (n,) from log-probabilities (n, n_grades), lowest grade first, as a share: 0 worst, 1 best."""
    shares = np.linspace(0.0, 1.0, log_probabilities.shape[1])
    return np.exp(np.asarray(log_probabilities, dtype=np.float64)) @ shares


def combine_in_groups(scores: Float64Array, weights: Float64Array, group_size: int) -> Float64Array:
    """One number (n,) for scores (n, n_rewards): each normalised within its group of rows, then weighted and summed.

    What GRPO makes advantages of by default, less the 1e-4 that TRL adds to a deviation. NaN marks a reward that the
    whole group lacks; one that does not vary adds nothing.
    """
    groups = scores.reshape(-1, group_size, scores.shape[1])
    centred = groups - groups.mean(axis=1, keepdims=True)
    deviations = groups.std(axis=1, keepdims=True)
    varies = deviations > 1e-9
    normalised = np.where(varies, centred / np.where(varies, deviations, 1.0), 0.0)
    combined: Float64Array = normalised.reshape(scores.shape) @ weights
    return combined


def _dot(left: Float32Array, right: Float32Array) -> Float32Array:
    """Cosines (n,) of paired rows."""
    return (left * right).sum(axis=-1)


def _dots(rows: Float32Array, others: Float32Array) -> Float32Array:
    """Cosines (n, m) of each row (n, d) with its own others (n, m, d)."""
    return np.matmul(others, rows[:, :, None])[:, :, 0]


def _log_share(true: Float32Array, others: Float32Array, temperature: float) -> Float64Array:
    """Log-softmax of the true logit (n,) among itself and the others (n, m)."""
    logits = np.empty((max(len(true), len(others)), 1 + others.shape[1]))
    logits[:, 0] = true
    logits[:, 1:] = others
    logits /= temperature
    logits -= logits.max(axis=1, keepdims=True)
    return logits[:, 0] - np.log(np.exp(logits).sum(axis=1))
