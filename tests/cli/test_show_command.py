"""`bluerec show` with a tiny model: the parts agree with each other, and each fault is one line."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest
import tiny_models

from bluerec.cli import main
from bluerec.data.histories import split_examples
from bluerec.data.profiles import PROFILES_SCHEMA, load_profiles, save_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_world, save_world

QUICK = (
    "--set", "embedder.model=hashing", "--set", "profiler.max_prompt_tokens=700", "--set", "profiler.max_new_tokens=6",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_world(build_world(n_users=40, n_items=60, seed=1), tmp_path_factory.mktemp("world") / "toy")


@pytest.fixture(scope="module")
def profiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_causal("llama", tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the verb as a shell would; returns exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bluerec", "show", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


@pytest.fixture(scope="module")
def profiles(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = split_examples(load_dataset(world))
    rows = [
        {
            "profile_id": example_id, "example_id": example_id, "user_id": user_id, "split": "test",
            "cutoff": cutoff, "text": f"Likes the games of {user_id}. \x1b[31m[bold]", "writer": "w",
            "template": "interests", "n_events": 4, "n_omitted": 0, "n_tokens": 5,
        }
        for example_id, user_id, cutoff in zip(table.example_ids, table.user_ids, table.cutoffs, strict=True)
        if user_id != "u0003"
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("profiles") / "old.parquet"
    save_profiles(pl.DataFrame(rows, schema=PROFILES_SCHEMA), path)
    return path


def test_the_parts_agree_with_the_data(show, world: Path, profiler: Path, profiles: Path) -> None:
    status, out, _ = show(world, "u0001", "--profiles", profiles, "--profiler", profiler, "--json", *QUICK)
    assert status == 0
    view = json.loads(out)
    table = split_examples(load_dataset(world))
    row = table.user_ids.index("u0001")
    assert [event["title"] for event in view["history"]] == [
        table.dataset.titles[item_row] for item_row in table.history_rows(row)
    ][-len(view["history"]) :]
    assert view["target"]["title"] == table.dataset.titles[table.target_rows[row]]
    assert view["target"]["title"] not in view["prompt"]["messages"][-1]["content"]
    assert view["history"][-1]["title"] in view["prompt"]["messages"][-1]["content"]
    (profile,) = view["profiles"]
    assert profile["name"] == "old"
    assert profile["text"].startswith("Likes the games of u0001.")
    assert {"embedding", "choice"} < {reward["name"] for reward in profile["rewards"]}
    cosines = [near["cosine"] for near in profile["nearest"]]
    assert cosines == sorted(cosines, reverse=True)


def test_where_a_profile_was_written_otherwise_it_says_so(
    show, world: Path, profiler: Path, profiles: Path, tmp_path: Path
) -> None:
    """The prompt is made by the settings of the call: a table that records others was not written from it."""
    settings = ("--profiler", profiler, "--set", "choice_reward.weight=0", "--set", "profiler.max_events=3", *QUICK)
    label = json.loads(show(world, "u0001", "--profiles", profiles, *settings, "--json")[1])["settings"]["writer"]
    same = tmp_path / "same.parquet"
    save_profiles(load_profiles(profiles).with_columns(writer=pl.lit(label), n_events=pl.lit(3, pl.Int32)), same)
    _, out, _ = show(world, "u0001", "--profiles", profiles, "--profiles", same, *settings)
    assert f"Prompt (interests, 3 events), by the settings of this call: writer {label}, template interests, " in out
    assert "max_events 3, max_prompt_tokens 700" in out
    old, same_part = out.split("\nProfile, old:")[1].split("\nProfile, same:")
    assert f"\nNot as the prompt above says: writer w (above {label}), n_events 4 (above 3)\n" in old
    assert "Not as the prompt" not in same_part
    view = json.loads(show(world, "u0001", "--profiles", profiles, *settings, "--set", "profiler.template=open",
                           "--json")[1])  # fmt: skip
    assert view["settings"]["template"] == "open"
    assert view["profiles"][0]["written_otherwise"] == {"writer": "w", "template": "interests", "n_events": 4}


def test_a_profile_is_written_where_there_is_none(show, world: Path, profiler: Path, profiles: Path) -> None:
    status, out, err = show(world, "u0003", "--profiles", profiles, "--profiler", profiler, *QUICK)
    assert status == 0
    assert "u0003 has no profile in" in err
    assert "Profile, written now: This shopper likes" in out
    assert "Not as the prompt" not in out
    assert "What came next: " in out
    assert "choice" in out


def test_texts_do_not_steer_the_terminal(show, world: Path, profiler: Path, profiles: Path) -> None:
    arguments = ("--profiles", profiles, "--profiler", profiler, "--set", "choice_reward.weight=0", *QUICK)
    status, out, _ = show(world, "u0001", *arguments)
    assert status == 0
    assert "\x1b" not in out
    assert "[bold]" in out
    assert "\nchoice" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{world}", "u001"), "no user 'u001'; did you mean u0"),
        (("{world}", "?"), "no user '?'; its users are such as u0000"),
        (("{world}/absent", "u0001"), "no such file"),
        (("{world}", "u0001", "--profiles", "absent.parquet"), "absent.parquet: no such file"),
        (("{world}", "u0001", "--profiler", "./absent"), "absent: not a model folder"),
        (("{world}", "u0001", "--profiler", "{profiler}", "--adapter", "absent"), "no LoRA adapter there"),
    ],
)
def test_faults_are_one_line(show, world: Path, profiler: Path, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = show(*(argument.format(world=world, profiler=profiler) for argument in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
