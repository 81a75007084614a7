"""`bluerec train` and `bluerec write` with a tiny model: the path between them, and each fault in one line."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
import tiny_models
from fake_endpoint import complete, serve

from bluerec.cli import main
from bluerec.data.histories import split_examples
from bluerec.data.profiles import load_profiles
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_world, save_world
from bluerec.profiling.prompt_settings import save_trained_on

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")

QUICK = (
    "--set", "embedder.model=hashing", "--set", "profiler.max_prompt_tokens=700", "--set", "profiler.max_new_tokens=6",
)  # fmt: skip
SHORT = (
    "--set", "train.n_steps=1", "--set", "train.users_per_step=2", "--set", "train.users_per_micro_batch=1",
    "--set", "train.group_size=2", "--set", "train.lora_rank=2", "--set", "choice_reward.weight=0",
    "--set", "profiler.max_events=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_world(build_world(n_users=60, n_items=48, seed=1), tmp_path_factory.mktemp("world") / "toy")


@pytest.fixture(scope="module")
def profiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_causal("llama", tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def bluerec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command as a shell would; returns exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bluerec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


def test_from_training_to_profiles(bluerec, world: Path, profiler: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "profiles.parquet"
    model = ("--set", f"profiler.model={profiler}")
    code, printed, errors = bluerec("train", world, "--out", run, *model, *QUICK, *SHORT, "--json")
    assert code == 0, errors
    assert json.loads(printed) == {"run": str(run), "adapter": str(run / "adapter"), "steps": 1}
    assert (run / "manifest.json").is_file()
    again, _, said = bluerec("train", world, "--resume", run)
    assert again == 0
    assert "whole already" in said

    write = ("write", world, "--profiler", profiler, "--max-users", "3", "--out", out)
    save_trained_on("toys", run / "adapter")
    code, printed, said = bluerec(*write, "--adapter", run, "--set", "profiler.max_new_tokens=5")
    assert code == 0
    assert f"the {run} adapter was trained on toys" in said
    assert (
        "profiler: template = interests, max_events = 2, max_prompt_tokens = 700, max_new_tokens = 5, "
        "temperature = 0.0, dtype = float32; as the adapter was trained: template, max_events, max_prompt_tokens\n"
    ) in said
    table = load_profiles(out)
    assert table.height == 3
    assert table["writer"][0].startswith("tiny+run-")
    assert f"{out}: 3 profiles" in printed
    assert bluerec(*write)[0] == 2  # the table is there already, and is kept
    assert load_profiles(out).equals(table)


def test_an_embedder_is_trained_alone(bluerec, world: Path, profiler: Path, tmp_path: Path) -> None:
    embedder = tiny_models.save_last_token_embedder(tmp_path / "tiny-embedder")
    settings = (
        "--set", f"profiler.model={profiler}", "--set", f"embedder.model={embedder}",
        "--set", 'train.stages=["embedder"]', "--set", "embedder_training.source=composed",
        "--set", "embedder_training.n_users=8", "--set", "embedder_training.batch_size=4",
    )  # fmt: skip
    code, printed, errors = bluerec("train", world, "--out", tmp_path / "run", *settings, "--json")
    assert code == 0, errors
    made = tmp_path / "run" / "embedder"
    assert json.loads(printed) == {"run": str(tmp_path / "run"), "steps": 0, "embedder": str(made)}

    code, _, said = bluerec("train", world, "--resume", tmp_path / "run")
    assert code == 0
    assert "whole already" in said
    ranked = ("evaluate", world, "--rankers", "mean", "--set", f"embedder.model={made}", "--out", tmp_path / "own.json")
    code, _, errors = bluerec(*ranked)
    assert code == 0, errors


def one_line(errors: str) -> str:
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert errors.splitlines()[-1] == line
    return line


def test_profiles_of_an_endpoint(bluerec, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "profiles.parquet"
    write = ("write", world, "--max-users", "5", "--out", out)
    with serve() as server:
        server.answers = [complete("cheerful things.")]
        code, printed, errors = bluerec(*write, "--endpoint", server.url, "--profiler", "some-model", "--json")
        assert code == 0, errors
        assert json.loads(printed) == {"profiles": str(out), "n_profiles": 5, "writer": "some-model"}
        assert len(server.seen) == 5
        assert all(body["model"] == "some-model" for _, _, body in server.seen)
    table = load_profiles(out)
    assert set(table["text"]) == {"cheerful things."}
    assert table["n_tokens"].null_count() == 5  # nobody counted them
    other = (*write[:-1], tmp_path / "other.parquet")
    wrong = {
        "needs the model's name there: --profiler NAME": (),
        "takes no --adapter": ("--profiler", "some-model", "--adapter", tmp_path),
    }
    for message, more in wrong.items():
        code, _, errors = bluerec(*other, "--endpoint", "http://127.0.0.1:9/v1", *more)
        assert code == 2
        assert f"--endpoint {message}" in one_line(errors)


def test_a_table_of_any_kind_is_evaluated_as_the_command_says(bluerec, world: Path, profiler, tmp_path: Path) -> None:
    for name in ("p.csv", "p.jsonl"):
        out = tmp_path / name
        code, printed, errors = bluerec("write", world, "--profiler", profiler, *QUICK, "--max-users", 3, "--out", out)
        assert code == 0, errors
        evaluate = printed.splitlines()[-1].partition("evaluate: bluerec ")[2].split()
        settings = (
            "--set",
            "embedder.model=hashing",
            "--pools",
            "5",
            "--out",
            tmp_path / "r.json",
            "--rankers",
            "profile",
        )
        code, _, errors = bluerec(*evaluate, *settings)
        assert code == 0, errors


def test_how_many_users_get_a_profile_is_told_at_the_start(bluerec, world: Path, profiler, tmp_path: Path) -> None:
    users = split_examples(load_dataset(world))
    n_test, n_all = len(users.select("test")), len(users.select("all"))
    assert 2 < n_test < n_all == users.dataset.n_users == 60
    for number, (arguments, expected) in enumerate(
        [
            ((), f"{n_test} of 60 users (split test); --split all for everybody"),
            (("--max-users", 2), f"2 of 60 users (a sample of split test, which has {n_test})"),
            (("--split", "all"), "60 of 60 users (split all)"),
        ]
    ):
        write = ("write", world, "--profiler", profiler, "--set", "profiler.max_new_tokens=1", *arguments)
        code, printed, said = bluerec(*write, "--out", tmp_path / f"{number}.parquet", "--json")
        assert (code, said.splitlines()[0]) == (0, expected)
        assert set(json.loads(printed)) == {"profiles", "n_profiles", "writer"}


def test_the_next_command_measures_what_was_written(bluerec, world: Path, profiler, tmp_path: Path) -> None:
    out = tmp_path / "my profiles.parquet"
    choice = ("--protocol", "global-time", "--split", "validation", "--set", "data.split_seed=3")
    write = ("write", world, "--profiler", profiler, "--set", "profiler.max_new_tokens=1", "--max-users", 3)
    code, printed, errors = bluerec(*write, "--out", out, *choice)
    assert code == 0, errors
    evaluate = shlex.split(printed.splitlines()[-1].partition("evaluate: bluerec ")[2])
    assert evaluate == ["evaluate", str(world), "--profiles", str(out), *choice]
    settings = ("--set", "embedder.model=hashing", "--pools", "5", "--rankers", "profile")
    code, _, errors = bluerec(*evaluate, *settings, "--out", tmp_path / "r.json")
    assert code == 0, errors


def test_the_adapter_of_a_recipe_is_used(bluerec, world: Path, profiler: Path, tmp_path: Path) -> None:
    write = ("write", world, "--profiler", profiler, "--max-users", "2", "--out", tmp_path / "p.parquet", *QUICK)
    code, _, errors = bluerec(*write, "--set", f"profiler.adapter={tmp_path / 'missing'}")
    assert code == 2
    assert str(tmp_path / "missing") in one_line(errors)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--out", "r", "--set", "train.group_size=1"), "use at least 2"),
        (("--out", "r", "--set", "train.speed=1"), "unknown setting train.speed"),
        (("--out", "r", "--set", "train.n_step=1"), "did you mean n_steps?"),
        (("--out", "r", "--set", "embedding_reward.weight=0", "--set", "choice_reward.weight=0"), "sum to nothing"),
        (("--out", "r", "--set", "guards.no_such=1"), "unknown setting guards.no_such"),
        (("--out", "r", "--set", "profiler.template=nope"), "unknown template 'nope'"),
        (("--out", "r", "--config", "nowhere.toml"), "cannot be read"),
        ((), "either --out RUN"),
        (("--resume", "nowhere"), "no such file"),
        (("--out", "/proc/nowhere/run", "--set", "embedder.model=hashing"), "/proc/nowhere/run"),
    ],
)
def test_faults_of_train(bluerec, world: Path, tmp_path: Path, monkeypatch, arguments, expected: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, errors = bluerec("train", world, *arguments)
    assert (code, printed) == (2, "")
    assert expected in one_line(errors)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--set", "no_such_reward.weight=1"), "unknown setting no_such_reward; known here: data, profiler"),
        (("--set", "profiler.max_new_tokens=900"), "the model's window is 1024; lower profiler.max_prompt_tokens"),
        (("--set", "train.stages=['embedder', 'grpo']"), "has no weights to train"),
        (("--set", "trl.num_generationz=2"), "num_generationz"),
    ],
)
def test_faults_of_train_with_a_model(bluerec, world, profiler, tmp_path: Path, arguments, expected: str) -> None:
    settings = ("--set", f"profiler.model={profiler}", *QUICK, *SHORT, *arguments)
    code, printed, errors = bluerec("train", world, "--out", tmp_path / "run", *settings)
    assert (code, printed) == (2, "")
    assert expected in one_line(errors)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_run_that_goes_on_can_be_reported_and_resumed(bluerec, world, profiler, tmp_path: Path) -> None:
    """Its checkpoints are damaged one after the other: the older one is kept and used, until there is none."""
    run = tmp_path / "run"
    settings = ("--set", f"profiler.model={profiler}", *QUICK, *SHORT, "--set", "train.n_steps=2")
    settings = (*settings, "--set", "train.save_every=1")
    assert bluerec("train", world, "--out", run, *settings)[0] == 0
    (run / "manifest.json").unlink()  # as if it were running still
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "rew')  # a row that is being written
    code, printed, errors = bluerec("report", run, "--out", tmp_path / "report.html")
    assert (code, printed.strip()) == (0, str(tmp_path / "report.html")), errors
    page = (tmp_path / "report.html").read_text()
    assert "reward" in page

    code, _, errors = bluerec("train", world, "--resume", run, *settings, "--set", "train.lora_rank=4")
    assert code == 2
    assert "cannot resume with other settings: config.train.lora_rank was 2, is 4" in one_line(errors)

    # What is set goes on top of the settings of the run, so that only the real difference is told.
    code, _, errors = bluerec("train", world, "--resume", run, "--set", "train.n_steps=4")
    assert code == 2
    line = one_line(errors)
    assert line.endswith(
        "other settings: config.train.n_steps was 2, is 4; leave them as they were, or begin a new run from its "
        f"adapter: --out NEW --set profiler.adapter={run}"
    )

    newest, older = (run / "checkpoints" / f"checkpoint-{step}" for step in (2, 1))
    weights = newest / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    shutil.copytree(older, tmp_path / "older")
    code, _, errors = bluerec("train", world, "--resume", run)
    assert code == 0, errors
    assert f"set aside as damaged-2; going on from {older}" in errors
    assert (tmp_path / "older" / "optimizer.pt").read_bytes() == (older / "optimizer.pt").read_bytes()

    (run / "manifest.json").unlink()
    for checkpoint in (run / "checkpoints").glob("checkpoint-*"):
        (checkpoint / "optimizer.pt").write_bytes(b"")
    code, _, errors = bluerec("train", world, "--resume", run)
    assert code == 2
    assert "there is no older one; begin the training anew" in one_line(errors)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--split", "exam"), "unknown split 'exam'"),
        (("--adapter", "nowhere"), "no LoRA adapter there"),
        (("--profiler", "nobody/has-this", "--offline"), "--offline forbids downloads"),
        (("--protocol", "by-luck"), "unknown split protocol"),
        (("--set", "profiler.template=epic", "--adapter", "none"), "unknown template 'epic'"),
        (("--out", "/proc/nowhere/p.parquet"), "/proc/nowhere"),
        (("--endpoint", "http://127.0.0.1:9/v1", "--profiler", "m"), "is the server running?"),
        (("--out", "p.txt"), "p.txt: profiles are written as .parquet"),
    ],
)
def test_faults_of_write(bluerec, world, profiler, tmp_path: Path, monkeypatch, arguments, expected: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, errors = bluerec("write", world, "--profiler", profiler, "--max-users", "2", *QUICK, *arguments)
    assert (code, printed) == (2, "")
    assert expected in one_line(errors)
    assert not list(tmp_path.iterdir())  # nothing that would be in the way of the corrected command


def test_an_adapter_of_another_model_is_refused(bluerec, world: Path, profiler: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "other-model"}')
    code, _, errors = bluerec("write", world, "--profiler", profiler, *QUICK, "--adapter", tmp_path)
    assert code == 2
    assert "trained on 'other-model'" in one_line(errors)


def test_an_unfinished_folder_is_not_taken_for_data(bluerec, tmp_path: Path) -> None:
    (tmp_path / "items.parquet").write_bytes(b"")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "interactions.parquet")
    code, _, errors = bluerec("write", tmp_path, "--out", tmp_path / "p.parquet")
    assert code == 2
    assert "bluerec prepare" in one_line(errors)
