"""Results come back as saved, and what is no results file is refused in one line."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from report_fixtures import results_content, write_results
from small_worlds import make_examples

from bluerec.errors import DataError
from bluerec.evaluation.protocol import rank_targets
from bluerec.evaluation.rankers import RandomRanker
from bluerec.evaluation.results import (
    RESULTS_SCHEMA,
    PairedRow,
    ResultRow,
    Results,
    load_results,
    save_ranks,
    save_results,
)

RESULTS = Results(
    {"data": "games", "data_digest": "d", "protocol": "leave-one-out", "split": "test", "mask_seen": True,
     "n_users": 3, "seed": 0},
    (ResultRow("mean", "full", "ndcg@10", 0.1, 0.05, 0.2, 3), ResultRow("mean", "100", "ndcg@10", 1.0, 1.0, 1.0, 3)),
    (PairedRow("mean", "random", "full", "ndcg@10", 0.1, -0.1, 0.2, 0.4, 3),),
    ("a note",),
)  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    save_results(RESULTS, tmp_path / "out" / "results.json")
    assert load_results(tmp_path / "out" / "results.json") == RESULTS
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["schema"] == RESULTS_SCHEMA
    assert content["rows"][0] == {
        "ranker": "mean", "pool": "full", "metric": "ndcg@10", "mean": 0.1, "low": 0.05, "high": 0.2, "n_users": 3,
    }  # fmt: skip


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "not results"),
        ({"schema": "bluerec-results-0"}, "'bluerec-results-0' instead of"),
        (without(results_content(), "rows"), "ResultRows are missing"),
        (without(results_content(), "paired"), "PairedRows are missing"),
        (without(results_content(), "identity"), "identity lacks"),
        (results_content() | {"rows": [{"ranker": "mean"}]}, "ResultRow 0 must have ranker, pool"),
        (results_content() | {"rows": [results_content()["rows"][0] | {"mean": "high"}]}, "mean is 'high'"),
    ],
)
def test_other_files_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = write_results(tmp_path / "results.json", content)
    with pytest.raises(DataError, match=message) as caught:
        load_results(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_results(tmp_path / "results.json")
    with pytest.raises(DataError, match="is a folder"):
        load_results(tmp_path)
    (tmp_path / "results.json").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="damaged JSON"):
        load_results(tmp_path / "results.json")


def test_ranks_lie_beside_the_results(tmp_path: Path) -> None:
    ranking = rank_targets(make_examples(), [RandomRanker()], ("5", "full"))
    path = save_ranks(ranking, tmp_path / "games.json")
    assert path == tmp_path / "games.ranks.parquet"
    frame = pl.read_parquet(path)
    assert frame.columns == ["example_id", "user_id", "ranker", "pool", "rank", "n_candidates"]
    assert frame.equals(ranking.to_frame())


def test_a_device_or_folder_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(DataError, match="is there and is no file"):
            save_results(Results({}, ()), path)
    assert pipe.is_fifo()
