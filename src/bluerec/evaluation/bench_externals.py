"""Other systems on the ground of a benchmark: their own rows, and those of texts fused with their lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluerec.data.candidates import FULL_POOL
from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError
from bluerec.evaluation.bench_cells import Cell, identify_cell, load_cell, save_cell
from bluerec.evaluation.bench_config import BenchExternal
from bluerec.evaluation.bench_ground import Ground
from bluerec.evaluation.bench_systems import Setting
from bluerec.evaluation.external import ExternalRanks, digest_file, load_external
from bluerec.evaluation.external_fusion import Fusion, build_fusion, describe_gap, find_known, plan_fusions
from bluerec.evaluation.external_lists import ScoredLists
from bluerec.evaluation.profile_sets import ProfileSet


@dataclass(frozen=True)
class Entrance:
    """Where the files of other systems are read for one arena.

    `split_table` are all examples of the split that is measured, `validation` all those that weights may be chosen on:
    none of the measured ones.
    """

    out: Path
    ground: Ground
    setting: Setting
    sets: Mapping[str, ProfileSet]
    split_table: ExampleTable
    validation: ExampleTable
    announce: Callable[[str], None]

    def enter(self, external: BenchExternal) -> tuple[list[Cell], list[str]]:
        """The cells of one system, and notes on what is left out. Raises `DataError` for a file that does not fit.

        Files are checked anew in every run: one that was changed must not keep an old cell.
        """
        found = self._load(external.path)
        cells = [self._enter_ranks(external, found)]
        if external.lists:
            found = self._load(external.lists)
            if found.lists is None:
                raise ConfigError(f"{external.lists}: holds ranks; lists need example_id, item_id and score")
        if found.lists is None or self.setting.vectors_of() is None:
            return cells, []
        notes = []
        for fusion in plan_fusions(external.name, self.sets):
            gap = describe_gap(fusion, find_known(fusion, found.lists, self.setting))
            if gap:
                notes.append(gap)
            else:
                cells.append(self._enter_fusion(fusion, found.lists, external.lists or external.path))
        return cells, notes

    def _load(self, path: str) -> ExternalRanks:
        arena = self.ground.arena
        return load_external(
            path,
            arena.table,
            self.split_table,
            arena.pools,
            self.ground.count_candidates(),
            mask_seen=self.ground.mask_seen,
            validation=self.validation,
        )

    def _enter_ranks(self, external: BenchExternal, found: ExternalRanks) -> Cell:
        table, pools = self.ground.arena.table, self.ground.arena.pools
        inputs: dict[str, Any] = {"external": digest_file(external.path), "pools": list(found.pools)}
        if found.lists is not None:
            inputs["ties"] = "equal scores"  # what ties decides a rank, so it is part of what a cell depends on
        identity = identify_cell(self.ground.arena, external.name, inputs)
        n_candidates = self.ground.count_candidates()[[pools.index(pool) for pool in found.pools]]
        cell = Cell(external.name, identity, found.ranks, n_candidates, 0.0, found.notes)
        if load_cell(self.out, identity, table) is None:
            save_cell(self.out, cell, table)
            self.announce(f"  {external.name}: external, {external.path}")
        return cell

    def _enter_fusion(self, fusion: Fusion, lists: ScoredLists, path: str) -> Cell:
        table = self.ground.arena.table
        vectors = self.setting.vectors_of(fusion.set_name)
        inputs = {"external": digest_file(path), "pools": [FULL_POOL], **self.setting.weighed_on}
        if vectors is not None:
            inputs["embedder"] = vectors.embedder.name
        if fusion.profiles is not None:
            inputs["profiles"] = dict(fusion.profiles.identity)
        identity = identify_cell(self.ground.arena, fusion.name, inputs)
        kept = load_cell(self.out, identity, table)
        if kept is not None:
            return kept
        ranker, notes = build_fusion(fusion, lists, self.setting)
        cell = self.ground.measure(ranker, identity, notes)
        save_cell(self.out, cell, table)
        self.announce(f"  {fusion.name}: {cell.seconds:.1f} s")
        return cell
