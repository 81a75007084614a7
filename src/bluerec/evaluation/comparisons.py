"""Results put together where they may be compared, and arranged for reading: tables, interval charts, pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from bluerec.data.candidates import FULL_POOL
from bluerec.evaluation.charts import Interval, format_number, interval_chart
from bluerec.evaluation.lineup import SHUFFLED
from bluerec.evaluation.results import PairedRow, ResultRow, Results

HEADLINE_METRIC = "ndcg@10"
# A chart of all pairs would be unreadable.
N_DRAWN_PAIRS = 8
MAIN_METRICS = (HEADLINE_METRIC, "recall@10")
# Numbers may stand side by side only where all of these agree.
COMPARABLE_BY = ("data_digest", "protocol", "split", "mask_seen", "n_users", "examples_digest", "seed")
_METRIC_ORDER = ("ndcg", "recall", "mrr")
_METRIC_NAMES = {"ndcg": "NDCG", "recall": "Recall", "mrr": "MRR"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results on the same data, users and protocol; `identities` are those of all files, for the end of the page."""

    identities: tuple[Mapping[str, Any], ...]
    rows: tuple[ResultRow, ...]
    paired: tuple[PairedRow, ...]
    notes: tuple[str, ...]

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.identities[0]

    @property
    def data_name(self) -> str:
        return str(self.identity["data"])

    @property
    def pools(self) -> list[str]:
        """Smallest first, the full catalogue last."""
        return sorted({row.pool for row in self.rows}, key=pool_size)

    @property
    def metrics(self) -> list[str]:
        return sorted({row.metric for row in self.rows}, key=_metric_place)

    @property
    def profile_names(self) -> set[str]:
        return {str(entry["name"]) for identity in self.identities for entry in identity.get("profiles", ())}

    def is_profile(self, ranker: str) -> bool:
        """Whether a ranker, `KIND:NAME`, reads the profiles of set NAME; their shuffled control does not count."""
        kind, _, name = ranker.partition(":")
        return name in self.profile_names and kind != SHUFFLED

    def ranked(self, pool: str, metric: str) -> list[ResultRow]:
        """Rows of one pool and metric, best first."""
        rows = [row for row in self.rows if (row.pool, row.metric) == (pool, metric)]
        return sorted(rows, key=lambda row: -row.mean)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table; `is_best` marks the highest mean of its column."""

    row: ResultRow
    is_best: bool


@dataclass(frozen=True, slots=True)
class TableRow:
    """A ranker and its cells, None where it was not measured."""

    ranker: str
    is_profile: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Columns (pool, metric) and rows, the best ranker of the last column's pool first."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[TableRow, ...]

    @property
    def pool_spans(self) -> list[tuple[str, int]]:
        """Each pool with the number of its columns."""
        pools = [pool for pool, _ in self.columns]
        return [(pool, pools.count(pool)) for pool in dict.fromkeys(pools)]

    @property
    def openings(self) -> list[tuple[str, str]]:
        """The first column of each pool."""
        pools = [pool for pool, _ in self.columns]
        return [self.columns[pools.index(pool)] for pool in dict.fromkeys(pools)]


def combine_results(results: Sequence[Results]) -> list[Comparison]:
    """One comparison for each set of results that agree in `COMPARABLE_BY`, in the order given.

    A ranker that two files measured alike is kept once; where their numbers differ, the later one is kept under a
    name with the number of its file.
    """
    groups: dict[tuple[Any, ...], list[Results]] = {}
    for result in results:
        groups.setdefault(tuple(result.identity.get(key) for key in COMPARABLE_BY), []).append(result)
    return [_combine(group) for group in groups.values()]


def build_table(comparison: Comparison, pools: Sequence[str], metrics: Sequence[str]) -> ResultTable:
    """Rankers by (pool, metric), without the columns that nobody measured."""
    measured = {(row.pool, row.metric) for row in comparison.rows}
    columns = tuple((pool, metric) for pool in pools for metric in metrics if (pool, metric) in measured)
    by_place = {(row.ranker, row.pool, row.metric): row for row in comparison.rows}
    best = {column: max(comparison.ranked(*column), key=lambda row: row.mean).mean for column in columns}

    def cell(ranker: str, column: tuple[str, str]) -> Cell | None:
        row = by_place.get((ranker, *column))
        return None if row is None else Cell(row, row.mean == best[column])

    rankers = _order_rankers(comparison, pools, metrics)
    return ResultTable(
        columns,
        tuple(
            TableRow(ranker, comparison.is_profile(ranker), tuple(cell(ranker, column) for column in columns))
            for ranker in rankers
        ),
    )


def draw_pool(comparison: Comparison, pool: str, metric: str) -> Markup:
    """Every ranker of a pool with its interval, best first."""
    rows = comparison.ranked(pool, metric)
    intervals = [Interval(row.ranker, row.mean, row.low, row.high, comparison.is_profile(row.ranker)) for row in rows]
    described = "; ".join(
        f"{row.ranker} {format_number(row.mean)} ({format_number(row.low)} to {format_number(row.high)})"
        for row in rows
    )
    return interval_chart(
        intervals,
        description=f"{name_metric(metric)}, {name_pool(pool)}: {described}",
        x_label=name_metric(metric),
    )


def draw_differences(comparison: Comparison, pool: str, metric: str) -> Markup:
    """The most telling paired differences of a pool with their intervals."""
    rows = select_telling_pairs(comparison, pool, metric)
    intervals = [
        Interval(f"{row.a} − {row.b}", row.difference, row.low, row.high, row.low > 0 or row.high < 0) for row in rows
    ]
    return interval_chart(
        intervals,
        description=f"Paired differences in {name_metric(metric)}, {name_pool(pool)}",
        x_label=f"difference in {name_metric(metric)}",
        is_difference=True,
    )


def select_pairs(comparison: Comparison, pool: str, metric: str) -> list[PairedRow]:
    """Paired differences of one pool and metric, in the order of the results: the most telling first."""
    return [row for row in comparison.paired if (row.pool, row.metric) == (pool, metric)]


def select_telling_pairs(comparison: Comparison, pool: str, metric: str) -> list[PairedRow]:
    """The first pairs in the order of the results, those of profiles if there are any."""
    pairs = select_pairs(comparison, pool, metric)
    of_profiles = [pair for pair in pairs if comparison.is_profile(pair.a)]
    return (of_profiles or pairs)[:N_DRAWN_PAIRS]


def pool_size(pool: str) -> float:
    """Number of candidates, infinite for the full catalogue."""
    return float(pool) if pool.isdecimal() else float("inf")


def name_pool(pool: str) -> str:
    return "full catalogue" if pool == FULL_POOL else f"pool of {pool}"


def name_metric(metric: str) -> str:
    """ndcg@10 -> NDCG@10."""
    kind, _, cutoff = metric.partition("@")
    return f"{_METRIC_NAMES.get(kind, kind)}@{cutoff}" if cutoff else metric


def _metric_place(metric: str) -> tuple[int, int, str]:
    kind, _, cutoff = metric.partition("@")
    place = _METRIC_ORDER.index(kind) if kind in _METRIC_ORDER else len(_METRIC_ORDER)
    return place, int(cutoff) if cutoff.isdecimal() else 0, metric


def _order_rankers(comparison: Comparison, pools: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """Best first in the first metric of the last pool; rankers that lack it follow."""
    leading = [row.ranker for row in comparison.ranked(pools[-1], metrics[0])] if pools and metrics else []
    return list(dict.fromkeys([*leading, *(row.ranker for row in comparison.rows if row.pool in pools)]))


def _combine(group: Sequence[Results]) -> Comparison:
    rows: dict[tuple[str, str, str], ResultRow] = {}
    paired: dict[tuple[str, str, str, str], PairedRow] = {}
    for number, result in enumerate(group, start=1):
        renamed = _conflicting(rows, result.rows)
        names = {ranker: f"{ranker} (file {number})" for ranker in renamed}
        for row in result.rows:
            row = replace(row, ranker=names.get(row.ranker, row.ranker))
            rows[row.ranker, row.pool, row.metric] = row
        for pair in result.paired:
            pair = replace(pair, a=names.get(pair.a, pair.a), b=names.get(pair.b, pair.b))
            paired[pair.a, pair.b, pair.pool, pair.metric] = pair
    notes = dict.fromkeys(note for result in group for note in result.notes)
    identities = tuple(result.identity for result in group)
    return Comparison(identities, tuple(rows.values()), tuple(paired.values()), tuple(notes))


def _conflicting(known: Mapping[tuple[str, str, str], ResultRow], rows: Iterable[ResultRow]) -> set[str]:
    """Rankers whose numbers differ from those already known under the same name."""
    return {row.ranker for row in rows if known.get((row.ranker, row.pool, row.metric), row) != row}
