"""Profiles that a benchmark wrote are used again only for what they depend on; foreign splits are refused."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bench_fixtures import IDENTITY, make_bench, save_toy
from small_worlds import make_profiles

from bluerec.config import ProfilerConfig, config_from_dict
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.profiles import save_profiles
from bluerec.data.tables import load_dataset
from bluerec.errors import ConfigError, ModelError
from bluerec.evaluation.bench_config import BenchData, BenchProfiles
from bluerec.evaluation.bench_profiles import check_split, describe_writing
from bluerec.evaluation.protocol import digest_examples
from bluerec.runs import RunFolder, read_json, write_json

SYSTEM = "profile:mine"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("data"))


@dataclass
class Writing:
    """What writes, and what it depends on, as a model of which nothing is loaded."""

    writer: str = "test"
    template: str = "interests"
    temperature: float = 0.0
    seed: int = 0
    written: list[Path] = field(default_factory=list)

    def describe(self, wanted: BenchProfiles, table: ExampleTable) -> dict[str, Any]:
        settings = {"writer": self.writer, "template": self.template, "temperature": self.temperature}
        return {"examples": digest_examples(table), "seed": self.seed, **settings}

    def write(self, wanted: BenchProfiles, table: ExampleTable, path: Path) -> None:
        frame = make_profiles(table, [f"Likes {self.writer} {self.temperature}."] * len(table))
        save_profiles(frame.with_columns(writer=pl.lit(self.writer), template=pl.lit(self.template)), path)
        self.written.append(path)


def run(data: Path, out: Path, writing: Writing, /, **wanted: Any) -> tuple[dict[str, Any], list[str]]:
    """The results of a benchmark with one set, and what was said."""
    mine = {"name": "mine", "adapter": "none", "max_users": 20, "validation_users": 5, **wanted}
    bench, said = make_bench(data, out, profiles=[mine], profile_systems=["profile"], systems=["harmonic-centred"])
    bench.write, bench.describe = writing.write, writing.describe
    return bench.run(IDENTITY), said


def set_of(results: dict[str, Any]) -> dict[str, Any]:
    return next(cell["profiles"] for cell in results["cells"] if cell["system"] == SYSTEM)


def test_profiles_are_written_once_and_tell_what_they_depend_on(data: Path, tmp_path: Path) -> None:
    writing = Writing()
    first, _ = run(data, tmp_path, writing)
    again, _ = run(data, tmp_path, writing)
    assert again["rows"] == first["rows"]
    (path,) = writing.written
    told = read_json(path.with_suffix(".json"), "benchmark run")
    examples = split_examples(load_dataset(data / "toy"))
    ids = pl.read_parquet(path)["example_id"].to_list()
    assert ids == [*examples.select("test", max_users=20).example_ids,
                   *examples.select("validation", max_users=5).example_ids]  # fmt: skip
    assert (told["writer"], told["seed"]) == ("test", 0)
    assert told["seconds_per_profile"] > 0
    measured = [row for row in again["measures"] if row["measure"] == "seconds of writing per profile"]
    assert [(row["system"], row["mean"]) for row in measured] == [("mine", pytest.approx(told["seconds_per_profile"]))]


def test_the_rest_of_a_stopped_writing_tells_no_time(data: Path, tmp_path: Path) -> None:
    writing = Writing()
    write = writing.write

    def stop(wanted: BenchProfiles, table: ExampleTable, path: Path) -> None:
        path.with_name(path.name + ".parts").mkdir(parents=True)
        raise KeyboardInterrupt

    writing.write = stop
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, writing)
    writing.write = write
    found, _ = run(data, tmp_path, writing)
    assert writing.written
    assert not [row for row in found["measures"] if row["measure"] == "seconds of writing per profile"]


@pytest.mark.parametrize(("other", "told"), [("interests", []), ("open", ["template interests", "template open"])])
def test_sets_that_were_asked_for_otherwise_are_told(data: Path, tmp_path: Path, other: str, told: list[str]) -> None:
    sets = [{"name": name, "adapter": "none", "max_users": 20, "validation_users": 5} for name in ("mine", "theirs")]
    bench, _ = make_bench(data, tmp_path, profiles=sets, profile_systems=["profile"], systems=["harmonic-centred"])
    writing = {"mine": Writing(), "theirs": Writing(writer="other", template=other)}
    bench.write = lambda wanted, table, path: writing[wanted.name].write(wanted, table, path)
    bench.describe = lambda wanted, table: writing[wanted.name].describe(wanted, table)
    notes = [note for note in bench.run(IDENTITY)["notes"] if "not all asked for alike" in note]
    assert len(notes) == bool(told)
    assert all(words in note for note in notes for words in told)


def test_the_same_texts_under_another_name_are_written_once(data: Path, tmp_path: Path) -> None:
    writing = Writing()
    run(data, tmp_path, writing)
    results, _ = run(data, tmp_path, writing, name="moved", embedder="other")
    assert len(writing.written) == 1
    systems = {cell["system"]: cell["profiles"] for cell in results["cells"] if "profiles" in cell}
    assert systems["profile:moved"]["writer"] == "test"


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (Writing(writer="retrained"), {}),
        (Writing(template="open"), {}),
        (Writing(temperature=0.5), {}),
        (Writing(seed=1), {}),
        (Writing(), {"max_users": 15}),
    ],
)
def test_what_texts_depend_on_is_written_anew_beside_the_old(
    changed: Writing, wanted: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    before = Writing()
    run(data, tmp_path, before)
    changed.written.clear()
    results, _ = run(data, tmp_path, changed, **wanted)
    assert len(changed.written) == 1
    assert changed.written != before.written
    assert before.written[0].exists()
    assert set_of(results)["writer"] == changed.writer


def save_older(data: Path, out: Path, writer: str, n_users: int = 20) -> Path:
    """A file as it was named once, and its texts."""
    examples = split_examples(load_dataset(data / "toy"))
    ids = [*examples.select("test", max_users=n_users).example_ids,
           *examples.select("validation", max_users=5).example_ids]  # fmt: skip
    chosen = examples.take(pl.Series(examples.example_ids).is_in(ids).to_numpy())
    path = out / "profiles" / "mine.toy.leave-one-out.parquet"
    save_profiles(make_profiles(chosen, ["Old words."] * len(chosen)).with_columns(writer=pl.lit(writer)), path)
    return path


def test_a_file_of_an_older_version_is_used_where_it_fits_as_far_as_known(data: Path, tmp_path: Path) -> None:
    save_older(data, tmp_path, "test")
    writing = Writing()
    results, _ = run(data, tmp_path, writing)
    assert not writing.written
    (note,) = [note for note in results["notes"] if "mine.toy.leave-one-out.parquet" in note]
    assert "as far as known (writer, template, users)" in note
    assert str(tmp_path) not in note


@pytest.mark.parametrize(("writer", "n_users", "differing"), [("other", 20, "writer"), ("test", 19, "users")])
def test_a_file_of_an_older_version_that_does_not_fit_is_kept_and_named(
    writer: str, n_users: int, differing: str, data: Path, tmp_path: Path
) -> None:
    older = save_older(data, tmp_path, writer, n_users)
    parts = older.with_name(older.name + ".parts")
    parts.mkdir()
    writing = Writing()
    results, said = run(data, tmp_path, writing)
    assert len(writing.written) == 1
    assert set_of(results)["writer"] == "test"
    assert any(f"{older}: kept but not used, its {differing} are not those wanted" in line for line in said)
    assert any(f"{parts}: kept but not gone on with" in line for line in said)
    assert pl.read_parquet(older)["text"].unique().to_list() == ["Old words."]


def test_an_adapter_is_told_by_its_weights_and_settings(data: Path, tmp_path: Path) -> None:
    table = split_examples(load_dataset(data / "toy")).select("test")
    adapter = tmp_path / "run" / "adapter"
    write_json(adapter / "adapter_config.json", {})
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    wanted, settings = BenchProfiles("mine"), ProfilerConfig(adapter=str(tmp_path / "run"))
    told = describe_writing(wanted, table, settings)
    assert told["writer"].startswith("SmolLM2-135M-Instruct+run-")
    assert told == describe_writing(wanted, table, settings)
    (adapter / "adapter_model.safetensors").write_bytes(b"other weights")
    assert told["writer"] != describe_writing(wanted, table, settings)["writer"]
    untrained = describe_writing(wanted, table, ProfilerConfig(max_events=3))
    assert (untrained["writer"], untrained["max_events"]) == ("SmolLM2-135M-Instruct", 3)
    assert describe_writing(BenchProfiles("mine", seed=2), table, settings)["seed"] == 2
    with pytest.raises(ModelError, match="no LoRA adapter there"):
        describe_writing(wanted, table, ProfilerConfig(adapter=str(tmp_path / "nothing")))


def start_run(folder: Path, data_digest: str, **settings: Any) -> Path:
    """A run folder with an adapter of a stage and an embedder that has a config.json of its own."""
    RunFolder.start(folder, config_from_dict({"data": settings}), data_digest=data_digest)
    (folder / "warm-start" / "adapter").mkdir(parents=True)
    write_json(folder / "embedder" / "config.json", {"hidden_size": 8})
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split_seed": 1}, r"trained on toy under another split .*add --set data.split_seed=1"),
        ({"protocol": "global-time"}, "measure it under global-time, or train one under leave-one-out"),
    ],
)
@pytest.mark.parametrize("inside", ["", "warm-start/adapter", "embedder"])
def test_what_was_trained_under_another_split_is_refused(
    settings: dict[str, Any], message: str, inside: str, data: Path, tmp_path: Path
) -> None:
    folder = start_run(tmp_path / "run", load_dataset(data / "toy").digest, **settings) / inside
    key = "embedder" if inside == "embedder" else "adapter"
    mine = {"name": "mine", "adapter": "none", key: str(folder)}
    bench, _ = make_bench(data, tmp_path / "bench", profiles=[mine])
    with pytest.raises(ConfigError, match=message):
        bench.run(IDENTITY)
    assert not (tmp_path / "bench").exists()


def test_what_was_trained_under_this_split_or_elsewhere_is_measured(data: Path, tmp_path: Path) -> None:
    dataset, place = load_dataset(data / "toy"), BenchData("toy", is_source=True)
    same = BenchProfiles("mine", adapter=str(start_run(tmp_path / "same", dataset.digest, split_seed=1)))
    assert check_split(same, place, dataset, "leave-one-out", 1) is None
    foreign = BenchProfiles("mine", adapter=str(start_run(tmp_path / "foreign", "other data", split_seed=1)))
    assert check_split(foreign, place, dataset, "leave-one-out", 0) is None
    in_time = BenchProfiles("mine", adapter=str(start_run(tmp_path / "time", dataset.digest, protocol="global-time")))
    assert check_split(in_time, place, dataset, "global-time", 5) is None  # times are cut without a seed
    shipped = BenchProfiles("mine", adapter="shipped")
    assert check_split(shipped, place, dataset, "leave-one-out", 0) is None
    note = check_split(shipped, place, dataset, "leave-one-out", 1)
    assert note is not None
    assert "not recorded under which split 'mine' was trained" in note
