"""The verb from folder to file: tables, JSON, and faults in one line."""

import json
from pathlib import Path

import pytest
from small_worlds import make_profiles
from typer.testing import CliRunner

from bluerec.cli import app
from bluerec.data.histories import split_examples
from bluerec.data.profiles import save_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_world, save_world
from bluerec.errors import BluerecError, DataError
from bluerec.evaluation.results import load_results

HASHING = ["--set", "embedder.model=hashing"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_world(build_world(n_users=120, n_items=80, seed=2), tmp_path_factory.mktemp("world"))


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_plain_rankers_as_tables(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    shown = run(folder, "--pools", "10,full", "--out", out, "--max-users", "20", *HASHING)
    assert "10 sampled negatives" in shown
    assert "full catalogue" in shown
    assert "harmonic-centred" in shown
    results = load_results(out)
    assert results.identity["n_users"] == 20
    assert results.identity["synthetic"] is True
    assert (tmp_path / "results.ranks.parquet").is_file()


def test_sets_of_profiles_by_option_and_by_argument(folder: Path, tmp_path: Path) -> None:
    table = split_examples(load_dataset(folder)).select("test")
    save_profiles(make_profiles(table), tmp_path / "oracle.parquet")
    save_profiles(make_profiles(table, ["likes things"] * len(table)), tmp_path / "dull.parquet")
    arguments = (f"dull={tmp_path}/dull.parquet", f"best={tmp_path}/oracle.parquet")
    rankers = ("--rankers", "harmonic-centred,profile,profile+history", "--pools", "full", *HASHING)
    shown = run(folder, "--profiles", *arguments, *rankers, "--out", tmp_path / "a.json", "--json")
    content = json.loads(shown)
    assert {(row["a"], row["b"]) for row in content["paired"]} >= {
        ("profile:best", "profile:dull"),
        ("profile+history:best", "harmonic-centred"),
    }
    run(folder, "--profiles", arguments[0], "--profiles", arguments[1], *rankers, "--out", tmp_path / "b.json")
    assert load_results(tmp_path / "b.json").rows == load_results(tmp_path / "a.json").rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pools", "many"], "--pools"),
        (["--rankers", "profile"], "needs --profiles"),
        (["--split", "tset"], "unknown split"),
        (["--profiles", "nowhere.parquet"], "no such file"),
        (["--protocol", "yesterday"], "unknown split protocol"),
    ],
)
def test_faults_are_one_line(arguments: list[str], message: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BluerecError, match=message) as caught:
        run(folder, *arguments, "--out", tmp_path / "results.json", *HASHING)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_profiles_of_other_data_are_refused(folder: Path, tmp_path: Path) -> None:
    other = split_examples(build_world(n_users=120, n_items=80, seed=3).dataset)
    save_profiles(make_profiles(other), tmp_path / "profiles.parquet")
    with pytest.raises(DataError, match="are not of examples of"):
        run(folder, "--profiles", tmp_path / "profiles.parquet", "--out", tmp_path / "r.json", *HASHING)
