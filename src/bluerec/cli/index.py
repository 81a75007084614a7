"""bluerec index: a prepared folder becomes a store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from bluerec.cli import console
from bluerec.cli.options import ExactUpToOption, JsonOption, OfflineOption
from bluerec.cli.refresh import end_with_failures
from bluerec.config import EmbedderConfig
from bluerec.data.histories import split_examples
from bluerec.data.profiles import load_profiles
from bluerec.data.tables import Dataset, load_dataset
from bluerec.errors import ConfigError, DataError
from bluerec.store.building import build_store, rebuild_store
from bluerec.store.search import EXACT_UP_TO
from bluerec.store.store import Store
from bluerec.types import CountDone, Embedder


def index_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="STORE", help="The store, new or empty.")],
    profiles: Annotated[
        list[Path] | None,
        typer.Option(
            "--profiles",
            help="A profile table; the latest of each user is taken over. Repeated: each makes a further version.",
        ),
    ] = None,
    embedder: Annotated[
        str, typer.Option("--embedder", help="Embedded name, folder or hub name; a store keeps to one.")
    ] = "all-MiniLM-L6-v2",
    instruction: Annotated[str, typer.Option("--instruction", help="Put before profiles by such an embedder.")] = "",
    max_users: Annotated[int | None, typer.Option("--max-users", min=1, help="A seeded sample of the users.")] = None,
    only_profiled: Annotated[
        bool, typer.Option("--only-profiled", help="Only users of the profile table, not everybody.")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Give an existing STORE the catalogue of DIR and new vectors; users stay."),
    ] = False,
    exact_up_to: ExactUpToOption = EXACT_UP_TO,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a store: the catalogue with its vectors, the histories, and the profiles if there are any.

    Profiles of an untrained and of a trained model, as two tables, can be compared in the page of bluerec serve.

    Users without a profile get one from bluerec refresh. Then: bluerec serve STORE. Users whose text is empty are
    named at the end, and the exit status is 1; the store is there with everybody else's.
    """
    if rebuild and (profiles or max_users or only_profiled):
        raise ConfigError("--rebuild keeps the store's users and profiles; leave out --profiles, --max-users and such")
    if only_profiled and not profiles:
        raise ConfigError("--only-profiled needs --profiles TABLE")
    from bluerec.profiling.embedders import load_embedder

    begin = time.perf_counter()
    dataset = load_dataset(directory)
    tables = [load_profiles(path) for path in profiles or ()]
    users = _choose_users(dataset, tables, max_users, only_profiled)
    config = EmbedderConfig(model=embedder, instruction=instruction)
    failed: dict[str, str] = {}
    loaded = load_embedder(config, offline=offline, announce=console.say)
    with console.progress("indexing") as progress:
        if rebuild:
            rebuild_store(out, dataset, loaded, config, exact_up_to=exact_up_to, progress=progress)
        else:
            first = tables[0] if tables else None
            build_store(
                out, dataset, loaded, config, users=users, profiles=first, exact_up_to=exact_up_to, progress=progress,
                refuse=failed.__setitem__,
            )  # fmt: skip
            for table in tables[1:]:
                failed |= _add_versions(out, loaded, table, set(users), progress)
    _tell(out, begin, exact_up_to, offline, as_json)
    end_with_failures(failed)


def _tell(out: Path, begin: float, exact_up_to: int, offline: bool, as_json: bool) -> None:
    with Store.open(out, offline=offline) as store:
        facts = {
            "store": str(out),
            "n_items": store.catalogue.n_items,
            "n_users": store.count_users(),
            "n_profiles": store.count_profiles(),
            "embedder": store.embedder.name,
            "search": asdict(store.search_facts),
            "seconds": round(time.perf_counter() - begin, 1),
        }
        searched, is_large = store.search_facts.describe(), store.catalogue.n_items > exact_up_to
    if as_json:
        console.print_json(facts)
        return
    console.print_result(
        f"{out}: {facts['n_items']:,} items, {facts['n_users']:,} users, {facts['n_profiles']:,} profiles, "
        f"embedder {facts['embedder']}, {facts['seconds']} s"
    )
    if is_large:
        console.print_result(f"search: {searched}")
    console.print_result(f"next: bluerec refresh {out}" if facts["n_profiles"] == 0 else f"next: bluerec serve {out}")


def _add_versions(
    out: Path, embedder: Embedder, table: pl.DataFrame, users: set[str], progress: CountDone
) -> dict[str, str]:
    """The texts of another table as the next version of each user's profile; whose text cannot be one, and why."""
    failed = {}
    latest = table.filter(pl.col("user_id").is_in(list(users))).sort("cutoff", maintain_order=True)
    rows = (
        latest.unique("user_id", keep="last", maintain_order=True).select("user_id", "text", "writer", "cutoff").rows()
    )
    with Store.open(out, embedder=embedder) as store:
        for number, (user, text, writer, cutoff) in enumerate(rows, start=1):
            try:
                store.save_written(user, text, writer, known=store.load_history(user, before=cutoff))
            except DataError as error:
                failed[user] = str(error)
            progress(number, len(rows))
    return failed


def _choose_users(
    dataset: Dataset, tables: Sequence[pl.DataFrame], max_users: int | None, only_profiled: bool
) -> list[str]:
    """Whom the store shall have, sorted: everybody, or who has a profile; a sample of them."""
    profiled = {user for table in tables for user in table["user_id"]}
    strangers = sorted(user for user in profiled if user not in dataset.user_row_of)
    if strangers:
        console.say(
            f"{len(strangers):,} profiles are of users that {dataset.folder} does not have, e.g. {strangers[0]!r}; "
            "they are left out"
        )
    if only_profiled:
        return sorted(profiled.difference(strangers))[:max_users]
    if max_users is None or max_users >= len(dataset.user_ids):
        return sorted(dataset.user_ids)
    return sorted(split_examples(dataset).select("all", max_users=max_users).user_ids)
