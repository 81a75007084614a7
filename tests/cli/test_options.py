"""What holds for the options of every command."""

import importlib
import typing

import pytest
from typer.models import OptionInfo
from typer.testing import CliRunner

from bluerec.cli import VERBS, app


def find_numbers() -> dict[str, OptionInfo]:
    """The options that take a number, by verb and parameter."""
    found = {}
    for verb in VERBS:
        command = getattr(importlib.import_module(f"bluerec.cli.{verb}"), f"{verb}_command")
        for name, hint in typing.get_type_hints(command, include_extras=True).items():
            kind, *infos = typing.get_args(hint) or (hint,)
            if {int, float} & {kind, *typing.get_args(kind)}:
                found |= {f"{verb} {name}": info for info in infos if isinstance(info, OptionInfo)}
    return found


def test_every_number_has_a_lower_bound() -> None:
    numbers = find_numbers()
    assert {"write max_users", "index max_users", "evaluate max_users", "write seed"} <= set(numbers)
    # prepare says itself what is wrong with its filters, see test_prepare_command.
    assert not [name for name, info in numbers.items() if info.min is None and not name.startswith("prepare ")]


@pytest.mark.parametrize("number", ["0", "-5"])
@pytest.mark.parametrize("verb", ["write", "evaluate", "index"])
def test_a_sample_of_nobody_is_refused_before_any_work(verb: str, number: str) -> None:
    result = CliRunner().invoke(app, [verb, "nowhere", "--out", "nowhere/out.parquet", "--max-users", number])
    assert result.exit_code == 2
    assert "Invalid value for '--max-users'" in result.output
