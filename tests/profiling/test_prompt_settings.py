"""An adapter is asked as it was trained, unless somebody says otherwise."""

from dataclasses import replace
from pathlib import Path

import pytest

from bluerec.config import Config, ProfilerConfig
from bluerec.errors import BluerecError, ModelError
from bluerec.profiling.prompt_settings import (
    PROMPT_SETTINGS,
    PROMPT_SETTINGS_FILE,
    load_prompt_settings,
    load_trained_on,
    load_writing_config,
    save_prompt_settings,
    save_trained_on,
)
from bluerec.runs import RunFolder

TRAINED = ProfilerConfig(template="open", max_events=3, max_prompt_tokens=99, max_new_tokens=17)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    save_prompt_settings(TRAINED, folder)
    return folder


def test_the_settings_of_the_training_come_back(adapter: Path) -> None:
    profiler = load_writing_config(None, (), model=None, adapter=str(adapter.parent)).profiler
    names = ("template", "max_events", "max_prompt_tokens", "max_new_tokens")
    assert [getattr(profiler, name) for name in names] == [getattr(TRAINED, name) for name in names]
    assert profiler.adapter == str(adapter.parent)


@pytest.mark.parametrize("name", ["4", "true", "2024-01-01", '"q"', "a=b", "\U0001f98a/x", "C:\\models\\m"])
def test_a_name_is_a_name_whatever_it_looks_like(name: str, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_writing_config(None, (), model=name, adapter="none").profiler.model == name
    monkeypatch.chdir(adapter.parent)
    adapter.rename("4")
    assert load_writing_config(None, (), model="m", adapter="4").profiler.adapter == "4"


def test_a_recipe_and_an_option_override_them_even_with_a_default(adapter: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"[profiler]\nmax_events = {ProfilerConfig().max_events}\n")
    overrides = [f"profiler.max_new_tokens={ProfilerConfig().max_new_tokens}"]
    profiler = load_writing_config(recipe, overrides, model=None, adapter=str(adapter)).profiler
    assert (profiler.max_events, profiler.max_new_tokens) == (12, 48)
    assert profiler.max_prompt_tokens == TRAINED.max_prompt_tokens


def test_a_recipe_that_names_no_adapter_gets_the_shipped_one_and_one_that_names_none_gets_none(tmp_path: Path) -> None:
    def choose(text: str, *overrides: str) -> str:
        (tmp_path / "recipe.toml").write_text(text)
        return load_writing_config(tmp_path / "recipe.toml", overrides, model=None, adapter=None).profiler.adapter

    assert choose("[profiler]\nmax_events = 3\n") == "shipped"
    assert choose('[profiler]\nadapter = "none"\n') == "none"
    assert choose("", "profiler.adapter=none") == "none"


def test_without_an_adapter_or_its_settings_the_defaults_stand(adapter: Path) -> None:
    assert load_writing_config(None, (), model=None, adapter="none").profiler == ProfilerConfig()
    (adapter / PROMPT_SETTINGS_FILE).unlink()
    assert load_prompt_settings(str(adapter)) == {}


@pytest.fixture(params=["checkpoints", "round-2/checkpoints", "warm-start/checkpoints"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    run = RunFolder.start(tmp_path / "training", replace(Config(), profiler=TRAINED))
    folder = run.path / request.param / "checkpoint-3"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    return folder


def test_a_checkpoint_is_asked_as_its_run_says(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {name: getattr(TRAINED, name) for name in PROMPT_SETTINGS}
    assert load_prompt_settings(str(checkpoint)) == expected
    profiler = load_writing_config(None, ("profiler.max_events=5",), model=None, adapter=str(checkpoint)).profiler
    assert (profiler.template, profiler.max_events) == ("open", 5)
    assert load_trained_on(str(checkpoint)) is None
    monkeypatch.chdir(checkpoint)
    assert load_prompt_settings(".") == expected


def test_settings_beside_a_checkpoint_come_before_those_of_the_run(checkpoint: Path) -> None:
    save_prompt_settings(replace(TRAINED, max_events=7), checkpoint)
    assert load_prompt_settings(str(checkpoint))["max_events"] == 7


def test_a_checkpoint_apart_from_its_run_has_no_settings(checkpoint: Path, tmp_path: Path) -> None:
    moved = checkpoint.rename(tmp_path / "checkpoint-3")
    assert load_prompt_settings(str(moved)) == {}
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    (tmp_path / "models" / "config.json").write_text('{"model_type": "llama"}')  # a model's, and no run's
    assert load_prompt_settings(str(moved.rename(tmp_path / "models" / "checkpoints" / "checkpoint-3"))) == {}


def test_a_damaged_run_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "training" / "config.json").write_text("{")
    with pytest.raises(BluerecError, match=r"training/config\.json: damaged JSON"):
        load_prompt_settings(str(checkpoint))


def test_what_an_adapter_was_trained_on_is_no_setting(adapter: Path) -> None:
    assert load_trained_on(str(adapter)) is None
    save_trained_on("garden tools", adapter)
    assert load_trained_on(str(adapter)) == "garden tools"
    assert set(load_prompt_settings(str(adapter))) == set(PROMPT_SETTINGS)
    assert load_trained_on("none") is None


def test_the_shipped_adapter_says_what_it_was_trained_on_and_how_it_is_asked() -> None:
    assert "video games" in (load_trained_on("shipped") or "")
    assert set(load_prompt_settings("shipped")) == set(PROMPT_SETTINGS)


@pytest.mark.parametrize("text", ['{"model": "another"}', "[]", "{"])
def test_damaged_settings_are_named(adapter: Path, text: str) -> None:
    (adapter / PROMPT_SETTINGS_FILE).write_text(text)
    with pytest.raises(BluerecError, match=PROMPT_SETTINGS_FILE):
        load_prompt_settings(str(adapter))


def test_an_adapter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no LoRA adapter"):
        load_writing_config(None, (), model=None, adapter=str(tmp_path))
