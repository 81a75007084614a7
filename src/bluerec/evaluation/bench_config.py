"""What a benchmark compares: systems, data sets, protocols, pools; read from strict TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from bluerec.data.candidates import parse_pools
from bluerec.data.histories import PROTOCOLS
from bluerec.errors import ConfigError
from bluerec.evaluation.lineup import BEST_HISTORY

TEMPLATE_SET = "template"
MASKS = ("masked", "unmasked")


@dataclass(frozen=True, slots=True)
class BenchData:
    """A data set: a folder below `--data`. `max_users` 0 takes all test users. A caveat is printed beside it.

    `measures` are those taken on it, by default those of the benchmark.
    """

    name: str
    split: str = "test"
    max_users: int = 0
    is_source: bool = False  # profilers were trained on it
    caveat: str = ""
    measures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BenchProfiles:
    """A set of profiles: by rule (`template`), from files by data set, or written by an adapter on demand.

    `data` names the data sets that it is for, all if empty. `path` may hold `{data}` and `{protocol}`; `adapter` is a
    folder, `shipped`, or `none` for the untrained profiler. `embedder` is the one that was trained for these profiles;
    the best history vector is then measured in its space too, as `harmonic-centred:NAME`.
    """

    name: str
    path: str = ""
    adapter: str = ""
    model: str = ""
    embedder: str = ""  # folder or name, by default that of the settings
    template: str = ""  # wording of the prompt, by default that of the settings
    max_users: int = 300
    validation_users: int = 200
    seed: int = 0
    data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BenchExternal:
    """Ranks or lists from another program for one data set, protocol and mask.

    `lists`, where `path` holds ranks, are what its texts are fused with.
    """

    name: str
    data: str
    path: str
    protocol: str = "leave-one-out"
    mask: str = "masked"
    lists: str = ""


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """A whole benchmark. `differences` are pairs of systems to be compared too, the first minus the other."""

    name: str
    data: tuple[BenchData, ...]
    systems: tuple[str, ...]
    profile_systems: tuple[str, ...] = ()
    profiles: tuple[BenchProfiles, ...] = ()
    externals: tuple[BenchExternal, ...] = ()
    protocols: tuple[str, ...] = ("leave-one-out",)
    masks: tuple[str, ...] = ("masked",)
    pools: tuple[str, ...] = ("100", "500", "1000", "full")
    reference: str = BEST_HISTORY
    differences: tuple[tuple[str, str], ...] = ()
    title: str = ""
    seed: int = 0
    measures: tuple[str, ...] = ("size",)
    measured_users: int = 300  # on whom measures are taken; ranks are measured on all
    settings: tuple[str, ...] = ()  # section.key=value, as for --set

    def as_dict(self) -> dict[str, Any]:
        """All settings; of external files only their names, as folders belong to one machine."""
        externals = [
            asdict(entry) | {"path": Path(entry.path).name, "lists": Path(entry.lists).name} for entry in self.externals
        ]
        return asdict(self) | {"externals": externals}


_TABLES = {"data": BenchData, "profiles": BenchProfiles, "externals": BenchExternal}


def load_bench(path: str | Path) -> BenchConfig:
    """Read a benchmark. Raises `ConfigError` naming the key that is unknown, missing or of the wrong kind."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); benchmarks are in configs/bench/") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return bench_from_dict(table, where=str(path), name=path.stem)


def bench_from_dict(table: Mapping[str, Any], *, where: str = "benchmark", name: str = "benchmark") -> BenchConfig:
    """Build and check a benchmark; raises `ConfigError`."""
    values: dict[str, Any] = {"name": name, **table}
    for key, kind in _TABLES.items():
        rows = values.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise ConfigError(f"{where}: {key} must be a list of tables, written [[{key}]]")
        values[key] = tuple(_build(kind, row, f"{where}: {key} {place}") for place, row in enumerate(rows, start=1))
    values["differences"] = _as_pairs(values.get("differences", []), f"{where}: differences")
    config: BenchConfig = _build(BenchConfig, values, where)
    config = replace(config, pools=parse_pools(",".join(config.pools)))
    _check(config, where)
    return config


