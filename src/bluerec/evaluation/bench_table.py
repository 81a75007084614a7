"""The results of a benchmark put together: means, groups, paired tests with Holm's correction; as JSON and Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bluerec.evaluation.bench_cells import Arena, Cell, summarise_cell, summarise_groups
from bluerec.evaluation.comparisons import HEADLINE_METRIC
from bluerec.evaluation.metrics import METRIC_NAMES, Float64Array, compare

BENCH_SCHEMA = "bluerec-bench-1"
# Fewer users than this are tested by flipping signs.
MIN_Z_USERS = 50
N_SIGN_FLIPS = 9_999
PAIRED_METRICS = ("ndcg@10", "recall@10")


@dataclass(frozen=True)
class Measured:
    """An arena with the finished cells in it."""

    arena: Arena
    cells: tuple[Cell, ...]


def correct_by_holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false finding in the family at the level (Holm 1979).

    The i-th smallest of m is multiplied by m - i + 1, made monotone, and cut at 1.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * factors), 1.0)
    result = np.empty(len(p_values))
    result[order] = adjusted
    return [float(value) for value in result]


def compute_p_value(values: Float64Array, others: Float64Array) -> float:
    """Two-sided p-value of the paired z test on values (n_users,) of the same users; of few users, by flipping signs.

    Not the bootstrap's, which is never below 2 / (resamples + 1): with a few dozen systems Holm's correction would
    leave nothing significant, however clear. 1 where no user differs. Below `MIN_Z_USERS` the z test finds too much:
    there the mean is compared with those of the same differences under random signs, of which the test has
    `N_SIGN_FLIPS`, so that it is never below 1 / (1 + that).
    """
    differences = values - others
    if not differences.any():
        return 1.0
    mean = abs(float(differences.mean()))
    if len(differences) < MIN_Z_USERS:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (N_SIGN_FLIPS, len(differences)))
        n_as_far = int((np.abs(signs @ differences) / len(differences) >= mean - 1e-12).sum())
        return (1 + n_as_far) / (1 + N_SIGN_FLIPS)
    spread = float(differences.std(ddof=1))
    return math.erfc(mean / spread * math.sqrt(len(differences) / 2)) if spread else 0.0


def compare_pairs(measured: Measured, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The first system of each pair minus the other, on the same users; pairs that were not measured are left out.

    All pairs are one family of tests for each arena, pool and metric.
    """
    cells = {cell.system: cell for cell in measured.cells}
    known = [pair for pair in pairs if all(system in cells for system in pair)]
    table, rows = measured.arena.table, []
    data, protocol, mask = measured.arena.key
    for pool in measured.arena.pools:
        ranked = [pair for pair in known if all(pool in cells[system].identity["pools"] for system in pair)]
        values = {system: cells[system].values(table, pool) for system in {name for pair in ranked for name in pair}}
        found = [compare(values[own], values[other], seed=measured.arena.seed) for own, other in ranked]
        for metric in PAIRED_METRICS:
            column = METRIC_NAMES.index(metric)
            p_values = [compute_p_value(values[own][:, column], values[other][:, column]) for own, other in ranked]
            adjusted = correct_by_holm(p_values)
            for (own, other), differences, p_value, p_holm in zip(ranked, found, p_values, adjusted, strict=True):
                one = differences[column]
                rows.append({
                    "system": own, "reference": other, "dataset": data, "protocol": protocol, "mask": mask,
                    "pool": pool, "metric": metric, "difference": one.mean, "low": one.low, "high": one.high,
                    "p_value": p_value, "p_holm": p_holm, "n_tests": len(ranked), "n_users": one.n_users,
                })  # fmt: skip
    return rows


def compare_with_reference(measured: Measured, reference: str) -> list[dict[str, Any]]:
    """Each system minus the reference."""
    return compare_pairs(measured, [(cell.system, reference) for cell in measured.cells if cell.system != reference])


def build_results(
    everything: Sequence[Measured],
    reference: str,
    *,
    differences: Sequence[tuple[str, str]] = (),
    identity: Mapping[str, Any],
    measures: Sequence[Mapping[str, Any]] = (),
    notes: Iterable[str] = (),
) -> dict[str, Any]:
    """The content of `bench.json`."""
    rows, groups, paired, asked, cells = [], [], [], [], []
    for measured in everything:
        table = measured.arena.table
        paired += compare_with_reference(measured, reference)
        asked += compare_pairs(measured, differences)
        for cell in measured.cells:
            rows += summarise_cell(cell, table)
            groups += summarise_groups(cell, table)
            cells.append({"digest": cell.digest, "seconds": cell.seconds, **cell.identity})
    cell_notes = [
        f"{measured.arena.data}, {measured.arena.protocol}: {note}"
        for measured in everything
        for cell in measured.cells
        for note in cell.notes
    ]
    return {
        "schema": BENCH_SCHEMA,
        "identity": dict(identity),
        "reference": reference,
        "arenas": [measured.arena.identity for measured in everything],
        "rows": rows,
        "groups": groups,
        "paired": paired,
        "differences": asked,
        "measures": [dict(row) for row in measures],
        "cells": cells,
        "notes": list(dict.fromkeys([*notes, *cell_notes])),
    }


