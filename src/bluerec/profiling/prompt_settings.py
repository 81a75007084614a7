"""How an adapter wants to be asked: a profiler writes well only for prompts and lengths like those it was trained on.

Training saves these settings beside the adapter's weights; those of a checkpoint are found in its run. Whoever writes
with it starts from them, and a recipe or an option still overrides each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bluerec.config import Config, ProfilerConfig, load_config, override_text
from bluerec.errors import ModelError
from bluerec.profiling.models import choose_adapter, resolve_adapter
from bluerec.runs import CONFIG_FILE, read_json, write_json

PROMPT_SETTINGS_FILE = "profiler.json"
# Tells a recipe that names no adapter from one that names none.
_UNNAMED = ""
PROMPT_SETTINGS = ("template", "max_events", "max_prompt_tokens", "max_new_tokens")
# Beside these, what an adapter was trained on, in words: its profiles of other things may borrow from it.
TRAINED_ON = "trained_on"


def save_prompt_settings(config: ProfilerConfig, folder: Path) -> None:
    """Put the settings that a prompt depends on into the folder of an adapter."""
    values = asdict(config)
    write_json(folder / PROMPT_SETTINGS_FILE, {name: values[name] for name in PROMPT_SETTINGS})


def save_trained_on(text: str, folder: Path) -> None:
    """Record in words what an adapter was trained on, beside its settings."""
    write_json(folder / PROMPT_SETTINGS_FILE, _read(str(folder)) | {TRAINED_ON: text})


def copy_prompt_settings(adapter: str, folder: Path) -> None:
    """Put what is known of how an adapter is asked into the folder of one that was made of it."""
    found = _read(adapter)
    if found:
        write_json(folder / PROMPT_SETTINGS_FILE, found)


def load_prompt_settings(adapter: str) -> dict[str, Any]:
    """The settings of an adapter (a folder, a run or its checkpoint, `shipped`, or `none`); empty where none are kept.

    Raises `ModelError` if there is no such adapter, or its settings are damaged.
    """
    return {name: value for name, value in _read(adapter).items() if name != TRAINED_ON}


def find_adapter_settings(config: ProfilerConfig) -> list[str]:
    """The names of the settings that are as the adapter wants them."""
    return [name for name, value in load_prompt_settings(config.adapter).items() if getattr(config, name) == value]


def load_trained_on(adapter: str) -> str | None:
    """What an adapter was trained on, in words, as far as that was recorded. Raises as `load_prompt_settings`."""
    found = _read(adapter).get(TRAINED_ON)
    return found if isinstance(found, str) else None


def _read(adapter: str) -> dict[str, Any]:
    folder = resolve_adapter(adapter)
    if folder is None:
        return {}
    if not (folder / PROMPT_SETTINGS_FILE).is_file():
        return _read_from_run(folder.resolve())
    found = read_json(folder / PROMPT_SETTINGS_FILE, "settings of an adapter")
    known = (*PROMPT_SETTINGS, TRAINED_ON)
    if not isinstance(found, dict) or not set(found) <= set(known):
        raise ModelError(
            f"{folder / PROMPT_SETTINGS_FILE}: expected {', '.join(known)}; delete the file to use defaults"
        )
    return found


def _read_from_run(folder: Path) -> dict[str, Any]:
    """The settings of the run that a checkpoint is of; empty where the folder is none, or lies in no run."""
    if not folder.name.startswith("checkpoint-"):
        return {}
    # RUN/checkpoints/checkpoint-N, and one deeper in a round or a warm start.
    for above in folder.parents[1:3]:
        if (above / CONFIG_FILE).is_file():
            found = read_json(above / CONFIG_FILE, "run folder")
            # A model's folder has such a file, too.
            settings = found.get("config") if isinstance(found, dict) else None
            profiler = settings.get("profiler") if isinstance(settings, dict) else None
            if isinstance(profiler, dict):
                return {name: profiler[name] for name in PROMPT_SETTINGS if name in profiler}
    return {}


def load_writing_config(
    path: str | Path | None, overrides: Sequence[str], *, model: str | None, adapter: str | None
) -> Config:
    """A recipe with its overrides, to write with: model and adapter settled, the rest as the adapter wants it.

    Without `model` it is the recipe's. Without `adapter` it is what the recipe or an override names, and where none
    does the shipped one, if it belongs to the model.
    """
    named = [*([override_text("profiler.model", model)] if model else []), *overrides]
    first = load_config(path, named, base={"profiler": {"adapter": _UNNAMED}}).profiler
    chosen = choose_adapter(adapter or first.adapter or None, first.model)
    named.append(override_text("profiler.adapter", chosen))
    return load_config(path, named, base={"profiler": load_prompt_settings(chosen)})
