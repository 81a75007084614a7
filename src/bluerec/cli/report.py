"""`bluerec report`: one self-contained page of results and training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import OfflineOption, SetOption
from bluerec.config import Config, load_config
from bluerec.errors import ConfigError
from bluerec.evaluation.showcase import N_SHOWN_USERS, ShownUser
from bluerec.runs import check_writable


def report_command(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN_OR_RESULTS...", help="Results files, and folders of training runs, running or not."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The page to write; by default RUN/report.html, or RESULTS.html beside RESULTS.json."
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Heading of the page; by default the names of its data.")] = "",
    profiles: Annotated[
        list[str] | None,
        typer.Option(
            "--profiles", metavar="NAME=PATH", help="Profiles to show for some users; repeat to compare them."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The prepared folder that the profiles are about.")
    ] = None,
    n_users: Annotated[int, typer.Option("--users", min=1, help="How many users to show.")] = N_SHOWN_USERS,
    settings: SetOption = None,
    offline: OfflineOption = False,
) -> None:
    """Make one HTML file of results and training runs: tables, curves, warnings, and some users to look at.

    The page loads nothing and can be sent as it is. With --profiles and --data it shows users, chosen at random, with
    their histories, their profiles and the items nearest to each.
    """
    from bluerec.evaluation.report import Report, load_report_inputs, save_report

    if not inputs and not profiles:
        raise ConfigError("report: nothing to report on; pass results files, training runs, or --profiles and --data")
    if profiles and data is None:
        raise ConfigError("report: --profiles needs --data DIR, the prepared folder that they were written for")
    out = out or _place(inputs[0] if inputs else None)
    check_writable(out)
    results, runs = load_report_inputs(inputs or [])
    config = load_config(None, settings or ())
    users = _show_users(data, profiles, config, n_users, offline) if data and profiles else []
    save_report(Report(results, runs, users, title), out)
    console.print_result(str(out))


def _place(first: Path | None) -> Path:
    """Beside the first input, so that one report never takes the place of another's."""
    if first is None:
        return Path("report.html")
    return first / "report.html" if first.is_dir() else first.with_suffix(".html")


def _show_users(data: Path, profiles: list[str], config: Config, n_users: int, offline: bool) -> list[ShownUser]:
    from bluerec.data.histories import split_examples
    from bluerec.data.tables import load_dataset
    from bluerec.evaluation.profile_sets import load_profile_sets
    from bluerec.evaluation.showcase import choose_users, show_users
    from bluerec.profiling.embedders import embed_items, load_embedder

    table = split_examples(load_dataset(data), config.data.protocol, seed=config.data.split_seed)
    sets = load_profile_sets(profiles, table)
    chosen = choose_users(table, sets, n_users)
    embedder = load_embedder(config.embedder, offline=offline, announce=console.say)
    with console.progress("embedding items") as tell:
        item_vectors = embed_items(table.dataset, embedder, progress=tell)
    return show_users(chosen, sets, embedder, item_vectors)