def pick(rows: Sequence[Mapping[str, Any]], **wanted: Any) -> list[Mapping[str, Any]]:
    """The rows that have these values, in order."""
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def order_systems(results: Mapping[str, Any], **where: Any) -> list[str]:
    """The systems of an arena, the best first in the largest pool of the arena; those without it come last."""
    rows = pick(results["rows"], metric=HEADLINE_METRIC, **where)
    pools = list(dict.fromkeys(row["pool"] for row in rows))
    last = pools[-1] if pools else ""
    means = {row["system"]: row["mean"] for row in rows if row["pool"] == last}
    return sorted(dict.fromkeys(row["system"] for row in rows), key=lambda system: -means.get(system, -1.0))


def render_markdown(results: Mapping[str, Any]) -> str:
    """The results as a page of tables; numbers are means over users with 95% intervals."""
    identity = results["identity"]
    lines = [
        f"# {identity['title'] or 'Benchmark ' + identity['name']}\n",
        f"<!-- Generated by: {identity['command']} -->\n",
        f"Reference of the paired tests: `{results['reference']}`. Bold p-values are below 0.05 after Holm's "
        "correction. Numbers of different data sets, protocols, masks or pools must not be compared with each other.\n",
    ]
    for arena in results["arenas"]:
        lines += [*_render_arena(results, arena), *_render_differences(results, arena)]
    lines += _render_measures(results)
    if results["notes"]:
        lines += ["## Notes\n", *(f"- {note}" for note in results["notes"]), ""]
    lines += ["## Where this comes from\n", f"    {identity['command']}\n"]
    lines += [
        f"Configuration digest `{identity['config_digest']}`, seed {identity['seed']}, commit "
        f"`{(identity.get('commit') or 'unknown')[:12]}`. The ranks of every user lie in the folder of the run, "
        "`cells/DATA-PROTOCOL-MASK/SYSTEM-DIGEST.ranks.parquet`.",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _render_arena(results: Mapping[str, Any], arena: Mapping[str, Any]) -> list[str]:
    where = {key: arena[key] for key in ("dataset", "protocol", "mask")}
    caveat = results["identity"].get("caveats", {}).get(arena["dataset"])
    pools = arena["pools"]
    head = f"## {arena['dataset']}, {arena['protocol']}, {arena['mask']}\n"
    said = f"{arena['n_users']:,} {arena['split']} users. NDCG@10 by pool; Recall@10 and the test in pool {pools[-1]}."
    lines = [head, f"{said} {caveat}\n" if caveat else f"{said}\n"]
    lines += [
        f"| system | {' | '.join(pools)} | Recall@10 | difference to reference | p (Holm) |",
        f"|---|{'---|' * (len(pools) + 3)}",
    ]
    for system in order_systems(results, **where):
        own = pick(results["rows"], system=system, **where)
        cells = [_cell(pick(own, pool=pool, metric=HEADLINE_METRIC)) for pool in pools]
        cells.append(_cell(pick(own, pool=pools[-1], metric="recall@10")))
        tested = pick(results["paired"], system=system, pool=pools[-1], metric=HEADLINE_METRIC, **where)
        if tested:
            one = tested[0]
            p_value = f"{one['p_holm']:.3f}"
            cells += [
                f"{one['difference']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})",
                f"**{p_value}**" if one["p_holm"] < 0.05 else p_value,
            ]
        else:
            cells += ["", ""]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return [*lines, ""]


def _render_differences(results: Mapping[str, Any], arena: Mapping[str, Any]) -> list[str]:
    """The pairs that were asked for, in their order, by pool."""
    where = {key: arena[key] for key in ("dataset", "protocol", "mask")}
    rows = pick(results["differences"], metric=HEADLINE_METRIC, **where)
    if not rows:
        return []
    pools = arena["pools"]
    lines = [
        "Differences in NDCG@10 by pool; bold where p is below 0.05 after Holm's correction over these pairs.\n",
        f"| difference | {' | '.join(pools)} |",
        f"|---|{'---|' * len(pools)}",
    ]
    for own, other in dict.fromkeys((row["system"], row["reference"]) for row in rows):
        cells = []
        for pool in pools:
            found = pick(rows, system=own, reference=other, pool=pool)
            text = f"{found[0]['difference']:+.4f}" if found else "–"
            if found and found[0]["p_holm"] < 0.05:
                text = f"**{text}**"
            cells.append(f"{text} ({found[0]['low']:+.4f} to {found[0]['high']:+.4f})" if found else text)
        lines.append(f"| {own} minus {other} | {' | '.join(cells)} |")
    return [*lines, ""]


def _render_measures(results: Mapping[str, Any]) -> list[str]:
    rows = results["measures"]
    if not rows:
        return []
    lines = ["## Measures\n", "| data | measure | system | mean | n |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: (row["dataset"], row["measure"], row["system"])):
        interval = "" if row["low"] == row["high"] else f" ({row['low']:.4g} to {row['high']:.4g})"
        lines.append(
            f"| {row['dataset']} | {row['measure']} | {row['system']} | {row['mean']:.4g}{interval} | {row['n']:,} |"
        )
    return [*lines, ""]


def _cell(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{rows[0]['mean']:.4f} ({rows[0]['low']:.4f} to {rows[0]['high']:.4f})" if rows else "–"
