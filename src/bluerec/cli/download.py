"""bluerec download: published data sets, for machines with internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import OfflineOption
from bluerec.data.download import DATASETS, describe_size, download, list_addresses, look_up
from bluerec.errors import ConfigError, DataError


def download_command(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=f"One of {', '.join(DATASETS)}.")],
    category: Annotated[str | None, typer.Option(metavar="NAME", help="amazon-2023: e.g. Video_Games.")] = None,
    state: Annotated[str | None, typer.Option(metavar="NAME", help="google-local: e.g. South_Dakota.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the files go; by default data/DATASET.")
    ] = None,
    core: Annotated[
        bool, typer.Option("--core", help="Only the published core: 5-core ratings, or 10-core reviews.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="Another place that has the same files, such as a mirror.")
    ] = None,
    offline: OfflineOption = False,
) -> None:
    """Fetch reviews and metadata of one category or state, ready for bluerec prepare.

    The sizes are shown first; a broken transfer goes on where it was when the command is run again.
    """
    if dataset not in DATASETS:
        raise ConfigError(f"DATASET is {dataset!r}; give one of {', '.join(DATASETS)}")
    part = category if dataset == "amazon-2023" else state
    if part is None:
        option = "--category" if dataset == "amazon-2023" else "--state"
        raise ConfigError(f"download {dataset}: say which part with {option} NAME")
    addresses = list_addresses(dataset, part, core=core, address=address)
    folder = out or Path("data") / dataset
    missing = [url for url in addresses if not (folder / url.rsplit("/", 1)[1]).exists()]
    if missing and offline:
        raise DataError(f"{folder}: {missing[0].rsplit('/', 1)[1]} is not there and --offline forbids to fetch it")
    files = [look_up(url) for url in missing]
    for file in files:
        console.say(f"{file.url}: {describe_size(file.n_bytes)}")
    for file in files:
        with console.progress(file.name) as tell:
            download(file, folder, tell=tell)
    for url in addresses:
        console.print_result(str(folder / url.rsplit("/", 1)[1]))
    console.say(f"next: bluerec prepare {dataset} {folder} --out DIR --min-user-events 5 --min-item-events 5")
