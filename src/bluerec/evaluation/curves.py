"""The log of a training run, and the small multiples drawn from it: one panel a quantity, one curve a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from bluerec.config import config_from_dict
from bluerec.errors import ConfigError, DataError
from bluerec.evaluation.charts import Line, format_number, line_chart
from bluerec.runs import CONFIG_FILE, ENVIRONMENT_FILE, LOG_FILE, MANIFEST_FILE, read_json, read_log

# A curve is smoothed over a fifteenth of its steps; shorter logs are shown as they are.
SMOOTHED_SHARE = 15
N_SHOWN_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A run folder as read: `rows` of the log (one a step, ascending), `is_whole` once the run has finished."""

    name: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    is_whole: bool

    @property
    def n_steps_wanted(self) -> int | None:
        """Steps of GRPO in all rounds, None where this version does not know the run's settings."""
        settings = self.config.get("config")
        try:
            return config_from_dict(settings).train.total_steps if settings else None
        except ConfigError:
            return None


@dataclass(frozen=True, slots=True)
class Panel:
    """A quantity of the log: where it stands in a row, and how it is drawn and explained."""

    path: tuple[str, ...]
    title: str
    note: str = ""
    unit: str = ""
    band: tuple[str, ...] = ()
    from_zero: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its caption."""

    title: str
    note: str
    chart: Markup


LEARNING_PANELS = (
    Panel(("reward",), "Reward", "weighted sum, mean of the candidates", band=("reward_std",)),
    Panel(("entropy",), "Entropy", "near zero, nothing more is explored", "nats per token", from_zero=True),
    Panel(("mean_length",), "Length", "mean of the candidates", "tokens", from_zero=True),
    Panel(("kl",), "KL divergence", "distance from the base model", "nats per token", from_zero=True),
    Panel(("flat_groups",), "Flat groups", "users whose candidates all score the same", "share", from_zero=True),
    Panel(("tokens_per_second",), "Speed", "generation and loss together", "tokens per second", from_zero=True),
)
WATCH_PANELS = (
    Panel(("watch", "copied"), "Copied from titles", "of the history; 0 is good", "share of trigrams"),
    Panel(("watch", "foreign_title"), "Foreign titles", "not in the history; 0 is good", "share of profiles"),
    Panel(("watch", "repetition"), "Repetition", "said before in the same profile; 0 is good", "share of trigrams"),
    Panel(("watch", "invented_person"), "Invented person", "age, sex, name or job; 0 is good", "share of profiles"),
    Panel(("watch", "unfinished"), "Unfinished", "no end of a sentence; 0 is good", "share of profiles"),
    Panel(("watch", "listing"), "Listing", "short entries in a row; 0 is good", "share of words"),
    Panel(("watch", "boilerplate"), "Boilerplate", "opening shared with another user; 0 is good", "share of profiles"),
    Panel(("watch", "diversity"), "Diversity", "between different users; 1 is good", "Jaccard distance"),
    Panel(("watch", "distinct_2"), "Distinct bigrams", "within the step; 1 is good", "share of bigrams"),
    Panel(("watch", "n_words"), "Words", "mean of the candidates", "words"),
)


def load_training_run(folder: str | Path) -> TrainingRun:
    """Read a run folder, also of a run that goes on.

    Of a step logged twice (a run that was resumed from a checkpoint), the last row counts. Raises `DataError` if
    the folder is not a training run or its log is damaged.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG_FILE, "training run")
    environment = read_json(folder / ENVIRONMENT_FILE, "training run")
    for name, content in ((CONFIG_FILE, config), (ENVIRONMENT_FILE, environment)):
        if not isinstance(content, dict):
            raise DataError(
                f"{folder / name}: holds {type(content).__name__}, not an object; this is not a training run"
            )
    by_step: dict[float, Mapping[str, Any]] = {}
    for number, row in enumerate(_read_rows(folder), start=1):
        if not isinstance(row, dict) or read_value(row, ("step",)) is None:
            raise DataError(f"{folder / LOG_FILE}:{number}: a row without a step; the log is damaged")
        by_step[row["step"]] = row
    rows = tuple(by_step[step] for step in sorted(by_step))
    return TrainingRun(folder.resolve().name, config, environment, rows, (folder / MANIFEST_FILE).exists())


