"""A whole benchmark on a tiny world: what comes out, what is kept, what is measured anew."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from bench_fixtures import IDENTITY, TINY, make_bench, run_bench, save_toy

from bluerec.data.candidates import sample_negatives
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import load_dataset
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation import bench_systems, profile_sets
from bluerec.evaluation.bench_cells import Arena, Cell
from bluerec.evaluation.bench_charts import Point, cost_chart
from bluerec.evaluation.bench_page import build_bench_page
from bluerec.evaluation.bench_table import Measured, compare_pairs, correct_by_holm, pick, render_markdown
from bluerec.evaluation.protocol import rank_targets
from bluerec.evaluation.rankers import PopularityRanker

SYSTEMS = [*TINY["systems"], "profile:template", "profile+history:template", "multi-interest:template"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("data"))


def test_every_system_has_a_row_in_every_pool(data: Path, tmp_path: Path) -> None:
    results, measured = run_bench(data, tmp_path)
    assert measured == SYSTEMS
    for pool in ("10", "full"):
        rows = pick(results["rows"], pool=pool, metric="ndcg@10")
        assert [row["system"] for row in rows] == SYSTEMS
        assert {row["n_users"] for row in rows} == {25}
        assert all(row["low"] <= row["mean"] <= row["high"] for row in rows)
    assert {row["system"] for row in results["paired"]} == set(SYSTEMS) - {"harmonic-centred"}
    assert {row["n_tests"] for row in results["paired"]} == {len(SYSTEMS) - 1}


def test_pools_that_reach_the_catalogue_are_left_out_as_in_evaluate(data: Path, tmp_path: Path) -> None:
    results, _ = run_bench(data, tmp_path, pools=["10", "100", "500"], masks=["masked", "unmasked"])
    assert [arena["pools"] for arena in results["arenas"]] == [["10", "full"]] * 2
    assert {row["pool"] for row in results["rows"]} == {"10", "full"}
    told = [note for note in results["notes"] if "reach the whole catalogue (60 items)" in note]
    assert [note.partition(": ")[0] for note in told] == [
        f"toy, leave-one-out, {mask}" for mask in ("masked", "unmasked")
    ]
    assert "reach the whole catalogue" in render_markdown(results)


def test_the_ranks_of_a_cell_are_those_of_the_ranker(data: Path, tmp_path: Path) -> None:
    run_bench(data, tmp_path)
    (path,) = tmp_path.glob("cells/*/popularity-*.ranks.parquet")
    frame = pl.read_parquet(path)
    examples = split_examples(load_dataset(data / "toy"))
    table = examples.select("test", max_users=25)
    own = rank_targets(table, [PopularityRanker(examples)], ("10", "full"))
    assert frame["example_id"].to_list() == table.example_ids * 2
    assert frame["rank"].to_list() == own.ranks[0].ravel().tolist()
    assert frame["n_candidates"].to_list() == own.n_candidates.ravel().tolist()


def test_users_are_split_by_the_seed_of_the_settings(data: Path, tmp_path: Path) -> None:
    bench, _ = make_bench(data, tmp_path)
    bench.split_seed = 3
    bench.run(IDENTITY)
    (path,) = tmp_path.glob("cells/*/popularity-*.ranks.parquet")
    own = split_examples(load_dataset(data / "toy"), seed=3).select("test", max_users=25)
    assert pl.read_parquet(path)["example_id"].to_list() == own.example_ids * 2
    assert own.example_ids != split_examples(load_dataset(data / "toy")).select("test", max_users=25).example_ids


@pytest.mark.parametrize("split", ["validation", "all", "test,validation"])
def test_weights_are_not_chosen_on_whom_they_are_measured(
    split: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def choose(known: ExampleTable, weights: Sequence[float], build: object) -> float:
        asked.append(set(known.example_ids))
        return weights[0]

    for module in (profile_sets, bench_systems):
        monkeypatch.setattr(module, "find_best_weight", choose)
        monkeypatch.setattr(module, "MIN_VALIDATION_USERS", 1)
    kinds = ["profile+history", "profile+last-item", "profile+co-occurrence", "multi-interest+history"]
    changes = {"data": [{"name": "toy", "split": split, "max_users": 10}], "profile_systems": kinds}
    run_bench(data, tmp_path, **changes)
    (measured,) = tmp_path.glob("examples/toy.*.parquet")
    validation = set(split_examples(load_dataset(data / "toy")).select("validation").example_ids)
    assert asked == [validation - set(pl.read_parquet(measured)["example_id"])] * 4
    assert asked[0]
    (offered,) = tmp_path.glob("examples/validation/toy.*.parquet")
    assert set(pl.read_parquet(offered)["example_id"]) == asked[0]
    everybody = {"data": [{"name": "toy", "split": split}], "profile_systems": kinds}
    results, _ = run_bench(data, tmp_path / "everybody", **everybody)
    assert sum("default weight 0.3; only 0 validation users" in note for note in results["notes"]) == 4


def test_cells_of_weights_chosen_on_measured_users_are_not_kept(data: Path, tmp_path: Path) -> None:
    """Their digest once was of nothing that tells; now it tells whom weights were chosen on."""
    changes = {"data": [{"name": "toy", "split": "validation", "max_users": 10}]}
    results, _ = run_bench(data, tmp_path, **changes)
    told = {cell["system"]: "validation" in cell for cell in results["cells"]}
    assert [system for system in told if told[system]] == ["profile+history:template"]
    assert not any("validation" in cell for cell in run_bench(data, tmp_path / "test")[0]["cells"])


def test_the_examples_of_another_seed_have_a_file_of_their_own(data: Path, tmp_path: Path) -> None:
    everybody = [{"name": "toy"}]
    run_bench(data, tmp_path, data=everybody)
    run_bench(data, tmp_path, data=everybody, seed=1)
    table = split_examples(load_dataset(data / "toy")).select("test")
    found = [pl.read_parquet(path) for path in tmp_path.glob("examples/toy.*.parquet")]
    assert [frame["example_id"].to_list() for frame in found] == [table.example_ids] * 2
    negatives = [sample_negatives(table, 10, seed=seed).tolist() for seed in (0, 1)]
    assert negatives[0] != negatives[1]
    assert all(frame["negatives"].to_list() in negatives for frame in found)
    assert found[0]["negatives"].to_list() != found[1]["negatives"].to_list()


def test_bytes_are_those_of_what_a_system_looks_at(data: Path, tmp_path: Path) -> None:
    changes = {
        "profiles": [{"name": "template", "embedder": "other"}],
        "profile_systems": ["profile", "profile+history", "profile+last-item", "profile+co-occurrence"],
    }
    results, _ = run_bench(data, tmp_path, **changes)
    rows = pick(results["measures"], measure="bytes per user")
    kept = {row["system"].removesuffix(":template"): row["mean"] for row in rows if ":" in row["system"]}
    history = pick(rows, system="harmonic-centred")[0]["mean"]
    table = split_examples(load_dataset(data / "toy")).select("test", max_users=25)
    latest = np.minimum(table.history_stop - table.history_start, 10).mean() * 8
    vector = 4 * 64  # of the other embedder
    assert kept == {
        "profile": pytest.approx(kept["profile"]),
        "harmonic-centred": pytest.approx(history),
        "profile+history": pytest.approx(kept["profile"] + vector),
        "profile+last-item": pytest.approx(kept["profile"] + 8),
        "profile+co-occurrence": pytest.approx(kept["profile"] + vector + latest),
    }


def test_finished_cells_are_kept_and_give_the_same_results(data: Path, tmp_path: Path) -> None:
    first, _ = run_bench(data, tmp_path)
    again, measured = run_bench(data, tmp_path)
    assert measured == []
    assert again["rows"] == first["rows"]
    assert again["paired"] == first["paired"]
    lost = next(tmp_path.glob("cells/*/random-*.json"))
    lost.unlink()
    assert run_bench(data, tmp_path)[1] == ["random"]


def test_a_new_system_is_measured_beside_the_finished_ones(data: Path, tmp_path: Path) -> None:
    run_bench(data, tmp_path)
    assert run_bench(data, tmp_path, systems=[*TINY["systems"], "mean"])[1] == ["mean"]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"data": [{"name": "toy", "max_users": 24}]}, {"pools": ["9", "full"]}]
)
def test_what_ranks_depend_on_is_measured_anew(change: dict, data: Path, tmp_path: Path) -> None:
    run_bench(data, tmp_path)
    assert run_bench(data, tmp_path, **change)[1] == SYSTEMS


def test_a_cell_whose_ranks_are_damaged_is_named(data: Path, tmp_path: Path) -> None:
    run_bench(data, tmp_path)
    next(tmp_path.glob("cells/*/random-*.ranks.parquet")).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"random-\w+\.ranks\.parquet: cannot be read; delete"):
        run_bench(data, tmp_path)


def test_masks_and_protocols_are_arenas_of_their_own(data: Path, tmp_path: Path) -> None:
    changes = {"masks": ["masked", "unmasked"], "protocols": ["leave-one-out", "global-time"]}
    results, _ = run_bench(data, tmp_path, systems=["popularity", "harmonic-centred"], **changes)
    keys = [(arena["protocol"], arena["mask"]) for arena in results["arenas"]]
    # The toy world has real times; a data set of positions would be refused the second protocol, and say so.
    assert keys == [(p, m) for p in changes["protocols"] for m in changes["masks"]]
    rows = pick(results["measures"], system="popularity", measure="bytes per user")
    assert [row["protocol"] for row in rows] == changes["protocols"]
    masked, unmasked = (pick(results["rows"], system="popularity", metric="mrr@20", mask=mask, pool="full",
                             protocol="leave-one-out")[0]["mean"] for mask in changes["masks"])  # fmt: skip
    assert masked > unmasked


def test_profiles_of_one_data_set_only(data: Path, tmp_path: Path) -> None:
    both = [{"name": "toy", "max_users": 25}, {"name": "other", "max_users": 25}]
    (tmp_path / "both").mkdir()
    for name in ("toy", "other"):
        (tmp_path / "both" / name).symlink_to(data / "toy")
    profiles = [{"name": "template", "data": ["other"]}]
    results, _ = run_bench(tmp_path / "both", tmp_path / "run", data=both, profiles=profiles)
    assert {row["dataset"] for row in pick(results["rows"], system="profile:template")} == {"other"}
    assert {row["dataset"] for row in pick(results["rows"], system="random")} == {"toy", "other"}


def test_a_set_of_profiles_is_measured_with_its_own_embedder_beside_its_history_vector(
    data: Path, tmp_path: Path
) -> None:
    run_bench(data, tmp_path)
    profiles = [{"name": "template", "embedder": "other"}]
    results, measured = run_bench(data, tmp_path, profiles=profiles)
    assert measured == [*SYSTEMS[len(TINY["systems"]) :], "harmonic-centred:template"]  # plain ones need not be again
    mean = {row["system"]: row["mean"] for row in pick(results["rows"], pool="full", metric="ndcg@10")}
    assert mean["harmonic-centred:template"] != mean["harmonic-centred"]


def test_pairs_are_compared_on_the_same_users_as_a_family_of_their_own(data: Path, tmp_path: Path) -> None:
    pairs = [["profile:template", "popularity"], ["popularity", "random"]]
    results, _ = run_bench(data, tmp_path, differences=pairs)
    rows = pick(results["differences"], pool="full", metric="ndcg@10")
    mean = {row["system"]: row["mean"] for row in pick(results["rows"], pool="full", metric="ndcg@10")}

    assert [[row["system"], row["reference"]] for row in rows] == pairs
    for row in rows:
        assert row["difference"] == pytest.approx(mean[row["system"]] - mean[row["reference"]])
        assert row["low"] <= row["difference"] <= row["high"]
        assert (row["n_tests"], row["n_users"]) == (2, 25)
    assert [row["p_holm"] for row in rows] == correct_by_holm([row["p_value"] for row in rows])
    assert results["paired"] == run_bench(data, tmp_path)[0]["paired"]

    results["identity"] = {**results["identity"], "created": "2026"}
    (line,) = (line for line in render_markdown(results).splitlines() if line.startswith("| popularity minus random |"))
    assert f"{rows[1]['difference']:+.4f}" in line
    page = build_bench_page(results)
    assert "popularity minus random" in page
    assert all(f"{row['difference']:+.4f}" in page for row in pick(results["differences"], metric="ndcg@10"))


def test_a_pair_of_which_one_was_not_measured_is_left_out(data: Path) -> None:
    table = split_examples(load_dataset(data / "toy")).select("test", max_users=25)
    arena = Arena("toy", "", "leave-one-out", "masked", "test", ("10", "full"), 0, table)
    ranks = np.ones((2, 25), dtype=np.int64)
    cells = tuple(
        Cell(name, {"pools": pools}, ranks[: len(pools)], ranks[: len(pools)], 0.0)
        for name, pools in (("a", ["10", "full"]), ("b", ["10", "full"]), ("listed", ["full"]))
    )
    rows = compare_pairs(Measured(arena, cells), [("a", "b"), ("listed", "b"), ("a", "absent")])
    assert {(row["pool"], row["system"], row["n_tests"]) for row in rows} == {
        ("10", "a", 1), ("full", "a", 2), ("full", "listed", 2),
    }  # fmt: skip


def test_what_is_compared_must_take_part(data: Path, tmp_path: Path) -> None:
    bench, _ = make_bench(data, tmp_path, differences=[["random", "blue"]])
    with pytest.raises(ConfigError, match="differences 'blue' is not among the systems"):
        bench.run({})


def test_the_reference_must_take_part(data: Path, tmp_path: Path) -> None:
    bench, _ = make_bench(data, tmp_path, reference="blue")
    with pytest.raises(ConfigError, match="reference 'blue' is not among the systems"):
        bench.run({})


def test_the_tables_and_the_page_have_every_system_and_escape_names(data: Path, tmp_path: Path) -> None:
    results, _ = run_bench(data, tmp_path)
    results["notes"].append("<script>alert(1)</script>")
    results["identity"] = {**results["identity"], "created": "2026"}
    markdown, page = render_markdown(results), build_bench_page(results)
    for system in SYSTEMS:
        assert f"| {system} |" in markdown
        assert f"<bdi>{system}</bdi>" in page
    mean = pick(results["rows"], system="popularity", pool="full", metric="ndcg@10")[0]["mean"]
    assert f"{mean:.4f}" in markdown
    assert f"{mean:.4f}" in page
    assert "<script>alert(1)" not in page


def test_measures_are_taken_once_and_drawn(data: Path, tmp_path: Path) -> None:
    changes = {"measures": ["size", "truth", "steering"], "measured_users": 20}
    bench, said = make_bench(data, tmp_path, **changes)
    first = bench.run(IDENTITY)
    assert [line for line in said if " of template" in line]
    names = {row["measure"] for row in first["measures"] if row["system"] == "template"}
    assert {"words per profile", "sentences supported by the own history (share)", "reading ease (Flesch)"} <= names
    assert {row["n"] for row in first["measures"] if row["system"] == "template"} == {20}
    bench, said = make_bench(data, tmp_path, **changes)
    again = bench.run(IDENTITY)
    assert not [line for line in said if " of template" in line]
    own, before = ([row for row in its["measures"] if row["system"] == "template"] for its in (again, first))
    assert own == before
    page = build_bench_page(first | {"identity": first["identity"] | {"created": "2026"}})
    assert "Is it true, and its owner&#39;s own?" in page
    assert "Can a reader answer from it?" not in page  # not asked, not shown


def test_a_data_set_may_have_measures_of_its_own(data: Path, tmp_path: Path) -> None:
    its = [{**TINY["data"][0], "measures": ["size"]}]
    results, _ = run_bench(data, tmp_path, data=its, measures=["truth"])
    names = {row["measure"] for row in results["measures"] if row["system"] == "template"}
    assert "words per profile" in names
    assert "reading ease (Flesch)" not in names
    bench, _ = make_bench(data, tmp_path, data=[{**its[0], "measures": ["beauty"]}])
    with pytest.raises(ConfigError, match="no 'beauty'"):
        bench.run(IDENTITY)


def test_an_unknown_measure_is_named(data: Path, tmp_path: Path) -> None:
    bench, _ = make_bench(data, tmp_path, measures=["beauty"])
    with pytest.raises(ConfigError, match="measures: no 'beauty'; choose from size, truth, steering, qa"):
        bench.run(IDENTITY)


def test_a_profile_that_ranks_best_stands_beside_the_best_without_one(data: Path, tmp_path: Path) -> None:
    bench, _ = make_bench(data, tmp_path)
    results = bench.run(IDENTITY)
    winner = "profile+history:template"
    for row in results["rows"]:
        if row["system"] == winner:
            row.update(mean=0.99, low=0.98, high=1.0)
    plain = max(
        (row for row in pick(results["rows"], pool="full", metric="ndcg@10") if "template" not in row["system"]),
        key=lambda row: row["mean"],
    )
    said = " ".join(build_bench_page({**results, "identity": {**results["identity"], "created": "today"}}).split())
    assert f"toy: {winner} ranks best, NDCG@10 0.9900 (0.9800 to 1.0000); the best without a profile," in said
    assert f"{plain['system']}, has {plain['mean']:.4f} ({plain['low']:.4f} to {plain['high']:.4f})" in said
    assert f"; the best system with a profile, {winner}, " in said


@pytest.mark.parametrize("n", [1, 12, 60])
def test_every_label_of_the_costs_has_its_place(n: int) -> None:
    points = [Point(f"system {row}", 100.0, 0.3, 0.2, 0.4) for row in range(n)]
    drawn = str(cost_chart(points, description="costs", x_label="bytes", y_label="NDCG@10"))
    height = float(re.search(r'viewBox="0 0 \S+ (\S+)"', drawn)[1])
    places = sorted(float(y) for y in re.findall(r'<text x="\S+" y="(\S+)" [^>]*row-label', drawn))
    assert len(places) == n
    assert places[0] > 0
    assert places[-1] < height
    assert all(after - before > 12 for before, after in pairwise(places))
