"""The checkpoints of a run: which is the last whole one, and how the log is brought back to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bluerec.runs import LOG_FILE, RunFolder, read_log

CHECKPOINTS_FOLDER = "checkpoints"


def find_checkpoint(run_path: Path) -> Path | None:
    """The last whole checkpoint of a run, None if there is none yet.

    The trainer's state file is written last; a checkpoint without it was cut off and is passed over.
    """
    folders = (run_path / CHECKPOINTS_FOLDER).glob("checkpoint-*")
    whole = [folder for folder in folders if (folder / "trainer_state.json").is_file()]
    return max(whole, key=checkpoint_step, default=None)


def checkpoint_step(checkpoint: Path) -> int:
    """The number of steps after which it was written."""
    return int(checkpoint.name.rpartition("-")[2])


def rewind_log(run: RunFolder, checkpoint: Path | None) -> list[Mapping[str, Any]]:
    """Cut the log back to the checkpoint, since the steps after it are run again; returns the rows that stay."""
    if not (run.path / LOG_FILE).exists():
        return []
    last = checkpoint_step(checkpoint) if checkpoint else 0
    rows: list[Mapping[str, Any]] = [row for row in read_log(run.path) if row["step"] <= last]
    run.rewrite_log(rows)
    return rows
