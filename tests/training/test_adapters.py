"""Compressing an adapter: exact at its true rank, the best approximation below it."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from bluerec.config import config_from_dict
from bluerec.errors import ConfigError
from bluerec.profiling.models import load_profiler, save_adapter
from bluerec.profiling.prompt_settings import load_prompt_settings
from bluerec.runs import RunFolder
from bluerec.training.adapters import compress_adapter

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A tiny model and a rank-4 adapter whose updates have rank 2."""
    base = tiny_models.save_causal("llama", tmp_path / "base")
    profiler = load_profiler(str(base))
    adapted = get_peft_model(profiler.model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                columns = torch.randn(len(parameter), 2, generator=generator)
                parameter.copy_(torch.cat([columns, columns @ torch.tensor([[1.0, 2.0], [3.0, -1.0]])], dim=1))
    save_adapter(adapted, tmp_path / "adapter")
    return base, tmp_path / "adapter"


def updates(folder: Path) -> dict[str, torch.Tensor]:
    settings = json.loads((folder / "adapter_config.json").read_text())
    weights = load_file(folder / "adapter_model.safetensors")
    return {
        name: weights[name.replace("lora_A", "lora_B")].double() @ weights[name].double()
        * (settings["lora_alpha"] / settings["r"])
        for name in weights
        if "lora_A" in name
    }  # fmt: skip


def test_nothing_is_lost_at_the_true_rank(trained, tmp_path: Path) -> None:
    base, adapter = trained
    assert compress_adapter(str(adapter), tmp_path / "small", rank=2) < 1e-6
    before, after = updates(adapter), updates(tmp_path / "small")
    assert before.keys() == after.keys() != set()
    for name, update in before.items():
        torch.testing.assert_close(after[name], update, atol=2e-3 * float(update.abs().max()), rtol=0)
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        whole = load_profiler(str(base), adapter=str(adapter)).model(tokens).logits
        small = load_profiler(str(base), adapter=str(tmp_path / "small")).model(tokens).logits
    assert (whole - small).abs().max() < 0.02 * whole.abs().max()


def test_a_small_checkpoint_is_asked_as_its_run_says(trained, tmp_path: Path) -> None:
    run = RunFolder.start(tmp_path / "run", config_from_dict({"profiler": {"template": "open", "max_events": 3}}))
    checkpoint = shutil.copytree(trained[1], run.path / "checkpoints" / "checkpoint-5")
    compress_adapter(str(checkpoint), tmp_path / "small", rank=2)
    settings = load_prompt_settings(str(tmp_path / "small"))
    assert (settings["template"], settings["max_events"]) == ("open", 3)


def test_the_error_is_that_of_the_singular_values(trained, tmp_path: Path) -> None:
    error = compress_adapter(str(trained[1]), tmp_path / "small", rank=1)
    before, after = updates(trained[1]), updates(tmp_path / "small")
    lost = sum(float(((after[name] - update) ** 2).sum()) for name, update in before.items())
    total = sum(float((update**2).sum()) for update in before.values())
    assert error == pytest.approx((lost / total) ** 0.5, rel=1e-2)
    assert error > 0.01


@pytest.mark.parametrize("rank", [0, 5])
def test_faults(trained, tmp_path: Path, rank: int) -> None:
    with pytest.raises(ConfigError, match="rank 4"):
        compress_adapter(str(trained[1]), tmp_path / "small", rank=rank)
    with pytest.raises(ConfigError, match="no adapter to compress"):
        compress_adapter("none", tmp_path / "small", rank=1)
