"""One self-contained HTML page of a benchmark: a figure for each question, then every number in sortable tables.

It is made by the template environment of the report: every text is cleaned and escaped, nothing is loaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bluerec import __version__
from bluerec.evaluation.bench_cells import LENGTH_GROUPS
from bluerec.evaluation.bench_charts import Point, choose_shade, cost_chart
from bluerec.evaluation.bench_sections import build_sections
from bluerec.evaluation.bench_table import order_systems, pick
from bluerec.evaluation.charts import Interval, interval_chart
from bluerec.evaluation.comparisons import HEADLINE_METRIC
from bluerec.evaluation.lineup import BEST_HISTORY, SHUFFLED
from bluerec.evaluation.report import build_environment, read_asset
from bluerec.runs import write_text

ARENA_KEYS = ("dataset", "protocol", "mask")
SIGNIFICANT = 0.05
# A figure of thirty systems is not read; the tables have all of them.
N_DRAWN_BY_GROUP = 8
CONTROLS = (SHUFFLED,)


def save_bench_page(results: Mapping[str, Any], path: str | Path) -> None:
    """Write the page; the file is either whole or absent."""
    page = build_bench_page(results)
    write_text(path, page)


def build_bench_page(results: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    script = read_asset("report.js")
    arenas = [_Arena(results, arena) for arena in results["arenas"]]
    first = [arena for arena in arenas if arena.is_first_of_data]
    return (
        build_environment()
        .get_template("bench.html.j2")
        .render(
            title=results["identity"]["title"] or f"Benchmark {results['identity']['name']}",
            version=__version__,
            style=Markup(read_asset("report.css") + read_asset("bench.css")),
            script=Markup(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            results=results,
            identity=results["identity"],
            outcomes=find_outcomes(first, results),
            arenas=arenas,
            first=first,
            matrix=build_matrix(first),
            sections=build_sections(results),
            measures=_group_measures(results["measures"]),
        )
    )


def is_of_profiles(system: str) -> bool:
    """Whether a system reads a user's own profile: `KIND:SET`, but for controls and the history in a set's space."""
    return ":" in system and system.partition(":")[0] not in (*CONTROLS, BEST_HISTORY)


class _Arena:
    """One arena as the template asks for it."""

    def __init__(self, results: Mapping[str, Any], arena: Mapping[str, Any]) -> None:
        self._results = results
        self.identity = arena
        self.where = {key: arena[key] for key in ARENA_KEYS}
        self.name = ", ".join(str(arena[key]) for key in ARENA_KEYS)
        self.data = str(arena["dataset"])
        self.pools: Sequence[str] = arena["pools"]
        self.n_users = int(arena["n_users"])
        self.caveat = str(results["identity"].get("caveats", {}).get(self.data, ""))
        self.systems = order_systems(results, **self.where)
        self._rows = {(row["system"], row["pool"], row["metric"]): row for row in pick(results["rows"], **self.where)}
        self._paired = {
            (row["system"], row["pool"]): row for row in pick(results["paired"], metric=HEADLINE_METRIC, **self.where)
        }
        self._best: dict[tuple[str, str], float] = {}
        for (_, pool, metric), row in self._rows.items():
            self._best[pool, metric] = max(self._best.get((pool, metric), 0.0), row["mean"])
        of_data = [one for one in results["arenas"] if one["dataset"] == self.data]
        self.is_first_of_data = of_data[0] == arena

    def row(self, system: str, pool: str, metric: str = HEADLINE_METRIC) -> Mapping[str, Any] | None:
        return self._rows.get((system, pool, metric))

    def paired(self, system: str, pool: str | None = None) -> Mapping[str, Any] | None:
        return self._paired.get((system, pool or self.pools[-1]))

    def best(self, pool: str, metric: str = HEADLINE_METRIC) -> float:
        return self._best.get((pool, metric), 0.0)

    def draw(self, pool: str) -> Markup:
        """Every system of a pool with its interval, best first."""
        rows = [row for system in self.systems if (row := self.row(system, pool))]
        rows.sort(key=lambda row: -row["mean"])
        return interval_chart(
            [_interval(row, is_of_profiles(row["system"])) for row in rows],
            description=f"NDCG@10 on {self.name}, pool {pool}: " + _describe(rows),
            x_label="NDCG@10",
        )

    def draw_differences(self) -> Markup:
        """Each system minus the reference; highlighted where the difference holds after Holm's correction."""
        rows = [row for system in self.systems if (row := self.paired(system))]
        rows.sort(key=lambda row: -row["difference"])
        intervals = [
            Interval(row["system"], row["difference"], row["low"], row["high"], row["p_holm"] < SIGNIFICANT)
            for row in rows
        ]
        return interval_chart(
            intervals,
            description=f"Paired differences in NDCG@10 to {self._results['reference']} on {self.name}",
            x_label=f"difference in NDCG@10 to {self._results['reference']}",
            is_difference=True,
        )

    @property
    def pairs(self) -> list[tuple[str, str, list[Mapping[str, Any] | None]]]:
        """The pairs that were asked for, in their order, with their rows by pool."""
        rows = pick(self._results["differences"], metric=HEADLINE_METRIC, **self.where)
        named = dict.fromkeys((row["system"], row["reference"]) for row in rows)
        found = {(row["system"], row["reference"], row["pool"]): row for row in rows}
        return [(own, other, [found.get((own, other, pool)) for pool in self.pools]) for own, other in named]

    def draw_pairs(self) -> Markup | None:
        """The differences of these pairs in the largest pool; nothing if there are none."""
        rows = [by_pool[-1] for _, _, by_pool in self.pairs if by_pool[-1]]
        if not rows:
            return None
        return interval_chart(
            [
                Interval(
                    f"{row['system']} minus {row['reference']}", row["difference"], row["low"], row["high"],
                    row["p_holm"] < SIGNIFICANT,
                )
                for row in rows
            ],
            description=f"Paired differences in NDCG@10 on {self.name}",
            x_label="difference in NDCG@10",
            is_difference=True,
        )  # fmt: skip

    def draw_groups(self) -> list[tuple[str, int, Markup]]:
        """For each length of history: its name, its users, the best systems and their intervals."""
        rows = pick(self._results["groups"], metric=HEADLINE_METRIC, **self.where)
        wanted = _leading(self.systems, N_DRAWN_BY_GROUP)
        drawn = []
        for group, _, _ in LENGTH_GROUPS:
            own = {row["system"]: row for row in rows if row["group"] == group}
            shown = [own[system] for system in wanted if system in own]
            if not shown:
                continue
            chart = interval_chart(
                [_interval(row, is_of_profiles(row["system"])) for row in shown],
                description=f"NDCG@10 of users with {group} events on {self.name}: {_describe(shown)}",
                x_label="NDCG@10",
            )
            drawn.append((group, int(shown[0]["n_users"]), chart))
        return drawn

    def draw_cost(self) -> Markup:
        """NDCG@10 in the largest pool against the bytes kept of a user."""
        costs = pick(
            self._results["measures"],
            dataset=self.data,
            protocol=self.identity["protocol"],
            measure="bytes per user",
        )
        points = [
            Point(cost["system"], cost["mean"], row["mean"], row["low"], row["high"], is_of_profiles(cost["system"]))
            for cost in costs
            if (row := self.row(cost["system"], self.pools[-1]))
        ]
        return cost_chart(
            points,
            description=f"NDCG@10 on {self.name} against the bytes kept of a user",
            x_label="bytes kept of a user (logarithmic)",
            y_label="NDCG@10",
        )


