"""index, refresh, key and serve as a user types them, on the synthetic world and over a real socket."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from fake_endpoint import serve
from typer.testing import CliRunner

from bluerec.cli import app
from bluerec.config import EmbedderConfig
from bluerec.data.histories import split_examples
from bluerec.data.latin_words import find_latin_words
from bluerec.data.profiles import load_profiles, save_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_oracle_profiles, build_world, save_world
from bluerec.errors import BluerecError, DataError, ModelError
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.profiling.prompts import find_template
from bluerec.store.building import build_store
from bluerec.store.store import Store

runner = CliRunner()


def run(*arguments: object) -> Any:
    result = runner.invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_world(build_world(n_users=30, n_items=120, seed=1), tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture
def store(world: Path, tmp_path: Path) -> Path:
    out = tmp_path / "store"
    facts = run("index", world, "--out", out, "--embedder", "hashing", "--max-users", 8)
    assert (facts["n_items"], facts["n_users"], facts["n_profiles"]) == (120, 8, 0)
    assert run("refresh", out, "--writer", "template")["n_rewritten"] == 8
    return out


def test_refresh_takes_new_interactions_once(store: Path, world: Path, tmp_path: Path) -> None:
    user = pl.read_parquet(world / "interactions.parquet")["user_id"].min()
    new = tmp_path / "new.csv"
    pl.DataFrame({"user_id": [user], "item_id": ["i0001"], "timestamp": [2**33]}).write_csv(new)
    done = run("refresh", store, new, "--writer", "template")
    assert (done["n_events_added"], done["n_rewritten"]) == (1, 1)
    done = run("refresh", store, new, "--writer", "template")
    assert (done["n_events_added"], done["n_events_known"], done["n_rewritten"]) == (0, 1, 0)


def test_index_rebuilds_and_takes_profiles(store: Path, world: Path, tmp_path: Path) -> None:
    assert run("index", world, "--out", store, "--embedder", "hashing", "--rebuild")["n_profiles"] == 8
    with pytest.raises(BluerecError, match="leave out"):
        runner.invoke(
            app, ["index", str(world), "--out", str(store), "--rebuild", "--max-users", "3"], catch_exceptions=False
        )


def test_texts_from_elsewhere_are_indexed_and_strangers_told(world: Path, tmp_path: Path) -> None:
    users = load_dataset(world).user_ids[:2]
    texts = tmp_path / "mine.csv"
    pl.DataFrame({"user_id": [*users, "nobody"], "text": ["Chess.", "Golf.", "Cars."]}).write_csv(texts)
    out = tmp_path / "store"
    arguments = [
        "index",
        world,
        "--out",
        out,
        "--embedder",
        "hashing",
        "--profiles",
        texts,
        "--only-profiled",
        "--json",
    ]
    result = runner.invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert (result.exit_code, json.loads(result.stdout)["n_profiles"]) == (0, 2)
    assert "1 profiles are of users" in " ".join(result.stderr.split())
    assert "'nobody'" in result.stderr


def test_each_table_of_profiles_makes_a_version(world: Path, tmp_path: Path) -> None:
    oracle = build_oracle_profiles(build_world(n_users=30, n_items=120, seed=1), split_examples(load_dataset(world)))
    users = oracle["user_id"].unique().sort().to_list()
    named = {}
    for name, writer, known in (("before", "small", users[:5]), ("after", "small+tuned", users[:4])):
        named[name] = tmp_path / f"{name}.parquet"
        text = pl.concat_str(pl.lit(f"{name} training. "), pl.col("text"))
        table = oracle.filter(pl.col("user_id").is_in(known)).with_columns(text=text, writer=pl.lit(writer))
        save_profiles(table, named[name])
    out = tmp_path / "store"
    tables = [part for path in named.values() for part in ("--profiles", path)]
    facts = run("index", world, "--out", out, "--embedder", "hashing", *tables, "--only-profiled")
    assert (facts["n_users"], facts["n_profiles"]) == (5, 5)
    with Store.open(out) as made:
        assert [version.writer for version in made.versions(users[0])] == ["small", "small+tuned"]
        assert made.profile(users[0]).text.startswith("after training")
        assert [version.writer for version in made.versions(users[4])] == ["small"]
        assert list(made.stale_users()) == users[:5]  # whose last event no text has seen


def test_empty_texts_are_named_and_cost_nobody_else_a_profile(world: Path, tmp_path: Path) -> None:
    users = load_dataset(world).user_ids[:4]
    tables = []
    for number, empty in enumerate(users[:2]):
        texts = [" " if user == empty else f"Likes chess, {number}." for user in users]
        tables += ["--profiles", tmp_path / f"{number}.csv"]
        pl.DataFrame({"user_id": users, "text": texts}).write_csv(tables[-1])
    out = tmp_path / "store"
    command = ["index", world, "--out", out, "--embedder", "hashing", *tables, "--only-profiled"]
    result = runner.invoke(app, [*map(str, command)], catch_exceptions=False)
    assert result.exit_code == 1
    errors = " ".join(result.stderr.split())
    assert f"user '{users[0]}': a profile needs a text" in errors
    assert "2 users got no new profile" in errors
    assert users[2] not in errors
    with Store.open(out) as made:
        assert [len(made.versions(user)) for user in users] == [1, 1, 2, 2]
        assert len(made.history(users[0])) > 0
    with pytest.raises(DataError, match=f"user '{users[0]}': a profile needs a text"):
        build_store(
            tmp_path / "other", load_dataset(world), HashingEmbedder(), EmbedderConfig(model="hashing"),
            profiles=load_profiles(tables[1]),
        )  # fmt: skip


def test_a_refresh_names_whom_it_could_not_write_for(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(store) as opened:
        users = list(opened.user_ids("", 3))
    new = tmp_path / "new.csv"
    pl.DataFrame({"user_id": users, "item_id": ["i0001"] * 3, "timestamp": [2**33] * 3}).write_csv(new)

    def write(asked: Any) -> list[tuple[str, str]]:
        if any(user == users[0] for user, _ in asked):
            raise ModelError("status 400 for model 'm'")
        return [("Likes chess.", "m") for _ in asked]

    monkeypatch.setattr("bluerec.cli.refresh.make_writer", lambda *_, **__: write)
    result = runner.invoke(app, ["refresh", str(store), str(new), "--json"], catch_exceptions=False)
    done = json.loads(result.stdout)
    assert (result.exit_code, done["n_rewritten"]) == (1, 2)
    assert done["failed"] == {users[0]: "status 400 for model 'm'"}
    assert f"user '{users[0]}': status 400" in " ".join(result.stderr.split())
    result = runner.invoke(app, ["refresh", str(store)], catch_exceptions=False)
    assert (result.exit_code, "0 profiles written" in result.stdout) == (1, True)


def test_a_writer_of_a_store_is_asked_as_its_settings_say(world: Path, tmp_path: Path) -> None:
    store, asked = tmp_path / "store", {}
    run("index", world, "--out", store, "--embedder", "hashing", "--max-users", 1)
    with serve() as server:
        writer = ("--writer", "4", "--endpoint", server.url)  # a name, whatever it looks like
        for name, settings in (
            ("plain", ()),
            ("open", ("--set", "profiler.template=open", "--set", "profiler.max_new_tokens=99")),
        ):
            new = tmp_path / f"{name}.csv"
            events = pl.DataFrame({"user_id": [name], "item_id": ["i0001"], "timestamp": [2**33]})
            events.write_csv(new)
            assert run("refresh", store, new, *writer, *settings)["failed"] == {}
            asked[name] = server.seen[-1][2]
    assert asked["plain"]["model"] == "4"
    assert [asked[name]["max_tokens"] for name in ("plain", "open")] == [48, 99]
    for name, template in (("plain", "interests"), ("open", "open")):
        assert find_template(template).system == asked[name]["messages"][0]["content"]
        assert find_template(template).after in asked[name]["messages"][-1]["content"]


@pytest.mark.parametrize(("n_bearers", "support"), [(2, ()), (3, ()), (2, ("--word-support", 0))])
def test_words_that_few_items_bear_are_kept_from_what_writes(
    world: Path, tmp_path: Path, n_bearers: int, support: tuple
) -> None:
    made = tmp_path / "data"
    made.mkdir()
    (made / "interactions.parquet").write_bytes((world / "interactions.parquet").read_bytes())
    items = pl.read_parquet(world / "items.parquet").with_row_index()
    named = pl.when(pl.col("index") < n_bearers).then(pl.lit("Zorblax Zorblax, ") + pl.col("title"))
    items.with_columns(title=named.otherwise("title")).drop("index").write_parquet(made / "items.parquet")
    new = tmp_path / "new.csv"
    events = [("new", item, 2**33 + row) for row, item in enumerate(items["item_id"].head(n_bearers))]
    pl.DataFrame(events, schema=("user_id", "item_id", "timestamp"), orient="row").write_csv(new)
    store = tmp_path / "store"
    run("index", made, "--out", store, "--embedder", "hashing", "--max-users", 2)
    assert run("refresh", store, new, "--writer", "template", *support)["n_rewritten"] == 3
    with Store.open(store) as opened:
        text = opened.profile("new").text
        assert ("zorblax" in text.casefold()) == (n_bearers == 3 or bool(support)), text
        assert "Zorblax" in opened.history("new")[0].item.title


def test_without_a_vocabulary_only_shared_words_are_read_and_this_is_told(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack() -> None:
        raise ModelError("the vocabulary is not installed")

    monkeypatch.setattr("bluerec.profiling.shared_words.load_ordinary_words", lack)
    with Store.open(store) as opened:
        words = {
            item.item_id: {word.folded for word in find_latin_words(item.title)} for item in opened.catalogue.names()
        }
    bearers = Counter(word for found in words.values() for word in found)
    item_id = next(
        one for one, found in words.items() if {2, 3} == {bearers[word] for word in found} and min(map(len, found)) > 4
    )
    rare, shared = sorted(words[item_id], key=bearers.__getitem__)
    new = tmp_path / "new.csv"
    pl.DataFrame({"user_id": ["new"], "item_id": [item_id], "timestamp": [2**33]}).write_csv(new)
    command = ["refresh", str(store), str(new), "--writer", "template"]
    result = runner.invoke(app, command, catch_exceptions=False)
    assert (result.exit_code, "1 profiles written" in result.stdout) == (0, True)
    assert "vocabulary is not installed; without it no word is read" in " ".join(result.stderr.split())
    with Store.open(store) as opened:
        said = {word.folded for word in find_latin_words(opened.profile("new").text)}
    assert (rare in said, shared in said) == (False, True)


def test_a_refresh_that_nothing_shall_write_for_is_refused_before_it_adds_anything(store: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    pl.DataFrame({"user_id": ["new"], "item_id": ["i0001"], "timestamp": [2**33]}).write_csv(new)
    with pytest.raises(ModelError, match="'none'"):
        runner.invoke(app, ["refresh", str(store), str(new), "--writer", "none"], catch_exceptions=False)
    with Store.open(store) as opened:
        assert list(opened.history("new")) == []


def test_keys_are_made_listed_and_revoked(store: Path) -> None:
    made = run("key", store, "--scope", "user", "--user", "u0001")
    assert made["token"] not in (store / "keys.json").read_text()
    assert run("key", store) == [{"key_id": made["key_id"], "scope": "user", "user_id": "u0001"}]
    result = runner.invoke(app, ["key", str(store), "--revoke", made["key_id"]])
    assert result.exit_code == 0
    assert run("key", store) == []


def test_keys_are_listed_of_everybody_and_of_one_user(store: Path) -> None:
    def show(*arguments: str) -> tuple[str, str]:
        result = runner.invoke(app, ["key", str(store), *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout, " ".join(result.stderr.split())

    assert show() == ("", f"no keys in {store}; make one: bluerec key {store} --scope reader")
    made = [run("key", store, "--scope", "user", "--user", user)["key_id"] for user in ("u1", "u2")]
    reader = run("key", store, "--scope", "reader")
    assert run("key", store, "--user", "u2") == [{"key_id": made[1], "scope": "user", "user_id": "u2"}]
    assert run("key", store)[2] == {"key_id": reader["key_id"], "scope": "reader", "user_id": None}
    assert reader["user_id"] is None
    assert [key in show("--user", "u1")[0] for key in made] == [True, False]
    assert show("--user", "u3") == (
        "",
        f"no keys of user 'u3' in {store}; make one: bluerec key {store} --scope user --user u3",
    )
    for more in (["--user", "u1"], ["--scope", "reader"]):
        with pytest.raises(BluerecError, match="--revoke alone"):
            runner.invoke(app, ["key", str(store), "--revoke", made[0], *more], catch_exceptions=False)
    assert len(run("key", store)) == 3


def test_a_key_of_an_unknown_user_is_made_with_a_note(store: Path) -> None:
    made = runner.invoke(app, ["key", str(store), "--scope", "user", "--user", "nobody"], catch_exceptions=False)
    assert "knows no user 'nobody'" in " ".join(made.stderr.split())
    with Store.open(store) as opened:
        user = opened.user_ids("", 1)[0]
    made = runner.invoke(app, ["key", str(store), "--scope", "user", "--user", user], catch_exceptions=False)
    assert (made.exit_code, made.stderr) == (0, "")


@pytest.fixture
def served(store: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen, Path]]:
    command = [sys.executable, "-m", "bluerec", "serve", str(store), "--port", "0", "--writer", "template", "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        lines = ""
        while not lines.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            lines += line
        facts = json.loads(lines)
        headers = {"Authorization": f"Bearer {facts['token']}"}
        with httpx.Client(base_url=facts["address"], headers=headers, timeout=20) as client:
            yield client, process, store
        process.kill()


def wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while (answer := client.get("/health/ready")).status_code != 200 and time.monotonic() < deadline:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "warming")
        time.sleep(0.05)
    assert answer.json() == {"status": "ready"}


def test_serve_answers_edits_and_ends_cleanly(served: tuple[httpx.Client, subprocess.Popen, Path]) -> None:
    client, process, store = served
    assert client.get("/health/live").json() == {"status": "live"}
    wait_until_ready(client)
    assert client.get("/users", headers={"Authorization": "Bearer x"}).status_code == 401
    user = client.get("/users").json()[0]
    before = client.get(f"/users/{user}/recommendations?k=5").json()
    text = "A quiet farming game with animals."
    assert client.put(f"/users/{user}/profile", json={"text": text}).json()["version"] == 2
    after = client.get(f"/users/{user}/recommendations?k=5").json()
    assert after["version"] == 2
    assert after["recommendations"] != before["recommendations"]
    assert [row["item"] for row in client.post("/recommend", json={"text": text, "k": 3}).json()["recommendations"]]
    assert client.get(f"/studio/sign-in?token={client.headers['authorization'][7:]}").status_code == 303
    receipt = client.delete(f"/users/{user}/profile").json()
    assert (receipt["texts_found"], receipt["versions_removed"]) == (0, 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    errors = process.stderr.read()
    assert "Traceback" not in errors
    assert not list(store.glob("*-wal"))
    assert "farming" not in errors
    assert f'"{user}"' not in errors


def test_a_running_service_notices_keys_that_are_made_and_revoked(
    served: tuple[httpx.Client, subprocess.Popen, Path],
) -> None:
    client, _, store = served
    wait_until_ready(client)
    user = client.get("/users").json()[0]
    made = run("key", store, "--scope", "reader")
    headers = {"Authorization": f"Bearer {made['token']}"}

    def wait_for(status: int) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if client.get("/users", headers=headers).status_code == status:
                return True
            time.sleep(0.1)
        return False

    assert wait_for(200)
    other = run("key", store, "--scope", "user", "--user", user)
    assert runner.invoke(app, ["key", str(store), "--revoke", made["key_id"]]).exit_code == 0
    assert client.delete(f"/users/{user}/profile").json()["keys_revoked"] == 1
    assert run("key", store) == [], f"neither the key of {user} nor {other['key_id']} came back"
    assert wait_for(401)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--writer", "nope", "--offline"], "model 'nope' is not a folder"),
        (["--writer", "./nope"], "not a model folder"),
        (["--adapter", "nowhere"], "no LoRA adapter there"),
        (["--writer", "m", "--endpoint", "ftp://x"], "--endpoint"),
        (["--writer", "m", "--endpoint", "http://127.0.0.1:9/v1", "--adapter", "x"], "takes no --adapter"),
        (["--writer", "template", "--set", "profiler.template=open"], "--set has no effect with --writer template"),
        (["--writer", "none", "--set", "profiler.template=open"], "--set has no effect with --writer none"),
        (["--set", "profiler.model=x"], "name it with --writer"),
        (["--set", "profiler.adapter=none"], "name it with --adapter"),
        (
            ["--writer", "4", "--endpoint", "http://127.0.0.1:9/v1", "--set", "profiler.dtype=auto"],
            "no effect with --end",
        ),
        (["--writer", "", "--endpoint", "http://127.0.0.1:9/v1"], "needs the model's name there"),
        (["--set", "embedder.model=hashing"], "only settings of the profiler count here"),
        (["--set", "profiler.tempalte=open"], "did you mean template"),
    ],
)
def test_a_writer_that_is_not_there_is_named_before_anything_is_served(
    store: Path, options: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bluerec.cli.serve._listen", lambda *_: pytest.fail("it would be served"))
    with pytest.raises(BluerecError, match=words):
        runner.invoke(app, ["serve", str(store), "--port", "0", *options], catch_exceptions=False)


def test_an_occupied_port_and_a_wrong_folder_are_named(
    served: tuple[httpx.Client, subprocess.Popen, Path], tmp_path: Path
) -> None:
    client, _, store = served
    port = str(client.base_url.port)
    for arguments, word in (
        (["serve", str(store), "--port", port], "choose another --port"),
        (["serve", str(tmp_path), "--port", "0"], "bluerec index"),
        (["refresh", str(tmp_path)], "bluerec index"),
        (["key", str(tmp_path)], "bluerec index"),
        (["key", str(store), "--scope", "king"], "reader, user, admin"),
    ):
        with pytest.raises(BluerecError, match=word):
            runner.invoke(app, arguments, catch_exceptions=False)
