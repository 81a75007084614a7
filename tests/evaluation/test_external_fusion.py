"""Texts fused with another system's lists: scales, the choice on validation users, and the rows of a benchmark."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bench_fixtures import make_bench, run_bench, save_toy
from small_worlds import make_examples

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import load_dataset
from bluerec.errors import ConfigError
from bluerec.evaluation import external_fusion
from bluerec.evaluation.bench_cells import Cell
from bluerec.evaluation.bench_table import pick
from bluerec.evaluation.external_lists import (
    SCALES,
    ListRanker,
    RememberedRanker,
    RescaledRanker,
    ScoredLists,
    read_lists,
    rescale,
)
from bluerec.evaluation.rankers import PopularityRanker
from bluerec.profiling.embedders import HashingEmbedder, embed_items
from bluerec.types import Float32Array

FUSED = ["history+theirs", "profile+theirs:template", "profile+history+theirs:template"]


def make_lists(table: ExampleTable, *, length: int = 25) -> pl.DataFrame:
    """What other users took most, with the target of every second user at the top: partly useful, unlike any text."""
    popularity = np.log1p(table.count_items())
    rows = []
    for row, example_id in enumerate(table.example_ids):
        target = int(table.target_rows[row])
        scores = popularity + (np.arange(len(popularity)) == target) * 9 * (row % 2)
        seen = set(table.history_rows(row).tolist()) - {target}
        best = [item for item in np.argsort(-scores, kind="stable").tolist() if item not in seen][:length]
        rows += [(example_id, table.dataset.item_ids[item], float(scores[item])) for item in best]
    return pl.DataFrame(rows, schema=["example_id", "item_id", "score"], orient="row")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("fusion"))


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_fusion, "MIN_VALIDATION_USERS", 5)
    monkeypatch.setattr("bluerec.evaluation.profile_sets.MIN_VALIDATION_USERS", 5)


def enter(data: Path, folder: Path, splits: str = "test,validation", **changes: Any) -> dict[str, Any]:
    """An entry of `externals` with lists for the users of these splits."""
    examples = split_examples(load_dataset(data / "toy"))
    path = folder / "theirs.parquet"
    make_lists(examples.select(splits)).write_parquet(path)
    return {"name": "theirs", "data": "toy", "path": str(path)} | changes


def test_scores_are_standardised_and_ranks_are_reciprocal() -> None:
    scores = np.array([3.0, 1.0, 2.0, 2.0])
    found = rescale(scores, "scores")
    assert found.mean() == pytest.approx(0, abs=1e-6)
    assert found.std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found * np.std(scores) + 2, scores, rtol=1e-6)
    # Two tied items both count as ranked third.
    np.testing.assert_allclose(rescale(scores, "ranks"), [1 / 61, 1 / 64, 1 / 63, 1 / 63], rtol=1e-6)
    assert rescale(np.full(3, 7.0), "scores").tolist() == [0, 0, 0]


def test_what_a_list_leaves_out_lies_at_its_end() -> None:
    table = make_examples(n_users=3, n_items=6)
    lists = ScoredLists(table.example_ids, np.array([0, 2, 4, 6]), np.array([4, 1, 0, 5, 2, 3]), np.arange(6.0))
    by_scores = ListRanker("theirs", lists, "scores").score(table.take(np.array([1])))
    np.testing.assert_array_equal(by_scores, [[-1, -1, -1, -1, -1, 1]])
    by_ranks = ListRanker("theirs", lists, "ranks").score(table.take(np.array([1])))
    np.testing.assert_allclose(by_ranks, [[1 / 62, 0, 0, 0, 0, 1 / 61]], rtol=1e-6)


def test_lists_are_found_by_example_in_whatever_order(tmp_path: Path) -> None:
    table = make_examples(n_users=12, n_items=40)
    frame = make_lists(table)
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=3).with_row_index("row")
    lists = read_lists(tmp_path / "theirs.parquet", mixed, table, mask_seen=True)
    half = table.take(np.arange(6)), table.take(np.arange(6, 12))
    parts = [
        read_lists("x", mixed.filter(pl.col("example_id").is_in(part.example_ids)), part, mask_seen=True)
        for part in half
    ]
    joined = parts[1].join(parts[0])
    assert joined.covers(table).all()
    assert not parts[0].covers(half[1]).any()
    for scale in SCALES:
        own = ListRanker("theirs", lists, scale).score(table)
        np.testing.assert_array_equal(own, ListRanker("theirs", joined, scale).score(table))
        for row, (_, its) in enumerate(frame.group_by("example_id", maintain_order=True)):
            best = its.sort("score", descending=True)["item_id"][0]
            assert table.dataset.item_ids[int(own[row].argmax())] == best


def test_a_remembered_ranker_is_asked_once_for_the_same_examples() -> None:
    table = make_examples(n_users=8)
    asked = []

    class Counting(PopularityRanker):
        def score(self, table: ExampleTable) -> Float32Array:
            asked.append(len(table))
            return super().score(table)

    ranker = RememberedRanker(RescaledRanker(Counting(table), "scores"))
    first = ranker.score(table)
    assert ranker.score(table) is first
    ranker.score(table.take(np.arange(3)))
    assert asked == [8, 3]


@pytest.mark.usefixtures("few_are_enough")
def test_fused_rows_stand_in_the_full_catalogue_and_are_kept(data: Path, tmp_path: Path) -> None:
    entry = enter(data, tmp_path)
    results, measured = run_bench(data, tmp_path / "run", externals=[entry])
    assert measured[-4:] == ["theirs", *FUSED]
    assert {row["pool"] for name in FUSED for row in pick(results["rows"], system=name)} == {"full"}
    assert all(any(f"{name}: fused by " in note for note in results["notes"]) for name in FUSED)
    assert not [row for row in results["measures"] if "theirs" in row["system"]]
    assert run_bench(data, tmp_path / "run", externals=[entry])[1] == []
    frame = pl.read_parquet(entry["path"])
    frame.with_columns(pl.col("score") * 2).write_parquet(entry["path"])
    assert run_bench(data, tmp_path / "run", externals=[entry])[1] == ["theirs", *FUSED]


@pytest.mark.usefixtures("few_are_enough")
def test_the_ranks_are_those_of_a_sum_done_by_hand(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells: list[Cell] = []
    monkeypatch.setattr(
        "bluerec.evaluation.bench_externals.save_cell", lambda run, cell, table: cells.append(cell), raising=True
    )
    entry = enter(data, tmp_path)
    run_bench(data, tmp_path / "run", externals=[entry])
    (cell,) = [cell for cell in cells if cell.system == FUSED[0]]
    choice = re.search(r"fused by (\w+), weight ([\d.]+), chosen by NDCG@10 on (\d+) validation", cell.notes[-1])
    assert choice is not None
    examples = split_examples(load_dataset(data / "toy"))
    known = examples.select("validation")
    assert int(choice[3]) == len(known)

    def rank(table: ExampleTable, scale: str, weight: float) -> list[int]:
        items = embed_items(table.dataset, HashingEmbedder(128))
        items = items - items.mean(axis=0)
        items /= np.maximum(np.linalg.norm(items, axis=1, keepdims=True), 1e-12)
        frame = pl.read_parquet(entry["path"])
        ranks = []
        for row, example_id in enumerate(table.example_ids):
            history = table.history_rows(row)[::-1]
            shares = 1 / np.arange(1, len(history) + 1)
            text = items @ ((shares / shares.sum()) @ items[history])
            listed = dict(frame.filter(pl.col("example_id") == example_id).select("item_id", "score").iter_rows())
            theirs = [listed.get(item_id) for item_id in table.dataset.item_ids]
            if scale == "scores":
                mean, spread = np.mean(list(listed.values())), np.std(list(listed.values()))
                fused = [(min(listed.values()) if one is None else one) - mean for one in theirs] / spread
                fused = fused + weight * (text - text.mean()) / text.std()
            else:
                fused = np.array(
                    [0 if one is None else 1 / (60 + sum(s >= one for s in listed.values())) for one in theirs]
                )
                fused = fused + weight / (60 + np.array([(text >= one).sum() for one in text]))
            target = int(table.target_rows[row])
            others = set(range(len(items))) - set(history.tolist()) - {target}
            ranks.append(1 + sum(fused[item] >= fused[target] - 1e-6 for item in others))
        return ranks

    def gain(ranks: list[int]) -> float:
        return float(np.mean([1 / np.log2(1 + rank) if rank <= 10 else 0 for rank in ranks]))

    measured = examples.select("test", max_users=25)
    np.testing.assert_allclose(cell.ranks[0], rank(measured, choice[1], float(choice[2])), atol=1)
    tried = {(scale, weight): gain(rank(known, scale, weight)) for scale in SCALES for weight in (0.05, 0.2, 1.0)}
    assert gain(rank(known, choice[1], float(choice[2]))) >= max(tried.values()) - 1e-3


@pytest.mark.usefixtures("few_are_enough")
def test_weights_are_not_chosen_on_whom_they_are_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All users have a list; those of validation who are not measured choose the weight."""
    asked: list[set[str]] = []

    def choose(known: ExampleTable, weights: Sequence[Any], build: object) -> Any:
        asked.append(set(known.example_ids))
        return weights[0]

    monkeypatch.setattr(external_fusion, "find_best_weight", choose)
    its = [{"name": "toy", "split": "all", "max_users": 60}]
    results, measured = run_bench(data, tmp_path / "run", data=its, externals=[enter(data, tmp_path, "all")])
    assert measured[-4:] == ["theirs", *FUSED]
    (path,) = (tmp_path / "run").glob("examples/toy.*.parquet")
    rest = split_examples(load_dataset(data / "toy"))
    rest = rest.without(rest.take(np.isin(rest.example_ids, pl.read_parquet(path)["example_id"].to_list())))
    validation = set(rest.select("validation").example_ids)
    assert asked == [validation] * 3
    assert validation
    n_more = len(rest) - len(validation)
    assert any(f"{n_more} more users of the split are in the file and left out" in note for note in results["notes"])


