"""The demo plans commands that exist, runs them in order, and never removes what is not its own."""

import shlex
from pathlib import Path

import pytest
import tiny_models
import typer
from typer.testing import CliRunner

from bluerec.cli import app, demo
from bluerec.cli.demo import MARKER_FILE, Step
from bluerec.data.profiles import load_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_world, is_synthetic, save_world
from bluerec.errors import ConfigError
from bluerec.evaluation.results import load_results
from bluerec.store.store import Store


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps that the demo would run."""
    planned: list[Step] = []
    monkeypatch.setattr(demo, "_run", lambda step, place: planned.append(step))
    return planned


def run_demo(*arguments: str):
    return CliRunner().invoke(app, ["demo", *arguments], catch_exceptions=False)


def test_a_world_is_made_and_named_synthetic(
    tmp_path: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "has_shipped_adapter", lambda: False)
    out = tmp_path / "demo"
    result = run_demo("--out", str(out))
    assert result.exit_code == 0
    assert "SYNTHETIC" in result.stderr
    assert is_synthetic(out / "world")
    assert load_dataset(out / "world").n_users == demo.WORLD_USERS
    assert load_profiles(out / "oracle.parquet").height == demo.WORLD_USERS
    assert [step.arguments[0] for step in steps] == ["write", "train", "write", "evaluate", "report", "index"]


def test_a_shipped_adapter_is_shown_too(tmp_path: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "has_shipped_adapter", lambda: True)
    run_demo("--out", str(tmp_path / "demo"))
    assert [step.arguments[0] for step in steps] == ["write", "train", "write", "write", "evaluate", "report", "index"]
    assert steps[3].arguments[2:4] == ("--adapter", "shipped")
    assert any("shipped=" in argument for argument in steps[4].arguments)


def test_every_planned_command_is_understood(tmp_path: Path, steps: list[Step]) -> None:
    """Each command parses: all verbs, options and values are real."""
    run_demo("--out", str(tmp_path / "demo"), "--offline")
    run_demo("--out", str(tmp_path / "own"), "--data", str(tmp_path), "--source", "movielens")
    group = typer.main.get_command(app)
    for step in steps:
        verb, *arguments = shlex.split(step.command)[1:]
        context = group.commands[verb].make_context(verb, arguments)
        assert context.params


def test_own_prepared_data_is_taken_as_it_is(tmp_path: Path, steps: list[Step]) -> None:
    folder = save_world(build_world(n_users=20, n_items=60), tmp_path / "mine")
    result = run_demo("--out", str(tmp_path / "demo"), "--data", str(folder))
    assert "SYNTHETIC" not in result.stderr
    assert str(folder) in steps[0].arguments
    assert not any("oracle" in argument for step in steps for argument in step.arguments)


def test_own_raw_data_is_prepared(tmp_path: Path, steps: list[Step]) -> None:
    run_demo("--out", str(tmp_path / "demo"), "--data", str(tmp_path), "--source", "movielens")
    prepared = str(tmp_path / "demo" / "data")
    assert steps[0].arguments == ("prepare", "movielens", str(tmp_path), "--out", prepared)
    assert prepared in steps[1].arguments
    with pytest.raises(ConfigError, match="name its format with --source"):
        run_demo("--out", str(tmp_path / "demo"), "--data", str(tmp_path))


def test_an_earlier_demo_is_replaced_and_nothing_else(tmp_path: Path, steps: list[Step]) -> None:
    out = tmp_path / "demo"
    run_demo("--out", str(out))
    (out / "results.json").write_text("old")
    run_demo("--out", str(out))
    assert not (out / "results.json").exists()
    (out / MARKER_FILE).unlink()
    with pytest.raises(ConfigError, match="holds something else than a demo"):
        run_demo("--out", str(out))
    assert (out / "oracle.parquet").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="holds something else"):
        run_demo("--out", str(tmp_path / "file"))


def test_the_whole_demo_with_tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step for real, on models of random weights that lie in folders of the embedded models' names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLUEREC_CACHE", str(tmp_path / "cache"))
    tiny_models.save_causal("llama", tmp_path / "SmolLM2-135M-Instruct")
    tiny_models.save_last_token_embedder(tmp_path / "all-MiniLM-L6-v2")
    # A token of the tiny tokenizer is a byte.
    settings = ("profiler.max_events=2", "profiler.max_prompt_tokens=600", "profiler.max_new_tokens=8")
    monkeypatch.setattr(demo, "PROFILER_SETTINGS", settings)
    monkeypatch.setattr(demo, "WORLD_USERS", 60)
    monkeypatch.setattr(demo, "WORLD_ITEMS", 60)
    monkeypatch.setattr(demo, "has_shipped_adapter", lambda: False)
    result = run_demo("--out", "demo", "--users", "3", "--steps", "1")
    assert result.exit_code == 0, result.output
    results = load_results(tmp_path / "demo" / "results.json")
    assert results.identity["synthetic"] is True
    assert {"profile:untrained", "profile:trained", "profile:oracle"} <= {row.ranker for row in results.rows}
    assert (tmp_path / "demo" / "run" / "manifest.json").is_file()
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "synthetic" in page.casefold()
    assert "profile:oracle" in result.stdout
    assert "bluerec serve demo/store" in result.output
    with Store.open(tmp_path / "demo" / "store", offline=True) as store:
        writers = [version.writer for version in store.versions(store.user_ids("", 1)[0])]
        assert len(writers) == 2
        assert writers[1].startswith(f"{writers[0]}+")
