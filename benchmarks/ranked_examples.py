"""Ranks of examples at the door of the benchmark, without bluerec, as another environment has to compute them."""

from __future__ import annotations

import numpy as np
import pandas as pd

TIE_TOLERANCE = 1e-6  # as in bluerec.evaluation.protocol


def count_above(scores: np.ndarray, target: int) -> np.ndarray:
    """Which items (n_items,) reach the score of the target, itself left out: ties count against it."""
    lowest = scores[target] - TIE_TOLERANCE * max(1.0, abs(scores[target])) if np.isfinite(scores[target]) else -np.inf
    above = scores >= lowest
    above[target] = False
    return above


def find_masked(example: dict, masked: bool) -> np.ndarray:
    """The items that are no candidates: those of the history, but never the target."""
    return np.setdiff1d(np.unique(example["history"]), [example["target"]]) if masked else np.zeros(0, dtype=np.int64)


def rank_example(scores: np.ndarray, example: dict, masked: bool) -> list[dict[str, object]]:
    """The rank in each sampled pool and in the full catalogue."""
    above = count_above(scores, int(example["target"]))
    seen = find_masked(example, masked)
    above[seen] = False
    negatives = np.asarray(example["negatives"], dtype=np.int64)
    pools = {str(n): negatives[:n] for n in (100, 500, 1000) if len(negatives) >= n}
    rows = [(pool, int(above[its].sum()), len(its) + 1) for pool, its in pools.items()]
    rows.append(("full", int(above.sum()), len(scores) - len(seen)))
    return [
        {"example_id": example["example_id"], "pool": pool, "rank": 1 + n_above, "n_candidates": n_candidates}
        for pool, n_above, n_candidates in rows
    ]


def compute_ndcg(ranks: pd.DataFrame) -> float:
    """NDCG@10 in the full catalogue: there is one target an example."""
    full = ranks[ranks["pool"] == "full"]["rank"].to_numpy()
    return float(np.where(full <= 10, 1 / np.log2(1 + full), 0.0).mean())