def test_without_enough_validation_users_a_row_is_left_out_and_named(data: Path, tmp_path: Path) -> None:
    results, measured = run_bench(data, tmp_path / "run", externals=[enter(data, tmp_path)])
    assert measured[-1] == "theirs"
    n_known = len(split_examples(load_dataset(data / "toy")).select("validation"))
    wanted = f"toy, leave-one-out: history+theirs is left out: {n_known} validation users have a list, 100 are needed"
    assert any(note.startswith(wanted) for note in results["notes"])


@pytest.mark.usefixtures("few_are_enough")
def test_lists_beside_ranks_are_fused_and_the_ranks_are_the_row(data: Path, tmp_path: Path) -> None:
    run_bench(data, tmp_path / "run")
    (ranks,) = (tmp_path / "run").glob("cells/*/popularity-*.ranks.parquet")
    entry = enter(data, tmp_path)
    entry |= {"path": str(ranks), "lists": entry["path"]}
    results, measured = run_bench(data, tmp_path / "run", externals=[entry])
    assert measured == ["theirs", *FUSED]
    means = [[row["mean"] for row in pick(results["rows"], system=name)] for name in ("popularity", "theirs")]
    assert means[0] == means[1]
    assert str(tmp_path) not in str(results["cells"])
    with pytest.raises(ConfigError, match="holds ranks; lists need example_id, item_id and score"):
        run_bench(data, tmp_path / "run", externals=[entry | {"lists": str(ranks)}])


def test_a_name_that_makes_another_systems_row_is_refused(data: Path, tmp_path: Path) -> None:
    bench, _ = make_bench(data, tmp_path, externals=[enter(data, tmp_path, name="history")])
    with pytest.raises(ConfigError, match="fused with texts would be 'profile\\+history:template', which is another"):
        bench.run({})


def test_the_examples_of_validation_users_lie_beside_those_measured(data: Path, tmp_path: Path) -> None:
    run_bench(data, tmp_path)
    (measured,) = tmp_path.glob("examples/toy.leave-one-out.masked.*.parquet")
    (validation,) = tmp_path.glob("examples/validation/toy.leave-one-out.masked.*.parquet")
    frame = pl.read_parquet(validation)
    examples = split_examples(load_dataset(data / "toy"))
    assert frame["example_id"].to_list() == examples.select("validation").example_ids
    assert frame["target"].to_list() == examples.select("validation").target_rows.tolist()
    assert frame.columns == pl.read_parquet(measured).columns
    assert frame["negatives"].list.len().sum() == 0
