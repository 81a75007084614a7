"""Every recipe in configs/ trains two steps on tiny models, stages and rounds included."""

import json
import tomllib
from pathlib import Path

import pytest
import tiny_models
import tiny_runs
import torch
from safetensors.torch import load_file

from bluerec.config import Config, config_from_dict, load_config
from bluerec.profiling.embedders import load_embedder
from bluerec.runs import read_log
from bluerec.training import policy
from bluerec.training.profiler import train_profiler

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
RECIPES = sorted(path.stem for path in CONFIGS.glob("*.toml"))

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Every trained embedder leaves vectors of the catalogue in the cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BLUEREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def dataset():
    return tiny_runs.build_dataset()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "profiler": str(tiny_models.save_causal("llama", folder / "tiny")),
        "embedder": str(tiny_models.save_last_token_embedder(folder / "tiny-embedder")),
    }


def shrink(recipe: str, models: dict[str, str], **train: object) -> Config:
    """The recipe as it is, but for sizes and models."""
    table = tomllib.loads((CONFIGS / f"{recipe}.toml").read_text())
    small = {
        "profiler": {"model": models["profiler"], "max_events": 2, "max_prompt_tokens": 600, "max_new_tokens": 8,
                     "adapter": "none", "temperature": 1.0},  # greedy, random weights write the same for everybody
        "embedder": {"model": models["embedder"]},
        "embedding_reward": {"n_random": 8, "n_references": 4},
        "sft": {"n_users": 12, "n_candidates": 3, "batch_size": 4, "micro_batch_size": 2, "dtype": "float32"},
        "embedder_training": {"n_users": 12, "batch_size": 4},
        "train": {"n_steps": 2, "users_per_step": 2, "group_size": 3, "users_per_micro_batch": 1, "lora_rank": 2,
                  "rollout_dtype": "float32", "save_every": 1} | train,
    }  # fmt: skip
    if "sft" in table["train"].get("stages", []):  # composed profiles are longer than that
        small["profiler"]["max_new_tokens"] = 200 if recipe == "blue-warm" else 24
    return config_from_dict({name: table.get(name, {}) | small.get(name, {}) for name in table.keys() | small.keys()})


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_two_steps(
    dataset, models, tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shrink(recipe, models)
    if config.sft.source == "best-of-n":  # random weights hardly ever end a profile, and only ended ones are imitated
        monkeypatch.setattr(policy, "find_stop_tokens", lambda profiler: tuple(range(100, 130)))
    run = train_profiler(dataset, config, tmp_path / "run")
    assert run.is_whole
    rows = read_log(run.path)
    assert [row["step"] for row in rows] == list(range(1, 2 * config.train.rounds + 1))
    weights = {name: getattr(config, f"{name}_reward").weight for name in ("ranking", "length", "quality", "choice")}
    for name, weight in weights.items():
        assert all((name in row["rewards"]) == (weight > 0) for row in rows), name
    assert any(row["reward_std"] > 0 for row in rows)
    assert any(values.abs().max() > 0 for name, values in tiny_runs.adapter_of(run.path).items() if "lora_B" in name)
    assert (run.path / "embedder").is_dir() == ("embedder" in config.train.stages)
    assert (run.path / "warm-start").is_dir() == ("sft" in config.train.stages)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_header_of_a_recipe_states_its_deviations(recipe: str) -> None:
    text = (CONFIGS / f"{recipe}.toml").read_text()
    header = text[: text.index("\n\n")]
    assert all(line.startswith("#") for line in header.splitlines())
    assert "# Deviations from " in header
    load_config(CONFIGS / f"{recipe}.toml")


def embedder_of(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.relative_to(folder)}.{name}": values
        for path in sorted(folder.rglob("*.safetensors"))
        for name, values in load_file(path).items()
    }


@pytest.fixture(scope="module")
def rounds(dataset, models, tmp_path_factory: pytest.TempPathFactory):
    config = shrink("blue-trainable", models)
    return train_profiler(dataset, config, tmp_path_factory.mktemp("runs") / "rounds")


def test_each_round_trains_the_embedder_and_the_profiler_further(rounds, models) -> None:
    folders = [rounds.path / "round-1", rounds.path / "round-2"]
    embedders = [embedder_of(Path(models["embedder"])), *(embedder_of(folder / "embedder") for folder in folders)]
    adapters = [load_file(folder / "adapter" / "adapter_model.safetensors") for folder in folders]
    for before, after in ((embedders[0], embedders[1]), (embedders[1], embedders[2]), (adapters[0], adapters[1])):
        assert before.keys() == after.keys() != set()
        assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(
        torch.equal(values, embedder_of(rounds.path / "embedder")[name]) for name, values in embedders[2].items()
    )
    assert all(torch.equal(values, tiny_runs.adapter_of(rounds.path)[name]) for name, values in adapters[1].items())
    assert [row["round"] for row in read_log(rounds.path)] == [1, 1, 2, 2]
    assert json.loads((rounds.path / "manifest.json").read_text())["n_steps"] == 4


def test_reference_profiles_and_pairs_are_written_anew_in_each_round(rounds) -> None:
    from bluerec.data.profiles import load_profiles

    first, second = (load_profiles(rounds.path / f"round-{number}" / "references.parquet") for number in (1, 2))
    assert first["writer"][0] == "tiny"
    assert second["writer"][0].startswith("tiny+round-1-")
    pairs = [load_profiles(rounds.path / f"round-{number}" / "pairs.parquet") for number in (1, 2)]
    assert set(pairs[0]["example_id"]) != set(pairs[1]["example_id"])
    assert all(set(table["split"]) == {"train"} for table in (first, second, *pairs))


def test_the_trained_embedder_is_loaded_by_its_folder(rounds, models) -> None:
    from bluerec.config import EmbedderConfig

    trained = load_embedder(EmbedderConfig(model=str(rounds.path / "embedder")), cache=False)
    before = load_embedder(EmbedderConfig(model=models["embedder"]), cache=False)
    assert trained.name != before.name
    assert trained.embed(["Likes racing."], "profile").shape == (1, before.dimension)


@pytest.mark.parametrize("last", [2, 3])
def test_rounds_go_on_where_they_were_stopped(dataset, models, rounds, tmp_path: Path, last: int) -> None:
    config = shrink("blue-trainable", models)

    def stop(row) -> None:
        if row["step"] == last:
            raise KeyboardInterrupt

    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train_profiler(dataset, config, out, tell=stop)
    train_profiler(dataset, config, out, resume=True)
    assert [tiny_runs.without_clock(row) for row in read_log(out)] == [
        tiny_runs.without_clock(row) for row in read_log(rounds.path)
    ]
    for name, values in tiny_runs.adapter_of(out).items():
        assert torch.equal(values, tiny_runs.adapter_of(rounds.path)[name]), name
    for name, values in embedder_of(out / "embedder").items():
        assert torch.equal(values, embedder_of(rounds.path / "embedder")[name]), name
