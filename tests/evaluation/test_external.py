# ruff: noqa: E501 (a table of faults reads best with one fault a line)
"""The door for other systems: what fits gives our own numbers, what does not is refused naming rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bench_fixtures import run_bench, save_toy
from small_worlds import make_examples

from bluerec.data.candidates import sample_negatives
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation.bench_table import pick
from bluerec.evaluation.external import ExternalRanks, digest_file, load_external, save_examples
from bluerec.evaluation.protocol import rank_targets
from bluerec.evaluation.rankers import PopularityRanker

POOLS = ("5", "full")
TABLE = make_examples(n_users=30, n_items=30)
RANKING = rank_targets(TABLE, [PopularityRanker(TABLE)], POOLS)
RANKS = RANKING.to_frame().select("example_id", "pool", "rank", "n_candidates")


def make_lists(length: int = 21) -> pl.DataFrame:
    """The most popular items that a user has not had, as a recommender hands them back."""
    rows = []
    popularity = TABLE.count_items()
    for row, example_id in enumerate(TABLE.example_ids):
        seen = set(TABLE.history_rows(row).tolist()) - {int(TABLE.target_rows[row])}
        best = [item for item in np.argsort(-popularity, kind="stable").tolist() if item not in seen][:length]
        rows += [(example_id, TABLE.dataset.item_ids[item], float(np.log1p(popularity[item]))) for item in best]
    return pl.DataFrame(rows, schema=["example_id", "item_id", "score"], orient="row")


LISTS = make_lists()


def load(frame: pl.DataFrame, folder: Path, *, pools: tuple[str, ...] = POOLS, n_measured: int = 30) -> ExternalRanks:
    frame.write_parquet(folder / "ranks.parquet")
    kept = np.arange(n_measured)
    chosen = TABLE.take(kept)
    n_candidates = RANKING.n_candidates[[POOLS.index(pool) for pool in pools]][:, kept]
    return load_external(folder / "ranks.parquet", chosen, TABLE, pools, n_candidates, mask_seen=True)


def test_ranks_come_back_in_our_order(tmp_path: Path) -> None:
    found = load(RANKS.sample(fraction=1.0, shuffle=True, seed=1), tmp_path)
    assert found.pools == POOLS
    np.testing.assert_array_equal(found.ranks, RANKING.ranks[0])
    assert found.notes == ()


def test_lists_give_the_ranks_of_the_ranker_that_made_them(tmp_path: Path) -> None:
    found = load(LISTS.sample(fraction=1.0, shuffle=True, seed=1), tmp_path)
    assert found.pools == ("full",)
    own = RANKING.ranks[0][1]
    listed = np.isin(TABLE.example_ids, [
        example_id for example_id, item_id in LISTS.select("example_id", "item_id").iter_rows()
        if item_id == TABLE.dataset.item_ids[TABLE.target_rows[TABLE.example_ids.index(example_id)]]
    ])  # fmt: skip
    inside = own <= 20  # ties at the end of a list may lie outside it
    np.testing.assert_array_equal(found.ranks[0][inside & listed], own[inside & listed])
    np.testing.assert_array_equal(found.ranks[0][~listed], RANKING.n_candidates[1][~listed])
    assert listed.sum() > 10
    assert (~listed).any()


def test_a_list_of_equal_scores_ranks_the_target_last_of_it(tmp_path: Path) -> None:
    found = load(LISTS.with_columns(score=pl.lit(0.5)), tmp_path)
    assert set(found.ranks[0]) <= {21, *RANKING.n_candidates[1]}


@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_only_equal_scores_tie_whatever_their_scale(scale: float, tmp_path: Path) -> None:
    """Probabilities differ by far less than scores around 1."""
    distinct = LISTS.with_columns(score=100.0 - pl.int_range(pl.len()).over("example_id"))
    ranks = load(distinct, tmp_path).ranks
    assert len(set(ranks[0].tolist())) > 5
    np.testing.assert_array_equal(load(distinct.with_columns(pl.col("score") * scale), tmp_path).ranks, ranks)
    near = distinct.with_columns(score=1.0 + pl.col("score") * 1e-9)
    np.testing.assert_array_equal(load(near, tmp_path).ranks, ranks)


def test_other_users_of_the_split_are_left_out_and_counted(tmp_path: Path) -> None:
    found = load(RANKS, tmp_path, n_measured=20)
    np.testing.assert_array_equal(found.ranks, RANKING.ranks[0][:, :20])
    assert found.notes == ("10 more users of the split are in the file and left out.",)


def test_one_pool_of_two_is_enough(tmp_path: Path) -> None:
    assert load(RANKS.filter(pl.col("pool") == "full"), tmp_path).pools == ("full",)


def at(row: int, column: str, value: object) -> pl.Expr:
    """A column with another value in one row."""
    return pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


RANK_FAULTS = {
    "missing users": (lambda its: its.filter(~pl.col("example_id").str.starts_with("u1")), r"11 of 30 users are missing, e.g. u1@"),
    "unknown user": (lambda its: its.with_columns(at(3, "example_id", "nobody@9")), r"1 row\(s\) with users or cutoffs that are not in this split: row 3 \('nobody@9'\)"),
    "no user": (lambda its: its.with_columns(at(2, "example_id", None)), r"no example_id: row 2"),
    "user twice": (lambda its: pl.concat([its, its[4:5]]), r"2 row\(s\) with a user twice in one pool: row 4, 60 \('"),
    "half a pool": (lambda its: its[:-1], r"1 row\(s\) with no rank in a pool that others have: rows that are missing"),
    "other candidates": (lambda its: its.with_columns(at(5, "n_candidates", 99)), r"another number of candidates than ours, \d+ .*: row 5 \(99\)"),
    "rank 0": (lambda its: its.with_columns(at(7, "rank", 0)), r"ranks outside 1 to n_candidates: row 7 \(0\)"),
    "rank too large": (lambda its: its.with_columns(at(0, "rank", 7)), r"ranks outside 1 to n_candidates: row 0 \(7\)"),
    "rank is not a number": (lambda its: its.with_columns(at(3, "rank", None).cast(pl.Float64).fill_null(float("nan"))), r"1 row\(s\) with a rank that is not a number: row 3 \('"),
    "rank is no whole number": (lambda its: its.with_columns(pl.col("rank") / 2), "rank is Float64, not a whole number"),
    "other pools": (lambda its: its.with_columns(pool=pl.lit("77")), "none of the pools 5, full; another candidate set"),
    "other columns": (lambda its: its.drop("rank"), "ranks need example_id, pool, rank, n_candidates, lists"),
}  # fmt: skip
LIST_FAULTS = {
    "item twice": (lambda its: pl.concat([its, its[8:9]]), r"2 row\(s\) with an item twice: row 8, 630"),
    "NaN": (lambda its: its.with_columns(at(6, "score", float("nan"))), r"1 row\(s\) with scores that are not finite numbers: row 6 \(nan\)"),
    "infinity": (lambda its: its.with_columns(at(6, "score", float("inf"))), "not finite numbers: row 6"),
    "no score": (lambda its: its.with_columns(at(6, "score", None)), "no score: row 6"),
    "score is a text": (lambda its: its.with_columns(score=pl.lit("high")), "score is String, not a number"),
    "unknown item": (lambda its: its.with_columns(at(9, "item_id", "i99")), r"items that the catalogue lacks: row 9 \('i99'\)"),
    "short list": (lambda its: its.filter(pl.int_range(pl.len()).over("example_id") < 19), "30 lists are shorter than 20 items, e.g. of u0@"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*RANK_FAULTS, *LIST_FAULTS])
def test_what_does_not_fit_is_refused_naming_rows(name: str, tmp_path: Path) -> None:
    frame, (fault, message) = (RANKS, RANK_FAULTS[name]) if name in RANK_FAULTS else (LISTS, LIST_FAULTS[name])
    with pytest.raises(DataError, match=message) as caught:
        load(fault(frame), tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "ranks.parquet") in str(caught.value)


def test_items_of_the_history_are_refused_where_they_are_masked(tmp_path: Path) -> None:
    row = next(row for row in range(30) if TABLE.target_rows[row] not in TABLE.history_rows(row))
    item_id = TABLE.dataset.item_ids[TABLE.history_rows(row)[0]]
    place = LISTS.select(pl.arg_where(pl.col("example_id") == TABLE.example_ids[row])).item(0, 0)
    with pytest.raises(DataError, match=rf"items of the history, masked here .*: row {place} \('{item_id}'\)"):
        load(LISTS.with_columns(at(place, "item_id", item_id)), tmp_path)


def test_lists_need_the_full_catalogue(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lists are ranked in the full catalogue"):
        load(LISTS, tmp_path, pools=("5",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there"),
        (b"", "not a readable Parquet file"),
        (b"PAR1 and nothing more", "not a readable Parquet"),
    ],
)
def test_what_is_no_parquet_file_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ranks.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_external(path, TABLE, TABLE, POOLS, RANKING.n_candidates, mask_seen=True)


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        digest_file(tmp_path / "nothing.parquet")


def test_the_examples_tell_all_that_another_system_needs(tmp_path: Path) -> None:
    negatives = sample_negatives(TABLE, 5, seed=0, mask_seen=True)
    save_examples(TABLE, negatives, tmp_path / "examples.parquet")
    frame = pl.read_parquet(tmp_path / "examples.parquet")
    assert frame["example_id"].to_list() == TABLE.example_ids
    assert frame["history"].to_list() == [TABLE.history_rows(row).tolist() for row in range(30)]
    assert frame["target"].to_list() == TABLE.target_rows.tolist()
    popularity = TABLE.count_items()
    own = [1 + sum(popularity[item] >= popularity[target] for item in others)
           for target, others in zip(frame["target"], frame["negatives"].to_list(), strict=True)]  # fmt: skip
    assert own == RANKING.ranks[0][0].tolist()  # who ranks these negatives gets the ranks of the pool


def test_a_system_at_the_door_stands_in_the_table_beside_ours(tmp_path: Path) -> None:
    """The popularity of our own cell, handed back as a file, gives popularity's numbers; a changed file is read anew."""
    data = save_toy(tmp_path / "data")
    run_bench(data, tmp_path / "run")
    (path,) = (tmp_path / "run").glob("cells/*/popularity-*.ranks.parquet")
    frame = pl.read_parquet(path)
    frame.write_parquet(tmp_path / "theirs.parquet")
    entry = {"name": "theirs", "data": "toy", "path": str(tmp_path / "theirs.parquet")}
    results, measured = run_bench(data, tmp_path / "run", externals=[entry])
    assert measured == ["theirs"]
    means = [[row["mean"] for row in pick(results["rows"], system=system)] for system in ("popularity", "theirs")]
    assert means[0] == means[1]
    # What it costs is not known here, and no number is made up.
    assert not pick(results["measures"], system="theirs")
    frame.with_columns(rank=pl.lit(1, pl.Int32)).write_parquet(tmp_path / "theirs.parquet")
    results, _ = run_bench(data, tmp_path / "run", externals=[entry])
    assert {row["mean"] for row in pick(results["rows"], system="theirs", metric="ndcg@10")} == {1.0}
    with pytest.raises(ConfigError, match="external 'random' is the name of a system"):
        run_bench(data, tmp_path / "run", externals=[entry | {"name": "random"}])
