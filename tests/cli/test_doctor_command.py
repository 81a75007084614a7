"""The doctor looks through a store: what it counts, and what it names and mends where files or rows are damaged."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store.stores import CONFIG, EMBEDDER, make_store, make_world
from typer.testing import CliRunner

from bluerec.cli import app
from bluerec.diagnosis import Finding, diagnose_store
from bluerec.errors import ModelError
from bluerec.store.building import rebuild_store
from bluerec.store.inspection import inspect_tables
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store

runner = CliRunner()
Change = Callable[[sqlite3.Connection], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_store(tmp_path / "store")
    with Store.open(made, embedder=EMBEDDER) as store:
        store.save_edit("u0002", "Chess. Golf.")
        store.save_edit("u0002", "Chess.")
    return made


def by_name(folder: Path) -> dict[str, Finding]:
    findings = diagnose_store(folder)
    named = {finding.name: finding for finding in findings}
    assert len(named) == len(findings)
    return named


def damage(folder: Path, change: Change) -> None:
    with sqlite3.connect(folder / "store.sqlite") as connection:
        change(connection)
    connection.close()


def run(statement: str) -> Change:
    return lambda connection: connection.execute(statement)


def test_a_whole_store_is_counted(folder: Path) -> None:
    before = (folder / "store.sqlite").read_bytes()
    with Store.open(folder, embedder=EMBEDDER) as serving:  # a service may run on it
        result = runner.invoke(app, ["doctor", "--store", str(folder), "--json"], catch_exceptions=False)
        n_events = sum(len(serving.history(user)) for user in serving.user_ids("", 9))
        n_sentences = sum(len(serving.profile(user).sentences) for user in serving.user_ids("", 9))
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"]) == (0, True)
    told = {finding["name"]: finding["value"] for finding in found["findings"]}
    assert told.pop("store folder").startswith(str(folder))
    assert told == {
        "store keys": "0",
        "store items": "120; search: exact",
        "store users": "3, 3 of them with a profile",
        "store queue": "0 open jobs, 0 failed",
        "table items": "120 rows, none damaged",
        "table interactions": f"{n_events} rows, none damaged",
        "table versions": "5 rows, none damaged",
        "table sentence_vectors": f"{n_sentences} rows, none damaged",
        "store embedder": "hashing-256",
    }
    assert (folder / "store.sqlite").read_bytes() == before
    result = runner.invoke(app, ["doctor", "--store", str(folder)], catch_exceptions=False)
    assert f"the store can be served: bluerec serve {folder}" in " ".join(result.stderr.split())


NOT_UTF8 = "CAST(X'43FF' AS TEXT)"
OF_U0002 = "user_row = (SELECT user_row FROM users WHERE user_id = 'u0002')"


@pytest.mark.parametrize(
    ("statement", "table", "n_damaged", "user", "remedy"),
    [
        ("UPDATE items SET title = title || 'x' WHERE item_row < 2", "items", 2, None, "--rebuild"),
        (f"UPDATE items SET brand = {NOT_UTF8} WHERE item_row = 7", "items", 1, None, "--rebuild"),
        ("UPDATE versions SET text = 'Golf.' WHERE version = 2", "versions", 1, "u0002", "put a copy"),
        (f"UPDATE versions SET sentences = {NOT_UTF8} WHERE version = 3", "versions", 1, "u0002", "put a copy"),
        (f"UPDATE versions SET text = {NOT_UTF8}", "versions", 5, "u0000", "DELETE /users/{id}/profile"),
        (f"UPDATE sentence_vectors SET vector = X'00' WHERE {OF_U0002}", "sentence_vectors", 1, "u0002", "--rebuild"),
        (f"DELETE FROM sentence_vectors WHERE {OF_U0002}", "sentence_vectors", 1, "u0002", "--rebuild"),
        (f"UPDATE sentence_vectors SET place = 9 WHERE {OF_U0002}", "sentence_vectors", 1, "u0002", "--rebuild"),
    ],
)  # fmt: skip
def test_damaged_rows_are_counted_by_table(
    folder: Path, statement: str, table: str, n_damaged: int, user: str | None, remedy: str
) -> None:
    damage(folder, run(statement))
    found = by_name(folder)
    faults = [name for name, finding in found.items() if finding.status == "fault"]
    assert faults == [f"table {table}"]
    finding = found[f"table {table}"]
    assert remedy in finding.remedy
    assert (f"of users '{user}'" in finding.value) if user else "of users" not in finding.value
    assert f" {n_damaged} damaged or missing" in finding.value
    assert "Golf" not in finding.value
    result = runner.invoke(app, ["doctor", "--store", str(folder)], catch_exceptions=False)
    assert (result.exit_code, "1 fault(s): the store is not whole" in result.stderr) == (2, True)


def test_a_rebuild_is_a_remedy_for_items_and_vectors(folder: Path) -> None:
    damage(folder, run("UPDATE sentence_vectors SET vector = X'00'"))
    damage(folder, run("UPDATE items SET title = 'x' WHERE item_row = 5"))

    rebuild_store(folder, make_world().dataset, EMBEDDER, CONFIG)
    assert {finding.status for finding in diagnose_store(folder)} == {"ok"}
    with Store.open(folder) as store:
        assert Recommender(store).recommend_with_reasons("u0002", k=3)


def test_what_people_brought_is_mended_before_a_rebuild_would_hide_it(folder: Path) -> None:
    damage(folder, run("UPDATE items SET title = 'x' WHERE item_row = 5"))
    assert by_name(folder)["table items"].remedy.startswith("make it anew")
    damage(folder, run(f"UPDATE interactions SET rating = 7 WHERE {OF_U0002}"))
    found = by_name(folder)
    assert found["table items"].remedy.startswith("mend the tables of people first, then make it anew")
    assert found["table interactions"].remedy.startswith("put a copy")


@pytest.mark.parametrize("table", ["versions SET text", "versions SET offered", "interactions SET review_text"])
def test_deleting_is_a_remedy_for_what_people_brought(folder: Path, table: str) -> None:
    damage(folder, run(f"UPDATE {table} = {NOT_UTF8} WHERE {OF_U0002}"))
    assert [finding.status for finding in diagnose_store(folder)].count("fault") == 1
    with Store.open(folder, embedder=EMBEDDER) as store:
        assert store.delete_user("u0002")["versions_removed"] == 3
        assert store.profile("u0001")
    assert {finding.status for finding in diagnose_store(folder)} == {"ok"}


def test_after_the_search_a_text_is_refused_as_before(folder: Path) -> None:
    """The search reads damaged texts; whoever reads on over the same connection must not get them."""
    damage(folder, run(f"UPDATE items SET title = {NOT_UTF8} WHERE item_row = 7"))
    with Store.open(folder, embedder=EMBEDDER) as store:
        assert sum(state.n_damaged for state in inspect_tables(store._database)) == 1
        with store._database.reading() as reader:
            assert reader.text_factory is str


def test_what_cannot_be_opened_is_named(folder: Path, tmp_path: Path) -> None:
    (finding,) = diagnose_store(tmp_path)
    assert (finding.status, "is not a store" in finding.value) == ("fault", True)
    assert finding.remedy == f"run: bluerec index DIR --out {tmp_path}"
    next(folder.glob("*.npy")).write_bytes(b"")
    (finding,) = diagnose_store(folder)
    assert finding.remedy == f"make it again with: bluerec index DIR --out {folder} --rebuild"


def test_keys_embedder_and_failed_jobs_are_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "keys.json").write_text("{")
    with Store.open(folder, embedder=EMBEDDER) as store:
        store.enqueue("u0001")
        store.note_failure("u0001", "ModelError")

    def fail(config: object, **_: object) -> None:
        raise ModelError("model 'm' is not here, and --offline forbids downloads; drop --offline or give a folder")

    monkeypatch.setattr("bluerec.profiling.embedders.load_embedder", fail)
    found = by_name(folder)
    assert (found["store keys"].status, found["store keys"].remedy) == ("fault", "delete it and make new ones")
    assert (found["store queue"].status, found["store queue"].value) == ("warning", "0 open jobs, 1 failed")
    assert found["store embedder"].remedy == "start bluerec serve once without --offline"
    damage(folder, run("UPDATE meta SET value = 'hashing-64' WHERE key = 'embedder'"))
    monkeypatch.undo()
    found = by_name(folder)
    assert "made with embedder hashing-64, not with hashing-256" in found["store embedder"].value
    assert "--rebuild" in found["store embedder"].remedy
