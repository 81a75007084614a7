"""`bluerec prepare` and `bluerec download` as a shell runs them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bluerec.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Returns exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bluerec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text("userId,movieId,rating,timestamp,title\nu,a,4,1500000000,A\nu,a,5,1500000009,A\nv,a,0,-1,A\n")
    return path


def test_the_guess_goes_to_stderr_and_the_counts_to_stdout(run: Run, ratings: Path, tmp_path: Path) -> None:
    status, out, err = run("prepare", "csv", ratings, "--out", tmp_path / "out")
    assert status == 0
    assert "user_id=userId, item_id=movieId" in err
    assert "1 users, 1 items, 1 interactions" in out
    assert "2017-07-14 to 2017-07-14" in out
    assert {"repeat", "negative_timestamp"} <= set(out.split())
    assert "unknown_item" not in out


def test_mixed_units_are_told_at_the_end_with_the_dates_that_result(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user,item,time\nu,a,1650000000\nu,b,1660000000000\n")
    status, out, err = run("prepare", "csv", path, "--out", tmp_path / "out")
    assert status == 0
    assert "1 users, 2 items, 2 interactions from 2022-04-15 to 2022-08-08\n" in out
    assert "1 in s (like 1650000000), 1 in ms (like 1660000000000)" in err
    assert err.count("no titles") == 1


def test_positions_have_no_dates(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user,item,time\nu,a,1\nu,b,7\n")
    _, out, err = run("prepare", "csv", path, "--out", tmp_path / "out")
    assert "2 interactions at positions 1 to 7\n" in out
    assert "position, not a time" in err


def test_the_first_example_of_each_reason_is_told(run: Run, ratings: Path, tmp_path: Path) -> None:
    _, out, err = run("prepare", "csv", ratings, "--out", tmp_path / "out")
    assert err.splitlines()[-2:] == [
        f"first negative_timestamp of the interactions: {ratings}:4: user 'v', item 'a', timestamp '-1'",
        f"first repeat of the interactions: {ratings}:3: user 'u', item 'a'",
    ]
    assert "first repeat" not in out


def test_json(run: Run, ratings: Path, tmp_path: Path) -> None:
    options = ("--column", "rating=", "--item-column", "title=", "--keep-repeats", "--json")
    status, out, _ = run("prepare", "csv", ratings, "--out", tmp_path / "out", *options)
    assert status == 0
    result = json.loads(out)
    assert result["n_interactions"] == 2
    assert result["drops"]["interactions"]["missing"]["rating"] == 2
    assert result["drops"] == json.loads((tmp_path / "out" / "drops.json").read_text())
    described = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert described["filters"]["keep_repeats"] is True
    assert described["inputs"] == [{"file": str(ratings), "bytes": ratings.stat().st_size}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "PATH", "--out", "OUT"), "give one of amazon-2023"),
        (("csv", "PATH", "--out", "OUT", "--column", "user=x"), "give FIELD=NAME"),
        (("csv", "PATH", "--out", "OUT", "--max-bad-rows", "-1"), "--max-bad-rows is -1"),
        (("amazon-2023", "PATH", "--out", "OUT"), "parent_asin missing"),
        (("jsonl", "PATH", "--out", "OUT"), "no JSON object in its first 4"),
    ],
)
def test_a_fault_is_one_line(run: Run, ratings: Path, tmp_path: Path, arguments: tuple, message: str) -> None:
    places = {"PATH": str(ratings), "OUT": str(tmp_path / "out")}
    status, out, err = run("prepare", *(places.get(argument, argument) for argument in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("amazon", "--category", "Video_Games"), "DATASET is 'amazon'; give one of amazon-2023, google-local"),
        (("amazon-2023",), "--category NAME"),
        (("google-local",), "--state NAME"),
        (("google-local", "--state", "Utah", "--offline"), "review-Utah.json.gz is not there and --offline"),
        (("google-local", "--state", "Utah", "--address", "http://127.0.0.1:9"), "cannot be fetched"),
    ],
)
def test_download_faults(run: Run, tmp_path: Path, arguments: tuple, message: str) -> None:
    status, out, err = run("download", *arguments, "--out", tmp_path / "raw")
    assert (status, out) == (2, "")
    assert message in err
    assert not (tmp_path / "raw").exists()


def test_offline_is_content_with_what_is_there(run: Run, tmp_path: Path) -> None:
    for name in ("review-Utah.json.gz", "meta-Utah.json.gz"):
        (tmp_path / name).write_bytes(b"x")
    status, out, err = run("download", "google-local", "--state", "utah", "--offline", "--out", tmp_path)
    assert status == 0
    assert out.split() == [str(tmp_path / "review-Utah.json.gz"), str(tmp_path / "meta-Utah.json.gz")]
    assert "bluerec prepare google-local" in err
