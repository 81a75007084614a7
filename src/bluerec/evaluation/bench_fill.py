"""Pages whose tables are filled from the records of benchmarks, so that no number in them is written by hand.

A page says in a comment which numbers it wants; what stands between the comment and its end is written by `fill_page`:

    <!-- table
    run = "standard"
    columns = ["games, 100", "games, full", "games: tokens per profile"]
    rows = ["popularity", "profile:*"]
    -->
    <!-- end table -->

`show` is `means` (a line a system), `differences` (a line a pair), `measures` (a line a measure; `data`, and sets of
profiles as columns), `groups` (by length of the history; `data` and `pool`) or `source` (command, seed, digests).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from bluerec.errors import ConfigError
from bluerec.evaluation.bench_record import Record
from bluerec.evaluation.bench_table import pick
from bluerec.evaluation.comparisons import HEADLINE_METRIC

# At the beginning of a line: what stands further in is an example.
_BEGIN, _END = r"^<!-- table[ \t]*\r?\n", r"^<!-- end table -->"
_BLOCK = re.compile(rf"({_BEGIN}(.*?)-->[ \t]*\r?\n)(.*?)({_END})", re.DOTALL | re.MULTILINE)
_ANY_MARK = re.compile(r"^<!--\s*(?:end\s+)?table\b", re.MULTILINE)
_KEYS = {"run", "show", "columns", "rows", "data", "pool", "metric", "mask", "protocol"}
_NEEDED = {
    "means": ("columns", "rows"),
    "differences": ("columns",),
    "measures": ("columns", "data"),
    "groups": ("rows", "data", "pool"),
    "source": (),
}
# After Holm's correction.
_LEVEL = 0.05


def find_runs(page: str, *, where: str = "page") -> list[str]:
    """The benchmarks whose tables a page wants, each once; none where it has no such comment.

    Raises `ConfigError` for a comment that has no end, or says what cannot be.
    """
    found = list(_BLOCK.finditer(page))
    held = sum(len(_ANY_MARK.findall(match[0])) for match in found)
    if held != 2 * len(found) or len(_ANY_MARK.findall(page)) != held:
        raise ConfigError(
            f"{where}: the comment of a table has no end; write '<!-- table', its '-->' and '<!-- end table -->' each "
            "at the beginning of a line"
        )
    return list(dict.fromkeys(_read_wanted(match, page, where)["run"] for match in found))


def fill_page(page: str, records: Mapping[str, Record], *, where: str = "page") -> str:
    """The page with its tables written anew; those of a run that is not among `records` stay as they are.

    Raises `ConfigError` for a table that names what its record does not have, and as `find_runs`.
    """
    find_runs(page, where=where)

    def fill(found: re.Match[str]) -> str:
        wanted = _read_wanted(found, page, where)
        record = records.get(wanted["run"])
        if record is None:
            return found[0]
        try:
            shown = _RENDERERS[wanted["show"]](record, wanted)
        except ConfigError as error:
            raise ConfigError(f"{_say_where(found, page, where)}: {error}") from error
        if found[1].endswith("\r\n"):
            shown = shown.replace("\n", "\r\n")
        return f"{found[1]}{shown}{found[4]}"

    return _BLOCK.sub(fill, page)


def _say_where(found: re.Match[str], page: str, where: str) -> str:
    line = page[: found.start()].count("\n") + 1
    return f"{where}, table at line {line}"


def _read_wanted(found: re.Match[str], page: str, where: str) -> dict[str, Any]:
    try:
        return _parse_wanted(found[2])
    except (ConfigError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{_say_where(found, page, where)}: {error}") from error


def _parse_wanted(text: str) -> dict[str, Any]:
    wanted = {"show": "means", "metric": HEADLINE_METRIC, "mask": "masked", "protocol": "leave-one-out"}
    wanted |= tomllib.loads(text)
    unknown = sorted(wanted.keys() - _KEYS)
    if unknown or "run" not in wanted:
        raise ConfigError(f"no key {unknown[0]!r}" if unknown else "no 'run'; name the benchmark")
    for key, value in wanted.items():
        is_list = key in ("columns", "rows")
        parts = value if is_list and isinstance(value, list) else [value]
        if is_list != isinstance(value, list) or not parts or not all(isinstance(part, str) for part in parts):
            raise ConfigError(f"{key} = {value!r}: write {'texts in brackets' if is_list else 'a text'}")
    if wanted["show"] not in _RENDERERS:
        raise ConfigError(f"show = {wanted['show']!r}: choose from {', '.join(_RENDERERS)}")
    missing = [key for key in _NEEDED[wanted["show"]] if key not in wanted]
    if missing:
        raise ConfigError(f"show = {wanted['show']!r} needs {missing[0]!r}")
    return wanted


def _render_means(record: Record, wanted: Mapping[str, Any]) -> str:
    """A line a system, a column for each pool or measure of a data set."""
    names = list(dict.fromkeys(row["system"] for row in record["rows"]))
    columns = [_read_column(text) for text in wanted["columns"]]
    lines = []
    for system in _match(names, wanted["rows"]):
        cells = []
        for data, pool, measure in columns:
            if pool:
                its = pick(record["rows"], system=system, pool=pool, metric=wanted["metric"], **_place(wanted, data))
                cells.append(_show(its, _show_metric))
            else:  # what is known of a system as it ranks, or of the profiles that it ranks with
                known_as = (system, system.removeprefix("profile:"))
                measured = [row for row in record["measures"] if row["system"] in known_as]
                its = pick(measured, dataset=data, measure=measure, protocol=wanted["protocol"])
                cells.append(_show(its, _show_measure))
        lines.append((f"`{system}`", *cells))
    return _lay_out(["system", *wanted["columns"]], lines, wanted)


def _render_differences(record: Record, wanted: Mapping[str, Any]) -> str:
    """A line a pair, in the order that was asked for; * where p is below .05 after Holm's correction."""
    pairs = dict.fromkeys((row["system"], row["reference"]) for row in record["differences"])
    shown = {f"`{own}` - `{other}`": (own, other) for own, other in pairs}
    columns = [_read_column(text) for text in wanted["columns"]]
    lines = []
    for head in _match(list(shown), wanted.get("rows", ["*"])):
        own, other = shown[head]
        which = {"system": own, "reference": other, "metric": wanted["metric"]}
        cells = [
            _show(pick(record["differences"], pool=pool, **which, **_place(wanted, data)), _show_difference)
            for data, pool, _ in columns
        ]
        lines.append((head, *cells))
    return _lay_out(["difference", *wanted["columns"]], lines, wanted)


