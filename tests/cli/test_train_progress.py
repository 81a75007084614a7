"""What `bluerec train` says while it trains: on a terminal a bar, else a line now and then."""

import pytest

from bluerec.cli import console
from bluerec.cli.train import SECONDS_BETWEEN_LINES, StepTeller


def row(step: int) -> dict:
    return {
        "step": step, "rewards": {"embedding": -1.5, "choice": None}, "reward": -1.5, "time": 7.0 * step,
        "tokens_per_second": 90.0, "seconds_left": 600,
    }  # fmt: skip


def run(seconds_a_step: float, n_steps: int) -> None:
    now = [0.0]
    tell = StepTeller(n_steps, clock=lambda: now[0])
    for step in range(1, n_steps + 1):
        now[0] += seconds_a_step
        tell(row(step))


def test_without_a_terminal_a_line_is_said_at_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    run(SECONDS_BETWEEN_LINES / 2, 6)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"step {step} of 6" for step in (1, 3, 5, 6)]
    assert lines[0] == "step 1 of 6: reward -1.500, 7 s, 90 tokens/s, 10 min left"


@pytest.mark.parametrize(("number", "left"), [(1, "at least 10 min left"), (2, "10 min left")])
def test_what_comes_between_rounds_is_not_promised(capsys: pytest.CaptureFixture[str], number: int, left: str) -> None:
    """The steps of later rounds are counted, but not their embedder and reference profiles."""
    StepTeller(6, n_rounds=2)(row(1) | {"round": number})
    assert capsys.readouterr().err.splitlines()[-1].split(", ")[-1] == left


def test_where_a_bar_is_seen_nothing_is_said_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "shows_progress", lambda: True)
    run(SECONDS_BETWEEN_LINES, 3)
    assert capsys.readouterr().err == ""
