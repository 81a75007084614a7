"""bluerec selftest: the promises of store and service put to the test, with a planted fault for each."""

from __future__ import annotations

import math
import os
import platform
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bluerec import __version__
from bluerec.cli import console
from bluerec.cli.options import JsonOption
from bluerec.errors import ConfigError
from bluerec.selftest.report import describe_counts, merge_results, save_report
from bluerec.selftest.suite import SUITES, Result, run_suite, shorten


def selftest_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUITE]...", help=f"Which suites: {', '.join(SUITES)}. [default: all]"),
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="The long form: an hour and more for all on one core.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", help="Write this Markdown file; rows of suites that do not run now stay as they were."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder with prepared folders: their titles are judged too.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="End each suite after so long; its counts say what was done."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed of everything that is drawn.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Kill, fill, damage, deceive: each suite tries to break one promise, and must find a fault that is planted.

    Exit status 1 if a suite fails. Where something is missing here (strace, a model), the suite is told as skipped.
    """
    if data is not None and not data.is_dir():
        raise ConfigError(f"{data}: is not a folder; give the one that holds the prepared folders")
    results: list[Result] = []
    for name in names or SUITES:
        with console.progress(name) as tell:
            result = run_suite(
                name, long=long, seed=seed, data=data, minutes=math.inf if minutes is None else minutes, tell=tell
            )
        results.append(result)
        if not as_json:
            _print(result)
        if report:
            save_report(report, merge_results(report.with_suffix(".json"), [result]), _environment())
    if as_json:
        console.print_json({"results": [asdict(result) | {"passed": result.passed} for result in results]})
    if any(not result.passed and not result.skipped for result in results):
        raise typer.Exit(1)


def _print(result: Result) -> None:
    verdict = "skipped" if result.skipped else "passed" if result.passed else "FAILED"
    done = result.skipped or describe_counts(result.counts)
    console.print_result(f"{verdict:8} {result.name:18} {result.seconds:7.1f} s  {done}")
    if not result.skipped and not result.fault_caught:
        console.print_result(f"         missed the planted fault: {result.planted_fault}")
    for fault in shorten(result.faults):
        console.print_result(f"         {fault}")


def _environment() -> dict[str, str]:
    return {
        "bluerec": __version__,
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        platform.system(): platform.machine(),
        "processors": str(len(os.sched_getaffinity(0))),
    }
