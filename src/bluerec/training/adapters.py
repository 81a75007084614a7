"""LoRA adapters: attached to be trained, and made small enough to travel with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bluerec.config import Config
from bluerec.errors import ConfigError, TrainingError
from bluerec.profiling.models import Profiler, attach_adapter, resolve_adapter
from bluerec.profiling.prompt_settings import copy_prompt_settings
from bluerec.runs import atomic_path, level_modes, write_json

WEIGHTS_FILE = "adapter_model.safetensors"
SETTINGS_FILE = "adapter_config.json"


def prepare_lora(profiler: Profiler, adapter: Path | None, config: Config) -> Any:
    """The profiler's model with trainable LoRA weights: those of `adapter`, or new ones on all linear layers."""
    model = _make_lora(profiler, adapter, config)
    # PEFT's card is a form that nobody has filled in; `bluerec.training.cards` writes one of facts.
    model.create_or_update_model_card = lambda output_dir: None
    return model


def _make_lora(profiler: Profiler, adapter: Path | None, config: Config) -> Any:
    from peft import LoraConfig, get_peft_model

    if adapter is not None:
        return attach_adapter(profiler.model, adapter, profiler.name, trainable=True)
    lora = LoraConfig(
        r=config.train.lora_rank,
        lora_alpha=config.train.lora_alpha,
        # One mask for a shared prompt would not be the same distribution as one per candidate.
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(profiler.model, lora)


def check_same_lora(model: Any, folder: Path) -> None:
    """Raise `TrainingError` where the adapter in a folder has another shape than that of `model`."""
    theirs = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    ours = next(iter(model.peft_config.values()))
    for name, key in (("rank", "r"), ("alpha", "lora_alpha")):
        if theirs.get(key) != getattr(ours, key):
            raise TrainingError(
                f"{folder}: its adapter has {name} {theirs.get(key)}, this run {getattr(ours, key)}: a checkpoint of "
                "another configuration; set the run's back to it, or begin a new run with another --out"
            )


def load_lora(model: Any, folder: Path) -> None:
    """Give the LoRA weights of `model` the values of those in a folder."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(folder / WEIGHTS_FILE))


def compress_adapter(adapter: str, out: str | Path, *, rank: int) -> float:
    """Write a LoRA adapter (a folder or run folder) in half precision at a lower rank.

    Each update B A is replaced by its best approximation of that rank (truncated singular values). Returns the error
    of all updates together, as a share of their norm. Raises `ConfigError` for a rank above the adapter's own.
    """
    import torch
    from safetensors.torch import load_file, save_file

    folder = resolve_adapter(adapter)
    if folder is None:
        raise ConfigError("there is no adapter to compress; give its folder or run folder")
    settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    if not 1 <= rank <= settings["r"]:
        raise ConfigError(f"rank {rank}: the adapter has rank {settings['r']}; choose 1 to {settings['r']}")
    weights = load_file(folder / WEIGHTS_FILE)
    small, lost, total = {}, 0.0, 0.0
    for name in sorted(name for name in weights if ".lora_A." in name):
        down, up = weights[name].double(), weights[name.replace(".lora_A.", ".lora_B.")].double()
        # Singular values of the (out, in) product, from two thin factors of the same few columns.
        up_basis, up_rest = torch.linalg.qr(up)
        down_basis, down_rest = torch.linalg.qr(down.T)
        left, values, right = torch.linalg.svd(up_rest @ down_rest.T)
        lost += float((values[rank:] ** 2).sum())
        total += float((values**2).sum())
        roots = values[:rank].sqrt()
        small[name] = ((right[:rank] * roots[:, None]) @ down_basis.T).half().contiguous()
        small[name.replace(".lora_A.", ".lora_B.")] = (up_basis @ (left[:, :rank] * roots)).half().contiguous()
    out = Path(out)
    with atomic_path(out / WEIGHTS_FILE) as partial:
        save_file(small, partial, metadata={"format": "pt"})
    # The update is scaled by alpha over rank.
    scale = settings["lora_alpha"] / settings["r"]
    write_json(out / SETTINGS_FILE, settings | {"r": rank, "lora_alpha": scale * rank})
    copy_prompt_settings(adapter, out)
    level_modes(out)
    return (lost / total) ** 0.5 if total else 0.0