def _render_measures(record: Record, wanted: Mapping[str, Any]) -> str:
    """A line a measure, a column a set of profiles."""
    rows = pick(record["measures"], dataset=wanted["data"], protocol=wanted["protocol"])
    if not rows:
        raise ConfigError(f"no measures of data {wanted['data']!r} under {wanted['protocol']}")
    names = list(dict.fromkeys(row["measure"] for row in rows))
    lines = []
    for measure in _match(names, wanted.get("rows", ["*"])):
        found = [pick(rows, measure=measure, system=system) for system in wanted["columns"]]
        if any(found):
            lines.append((measure, *(_show(its, _show_measure) for its in found)))
    return _lay_out(["measure", *wanted["columns"]], lines, wanted)


def _render_groups(record: Record, wanted: Mapping[str, Any]) -> str:
    """A line a system, a column for each length of the history."""
    rows = pick(record["groups"], pool=wanted["pool"], metric=wanted["metric"], **_place(wanted, wanted["data"]))
    if not rows:
        raise ConfigError(f"no groups of data {wanted['data']!r} in pool {wanted['pool']!r}")
    groups = list(dict.fromkeys(row["group"] for row in rows))
    counts = {row["group"]: row["n_users"] for row in rows}
    lines = [
        (f"`{system}`", *(_show(pick(rows, system=system, group=group), _show_metric) for group in groups))
        for system in _match(list(dict.fromkeys(row["system"] for row in rows)), wanted["rows"])
    ]
    return _lay_out(["system", *(f"{group} events ({counts[group]:,} users)" for group in groups)], lines, wanted)


