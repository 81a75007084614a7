"""The checkpoints of a run: which is the last whole one, and how the log is brought back to it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bluerec.errors import TrainingError
from bluerec.runs import LOG_FILE, RunFolder, read_log

CHECKPOINTS_FOLDER = "checkpoints"
STATE_FILE = "trainer_state.json"


def find_checkpoint(run_path: Path) -> Path | None:
    """The last whole checkpoint of a run, None if there is none yet.

    The trainer's state file is written last; a checkpoint without it was cut off and is passed over, as is one whose
    files are damaged.
    """
    return next((folder for folder in _written(run_path) if find_damage(folder) is None), None)


def recover_checkpoint(run_path: Path, say: Callable[[str], None]) -> Path | None:
    """As `find_checkpoint`; newer damaged ones are set aside, so that nothing is mixed with their remains.

    Raises `TrainingError` if all there are are damaged.
    """
    sound = find_checkpoint(run_path)
    damaged = [folder for folder in _written(run_path) if folder != sound and find_damage(folder)]
    if damaged and sound is None:
        raise TrainingError(
            f"{damaged[0]}: damaged checkpoint ({find_damage(damaged[0])}), and there is no older one; "
            "begin the training anew with another --out"
        )
    for folder in damaged:
        reason = find_damage(folder)
        aside = folder.with_name(f"damaged-{checkpoint_step(folder)}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.replace(aside)
        say(f"{folder}: damaged checkpoint ({reason}), set aside as {aside.name}; going on from {sound}")
    return sound


def find_damage(checkpoint: Path) -> str | None:
    """What is wrong with the files of a checkpoint, None if they are whole."""
    from safetensors import SafetensorError, safe_open

    try:
        state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
        if state["global_step"] != checkpoint_step(checkpoint):
            return f"{STATE_FILE} is of step {state['global_step']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{STATE_FILE} is cut off"
    for name in ("adapter_config.json", "adapter_model.safetensors", "optimizer.pt", "scheduler.pt"):
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
    for path in sorted(checkpoint.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):
                pass
        except (SafetensorError, OSError):
            return f"{path.name} is cut off"
    archives = [*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")]
    return next((f"{path.name} is cut off" for path in sorted(archives) if not zipfile.is_zipfile(path)), None)


def _written(run_path: Path) -> list[Path]:
    """Checkpoints that were written to the end, newest first."""
    folders = (run_path / CHECKPOINTS_FOLDER).glob("checkpoint-*")
    return sorted((one for one in folders if (one / STATE_FILE).is_file()), key=checkpoint_step, reverse=True)


def checkpoint_step(checkpoint: Path) -> int:
    """The number of steps after which it was written."""
    return int(checkpoint.name.rpartition("-")[2])


def rewind_log(run: RunFolder, last_step: int) -> list[Mapping[str, Any]]:
    """Cut the log back to a step, since those after it are run again; returns the rows that stay."""
    if not (run.path / LOG_FILE).exists():
        return []
    rows: list[Mapping[str, Any]] = [row for row in read_log(run.path) if row["step"] <= last_step]
    run.rewrite_log(rows)
    return rows
