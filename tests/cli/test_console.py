"""Tables: names stay whole on every terminal, and nothing is folded where there is none."""

from io import StringIO

import pytest
from rich.console import Console

from bluerec.cli import console

NAME = "profile-centred:untrained-with-a-long-name"
ROWS = [
    {"ranker": NAME, "minus": f"shuffled-{NAME}", "ndcg@10": "+0.0123", "title": "a long title of many words " * 5},
    {"ranker": "mean", "minus": "random", "ndcg@10": "+0.0003", "title": "short \u65e5\u672c"},
]


def print_on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    output = StringIO()
    terminal = Console(file=output, force_terminal=True, width=width, color_system=None, highlight=False)
    monkeypatch.setattr(console, "_results", terminal)
    console.print_table(ROWS, title="Differences on the same users, in a title that is longer than a narrow terminal")
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_names_are_never_wrapped_on_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    title, _, first, *folded = print_on_terminal(monkeypatch, width)
    assert title.endswith("narrow terminal")
    assert first.split()[:3] == [NAME, f"shuffled-{NAME}", "+0.0123"]
    assert len(folded) > 1  # the title's words come below each other


def test_without_a_terminal_every_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(ROWS, title="Differences")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["Differences", "ranker", NAME, "mean"]
    assert lines[2].rstrip().endswith("many words")


def test_no_rows_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table([], title="Nothing")
    assert not capsys.readouterr().out