def _render_source(record: Record, wanted: Mapping[str, Any]) -> str:
    """Where the numbers come from."""
    its = record["identity"]
    arenas = pick(record["arenas"], mask=wanted["mask"], protocol=wanted["protocol"])
    users = ", ".join(f"{arena['dataset']} {arena['n_users']:,}" for arena in arenas)
    return (
        f"\n    {its['command']}\n\nConfiguration `{its['config_digest']}`, settings `{its['settings_digest']}`, seed "
        f"{its['seed']}, {(its['created'] or '')[:10]}, torch {its['versions'].get('torch')}; users: {users}.\n\n"
    )


_RENDERERS: Mapping[str, Callable[[Record, Mapping[str, Any]], str]] = {
    "means": _render_means,
    "differences": _render_differences,
    "measures": _render_measures,
    "groups": _render_groups,
    "source": _render_source,
}


def _read_column(text: str) -> tuple[str, str, str]:
    """Data set, pool and measure of `games, full` or `games: tokens per profile`; one of the last two is empty."""
    data, comma, pool = text.partition(", ")
    if comma and ":" not in data:
        return data, pool, ""
    data, colon, measure = text.partition(": ")
    if not colon:
        raise ConfigError(f"column {text!r}: write 'DATA, POOL' or 'DATA: MEASURE'")
    return data, "", measure


def _place(wanted: Mapping[str, Any], data: str) -> dict[str, str]:
    return {"dataset": data, "protocol": wanted["protocol"], "mask": wanted["mask"]}


def _match(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The names in the order of the patterns. Raises `ConfigError` for a pattern that no name has."""
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern.replace("[", "[[]"))]
        if not found:
            raise ConfigError(f"nothing is called {pattern!r}; choose from {', '.join(names)}")
        chosen |= dict.fromkeys(found)
    return list(chosen)


def _show(found: Sequence[Mapping[str, Any]], render: Callable[[Mapping[str, Any]], str]) -> str:
    return render(found[0]) if found else ""


def _show_metric(row: Mapping[str, Any]) -> str:
    return f"{_number(row['mean'])} ({_number(row['low'])} to {_number(row['high'])})"


def _show_measure(row: Mapping[str, Any]) -> str:
    size = abs(row["mean"])
    digits = 5 if 0 < size < 0.01 else 3 if size < 10 else 1
    mean, low, high = (_number(row[key], digits) for key in ("mean", "low", "high"))
    return mean if row["low"] == row["high"] else f"{mean} ({low} to {high})"


def _show_difference(row: Mapping[str, Any]) -> str:
    difference, low, high = (_number(row[key], 4, "+") for key in ("difference", "low", "high"))
    return f"{difference} ({low} to {high})" + (" *" if row["p_holm"] < _LEVEL else "")


def _number(value: float, digits: int = 4, sign: str = "") -> str:
    """Without the zero before the point, which every number of these tables would have."""
    text = f"{value:{sign}.{digits}f}"
    if float(text) == 0:
        text = text.replace("-", "+" if sign else "")
    return re.sub(r"^([+-]?)0\.", r"\1.", text)


def _lay_out(heads: Sequence[str], lines: Sequence[Sequence[str]], wanted: Mapping[str, Any]) -> str:
    empty = [head for place, head in enumerate(heads) if place and not any(line[place] for line in lines)]
    if empty:
        raise ConfigError(f"nothing is known of column {empty[0]!r} in run {wanted['run']!r}")
    rows = [heads, ["---"] * len(heads), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
