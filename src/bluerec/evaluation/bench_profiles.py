"""The sets of profiles of a benchmark: made by rule, read, or written by an adapter and kept until that changes."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bluerec.config import ProfilerConfig, config_from_dict
from bluerec.data.histories import ExampleTable
from bluerec.data.profiles import load_profiles
from bluerec.data.tables import Dataset
from bluerec.errors import ConfigError
from bluerec.evaluation.bench_cells import digest_identity
from bluerec.evaluation.bench_config import TEMPLATE_SET, BenchConfig, BenchData, BenchProfiles
from bluerec.evaluation.profile_sets import MAX_VALIDATION_USERS, ProfileSet, load_profile_sets
from bluerec.evaluation.protocol import digest_examples
from bluerec.evaluation.template_profiles import write_template_profiles
from bluerec.profiling.models import NO_ADAPTER, adapter_label, join_label, resolve_adapter, resolve_model
from bluerec.profiling.word_profiles import TEMPLATE_WRITER
from bluerec.profiling.writers import describe_settings
from bluerec.runs import CONFIG_FILE, read_json, write_json

PROFILES_FOLDER = "profiles"
_PARTS_SUFFIX = ".parts"
# What differs between sets without being what is compared: more is seen, or more may be said.
_ASKED = ("template", "max_events", "max_prompt_tokens", "max_new_tokens")
_DEFAULT_SPLIT = ("leave-one-out", 0)
# A run holds its adapter in RUN/adapter, that of a stage in RUN/STAGE/adapter.
_N_PARENTS = 2

WriteProfiles = Callable[[BenchProfiles, ExampleTable, Path], None]
DescribeWriting = Callable[[BenchProfiles, ExampleTable], dict[str, Any]]


def describe_wanted(wanted: BenchProfiles, table: ExampleTable) -> dict[str, Any]:
    """What the configuration says of how profiles are written, for a writer of which no more is known."""
    return {
        "data": table.dataset.digest,
        "examples": digest_examples(table),
        "asked": {"model": wanted.model, "adapter": wanted.adapter, "template": wanted.template},
        "seed": wanted.seed,
    }


def describe_writing(wanted: BenchProfiles, table: ExampleTable, settings: ProfilerConfig) -> dict[str, Any]:
    """All that texts of a local model depend on, told without loading it: an adapter by a hash of its weights.

    Raises `ModelError` if there is no such model or adapter.
    """
    adapter = resolve_adapter(settings.adapter)
    label = None if adapter is None else adapter_label(adapter)
    return {
        "data": table.dataset.digest,
        "examples": digest_examples(table),
        "writer": join_label(resolve_model(settings.model).name, label),
        **describe_settings(settings),
        "seed": wanted.seed,
    }


def _read_beside(path: Path) -> dict[str, Any]:
    """What is kept beside a file of profiles; empty where nothing is."""
    kept = path.with_suffix(".json")
    return dict(read_json(kept, "settings of profiles")) if kept.is_file() else {}


def _read_asked(path: Path) -> str:
    """How the profiles of a file were asked for, in words, as it is kept beside them; empty where that is not known."""
    identity = _read_beside(path)
    return ", ".join(f"{name} {identity[name]}" for name in _ASKED if name in identity)


def is_for(profiles: BenchProfiles, data: BenchData) -> bool:
    """Whether a set is measured on a data set."""
    return not profiles.data or data.name in profiles.data


@dataclass(frozen=True)
class Shelf:
    """Where the sets of one run come from. `say` is told of files, `note` what belongs beside the results."""

    config: BenchConfig
    out: Path
    write: WriteProfiles
    describe: DescribeWriting
    say: Callable[[str], None]
    note: Callable[[str], None]

    def load(self, data: BenchData, examples: ExampleTable) -> dict[str, ProfileSet]:
        """Every set for these examples: read, composed, or written now. A missing file is an error, not a gap."""
        sets, asked = {}, {}
        for wanted in self.config.profiles:
            if not is_for(wanted, data):
                continue
            if wanted.name == TEMPLATE_SET:
                sets[wanted.name] = self._compose(data, examples)
                continue
            if wanted.path:
                path = Path(wanted.path.format(data=data.name, protocol=examples.protocol))
            else:
                path = self._find_written(wanted, data, examples)
                asked[wanted.name] = _read_asked(path)
            (found,) = load_profile_sets([f"{wanted.name}={path}"], examples, split=data.split)
            sets[wanted.name] = replace(found, seconds=None if wanted.path else _read_seconds(path))
        if len(set(asked.values())) > 1:
            told = "; ".join(f"{name}: {settings or 'not known'}" for name, settings in asked.items())
            self.note(f"{data.name}, {examples.protocol}: profiles were not all asked for alike ({told}).")
        return sets

    def _compose(self, data: BenchData, examples: ExampleTable) -> ProfileSet:
        measured = examples.select(data.split, max_users=data.max_users or None, seed=self.config.seed)
        others = examples.select("validation").without(measured)
        known = others.select("all", max_users=MAX_VALIDATION_USERS, seed=self.config.seed)
        return ProfileSet(TEMPLATE_SET, pl.concat([write_template_profiles(part) for part in (measured, known)]))

    def _find_written(self, wanted: BenchProfiles, data: BenchData, examples: ExampleTable) -> Path:
        """The file of a set, written now if there is none of the same adapter, settings and users.

        A set may have been written under another name: the same texts in the space of another embedder.
        """
        table = _users_to_write(wanted, data, examples, self.config.seed)
        identity = self.describe(wanted, table)
        folder, name = self.out / PROFILES_FOLDER, f"{wanted.name}.{data.name}.{examples.protocol}"
        path, older = folder / f"{name}.{digest_identity(identity)}.parquet", folder / f"{name}.parquet"
        same = glob.escape(path.name.removeprefix(wanted.name))
        for written in (path, *sorted(folder.glob(f"*{same}"))):
            if written.exists():
                return written
        if older.exists():
            differing = _compare(older, identity, table)
            if not differing:
                self.note(
                    f"{data.name}, {examples.protocol}: profiles {wanted.name!r} are those of {older.name}, which does "
                    "not tell all that its texts depend on: as far as known (writer, template, users) they are those "
                    "wanted. To have them written anew, delete it."
                )
                return older
            self.say(f"{older}: kept but not used, its {differing} are not those wanted; writing {path.name}")
        parts = older.with_name(older.name + _PARTS_SUFFIX)
        if parts.exists():
            self.say(f"{parts}: kept but not gone on with, it is of an older version; writing {path.name}")
        write_json(path.with_suffix(".json"), identity)
        is_whole = not path.with_name(path.name + _PARTS_SUFFIX).exists()  # and not the rest of a stopped writing
        begin = time.perf_counter()
        self.write(wanted, table, path)
        if is_whole:
            seconds = (time.perf_counter() - begin) / max(len(table), 1)
            write_json(path.with_suffix(".json"), {**identity, "seconds_per_profile": seconds})
        return path


def _read_seconds(path: Path) -> float | None:
    """What writing one profile of a file took, loading the model included; None where it was not written in one go."""
    seconds = _read_beside(path).get("seconds_per_profile")
    return seconds if isinstance(seconds, float) else None


def _users_to_write(wanted: BenchProfiles, data: BenchData, examples: ExampleTable, seed: int) -> ExampleTable:
    """The measured users, and the validation users on whom weights are chosen."""
    n_users = min(wanted.max_users, data.max_users or wanted.max_users)
    chosen = [examples.select(data.split, max_users=n_users, seed=seed)]
    if data.split != "validation" and wanted.validation_users:
        others = examples.select("validation").without(chosen[0])
        chosen.append(others.select("all", max_users=wanted.validation_users, seed=seed))
    places = {example_id: row for row, example_id in enumerate(examples.example_ids)}
    return examples.take(np.array([places[example_id] for part in chosen for example_id in part.example_ids]))


def check_split(wanted: BenchProfiles, data: BenchData, dataset: Dataset, protocol: str, split_seed: int) -> str | None:
    """Refuse what was trained on this data set under another split, as it may have learnt from the users measured.

    Returns a note where the split is not the default and nothing tells which the training had. Raises `ConfigError`.
    """
    measured = _split(protocol, split_seed)
    note = None
    for folder in (wanted.adapter, wanted.embedder):
        if folder in ("", NO_ADAPTER):
            continue
        run = _find_run(Path(folder))
        if run is None and data.is_source and measured != _DEFAULT_SPLIT:
            note = (
                f"{data.name}, {protocol}: it is not recorded under which split {wanted.name!r} was trained; "
                "measured users may have been among those that it learnt from."
            )
        if run is None or run["data_digest"] != dataset.digest:
            continue
        # Through the config, so that settings which are younger than the run take their defaults.
        settings = config_from_dict({"data": run["config"].get("data", {})}, where=folder).data
        trained = _split(settings.protocol, settings.split_seed)
        if trained != measured:
            remedy = (
                f"measure it under {trained[0]}, or train one under {protocol}"
                if trained[0] != protocol
                else f"add --set data.split_seed={trained[1]}"
            )
            raise ConfigError(
                f"profiles {wanted.name!r}: {folder} was trained on {data.name} under another split ({trained[0]}, "
                f"data.split_seed={trained[1]}) than {protocol}, data.split_seed={split_seed}, and may have learnt "
                f"from users that are measured; {remedy}"
            )
    return note


def _split(protocol: str, seed: int) -> tuple[str, int]:
    """What a split depends on; times are cut without a seed."""
    return protocol, seed if protocol == "leave-one-out" else 0


def _find_run(folder: Path) -> Mapping[str, Any] | None:
    """What the training run that a folder is of recorded, if it is one."""
    if not folder.is_dir():  # a name and no folder
        return None
    for place in (folder, *folder.absolute().parents[:_N_PARENTS]):
        if (place / CONFIG_FILE).is_file():
            found = read_json(place / CONFIG_FILE, "run folder")
            if isinstance(found, dict) and "data_digest" in found:  # models have a config.json too
                return found
    return None


def _compare(older: Path, identity: Mapping[str, Any], table: ExampleTable) -> str:
    """What tells a file from what is wanted, as far as the file itself tells it; empty if nothing does."""
    frame = load_profiles(older)
    wanted = {"users": set(table.example_ids)}
    wanted |= {column: {identity[column]} for column in ("writer", "template") if column in identity}
    found = {column: set(frame["example_id" if column == "users" else column]) for column in wanted}
    found["writer"] = found.get("writer", set()) - {TEMPLATE_WRITER}  # who writes where a model obeyed an instruction
    return ", ".join(column for column in wanted if found[column] != wanted[column])
