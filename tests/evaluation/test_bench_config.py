"""Benchmarks are read without tolerance for what they do not know."""

import json
import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from bench_fixtures import TINY

from bluerec.errors import ConfigError
from bluerec.evaluation.bench_config import (
    BenchConfig,
    BenchData,
    BenchExternal,
    BenchProfiles,
    bench_from_dict,
    load_bench,
)
from bluerec.evaluation.bench_run import digest_bench
from bluerec.evaluation.bench_systems import name_systems


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": ["mean"]}, "unknown setting system; known here: name, data, systems"),
        ({"systems": "mean"}, "systems must be a list of texts, got 'mean'"),
        ({"systems": []}, "at least one"),
        ({"data": [{"name": "a"}, {"name": "a"}]}, "two of data are called 'a'"),
        ({"data": [{"name": "a", "max_users": "all"}]}, "data 1: max_users must be int, got 'all'"),
        ({"data": {"name": "a"}}, r"written \[\[data\]\]"),
        ({"data": [{}]}, "missing 1 required positional argument: 'name'"),
        ({"masks": ["hidden"]}, "masks: .*hidden.*choose from masked, unmasked"),
        ({"protocols": []}, "protocols: nothing"),
        ({"pools": ["100", "many"]}, "'many' is no pool"),
        ({"pools": []}, "is no pool"),
        ({"profiles": [{"name": "blue"}]}, "profiles 'blue': give either path or adapter"),
        ({"profiles": [{"name": "blue", "path": "x", "adapter": "none"}]}, "give either path or adapter"),
        ({"profiles": [{"name": "blue", "path": "{user}.parquet"}]}, "may hold {data} and {protocol} only"),
        ({"externals": [{"name": "s", "data": "b", "path": "x"}]}, "external 's': no data set 'b'; choose from toy"),
        ({"seed": True}, "seed must be int"),
        ({"seed": -1}, "seed=-1: use at least 0"),
        ({"measured_users": 0}, "measured_users=0: use at least 1"),
        ({"data": [{"name": "toy", "max_users": -5}]}, "data 'toy': max_users=-5: use at least 0"),
        ({"profiles": [{"name": "blue", "path": "x", "max_users": 0}]}, "profiles 'blue': max_users=0: use at least 1"),
    ],
)
def test_faults_are_named(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench_from_dict(TINY | change)


def test_the_benchmark_of_ones_own_that_the_page_shows_is_one(project: Path) -> None:
    page = (project / "docs" / "benchmark.md").read_text(encoding="utf-8")
    (shown,) = (block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[[profiles]]" in block)
    made = bench_from_dict(tomllib.loads(shown))
    assert [entry.name for entry in made.profiles] == ["untrained", "mine"]
    systems = name_systems(made.systems, made.profile_systems, [entry.name for entry in made.profiles])
    assert {name for pair in made.differences for name in pair} <= set(systems)


@pytest.mark.parametrize("content", ["title = ", b"\xff".decode("latin-1")])
def test_files_that_are_no_toml(content: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_bench(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_bench(tmp_path / "nothing.toml")


def test_the_digest_knows_every_setting_but_no_folder() -> None:
    external = {"name": "s", "data": "toy", "path": "here/s.parquet"}
    own = digest_bench(bench_from_dict(TINY | {"externals": [external]}))
    moved = digest_bench(bench_from_dict(TINY | {"externals": [external | {"path": "there/s.parquet"}]}))
    assert own == moved
    assert own != digest_bench(bench_from_dict(TINY))
    assert own != digest_bench(bench_from_dict(TINY | {"externals": [external], "seed": 2}))


@pytest.mark.parametrize("pools", [["100,full"], ["full", "100"], ["0100", "full", " 100 "]])
def test_pools_are_single_and_the_largest_is_last(pools: list[str]) -> None:
    assert bench_from_dict(TINY | {"pools": pools}).pools == ("100", "full")


@pytest.mark.parametrize(
    ("place", "kind"),
    [("", BenchConfig), ("data", BenchData), ("profiles", BenchProfiles), ("externals", BenchExternal)],
)
def test_the_page_names_every_key_with_its_type_and_default(place: str, kind: type, project: Path) -> None:
    text = (project / "docs" / "benchmark.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    found = {key: (its_type, default) for its_place, key, its_type, default, _ in rows if its_place == place}
    assert list(found) != []
    assert found.keys() == {item.name for item in fields(kind)}
    types = {
        "str": "text", "int": "integer", "bool": "true or false", "tuple[str, ...]": "list of texts",
        "tuple[tuple[str, str], ...]": "list of pairs",
    }  # fmt: skip
    for item in fields(kind):
        expected = "required" if item.default is MISSING else f"`{json.dumps(item.default)}`"
        if (place, item.name) == ("", "name"):
            expected = "name of the file"
        assert found[item.name] == (types.get(str(item.type), "tables"), expected)


def test_unknown_systems_are_named() -> None:
    with pytest.raises(ConfigError, match="systems: no 'best'; choose from random"):
        name_systems(["best"], [], [])
    with pytest.raises(ConfigError, match="profile_systems: no 'mean'; choose from profile"):
        name_systems(["mean"], ["mean"], ["blue"])


def test_the_benchmarks_that_come_along_are_valid(project: Path) -> None:
    paths = sorted((project / "configs" / "bench").glob("*.toml"))
    assert paths
    for path in paths:
        config = load_bench(path)
        names = [profiles.name for profiles in config.profiles]
        own_embedder = [profiles.name for profiles in config.profiles if profiles.embedder]
        systems = name_systems(config.systems, config.profile_systems, names, own_embedder)
        assert {config.reference, *(name for pair in config.differences for name in pair)} <= set(systems)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a - b", "must be a list of pairs of systems"),
        (["a", "b"], "must be a list of texts, got 'a'"),
        ([["a", "b"], ["a"]], "must be two different systems"),
        ([["a", "a"]], "must be two different systems"),
        ([["a", "b", "a"]], "must be two different systems"),
    ],
)
def test_differences_are_pairs(given: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"differences:? .*{message}"):
        bench_from_dict(TINY | {"differences": given})


def test_a_pair_is_compared_once() -> None:
    pairs = [["random", "popularity"], ["popularity", "random"], ["random", "popularity"]]
    assert bench_from_dict(TINY | {"differences": pairs}).differences == (
        ("random", "popularity"), ("popularity", "random"),
    )  # fmt: skip