def draw_learning(runs: Sequence[TrainingRun]) -> list[Figure]:
    """Reward, each of its parts, and the health of the policy."""
    reward, *others = LEARNING_PANELS
    parts = [
        Panel(("rewards", name), f"Reward: {name.replace('_', ' ')}", "mean before its weight")
        for name in _names_under(runs, "rewards")
    ]
    return _draw([reward, *parts, *others], runs)


def draw_watch_list(runs: Sequence[TrainingRun]) -> list[Figure]:
    """What reinforcement learning exploits, see `bluerec.rewards.watch`."""
    known = {panel.path[1]: panel for panel in WATCH_PANELS}
    unknown = [Panel(("watch", name), name) for name in _names_under(runs, "watch") if name not in known]
    return _draw([*WATCH_PANELS, *unknown], runs, from_zero=True)


def choose_samples(run: TrainingRun, n_wanted: int = N_SHOWN_SAMPLES) -> list[dict[str, Any]]:
    """The first logged sample of evenly spaced steps, the first and the last step among them."""
    rows = [row for row in run.rows if row.get("samples")]
    if not rows:
        return []
    places = np.unique(np.linspace(0, len(rows) - 1, min(n_wanted, len(rows))).round().astype(int))
    return [{"step": rows[place]["step"], **rows[place]["samples"][0]} for place in places]


def read_series(run: TrainingRun, path: tuple[str, ...]) -> tuple[list[float], list[float]]:
    """Steps and values of a quantity, without the steps that lack it."""
    found = [(row["step"], value) for row in run.rows if (value := read_value(row, path)) is not None]
    return [step for step, _ in found], [value for _, value in found]


def read_value(row: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    """A finite number of a row, or None."""
    value: Any = row
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred moving average over `window` values; at the edges, over those that are there."""
    kernel = np.ones(min(window, len(values)))
    sums = np.convolve(values, kernel, mode="same")
    counts = np.convolve(np.ones(len(values)), kernel, mode="same")
    return (sums / counts).tolist()


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    if not (folder / LOG_FILE).exists():
        return []  # the run has only begun
    try:
        return read_log(folder)
    except UnicodeDecodeError as error:
        raise DataError(f"{folder / LOG_FILE}: not a text file ({error.reason}); the log is damaged") from error


def _names_under(runs: Sequence[TrainingRun], key: str) -> list[str]:
    """Keys of a table inside the rows, in the order of their first appearance."""
    tables = [row.get(key) for run in runs for row in run.rows]
    return list(dict.fromkeys(name for table in tables if isinstance(table, Mapping) for name in table))


def _draw(panels: Sequence[Panel], runs: Sequence[TrainingRun], *, from_zero: bool = False) -> list[Figure]:
    figures = []
    for panel in panels:
        lines = [line for series, run in enumerate(runs) for line in _lines(panel, run, series, len(runs) == 1)]
        if lines:
            chart = line_chart(
                lines,
                description=f"{panel.title} by training step. {_describe(lines)}",
                x_label="step",
                y_label=panel.unit,
                from_zero=from_zero or panel.from_zero,
            )
            figures.append(Figure(panel.title, panel.note, chart))
    return figures


def _lines(panel: Panel, run: TrainingRun, series: int, is_alone: bool) -> list[Line]:
    """The smoothed curve of a run; alone, with its raw values and band and its last value as label."""
    steps, values = read_series(run, panel.path)
    if not steps:
        return []
    window = max(1, len(steps) // SMOOTHED_SHARE)
    smoothed = smooth(values, window)
    if not is_alone:
        return [Line(steps, smoothed, run.name, series=series)]
    low = high = None
    band_steps, deviations = read_series(run, panel.band) if panel.band else ([], [])
    if band_steps == steps:
        spread = smooth(deviations, window)
        low = [value - deviation for value, deviation in zip(smoothed, spread, strict=True)]
        high = [value + deviation for value, deviation in zip(smoothed, spread, strict=True)]
    curve = Line(steps, smoothed, format_compact(smoothed[-1]), low, high)
    return [Line(steps, values, faint=True), curve] if window > 1 else [curve]


def _describe(lines: Sequence[Line]) -> str:
    """First and last value of each curve, for those who do not see it."""
    ends = [(line.ys[0], line.xs[0], line.ys[-1], line.xs[-1]) for line in lines if not line.faint]
    return "; ".join(
        f"from {format_compact(first)} at step {start:g} to {format_compact(last)} at step {stop:g}"
        for first, start, last, stop in ends
    )


def format_compact(value: float) -> str:
    """Three significant digits, thousands in full."""
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    n_decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return format_number(value, min(max(n_decimals, 0), 4))
