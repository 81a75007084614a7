"""The card of a trained adapter: what it was made from and how, in place of the empty form that PEFT would leave."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from bluerec.config import REWARD_SECTIONS, Config
from bluerec.runs import write_text
from bluerec.training.adapters import SETTINGS_FILE

CARD_FILE = "README.md"


def write_card(folder: Path, config: Config, *, data_digest: str) -> None:
    """Put the card into the folder of an adapter; it quotes no texts of users, and the paths of no machine."""
    lora = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    card = render_card(config, base=lora["base_model_name_or_path"], data_digest=data_digest)
    write_text(folder / CARD_FILE, card)


def render_card(config: Config, *, base: str, data_digest: str) -> str:
    """The card as Markdown; `base` is the name of the base model."""
    train = config.train
    facts = {
        "base model": base,
        "started from": "new weights" if config.profiler.adapter == "none" else "another adapter",
        "stages": ", ".join(train.stages) + (f", {train.rounds} rounds" if train.rounds > 1 else ""),
        "data": f"digest {data_digest}, {config.data.protocol}",
        "settings": f"digest {config.digest}, in config.json of the run",
        "made by": f"bluerec {version('bluerec')}",
    }
    if "grpo" in train.stages:
        facts["steps"] = f"{train.total_steps} of {train.users_per_step} users x {train.group_size} profiles"
        facts["rewards"] = ", ".join(f"{name} {weight:g}" for name, weight in _list_weights(config).items())
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return (
        "# A LoRA adapter that writes profiles of users\n\n"
        f"| | |\n|---|---|\n{rows}\n\n"
        "It is asked as profiler.json says. Profiles are written with `bluerec write DIR --adapter RUN`.\n"
    )


def _list_weights(config: Config) -> dict[str, float]:
    """Rewards and guards that have a weight."""
    weights = {name.removesuffix("_reward"): getattr(config, name).weight for name in REWARD_SECTIONS}
    guards = config.as_dict()["guards"]
    return {name: weight for name, weight in {**weights, **guards}.items() if weight}
