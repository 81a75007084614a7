"""A training that is killed goes on to the same end, bit for bit; what a kill leaves behind does no harm."""

import json
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import tiny_runs
import torch

from bluerec.errors import ConfigError, TrainingError
from bluerec.runs import read_log
from bluerec.training.checkpoints import find_checkpoint, find_damage, recover_checkpoint
from bluerec.training.profiler import train_profiler

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")

# BLUEREC_KILLS=20 makes the test of kills as long as it should be now and then.
N_KILLS = int(os.environ.get("BLUEREC_KILLS", "4"))
N_STEPS = 12
# Users are few, so that the run passes over them more than twice and is killed in all passes.
FEW_USERS = {"data": {"max_users": 10}}
# A generation is used for two passes of four micro-batches, an optimiser step for two: checkpoints fall inside it.
REUSE = {"trl": {"num_iterations": 2, "steps_per_generation": 4}}


@pytest.fixture(scope="module")
def dataset():
    return tiny_runs.build_dataset()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return tiny_runs.build_settings(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def processes():
    """Processes that start with the libraries loaded, so that a run takes a second and not ten."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny_runs", "bluerec.training.grpo", "bluerec.training.run_log"])
    return context


def run_for(processes, settings: dict, out: Path, seconds: float | None = None) -> float | None:
    """Train in a process that is killed after so many seconds; returns how long it took, None if it was killed."""
    process = processes.Process(target=tiny_runs.train, args=(settings, out))
    begun = time.monotonic()
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    assert process.exitcode == 0
    return time.monotonic() - begun


def assert_same_run(ours: Path, theirs: Path) -> None:
    rows = [tiny_runs.without_clock(row) for row in read_log(ours)]
    assert rows == [tiny_runs.without_clock(row) for row in read_log(theirs)]
    weights = tiny_runs.adapter_of(theirs)
    assert weights.keys() == tiny_runs.adapter_of(ours).keys()
    for name, values in tiny_runs.adapter_of(ours).items():
        assert torch.equal(values, weights[name]), name


@pytest.mark.parametrize("reuse", [{}, REUSE], ids=["one-update", "four-updates"])
def test_a_killed_run_goes_on_to_the_same_end(processes, settings, tmp_path: Path, reuse: dict) -> None:
    settings = settings | FEW_USERS | reuse
    settings = settings | {"train": settings["train"] | {"n_steps": N_STEPS, "save_every": 1, "entropy_drop": 0.0}}
    whole = tmp_path / "whole"
    run_for(processes, settings, tmp_path / "warm-up")  # the first process also starts the server
    duration = run_for(processes, settings, whole)
    assert duration is not None
    chance = random.Random(0)
    n_kills = n_runs = 0
    resumed_from = []
    while n_kills < N_KILLS:
        n_runs, n_before = n_runs + 1, n_kills
        out = tmp_path / f"run-{n_runs}"
        # The longest stretch is shorter than a run, so that every run is killed at least once.
        while (took := run_for(processes, settings, out, chance.uniform(0.2, 0.9) * duration)) is None:
            n_kills += 1
            found = find_checkpoint(out)
            resumed_from.append(found.name if found else "nothing")
            if n_kills > 20 * N_KILLS:
                pytest.fail(f"the run does not get on: {resumed_from}")
        assert_same_run(out, whole)
        duration = min(duration, took) if n_kills == n_before else duration  # the machine has become faster
    print(f"{n_kills} kills in {n_runs} runs of {duration:.1f} s; found: {resumed_from}")
    assert set(resumed_from) != {"nothing"}


def test_a_run_that_is_stopped_anywhere_goes_on(dataset, settings, tmp_path: Path) -> None:
    """The same without chance: after each step, in the second pass over the users and at its beginning."""
    few = settings | FEW_USERS | {"train": settings["train"] | {"n_steps": 7}}
    config = tiny_runs.configure(few)
    whole = train_profiler(dataset, config, tmp_path / "whole")
    for last in (1, 5, 6, 7):
        out = tmp_path / f"stopped-{last}"

        def stop(row, last=last) -> None:
            if row["step"] == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_profiler(dataset, config, out, tell=stop)
        assert_same_run(train_profiler(dataset, config, out, resume=True).path, whole.path)


def test_a_run_whose_adapter_was_not_saved_is_finished(dataset, settings, tmp_path: Path) -> None:
    config = tiny_runs.configure(settings)
    run = train_profiler(dataset, config, tmp_path / "run")
    weights, rows = tiny_runs.adapter_of(run.path), read_log(run.path)
    (run.path / "manifest.json").unlink()
    shutil.rmtree(run.path / "adapter")
    again = train_profiler(dataset, config, run.path, resume=True)
    assert again.is_whole
    assert read_log(run.path) == rows
    for name, values in tiny_runs.adapter_of(run.path).items():
        assert torch.equal(values, weights[name])


@pytest.fixture(scope="module")
def stopped(dataset, settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps that lacks its end, with the checkpoints of its last two."""
    out = tmp_path_factory.mktemp("stopped") / "run"

    def stop(row) -> None:
        if row["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_profiler(dataset, tiny_runs.configure(settings), out, tell=stop)
    return out


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    "name",
    ["adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "progress_0.safetensors", "trainer_state.json"],
)
def test_a_damaged_checkpoint_is_set_aside(dataset, settings, stopped: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    newest = find_checkpoint(out)
    assert newest.name == "checkpoint-2"
    cut(newest / name)
    assert find_damage(newest) == f"{name} is cut off"
    said = []
    run = train_profiler(dataset, tiny_runs.configure(settings), out, resume=True, say=said.append)
    assert run.is_whole
    (training,) = (text for text in said if "3 steps of" in text)
    assert training.endswith(f"going on after step 1 from {out / 'checkpoints' / 'checkpoint-1'}")
    line = next(text for text in said if "damaged checkpoint" in text)
    assert f"{name} is cut off" in line
    assert line.endswith(f"going on from {out / 'checkpoints' / 'checkpoint-1'}")
    assert (out / "checkpoints" / "damaged-2").is_dir()


def test_only_damaged_checkpoints_are_an_error(dataset, settings, stopped: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    for folder in (out / "checkpoints").glob("checkpoint-*"):
        cut(folder / "adapter_model.safetensors")
    with pytest.raises(TrainingError, match=r"checkpoint-2: damaged checkpoint .* begin the training anew") as caught:
        train_profiler(dataset, tiny_runs.configure(settings), out, resume=True)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_was_not_written_to_the_end_is_passed_over(stopped: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    (out / "checkpoints" / "checkpoint-2" / "trainer_state.json").unlink()
    said = []
    assert recover_checkpoint(out, said.append).name == "checkpoint-1"
    assert not said
    assert recover_checkpoint(tmp_path / "nothing", said.append) is None


def test_a_checkpoint_of_another_step_is_damaged(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-9"
    shutil.copytree(stopped / "checkpoints" / "checkpoint-2", folder)
    assert find_damage(folder) == "trainer_state.json is of step 2"


def test_a_run_of_another_config_is_refused(dataset, settings, stopped: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    with pytest.raises(ConfigError, match=r"cannot resume with other settings: config\.train\.lora_rank was 2, is 4"):
        train_profiler(dataset, tiny_runs.configure(settings, lora_rank=4), out, resume=True)


def test_a_checkpoint_of_another_configuration_is_refused(dataset, settings, stopped: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "run", tiny_runs.configure(settings, lora_rank=4)
    shutil.copytree(stopped, out)
    saved = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(saved | {"config": other.as_dict(), "digest": other.digest}))
    with pytest.raises(TrainingError, match=r"checkpoint-2: its adapter has rank 2, this run 4") as caught:
        train_profiler(dataset, other, out, resume=True)
    assert "\n" not in str(caught.value)


def test_a_run_from_before_there_were_younger_settings_goes_on(
    dataset, settings, stopped: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    saved = json.loads((out / "config.json").read_text())
    for name in ("on_fault", "max_skips", "flat_steps", "runaway_length", "entropy_drop"):
        del saved["config"]["train"][name]
    (out / "config.json").write_text(json.dumps(saved))
    for folder in (out / "checkpoints").glob("checkpoint-*"):
        (folder / "progress_0.safetensors").unlink()
    rows = (out / "log.jsonl").read_text().splitlines()
    (out / "log.jsonl").write_text(rows[0] + "\n" + rows[1][:50])  # and its last row was cut off
    assert train_profiler(dataset, tiny_runs.configure(settings), out, resume=True).is_whole
