"""Ranks computed at the other side of the door, without bluerec, are those that bluerec computes."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from small_worlds import make_examples

from bluerec.data.candidates import sample_negatives
from bluerec.evaluation.external import save_examples
from bluerec.evaluation.protocol import rank_targets
from bluerec.evaluation.rankers import PopularityRanker, RandomRanker, Ranker

TABLE = make_examples(n_users=25, n_items=160)
POOLS = ("100", "full")


@pytest.fixture(scope="module")
def ranked_examples(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("ranked_examples")


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("ranker", [PopularityRanker(TABLE), RandomRanker()], ids=lambda its: its.name)
def test_ranks_of_an_examples_file_are_ours(
    ranked_examples: ModuleType, ranker: Ranker, masked: bool, tmp_path: Path
) -> None:
    negatives = sample_negatives(TABLE, 100, seed=0, mask_seen=masked)
    save_examples(TABLE, negatives, tmp_path / "examples.parquet")
    own = rank_targets(TABLE, [ranker], POOLS, mask_seen=masked).to_frame()
    scores = ranker.score(TABLE)
    rows = []
    for row, example in enumerate(pl.read_parquet(tmp_path / "examples.parquet").to_dicts()):
        rows += ranked_examples.rank_example(np.asarray(scores[row], dtype=np.float64), example, masked)
    theirs = pl.DataFrame(rows)
    joined = own.join(theirs, on=["example_id", "pool"], suffix="_theirs")
    assert joined.height == 2 * len(TABLE)
    assert joined["rank"].to_list() == joined["rank_theirs"].to_list()
    assert joined["n_candidates"].to_list() == joined["n_candidates_theirs"].to_list()


def test_an_unknown_target_is_ranked_last(ranked_examples: ModuleType) -> None:
    example = {"example_id": "u@1", "history": [0], "target": 3, "negatives": []}
    scores = np.array([5.0, -np.inf, 2.0, -np.inf])
    (row,) = ranked_examples.rank_example(scores, example, True)
    assert (row["rank"], row["n_candidates"]) == (3, 3)