def build_matrix(arenas: Sequence[_Arena]) -> list[tuple[str, list[tuple[Mapping[str, Any] | None, int]]]]:
    """Systems by data sets: the row of each in the largest pool, and its shade beside the best of its column."""
    if not arenas:
        return []
    best = [arena.best(arena.pools[-1]) for arena in arenas]
    matrix = []
    for system in dict.fromkeys(system for arena in arenas for system in arena.systems):
        cells = []
        for arena, highest in zip(arenas, best, strict=True):
            row = arena.row(system, arena.pools[-1])
            cells.append((row, choose_shade(row["mean"], highest) if row else 0))
        matrix.append((system, cells))
    return matrix


def find_outcomes(arenas: Sequence[_Arena], results: Mapping[str, Any]) -> list[str]:
    """A sentence for each data set: who ranks best, and the best of the others, with or without a profile."""
    said = []
    for arena in arenas:
        if not arena.systems:
            continue
        best = arena.systems[0]
        row = arena.row(best, arena.pools[-1])
        if row is None:
            continue
        text = f"{arena.data}: {best} ranks best, NDCG@10 {_with_interval(row)}"
        plain = next((system for system in arena.systems if not is_of_profiles(system)), None)
        beside = arena.row(plain, arena.pools[-1]) if plain and plain != best else None
        if beside:
            text += f"; the best without a profile, {plain}, has {_with_interval(beside)}"
        profile = next((system for system in arena.systems if is_of_profiles(system)), None)
        paired = arena.paired(profile) if profile else None
        if paired:
            verdict = "differs from" if paired["p_holm"] < SIGNIFICANT else "cannot be told from"
            text += (
                f"; the best system with a profile, {profile}, {verdict} {results['reference']} "
                f"({paired['difference']:+.4f}, {paired['low']:+.4f} to {paired['high']:+.4f})"
            )
        said.append(f"{text}.")
    return said


def _with_interval(row: Mapping[str, Any]) -> str:
    return f"{row['mean']:.4f} ({row['low']:.4f} to {row['high']:.4f})"


def _leading(systems: Sequence[str], n_wanted: int) -> list[str]:
    """The best systems, at least two with a profile among them where there are, and popularity as the floor."""
    profiles = [system for system in systems if is_of_profiles(system)][:2]
    floor = [system for system in systems if system == "popularity"]
    kept = dict.fromkeys([*profiles, *floor])
    kept.update(dict.fromkeys([system for system in systems if system not in kept][: n_wanted - len(kept)]))
    return [system for system in systems if system in kept]


def _group_measures(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    names = dict.fromkeys(row["measure"] for row in rows)
    return [(name, [row for row in rows if row["measure"] == name]) for name in names]


def _interval(row: Mapping[str, Any], is_highlighted: bool) -> Interval:
    return Interval(row["system"], row["mean"], row["low"], row["high"], is_highlighted)


def _describe(rows: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{row['system']} {row['mean']:.4f}" for row in rows)
