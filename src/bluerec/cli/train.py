"""bluerec train"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bluerec.cli import console
from bluerec.cli.options import JsonOption, OfflineOption, SetOption
from bluerec.config import load_config
from bluerec.data.tables import load_dataset
from bluerec.errors import ConfigError
from bluerec.runs import load_saved_settings
from bluerec.training.profiler import train_profiler
from bluerec.training.session import ADAPTER_FOLDER, EMBEDDER_FOLDER

# Without a terminal there is no bar; a log of a night is to stay short.
SECONDS_BETWEEN_LINES = 60.0


def train_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder.")],
    config: Annotated[Path | None, typer.Option("--config", help="A recipe, e.g. configs/blue.toml.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run folder to make.")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="A run folder to go on with.")] = None,
    overrides: SetOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a profiler with GRPO; the adapter and the log are kept in a run folder."""
    if (out is None) == (resume is None):
        raise ConfigError("give either --out RUN for a new run or --resume RUN to go on with one")
    saved = load_saved_settings(resume) if resume is not None and config is None else None
    settings = load_config(config, overrides or (), base=saved)
    dataset = load_dataset(directory)
    folder = resume or out
    with console.progress("training") as progress:
        run = train_profiler(
            dataset,
            settings,
            folder or Path(),
            resume=resume is not None,
            offline=offline,
            say=console.say,
            tell=StepTeller(settings.train.total_steps, n_rounds=settings.train.rounds),
            progress=progress,
        )
    if int(os.environ.get("RANK", "0")):  # of several processes one tells the result
        return
    # A run of the embedder alone has no adapter of its own, and most runs no embedder.
    made = {name: run.path / name for name in (ADAPTER_FOLDER, EMBEDDER_FOLDER) if (run.path / name).is_dir()}
    if as_json:
        steps = settings.train.total_steps
        console.print_json({"run": str(run.path), "steps": steps, **{name: str(path) for name, path in made.items()}})
    else:
        where = ", ".join(f"{name} in {path}" for name, path in made.items())
        console.print_result(f"{run.path}: {where}; look at it: bluerec report {run.path}")


class StepTeller:
    """Told every row of the log: all of them are details; where no bar is seen, some are said at intervals."""

    def __init__(self, n_steps: int, *, n_rounds: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._n_steps = n_steps
        self._n_rounds = n_rounds
        self._clock = clock
        self._said = -math.inf

    def __call__(self, row: Mapping[str, Any]) -> None:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in row["rewards"].items() if value is not None)
        # Only steps are counted: between rounds an embedder may be trained, and profiles are written.
        left = f"{'at least ' if row.get('round', 1) < self._n_rounds else ''}{row['seconds_left'] / 60:.0f} min left"
        pace = f"{row['time']:.0f} s, {row['tokens_per_second']:.0f} tokens/s, {left}"
        console.detail(f"step {row['step']}: reward {row['reward']:.3f} ({parts}), {pace}")
        is_last = row["step"] == self._n_steps
        if console.shows_progress() or not (is_last or self._clock() - self._said >= SECONDS_BETWEEN_LINES):
            return
        self._said = self._clock()
        console.say(f"step {row['step']} of {self._n_steps}: reward {row['reward']:.3f}, {pace}")
