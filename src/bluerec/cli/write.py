"""bluerec write"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import JsonOption, OfflineOption, SeedOption, SetOption
from bluerec.data.histories import split_examples
from bluerec.data.tables import load_dataset
from bluerec.errors import DataError
from bluerec.profiling.models import load_profiler
from bluerec.profiling.prompt_settings import load_writing_config
from bluerec.profiling.writers import LocalWriter, write_profiles


def write_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder.")],
    out: Annotated[Path, typer.Option("--out", help="The profile table to make.")] = Path("profiles.parquet"),
    profiler: Annotated[str | None, typer.Option("--profiler", help="Embedded name, folder or hub name.")] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="A LoRA adapter or run folder, or none. [default: the shipped one]")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, validation, test (or several: a,b), all.")] = "test",
    max_users: Annotated[int | None, typer.Option("--max-users", help="A seeded sample of the split.")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="leave-one-out or global-time.")] = "leave-one-out",
    config: Annotated[Path | None, typer.Option("--config", help="A recipe with a [profiler] section.")] = None,
    overrides: SetOption = None,
    seed: SeedOption = 0,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one profile per user from the history before the target; a killed run goes on where it was."""
    settings = load_writing_config(config, overrides or (), model=profiler, adapter=adapter).profiler
    examples = split_examples(load_dataset(directory), protocol)
    table = examples.select(split, max_users=max_users)
    if not len(table):
        raise DataError(f"{directory}: no user in split {split!r}; choose another --split")
    loaded = load_profiler(settings.model, adapter=settings.adapter, offline=offline, announce=console.say)
    console.say(f"writing {len(table)} profiles with {loaded.label}")
    with console.progress("writing profiles") as progress:
        profiles = write_profiles(
            table, LocalWriter(loaded, settings, seed=seed), settings, loaded.count_tokens, out, progress=progress
        )
    if as_json:
        console.print_json({"profiles": str(out), "n_profiles": profiles.height, "writer": loaded.label})
        return
    for user_id, text in profiles.head(3).select("user_id", "text").iter_rows():
        console.print_result(f"{user_id}: {text}")
    console.print_result(f"{out}: {profiles.height} profiles; evaluate: bluerec evaluate {directory} --profiles {out}")
