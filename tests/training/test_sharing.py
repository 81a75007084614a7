"""Where a prompt cannot be shared: TRL's own path is taken, and it is said once."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models
import tiny_runs
from transformers import MambaConfig, MambaForCausalLM

from bluerec.config import config_from_dict
from bluerec.errors import ConfigError
from bluerec.runs import read_log
from bluerec.training import grpo
from bluerec.training.profiler import train_profiler
from bluerec.training.rollouts import RolloutModel
from bluerec.training.sharing import find_generation_obstacle, find_loss_obstacle

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

PLAIN = SimpleNamespace(gradient_checkpointing=False, use_vllm=False)


@pytest.fixture(scope="module")
def dataset():
    return tiny_runs.build_dataset()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    settings = tiny_runs.build_settings(tmp_path_factory.mktemp("models") / "tiny")
    settings["train"] |= {"n_steps": 2}
    return settings


def train(dataset, config, out: Path) -> tuple[list[dict], list[str]]:
    said: list[str] = []
    run = train_profiler(dataset, config, out, say=said.append)
    return read_log(run.path), [text for text in said if "not shared" in text]


@pytest.fixture(scope="module")
def shared(dataset, settings, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    rows, said = train(dataset, config_from_dict(settings), tmp_path_factory.mktemp("runs") / "shared")
    assert not said
    assert rows[-1]["token_ratio"] > 2.5  # it ran
    return rows


def test_gradient_checkpointing_takes_the_plain_loss(dataset, settings, shared, tmp_path: Path) -> None:
    rows, said = train(
        dataset, config_from_dict(settings | {"trl": {"gradient_checkpointing": True}}), tmp_path / "run"
    )
    assert said == [
        "prompts are not shared in the loss: gradient checkpointing keeps no keys and values; it runs on TRL's own path"
    ]
    assert rows[-1]["n_tokens"] == 0
    for name in ("loss", "entropy", "gradient_norm", "reward"):
        np.testing.assert_allclose([row[name] for row in rows], [row[name] for row in shared], rtol=2e-3, atol=1e-5)


def test_generation_falls_back_to_trl(dataset, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_):
        raise AssertionError("our own decoder was used")

    monkeypatch.setattr(grpo, "find_generation_obstacle", lambda model, args, **_: "vLLM writes the candidates")
    monkeypatch.setattr(RolloutModel, "generate", never)
    rows, said = train(dataset, config_from_dict(settings), tmp_path / "run")
    assert said == ["prompts are not shared in generation: vLLM writes the candidates; it runs on TRL's own path"]
    assert rows[-1]["token_ratio"] > 2.5  # the loss shares them all the same
    assert all(row["samples"][0]["text"].startswith("This shopper likes") for row in rows)


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
def test_models_with_keys_and_values_share(family: str) -> None:
    model, _ = tiny_models.build_causal(family)
    assert find_loss_obstacle(model, PLAIN) is None
    assert find_generation_obstacle(model, PLAIN) is None
    assert find_generation_obstacle(model, SimpleNamespace(use_vllm=True)) == "vLLM writes the candidates"
    assert "gradient checkpointing" in find_loss_obstacle(model, SimpleNamespace(gradient_checkpointing=True))


def test_models_with_another_state_do_not() -> None:
    model = MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=1))
    expected = "MambaForCausalLM keeps a state beside keys and values"
    assert find_loss_obstacle(model, PLAIN) == find_generation_obstacle(model, PLAIN) == expected
    hybrid, _ = tiny_models.build_causal("qwen3")
    hybrid.config.layer_types = ["linear_attention", "full_attention"]
    assert find_loss_obstacle(hybrid, PLAIN) == "Qwen3ForCausalLM keeps a state beside keys and values"
    other, _ = tiny_models.build_causal("qwen3")
    other._supports_attention_backend = False
    assert find_loss_obstacle(other, PLAIN) is None
    assert "attention interface" in find_generation_obstacle(other, PLAIN)


def test_vllm_that_is_not_installed_is_one_line(dataset, settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trl\.use_vllm: vllm is not installed; run: pip install 'trl\[vllm\]'"):
        train_profiler(dataset, config_from_dict(settings | {"trl": {"use_vllm": True}}), tmp_path / "run")
