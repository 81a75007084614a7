"""bluerec write"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.generators import EndpointOption, WordSupportOption, open_endpoint, settle_writing
from bluerec.cli.options import AdapterOption, JsonOption, OfflineOption, SeedOption, SetOption
from bluerec.config import ProfilerConfig
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import Dataset, load_dataset
from bluerec.errors import DataError
from bluerec.evaluation.profile_sets import name_choice
from bluerec.profiling.models import load_profiler
from bluerec.profiling.prompt_settings import find_adapter_settings, load_trained_on
from bluerec.profiling.shared_words import SharedWords
from bluerec.profiling.writers import PROFILES_PER_PART, LocalWriter, check_out, describe_settings, write_profiles
from bluerec.runs import check_writable
from bluerec.types import ProfileWriter

# What others write may cost money: a kill loses no more than this.
_PER_PART_ELSEWHERE = 16


def write_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder.")],
    out: Annotated[Path, typer.Option("--out", help="The table to make: .parquet, .csv or .jsonl.")] = Path(
        "profiles.parquet"
    ),
    profiler: Annotated[
        str | None, typer.Option("--profiler", help="Embedded name, folder or hub name, or its name at --endpoint.")
    ] = None,
    adapter: AdapterOption = None,
    split: Annotated[str, typer.Option("--split", help="train, validation, test (or several: a,b), all.")] = "test",
    max_users: Annotated[int | None, typer.Option("--max-users", min=1, help="A seeded sample of the split.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="leave-one-out or global-time. [default: the recipe's]")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="A recipe with a [profiler] section.")] = None,
    endpoint: EndpointOption = None,
    word_support: WordSupportOption = 0,
    overrides: SetOption = None,
    seed: SeedOption = 0,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one profile per user from the history before the target; a killed run goes on where it was."""
    check_out(out)  # before a model is loaded
    settings = settle_writing(config, overrides or (), profiler, adapter, endpoint)
    data = settings.data
    examples = split_examples(load_dataset(directory), protocol or data.protocol, seed=data.split_seed)
    in_split = examples.select(split)
    table = in_split.select("all", max_users=max_users)
    if not len(table):
        raise DataError(f"{directory}: no user in split {split!r}; choose another --split")
    check_writable(out)
    chosen = _load(settings.profiler, endpoint, seed=seed, offline=offline)
    _tell_whom(table, in_split, split)
    console.say(f"writing {len(table)} profiles with {chosen.label}")
    _tell_settings(settings.profiler)
    words = _count_words(table.dataset, word_support) if word_support else None
    with console.progress("writing profiles") as progress:
        profiles = write_profiles(
            table, chosen.writer, settings.profiler, chosen.count_tokens, out, per_part=chosen.per_part,
            is_rough=chosen.is_rough, words=words, progress=progress, announce=console.say,
        )  # fmt: skip
    if as_json:
        console.print_json({"profiles": str(out), "n_profiles": profiles.height, "writer": chosen.label})
        return
    for user_id, text in profiles.head(3).select("user_id", "text").iter_rows():
        console.print_result(f"{user_id}: {text}")
    seeded = f" --set data.split_seed={data.split_seed}" if data.split_seed else ""
    console.print_result(
        f"{out}: {profiles.height} profiles; evaluate: bluerec evaluate {shlex.quote(str(directory))} "
        f"--profiles {shlex.quote(str(out))}{name_choice(table.protocol, split)}{seeded}"
    )


def _tell_whom(table: ExampleTable, in_split: ExampleTable, split: str) -> None:
    """Say how many of the users get a profile, and how everybody does: the default is one split, for measuring."""
    n_users = len(set(table.user_rows.tolist()))
    if len(table) < len(in_split):
        which = f"(a sample of split {split}, which has {len(in_split):,})"
    elif split != "all":
        which = f"(split {split}); --split all for everybody"
    else:
        which = "(split all)" if n_users == table.dataset.n_users else "(split all); the others have no history yet"
    console.say(f"{n_users:,} of {table.dataset.n_users:,} users {which}")


def _tell_settings(config: ProfilerConfig) -> None:
    """Say what is in force: where an adapter brings its own settings, these are not the defaults of docs/config.md."""
    values = ", ".join(f"{name} = {value}" for name, value in describe_settings(config).items())
    own = find_adapter_settings(config)
    source = f"; as the adapter was trained: {', '.join(own)}" if own else ""
    console.say(f"profiler: {values}{source}")
    trained_on = load_trained_on(config.adapter)
    if trained_on:
        console.say(
            f"the {config.adapter} adapter was trained on {trained_on}: its profiles of other things may have words of "
            "that; --adapter none writes without it, bluerec train makes one of your own"
        )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What writes: how it counts tokens (roughly, if it cannot know), and its name for people."""

    writer: ProfileWriter
    count_tokens: Callable[[str], int]
    label: str
    per_part: int = PROFILES_PER_PART
    is_rough: bool = False


def _load(config: ProfilerConfig, endpoint: str | None, *, seed: int, offline: bool) -> _Chosen:
    if endpoint is not None:
        writer, count_tokens = open_endpoint(endpoint, config)
        return _Chosen(writer, count_tokens, writer.name, _PER_PART_ELSEWHERE, is_rough=True)
    loaded = load_profiler(config.model, adapter=config.adapter, offline=offline, announce=console.say)
    return _Chosen(LocalWriter(loaded, config, seed=seed), loaded.count_tokens, loaded.label)


def _count_words(dataset: Dataset, support: int) -> SharedWords:
    return SharedWords.of_items(map(dataset.item, range(dataset.n_items)), support)
