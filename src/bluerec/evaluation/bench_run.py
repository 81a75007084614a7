"""A whole benchmark from its configuration to `bench.json`: arena by arena, cell by cell, keeping what is finished."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import Dataset, load_dataset
from bluerec.errors import ConfigError
from bluerec.evaluation.answerers import Answerer
from bluerec.evaluation.bench_cells import (
    Arena,
    Cell,
    digest_identity,
    identify_cell,
    load_cell,
    load_measure,
    save_cell,
    save_measure,
)
from bluerec.evaluation.bench_config import BenchConfig, BenchData, BenchExternal
from bluerec.evaluation.bench_externals import Entrance
from bluerec.evaluation.bench_ground import Ground
from bluerec.evaluation.bench_measures import (
    MEASURE_VERSIONS,
    PROFILE_MEASURES,
    QA,
    ProfilesAtHand,
    build_controls,
    measure_cost,
    measure_profiles,
)
from bluerec.evaluation.bench_profiles import (
    DescribeWriting,
    Shelf,
    WriteProfiles,
    check_split,
    describe_wanted,
    is_for,
)
from bluerec.evaluation.bench_systems import (
    SENTENCE_SYSTEMS,
    WEIGHED_SYSTEMS,
    Setting,
    build_system,
    name_systems,
    needs_vectors,
)
from bluerec.evaluation.bench_table import Measured, build_results
from bluerec.evaluation.external import save_examples
from bluerec.evaluation.external_fusion import name_fusions
from bluerec.evaluation.interests import SENTENCES_VERSION
from bluerec.evaluation.lineup import Vectors
from bluerec.evaluation.profile_sets import MAX_VALIDATION_USERS, ProfileSet
from bluerec.evaluation.protocol import leave_out_whole_pools
from bluerec.evaluation.qa import NO_ANSWER
from bluerec.runs import write_json

BENCH_FILE = "bench.json"
# Marks that would end a cell, a code span or a comment of a page.
_NO_NAME = re.compile(r"[|`<>\r\n]")
EXAMPLES_FOLDER, VALIDATION_FOLDER = "examples", "validation"

Embed = Callable[[Dataset, str], Vectors]
Announce = Callable[[str], None]


@dataclass
class Bench:
    """One run. `embed`, `write` and `load_answerer` bring in the models, each asked only where it is needed.

    `embed` is given a data set and the name or folder of an embedder, empty for that of the settings. `describe` tells
    all that profiles which `write` would write depend on: those of other adapters or settings are not taken for them.
    """

    config: BenchConfig
    data_folder: Path
    out: Path
    embed: Embed
    write: WriteProfiles
    announce: Announce
    load_answerer: Callable[[], Answerer]
    describe: DescribeWriting = describe_wanted
    split_seed: int = 0  # of the hash that puts users into train, validation and test
    notes: list[str] = field(default_factory=list)

    def run(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Measure what is missing and put everything together; `bench.json` is written last.

        Raises `ConfigError` or `DataError` for inputs that do not fit, before anything long begins where it can.
        """
        sets = [profiles.name for profiles in self.config.profiles]
        own_embedder = [profiles.name for profiles in self.config.profiles if profiles.embedder]
        systems = name_systems(self.config.systems, self.config.profile_systems, sets, own_embedder)
        external_names = [external.name for external in self.config.externals]
        fused = name_fusions(external_names, sets)
        _check_names(self.config, systems, external_names, fused)
        measured: list[Measured] = []
        measures: list[dict[str, Any]] = []
        # All of them first: a folder that is missing is told before the others are measured.
        datasets = [load_dataset(self.data_folder / data.name) for data in self.config.data]
        for data, dataset in zip(self.config.data, datasets, strict=True):
            protocols = self._protocols(data, dataset)
            self._check_splits(data, dataset, protocols)
            vectors = self._embed_all(data, dataset) if any(map(needs_vectors, systems)) else {}
            for protocol in protocols:
                found, rows = self._run_protocol(data, dataset, protocol, systems, vectors)
                measured += found
                measures += rows
        results = build_results(
            measured,
            self.config.reference,
            differences=self.config.differences,
            identity=identity,
            measures=measures,
            notes=dict.fromkeys(self.notes),
        )
        write_json(self.out / BENCH_FILE, results)
        return results

    def _embed_all(self, data: BenchData, dataset: Dataset) -> dict[str, Vectors]:
        """The catalogue as each set of profiles sees it, by its name; under the empty name as the settings say."""
        models = {"": ""} | {its.name: its.embedder for its in self.config.profiles if is_for(its, data)}
        embedded = {model: self.embed(dataset, model) for model in dict.fromkeys(models.values())}
        return {name: embedded[model] for name, model in models.items()}

    def _check_splits(self, data: BenchData, dataset: Dataset, protocols: Sequence[str]) -> None:
        for profiles in self.config.profiles:
            for protocol in protocols if is_for(profiles, data) else ():
                note = check_split(profiles, data, dataset, protocol, self.split_seed)
                self.notes += [note] if note else []

    def _protocols(self, data: BenchData, dataset: Dataset) -> list[str]:
        if dataset.has_real_times or self.config.protocols == ("leave-one-out",):
            return list(self.config.protocols)
        possible = [protocol for protocol in self.config.protocols if protocol != "global-time"]
        self.notes.append(f"{data.name}: no global-time, its timestamps are positions and not times.")
        return possible

    def _run_protocol(
        self, data: BenchData, dataset: Dataset, protocol: str, systems: Sequence[str], vectors: Mapping[str, Vectors]
    ) -> tuple[list[Measured], list[dict[str, Any]]]:
        examples = split_examples(dataset, protocol, seed=self.split_seed)
        shelf = Shelf(self.config, self.out, self.write, self.describe, self.announce, self.notes.append)
        sets = shelf.load(data, examples)
        table = self._choose_users(data, examples, sets)
        others = examples.select("validation").without(table)  # weights are not chosen on whom they are measured
        validation = others.select("all", max_users=MAX_VALIDATION_USERS, seed=self.config.seed)
        setting = Setting(table, validation, vectors, self.config.seed)
        found, measures = [], []
        for mask in self.config.masks:
            pools, notes = leave_out_whole_pools(table, self.config.pools, mask_seen=mask == "masked")
            self.notes += [f"{data.name}, {protocol}, {mask}: {note}" for note in notes]
            arena = Arena(data.name, dataset.digest, protocol, mask, data.split, pools, self.config.seed, table)
            self.announce(f"{data.name}, {protocol}, {mask}: {len(table):,} users")
            one = self._run_arena(arena, setting, systems, sets, examples.select(data.split), others)
            found.append(one)
            if mask == self.config.masks[0]:
                for cell in one.cells:
                    set_name = cell.system.partition(":")[2]
                    measures += measure_cost(cell, table, setting.vectors_of(set_name), sets.get(set_name))
        if vectors and protocol == self.config.protocols[0]:
            names = data.measures or self.config.measures
            for profiles in sets.values():
                its = vectors[profiles.name]
                measures += self._take_measures(found[0].arena, its, profiles, names)
            if QA in names:
                measured = table.select("all", max_users=self.config.measured_users, seed=self.config.seed)
                for control in build_controls(measured):
                    measures += self._take_measures(found[0].arena, vectors[""], control, (QA,))
        return found, measures

    def _take_measures(
        self, arena: Arena, vectors: Vectors, profiles: ProfileSet, names: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The rows of these measures of one set; finished ones are kept as cells are."""
        table = arena.table.select("all", max_users=self.config.measured_users, seed=self.config.seed)
        rows: list[dict[str, Any]] = []
        for name in names:
            answerer = self.load_answerer() if name == QA else None
            identity = {
                **replace(arena, table=table).identity,
                "measure": name,
                "measure_version": MEASURE_VERSIONS[name],
                "embedder": vectors.embedder.name,
                "profiles": dict(profiles.identity),
                "reader": answerer.name if answerer else None,
                **({"seconds": profiles.seconds} if name == "size" and profiles.seconds is not None else {}),
            }
            kept = load_measure(self.out, identity)
            if kept is None:
                begin = time.perf_counter()
                given = ProfilesAtHand(arena.data, table, profiles, vectors, self.config.seed, answerer)
                kept = measure_profiles(given, name)
                save_measure(self.out, identity, kept)
                self.announce(f"  {name} of {profiles.name}: {time.perf_counter() - begin:.1f} s")
            rows += kept
            self._tell_silence(profiles.name, kept)
        return rows

    def _tell_silence(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        silent = [row["mean"] for row in rows if row["measure"].endswith(NO_ANSWER)]
        if silent and max(silent) > 0.5:
            self.notes.append(
                f"{rows[0]['dataset']}: most questions about {name!r} had no readable answer. The model may be too "
                "small to choose by letter, or think before it answers: then give more --reader-tokens."
            )

    def _choose_users(self, data: BenchData, examples: ExampleTable, sets: Mapping[str, ProfileSet]) -> ExampleTable:
        """The users that have a profile in every set, so that all systems are measured on the same ones."""
        table = examples.select(data.split)
        covered = np.ones(len(table), dtype=np.bool_)
        for profiles in sets.values():
            covered &= profiles.covers(table)
        chosen = table.take(np.flatnonzero(covered)).select(
            "all", max_users=data.max_users or None, seed=self.config.seed
        )
        if not len(chosen):
            raise ConfigError(
                f"{data.name}, {examples.protocol}: no {data.split} user has a profile in each of {', '.join(sets)}"
            )
        return chosen

    def _run_arena(
        self,
        arena: Arena,
        setting: Setting,
        systems: Sequence[str],
        sets: Mapping[str, ProfileSet],
        split_table: ExampleTable,
        validation: ExampleTable,
    ) -> Measured:
        """`split_table` are all of the split that is measured, `validation` all whom weights may be chosen on."""
        ground = Ground(arena)
        self._save_examples(ground, setting.validation)
        cells = []
        for system in systems:
            set_name = system.partition(":")[2]
            if set_name and set_name not in sets:  # of other data sets
                continue
            profiles = sets.get(set_name)
            identity = identify_cell(arena, system, self._inputs(system, setting, profiles))
            cells.append(
                load_cell(self.out, identity, arena.table) or self._measure(ground, setting, profiles, identity)
            )
        entrance = Entrance(self.out, ground, setting, sets, split_table, validation, self.announce)
        for external in self.config.externals:
            if (external.data, external.protocol, external.mask) == arena.key:
                entered, notes = entrance.enter(external)
                cells += entered
                self.notes += [f"{arena.data}, {arena.protocol}: {note}" for note in notes]
        return Measured(arena, tuple(cells))

    def _save_examples(self, ground: Ground, validation: ExampleTable) -> None:
        """What other systems need to know: whom to rank, and on whom they may choose their settings."""
        nothing = np.zeros((len(validation), 0), dtype=np.int64)
        folder = self.out / EXAMPLES_FOLDER
        for where, arena, negatives in (
            (folder, ground.arena, ground.negatives),
            (folder / VALIDATION_FOLDER, replace(ground.arena, table=validation), nothing),
        ):
            path = where / f"{'.'.join(arena.key)}.{digest_identity(arena.identity)}.parquet"
            if len(arena.table) and not path.exists():
                save_examples(arena.table, negatives, path)

    def _inputs(self, system: str, setting: Setting, profiles: ProfileSet | None) -> dict[str, Any]:
        kind, _, set_name = system.partition(":")
        inputs = setting.weighed_on if kind in WEIGHED_SYSTEMS else {}
        if kind in SENTENCE_SYSTEMS:
            inputs["sentences"] = SENTENCES_VERSION
        vectors = setting.vectors_of(set_name)
        if vectors is not None and needs_vectors(system):
            inputs["embedder"] = vectors.embedder.name
        if profiles is not None:
            inputs["profiles"] = dict(profiles.identity)
        return inputs

    def _measure(
        self, ground: Ground, setting: Setting, profiles: ProfileSet | None, identity: Mapping[str, Any]
    ) -> Cell:
        ranker, notes = build_system(str(identity["system"]), setting, profiles)
        cell = ground.measure(ranker, identity, notes)
        save_cell(self.out, cell, ground.arena.table)
        self.announce(f"  {cell.system}: {cell.seconds:.1f} s")
        return cell


def _check_names(config: BenchConfig, systems: Sequence[str], externals: Sequence[str], fused: Sequence[str]) -> None:
    odd = [name for name in (*systems, *externals, *(data.name for data in config.data)) if _NO_NAME.search(name)]
    if odd:
        raise ConfigError(f"{odd[0]!r}: a name in a table has none of | ` < > and no line break; choose another")
    for name in fused:
        if name in (*systems, *externals):
            raise ConfigError(
                f"an external system fused with texts would be {name!r}, which is another system; rename it"
            )
    for external in config.externals:
        if external.name in systems:
            raise ConfigError(f"external {external.name!r} is the name of a system; choose another")
        placed = (external.protocol in config.protocols) and external.mask in config.masks
        if not placed:
            raise ConfigError(
                f"external {external.name!r}: {external.protocol}, {external.mask} is not measured in this benchmark"
            )
        same = [o for o in config.externals if (o.name, o.data, o.protocol, o.mask) == _place(external)]
        if len(same) > 1:
            raise ConfigError(f"two external systems are called {external.name!r} on {external.data}")
    _check_named(config, (*systems, *externals, *fused))


def _check_named(config: BenchConfig, systems: Sequence[str]) -> None:
    """The measures and the systems that the configuration names."""
    named = [*config.measures, *(name for data in config.data for name in data.measures)]
    unknown = [name for name in named if name not in PROFILE_MEASURES]
    if unknown:
        raise ConfigError(f"measures: no {unknown[0]!r}; choose from {', '.join(PROFILE_MEASURES)}")
    compared = [
        ("reference", config.reference),
        *(("differences", name) for pair in config.differences for name in pair),
    ]
    for what, name in compared:
        if name not in systems:
            raise ConfigError(f"{what} {name!r} is not among the systems: {', '.join(systems)}")


def _place(external: BenchExternal) -> tuple[str, str, str, str]:
    return external.name, external.data, external.protocol, external.mask


def digest_bench(config: BenchConfig) -> str:
    """Hash of all settings of a benchmark."""
    return digest_identity(config.as_dict())
