"""Run folders are read as they are, whole or not, and every quantity of the log becomes a panel."""

import json
from pathlib import Path

import pytest
from report_fixtures import log_row, write_run

from bluerec.config import config_from_dict
from bluerec.errors import DataError
from bluerec.evaluation.curves import (
    choose_samples,
    draw_learning,
    draw_watch_list,
    format_compact,
    load_training_run,
    read_series,
    smooth,
)


def test_a_run_is_read_with_its_state(tmp_path: Path) -> None:
    run = load_training_run(write_run(tmp_path / "blue", n_steps=4, is_whole=True))
    assert (run.name, len(run.rows), run.is_whole, run.n_steps_wanted) == ("blue", 4, True, 100)
    assert not load_training_run(write_run(tmp_path / "other", n_steps=4, is_whole=False)).is_whole


@pytest.mark.parametrize(
    ("train", "n_wanted"), [({"rounds": 3}, 300), ({"stages": ["sft"]}, 0), ({"n_steps": 7}, 7), ({}, 100)]
)
def test_the_steps_wanted_are_those_of_all_rounds(tmp_path: Path, train: dict, n_wanted: int) -> None:
    config = config_from_dict({"train": train})
    run = load_training_run(write_run(tmp_path / "blue", n_steps=150, is_whole=False, config=config))
    assert run.n_steps_wanted == n_wanted


@pytest.mark.parametrize("settings", [None, [], {"train": {"a_later_setting": 1}}, [1]])
def test_the_steps_wanted_are_unknown_where_the_settings_are(tmp_path: Path, settings: object) -> None:
    folder = write_run(tmp_path / "blue", n_steps=2, is_whole=False)
    (folder / "config.json").write_text(json.dumps({"config": settings}))
    assert load_training_run(folder).n_steps_wanted is None


def test_a_run_that_has_only_begun_has_no_rows(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "blue", n_steps=0, is_whole=False)
    assert load_training_run(folder).rows == ()
    (folder / "log.jsonl").unlink()
    run = load_training_run(folder)
    assert run.rows == ()
    assert draw_learning([run]) == draw_watch_list([run]) == choose_samples(run) == []


def test_the_last_row_of_a_repeated_step_counts(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "blue", n_steps=5, is_whole=False)
    with (folder / "log.jsonl").open("a") as file:
        for step in (4, 5, 6):
            file.write(json.dumps(log_row(step, reward=9.0)) + "\n")
    steps, rewards = read_series(load_training_run(folder), ("reward",))
    assert steps == [1, 2, 3, 4, 5, 6]
    assert rewards[3:] == [9.0, 9.0, 9.0]
    assert 9.0 not in rewards[:3]


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "blue", n_steps=3, is_whole=False)
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "rew')
    assert len(load_training_run(folder).rows) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"[1]", "holds list"),
        ("config.json", b"{", "damaged JSON"),
        ("environment.json", None, "no such file"),
        ("log.jsonl", b"\xff\xfe\x00junk\n{}\n", "not a text file"),
        ("log.jsonl", b"[1]\n[2]\n", ":1: a row without a step"),
        ("log.jsonl", b'{"step": 1}\n{"step": true}\n', ":2: a row without a step"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    folder = write_run(tmp_path / "blue", n_steps=2, is_whole=True)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_training_run(folder)
    assert "\n" not in str(caught.value)


def test_every_quantity_gets_a_panel(tmp_path: Path) -> None:
    run = load_training_run(write_run(tmp_path / "blue", n_steps=30, is_whole=True))
    titles = [figure.title for figure in draw_learning([run])]
    assert titles[:3] == ["Reward", "Reward: embedding", "Reward: choice"]
    assert {"Entropy", "Length", "KL divergence", "Flat groups"} < set(titles)
    watched = [figure.title for figure in draw_watch_list([run])]
    assert watched[0] == "Copied from titles"
    assert watched[-1] == "something_new"
    chart = draw_learning([run])[0].chart
    assert "band" in chart
    assert "faint" in chart


def test_runs_are_drawn_together_under_their_names(tmp_path: Path) -> None:
    runs = [load_training_run(write_run(tmp_path / name, n_steps=9, is_whole=True)) for name in ("one", "two")]
    chart = draw_learning(runs)[0].chart
    assert ">one</text>" in chart
    assert ">two</text>" in chart
    assert chart.count("curve") == 2
    assert "band" not in chart


def test_values_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "blue", n_steps=0, is_whole=False)
    rows = [
        {"step": 1, "reward": None},
        {"step": 2, "reward": "high"},
        {"step": 3, "reward": 1},
        {"step": 4, "rewards": 7},
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = load_training_run(folder)
    assert read_series(run, ("reward",)) == ([3], [1.0])
    assert [figure.title for figure in draw_learning([run])] == ["Reward"]


def test_samples_are_evenly_spaced_and_hold_both_ends(tmp_path: Path) -> None:
    run = load_training_run(write_run(tmp_path / "blue", n_steps=50, is_whole=True))
    samples = choose_samples(run, 5)
    assert [sample["step"] for sample in samples] == [1, 13, 25, 38, 50]
    assert samples[0]["text"] == "profile of step 1"
    assert len(choose_samples(run, 500)) == 50


def test_smoothing_is_a_mean_of_what_is_there() -> None:
    values = [1.0, 5.0, 3.0, 7.0]
    assert smooth(values, 1) == values
    assert smooth(values, 3) == [(1 + 5) / 2, (1 + 5 + 3) / 3, (5 + 3 + 7) / 3, (3 + 7) / 2]
    assert smooth([2.0], 5) == [2.0]


def test_compact_numbers() -> None:
    assert [format_compact(value) for value in (0, 0.03342, -4.031, 37.71, 180.2, -12345.6)] == [
        "0", "0.0334", "−4.03", "37.7", "180", "−12,346",
    ]  # fmt: skip
