"""`bluerec report` from files to a page, and each fault in one line."""

import sys
from pathlib import Path

import polars as pl
import pytest
from report_fixtures import write_results, write_run

from bluerec.cli import main
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.profiles import PROFILES_SCHEMA, save_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_world, save_world

HASHING = ("--set", "embedder.model=hashing")


@pytest.fixture
def run_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the verb as a shell would; returns exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bluerec", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return save_world(build_world(n_users=30, n_items=50, seed=1), tmp_path / "world")


def write_profile_table(table: ExampleTable, word: str, path: Path) -> Path:
    rows = [
        {
            "profile_id": f"{word}{example_id}", "example_id": example_id, "user_id": user_id, "split": "test",
            "cutoff": cutoff, "text": f"Likes {word} <b>games</b>.", "writer": word, "template": "interests",
            "n_events": 4, "n_omitted": 0, "n_tokens": None,
        }
        for example_id, user_id, cutoff in zip(table.example_ids, table.user_ids, table.cutoffs, strict=True)
    ]  # fmt: skip
    save_profiles(pl.DataFrame(rows, schema=PROFILES_SCHEMA), path)
    return path


def test_by_default_a_page_lies_beside_what_it_tells(run_report, tmp_path: Path) -> None:
    results = write_results(tmp_path / "games.json")
    run = write_run(tmp_path / "blue-run", n_steps=1, is_whole=True)
    assert run_report(results)[1].strip() == str(tmp_path / "games.html")
    assert run_report(run, results)[1].strip() == str(run / "report.html")
    assert "in the only step" in (run / "report.html").read_text(encoding="utf-8")


def test_results_and_a_run_become_a_page(run_report, tmp_path: Path) -> None:
    results = write_results(tmp_path / "results.json")
    run = write_run(tmp_path / "blue-run", n_steps=3, is_whole=False)
    page = tmp_path / "out" / "report.html"
    status, out, err = run_report(results, run, "--out", page, "--title", "Two <things>")
    assert (status, out.strip(), err) == (0, str(page), "")
    html = page.read_text(encoding="utf-8")
    assert "<h1>Two &lt;things&gt;</h1>" in html
    assert "blue-run has not finished: 3 of 100 steps" in html


def test_profiles_are_shown_for_some_users(run_report, world: Path, tmp_path: Path) -> None:
    table = split_examples(load_dataset(world))
    before = write_profile_table(table, "plain", tmp_path / "before.parquet")
    after = write_profile_table(table, "racing", tmp_path / "after.parquet")
    page = tmp_path / "report.html"
    arguments = ("--profiles", f"untrained={before}", "--profiles", after, "--data", world, "--users", 3, *HASHING)
    status, _, _ = run_report("--out", page, *arguments)
    html = page.read_text(encoding="utf-8")
    assert status == 0
    assert html.count('<article class="user">') == 3
    assert html.count("Likes plain &lt;b&gt;games&lt;/b&gt;.") == 3
    assert html.count("<b><bdi>after</bdi></b>") == html.count("<b><bdi>untrained</bdi></b>") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to report on"),
        (("absent.json",), "absent.json: no such file or folder"),
        (("--profiles", "absent.parquet"), "--profiles needs --data"),
        (("--profiles", "absent.parquet", "--data", "{world}"), "absent.parquet: no such file"),
        (("--profiles", "{other}", "--data", "{world}", *HASHING), "are not of examples of"),
        (("{results}", "--out", "{results}/report.html"), "cannot be written"),
        (("{results}", "--set", "embedder.modell=x"), "unknown setting embedder.modell"),
    ],
)
def test_faults_are_one_line(
    run_report, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = build_world(n_users=8, n_items=48, seed=2).dataset
    names = {
        "world": world,
        "results": write_results(tmp_path / "results.json"),
        "other": write_profile_table(split_examples(elsewhere), "x", tmp_path / "other.parquet"),
    }
    status, out, err = run_report(*(argument.format(**names) for argument in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