def _build(kind: type[Any], row: Mapping[str, Any], where: str) -> Any:
    known = {item.name: item for item in fields(kind)}
    unknown = [key for key in row if key not in known]
    if unknown:
        raise ConfigError(f"{where}: unknown setting {unknown[0]}; known here: {', '.join(known)}")
    kinds = {"str": str, "int": int, "bool": bool}
    row = dict(row)
    for key, value in row.items():
        if str(known[key].type).startswith("tuple[str"):
            row[key] = _as_texts(value, f"{where}: {key}")
        wanted = kinds.get(str(known[key].type))
        if wanted and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
            raise ConfigError(f"{where}: {key} must be {wanted.__name__}, got {value!r}")
    try:
        return kind(**row)
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).split('__init__() ')[-1]}") from error


def _as_pairs(listed: Any, where: str) -> tuple[tuple[str, ...], ...]:
    if not isinstance(listed, list | tuple):
        raise ConfigError(f"{where} must be a list of pairs of systems, got {listed!r}")
    for pair in listed:
        if len(_as_texts(pair, where)) != 2 or len(pair) != 2:
            raise ConfigError(f"{where}: {list(pair)} must be two different systems, the first minus the second")
    return tuple(dict.fromkeys(map(tuple, listed)))


def _as_texts(listed: Any, where: str) -> tuple[str, ...]:
    if not isinstance(listed, list | tuple) or not all(isinstance(entry, str) for entry in listed):
        raise ConfigError(f"{where} must be a list of texts, got {listed!r}")
    return tuple(dict.fromkeys(listed))


def _check(config: BenchConfig, where: str) -> None:
    """Raises `ConfigError` for what contradicts itself. Names of systems are checked where they are built."""
    if not config.data or not config.systems:
        raise ConfigError(f"{where}: give at least one [[data]] and one of systems")
    for what, given, known in (
        ("protocols", config.protocols, PROTOCOLS),
        ("masks", config.masks, MASKS),
    ):
        wrong = [entry for entry in given if entry not in known]
        if wrong or not given:
            raise ConfigError(f"{where}: {what}: {wrong[:1] or 'nothing'}; choose from {', '.join(known)}")
    for what, names in (
        ("data", [data.name for data in config.data]),
        ("profiles", [profiles.name for profiles in config.profiles]),
    ):
        repeated = [entry for entry in names if names.count(entry) > 1]
        if repeated:
            raise ConfigError(f"{where}: two of {what} are called {repeated[0]!r}")
    _check_counts(config, where)
    _check_profiles(config, where)
    known_data = [data.name for data in config.data]
    for external in config.externals:
        _check_known(external.data, known_data, f"{where}: external {external.name!r}")


def _check_counts(config: BenchConfig, where: str) -> None:
    least = [("seed", config.seed, 0), ("measured_users", config.measured_users, 1)]
    least += [(f"data {data.name!r}: max_users", data.max_users, 0) for data in config.data]
    for profiles in config.profiles:
        its = f"profiles {profiles.name!r}:"
        least += [(f"{its} max_users", profiles.max_users, 1), (f"{its} seed", profiles.seed, 0)]
        least.append((f"{its} validation_users", profiles.validation_users, 0))
    for what, value, at_least in least:
        if value < at_least:
            raise ConfigError(f"{where}: {what}={value}: use at least {at_least}")


def _check_profiles(config: BenchConfig, where: str) -> None:
    known_data = [data.name for data in config.data]
    for profiles in config.profiles:
        its = f"{where}: profiles {profiles.name!r}"
        if bool(profiles.path) + bool(profiles.adapter) + (profiles.name == TEMPLATE_SET) != 1:
            raise ConfigError(
                f"{its}: give either path or adapter (only {TEMPLATE_SET!r}, the profiles by rule, has neither)"
            )
        for name in profiles.data:
            _check_known(name, known_data, its)
        try:
            profiles.path.format(data="", protocol="")
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(f"{its}: path {profiles.path!r} may hold {{data}} and {{protocol}} only") from error


def _check_known(name: str, known: Sequence[str], its: str) -> None:
    if name not in known:
        raise ConfigError(f"{its}: no data set {name!r}; choose from {', '.join(known)}")
