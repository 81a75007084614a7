"""One self-contained HTML file of results, training runs and users to look at.

Nothing is loaded from elsewhere and nothing but the sort buttons needs JavaScript: the page says so itself in its
content security policy. Every text from data, models or files passes through `clean_text` and is escaped, because
it passes through one template environment.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bluerec import __version__
from bluerec.errors import DataError
from bluerec.evaluation import comparisons
from bluerec.evaluation.charts import format_number, format_signed
from bluerec.evaluation.curves import (
    TrainingRun,
    choose_samples,
    draw_learning,
    draw_watch_list,
    format_compact,
    load_training_run,
    read_value,
)
from bluerec.evaluation.findings import find_outcomes, find_warnings
from bluerec.evaluation.results import Results, load_results
from bluerec.evaluation.safe_text import clean_text
from bluerec.evaluation.showcase import ShownUser
from bluerec.runs import write_text

_TEMPLATES = "templates"


@dataclass(frozen=True, slots=True)
class Report:
    """What a page is made of; any part may be empty. Without a title, the page is named after its contents."""

    results: Sequence[Results] = ()
    runs: Sequence[TrainingRun] = ()
    users: Sequence[ShownUser] = ()
    title: str = ""


def load_report_inputs(paths: Sequence[str | Path]) -> tuple[list[Results], list[TrainingRun]]:
    """Read each path as what it is: a folder as a training run, a file as results. Raises `DataError`."""
    results, runs = [], []
    for path in map(Path, paths):
        if path.is_dir():
            runs.append(load_training_run(path))
        elif path.exists():
            results.append(_check_finite(load_results(path), path))
        else:
            raise DataError(f"{path}: no such file or folder; pass a results.json or the folder of a training run")
    return results, _named_apart(runs)


def build_report(report: Report) -> str:
    """The whole page as HTML."""
    style, script = read_asset("report.css"), read_asset("report.js")
    compared = comparisons.combine_results(report.results)
    return (
        build_environment()
        .get_template("report.html.j2")
        .render(
            title=report.title or _name(compared, report.runs),
            version=__version__,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            style=Markup(style),
            script=Markup(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            outcomes=find_outcomes(compared, report.runs),
            warnings=find_warnings(compared, report.runs),
            comparisons=compared,
            runs=report.runs,
            learning=draw_learning(report.runs),
            watch_list=draw_watch_list(report.runs),
            users=report.users,
        )
    )


def save_report(report: Report, path: str | Path) -> None:
    """Write the page; the file is either whole or absent."""
    page = build_report(report)
    write_text(path, page)


def build_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bluerec.evaluation", _TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=format_number,
        signed=format_signed,
        compact=format_compact,
        p_value=_format_p,
        cut=clean_text,
        metric=comparisons.name_metric,
        pool=comparisons.name_pool,
        flat=_flatten,
    )
    environment.globals.update(
        main_metrics=comparisons.MAIN_METRICS,
        build_table=comparisons.build_table,
        draw_pool=comparisons.draw_pool,
        draw_differences=comparisons.draw_differences,
        select_pairs=comparisons.select_pairs,
        choose_samples=choose_samples,
        describe_setting=_describe_setting,
        describe_progress=_describe_progress,
    )
    return environment


def _finalize(value: Any) -> Any:
    """Applied to every expression of the templates; markup is ours and stays as it is."""
    return value if isinstance(value, Markup) else clean_text(str(value))


def read_asset(name: str) -> str:
    return (resources.files("bluerec.evaluation") / _TEMPLATES / name).read_text(encoding="utf-8")


def _name(compared: Sequence[comparisons.Comparison], runs: Sequence[TrainingRun]) -> str:
    data = dict.fromkeys(comparison.data_name for comparison in compared)
    if data:
        return f"Profiles on {', '.join(data)}"
    return f"Training of {', '.join(run.name for run in runs)}" if runs else "Profiles"


def _check_finite(results: Results, path: Path) -> Results:
    """JSON as Python reads it may hold NaN and Infinity, which no chart can show."""
    for row in results.rows:
        if not all(map(math.isfinite, (row.mean, row.low, row.high))):
            raise DataError(f"{path}: {row.metric} of {row.ranker!r} is {row.mean}; run: bluerec evaluate")
    for pair in results.paired:
        if not all(map(math.isfinite, (pair.difference, pair.low, pair.high, pair.p_value))):
            raise DataError(f"{path}: {pair.a!r} minus {pair.b!r} is {pair.difference}; run: bluerec evaluate")
    return results


def _named_apart(runs: Sequence[TrainingRun]) -> list[TrainingRun]:
    """Runs of the same name are numbered, so that their curves can be told apart."""
    names = Counter(run.name for run in runs)
    seen: Counter[str] = Counter()
    named = []
    for run in runs:
        seen[run.name] += 1
        named.append(replace(run, name=f"{run.name} ({seen[run.name]})") if names[run.name] > 1 else run)
    return named


def _describe_setting(comparison: comparisons.Comparison) -> str:
    """Users, split, masking and embedder in one line."""
    identity = comparison.identity
    n_users = max((row.n_users for row in comparison.rows), default=0)
    parts = [f"{n_users:,} {identity.get('split') or ''} users", identity.get("protocol")]
    if "mask_seen" in identity:
        parts.append("seen items masked" if identity["mask_seen"] else "seen items not masked")
    return " · ".join(str(part) for part in [*parts, identity.get("embedder")] if part)


def _describe_progress(run: TrainingRun) -> str:
    """How far a run is, how long it took, and on what."""
    wanted = f" of {run.n_steps_wanted:,}" if run.n_steps_wanted else ""
    state = f"{len(run.rows):,} steps" if run.is_whole else f"running, {len(run.rows):,}{wanted} steps so far"
    seconds = read_value(run.rows[-1], ("time",)) if run.rows else None
    duration = "" if seconds is None else _format_duration(seconds)
    train = run.config.get("config", {}).get("train", {})
    users, group = train.get("users_per_step"), train.get("group_size")
    batch = f"{users} users × {group} candidates a step" if users and group else ""
    rate = f"learning rate {train['learning_rate']:g}" if "learning_rate" in train else ""
    return " · ".join(part for part in (state, duration, batch, rate) if part)


def _format_duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _format_p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested tables as (dotted key, text); what is empty is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        if value and all(isinstance(inner, Mapping) for inner in value):
            for place, inner in enumerate(value, start=1):
                yield from _flatten(inner, f"{path} {place}")
        elif value:
            yield path, " ".join(str(inner) for inner in value)
    elif value not in (None, ""):
        yield path, str(value)
