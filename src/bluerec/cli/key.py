"""bluerec key: keys of a store's service."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import JsonOption
from bluerec.errors import ConfigError, MissingExtraError, StoreError
from bluerec.store import queries
from bluerec.store.database import DATABASE_FILE, Database

if TYPE_CHECKING:
    from bluerec.serving.keys import Key


def key_command(
    folder: Annotated[Path, typer.Argument(metavar="STORE", help="A store made by bluerec index.")],
    scope: Annotated[
        str | None, typer.Option("--scope", help="Make a key: reader (reads all), user (one user), admin (all).")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="The user of a key of scope user, or whose keys are listed.")
    ] = None,
    revoke: Annotated[str | None, typer.Option("--revoke", metavar="KEY_ID", help="Forget a key.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make, list or revoke keys.

    A token is shown once and kept as a hash. A running service knows within two seconds what was made or revoked.
    """
    try:
        from bluerec.serving.keys import KeyRing, Scope
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve") from error
    if not (folder / DATABASE_FILE).is_file():
        raise StoreError(f"{folder}: holds no {DATABASE_FILE}; make a store: bluerec index DIR --out {folder}")
    ring = KeyRing.open(folder)
    if revoke is not None:
        if scope is not None or user is not None:
            raise ConfigError("a key is revoked by its id, and nothing else is done with it; give --revoke alone")
        if not ring.revoke(revoke):
            raise ConfigError(f"no key {revoke!r} in {folder}; list them: bluerec key {folder}")
        console.print_result(f"{revoke} is revoked")
    elif scope is not None:
        if scope not in set(Scope):
            raise ConfigError(f"unknown scope {scope!r}; choose from {', '.join(Scope)}")
        is_known = user is None or _is_known(folder, user)
        key, token = ring.create(Scope(scope), user)
        if not is_known:
            console.say(f"note: {folder} knows no user {user!r} yet; this key may send their first interactions")
        if as_json:
            console.print_json({**_describe(key), "token": token})
        else:
            console.print_result(f"{token}\nkey {key.key_id}, scope {key.scope}; the token is not shown again")
    else:
        kept = ring.keys()
        _list(folder, [key for key in kept if user in (None, key.user_id)], user, as_json)


def _list(folder: Path, keys: Sequence[Key], user: str | None, as_json: bool) -> None:
    rows = [_describe(key) for key in keys]
    if as_json:
        console.print_json(rows)
    elif rows:
        console.print_table([{**row, "user_id": row["user_id"] or ""} for row in rows])
    else:
        whose, options = (
            (f" of user {user!r}", f"user --user {shlex.quote(user)}") if user is not None else ("", "reader")
        )
        console.say(f"no keys{whose} in {folder}; make one: bluerec key {folder} --scope {options}")


def _describe(key: Key) -> dict[str, str | None]:
    return {"key_id": key.key_id, "scope": key.scope, "user_id": key.user_id}


def _is_known(folder: Path, user: str) -> bool:
    with closing(Database.open(folder)) as database, database.reading() as reader:
        return queries.find_latest(reader, user) is not None or bool(queries.find_history(reader, user)[2])
