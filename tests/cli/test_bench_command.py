"""The verb from a configuration to a folder: tables, page, ranks; what it is given is named in its identity."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from fake_endpoint import complete, serve
from typer.testing import CliRunner

from bluerec.cli import app
from bluerec.data.histories import split_examples
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_world, save_world
from bluerec.errors import ConfigError, DataError

HASHING = ["--set", "embedder.model=hashing"]
CONFIG = """
title = "Tiny"
systems = ["popularity", "harmonic-centred"]
profile_systems = ["profile"]
pools = ["10", "full"]
[[data]]
name = "toy"
max_users = 20
caveat = "Not real."
[[profiles]]
name = "template"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    save_world(build_world(n_users=120, n_items=60, seed=2), folder / "toy")
    (folder / "tiny.toml").write_text(CONFIG)
    return folder


def run(data: Path, out: Path, *arguments: str | Path) -> str:
    command = ["bench", data / "tiny.toml", "--data", data, "--out", out, *HASHING, *arguments]
    result = CliRunner().invoke(app, [*map(str, command)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_run_leaves_tables_page_and_ranks(data: Path, tmp_path: Path) -> None:
    shown = run(data, tmp_path / "run", "--markdown", tmp_path / "page.md")
    for system in ("popularity", "harmonic-centred", "profile:template"):
        assert system in shown
        assert f"| {system} |" in (tmp_path / "page.md").read_text()
    assert (tmp_path / "page.md").read_text() == (tmp_path / "run" / "bench.md").read_text()
    page = (tmp_path / "run" / "bench.html").read_text()
    assert "Not real." in page
    assert str(tmp_path) not in page
    results = json.loads((tmp_path / "run" / "bench.json").read_text())
    assert results["identity"]["command"] == (
        "bluerec bench tiny.toml --data DATA --out RUN --set embedder.model=hashing"
    )
    ranks = [pl.read_parquet(path) for path in (tmp_path / "run").glob("cells/*/*.ranks.parquet")]
    assert [frame.height for frame in ranks] == [40] * 3


def test_a_page_that_asks_for_tables_has_them_filled(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    wanted = 'run = "tiny"\ncolumns = ["toy, full"]\nrows = ["popularity"]'
    page.write_text(f"# Mine\n\n<!-- table\n{wanted}\n-->\n<!-- end table -->\n\nWords of mine.\n")
    results = json.loads(run(data, tmp_path / "run", "--markdown", page, "--json"))
    text = page.read_text()
    (mean,) = (
        row["mean"]
        for row in results["rows"]
        if (row["system"], row["pool"], row["metric"]) == ("popularity", "full", "ndcg@10")
    )
    assert f"| `popularity` | {mean:.4f} (".replace("0.", ".") in text
    assert text.endswith("Words of mine.\n")
    record = json.loads((tmp_path / "results" / "tiny.json").read_text())
    assert record["identity"]["command"] == results["identity"]["command"]
    assert str(tmp_path) not in (tmp_path / "results" / "tiny.json").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Mine\n\nMany words.\n", "is no page of a benchmark, and would be lost"),
        ("# Mine\n\n<!-- table\nrun = 'tiny'\n-->\n", "has no end"),
        ("<!-- table\nrun = 'other'\ncolumns = ['a, b']\nrows = ['c']\n-->\n<!-- end table -->\n", "none of tiny"),
        ("Fran\u00e7ais", "cannot be read as UTF-8"),
    ],
)
def test_a_page_that_would_be_lost_is_told_before_anything_begins(
    text: str, message: str, data: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="latin-1")
    command = ["bench", data / "tiny.toml", "--data", data, "--out", tmp_path / "run", *HASHING, "--markdown", page]
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(app, [*map(str, command)], catch_exceptions=False)
    assert page.read_text(encoding="latin-1") == text
    assert not (tmp_path / "run").exists()


def test_a_page_of_the_program_is_written_again(data: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run(data, tmp_path / "run", "--markdown", tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (tmp_path / "run" / "bench.md").read_text()


def test_users_are_those_of_the_split_seed(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", "--set", "data.split_seed=3")
    (ranks,) = (tmp_path / "run").glob("cells/*/popularity-*.ranks.parquet")
    own = split_examples(load_dataset(data / "toy"), seed=3).select("test", max_users=20)
    assert pl.read_parquet(ranks)["example_id"].to_list() == own.example_ids * 2


def test_json_is_the_file(data: Path, tmp_path: Path) -> None:
    shown = json.loads(run(data, tmp_path / "run", "--json"))
    assert shown == json.loads((tmp_path / "run" / "bench.json").read_text())


def test_another_system_enters_by_its_name(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run")
    (ranks,) = (tmp_path / "run").glob("cells/*/popularity-*.ranks.parquet")
    results = json.loads(run(data, tmp_path / "run", "--external", f"mine={ranks}", "--json"))
    means = {
        row["system"]: row["mean"] for row in results["rows"] if (row["pool"], row["metric"]) == ("full", "mrr@10")
    }
    assert means["mine"] == means["popularity"]
    assert results["identity"]["command"].endswith("--external mine@toy=RANKS.parquet")
    assert str(tmp_path) not in json.dumps(results)


def test_a_model_behind_an_endpoint_answers_the_questions(data: Path, tmp_path: Path) -> None:
    (data / "asked.toml").write_text(CONFIG.replace("title =", 'measures = ["qa"]\nmeasured_users = 10\ntitle ='))
    with serve() as server:
        server.answers = [complete("B")]
        options = ["--reader", "far/model", "--reader-endpoint", server.url]
        command = [
            "bench",
            data / "asked.toml",
            "--data",
            data,
            "--out",
            tmp_path / "run",
            *HASHING,
            *options,
            "--json",
        ]
        results = json.loads(CliRunner().invoke(app, [*map(str, command)], catch_exceptions=False).stdout)
        n_asked = len(server.seen)
        shutil.rmtree(tmp_path / "run" / "measures")  # then answers are read again, from where they are kept
        again = json.loads(CliRunner().invoke(app, [*map(str, command)], catch_exceptions=False).stdout)
    assert [row["mean"] for row in again["measures"]] == [row["mean"] for row in results["measures"]]
    assert results["identity"]["command"].endswith("--reader far/model --reader-endpoint URL")
    assert server.url not in json.dumps(results)
    asked = {row["system"]: row for row in results["measures"] if row["measure"] == "next item among 4: accuracy"}
    assert set(asked) == {"no context", "raw history", "template"}
    assert 0 <= asked["no context"]["mean"] < 1
    assert n_asked == len(server.seen) == 10 * 3 * 2 + (10 * 3 if _has_ratings(results) else 0)
    assert len((tmp_path / "run" / "answers.jsonl").read_text().splitlines()) == n_asked


def test_a_model_that_does_not_answer_is_noted(data: Path, tmp_path: Path) -> None:
    (data / "silent.toml").write_text(CONFIG.replace("title =", 'measures = ["qa"]\nmeasured_users = 10\ntitle ='))
    with serve() as server:
        server.answers = [complete("I cannot tell.")]
        options = ["--reader", "m", "--reader-endpoint", server.url, "--json"]
        command = ["bench", data / "silent.toml", "--data", data, "--out", tmp_path / "run", *HASHING, *options]
        results = json.loads(CliRunner().invoke(app, [*map(str, command)], catch_exceptions=False).stdout)
    assert [note for note in results["notes"] if "'template' had no readable answer" in note]
    accuracy = [row["mean"] for row in results["measures"] if row["measure"] == "next item among 4: accuracy"]
    assert accuracy == [pytest.approx(1 / 4)] * 3


def _has_ratings(results: dict) -> bool:
    return any(row["measure"].startswith("rating") for row in results["measures"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reader-endpoint", "http://127.0.0.1:9/v1"], "name the model that answers there with --reader"),
        (["--reader", "m"], "asks no questions; add 'qa' to its measures"),
        (["--reader", "m", "--reader-endpoint", "nowhere"], "--reader-endpoint 'nowhere': not an address"),
        (["--reader", "m", "--reader-endpoint", "http://me:pw@127.0.0.1/v1"], "no password belongs into an address"),
    ],
)
def test_faults_of_a_reader_are_told_before_anything_begins(
    options: list[str], message: str, data: Path, tmp_path: Path
) -> None:
    command = ["bench", data / "tiny.toml", "--data", data, "--out", tmp_path / "run", *options]
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(app, [*map(str, command)], catch_exceptions=False)
    assert not (tmp_path / "run").exists()


def test_lists_belong_to_a_system_at_the_door(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run")
    (ranks,) = (tmp_path / "run").glob("cells/*/popularity-*.ranks.parquet")
    frame = pl.read_parquet(next((tmp_path / "run").glob("examples/*.parquet")))
    items = pl.read_parquet(data / "toy" / "items.parquet")["item_id"].to_list()
    lists = [
        (example_id, items[row], -float(row))
        for example_id, history, target in frame.select("example_id", "history", "target").iter_rows()
        for row in sorted(set(range(len(items))) - set(history) | {target})
    ]
    path = tmp_path / "lists.parquet"
    pl.DataFrame(lists, schema=["example_id", "item_id", "score"], orient="row").write_parquet(path)
    given = ["--external", f"mine={ranks}", "--external-lists", f"mine={path}"]
    results = json.loads(run(data, tmp_path / "run", *given, "--json"))
    assert results["identity"]["command"].endswith(
        "--external mine@toy=RANKS.parquet --external-lists mine@toy=LISTS.parquet"
    )
    assert str(tmp_path) not in json.dumps(results)
    assert any("history+mine is left out: 0 validation users" in note for note in results["notes"])
    with pytest.raises(ConfigError, match=r"--external-lists 'other=.*': no ranks of it; add --external other@toy="):
        run(data, tmp_path / "run", *given[:3], f"other={path}")


@pytest.mark.parametrize(
    ("external", "kind", "message"),
    [
        ("ranks.parquet", ConfigError, "expected NAME=RANKS.parquet"),
        ("mine@beauty=x.parquet", ConfigError, "no data set 'beauty'; choose from toy"),
        ("mine=nothing.parquet", DataError, "nothing.parquet: is not there; give a Parquet file"),
    ],
)
def test_faults_of_an_external_system(external: str, kind: type, message: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(kind, match=message):
        run(data, tmp_path / "run", "--external", external)
