"""Two processes with half of the users each do what one does with all: rewards, update, log, checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import one_of_several
import pytest
import tiny_runs
import torch

from bluerec.config import config_from_dict
from bluerec.errors import ConfigError
from bluerec.runs import read_log
from bluerec.training.checkpoints import find_checkpoint
from bluerec.training.processes import Processes, check_processes, check_resumed
from bluerec.training.profiler import train_profiler
from bluerec.training.rollouts import RolloutModel

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")

N_STEPS = 2


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict:
    settings = tiny_runs.build_settings(tmp_path_factory.mktemp("models") / "tiny")
    settings["train"] |= {"n_steps": N_STEPS, "users_per_step": 4, "log_samples": 100}
    return settings


def launch(settings: dict, out: Path) -> subprocess.CompletedProcess[str]:
    (out.parent / "settings.json").write_text(json.dumps(settings))
    command = [
        # Without MPI, --cpu would start one process only; the trainer chooses the device itself.
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        one_of_several.__file__, str(out.parent / "settings.json"), str(out),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


@pytest.fixture(scope="module")
def two(settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two") / "run"
    result = launch(settings, out)
    assert result.returncode == 0, result.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def one(settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RolloutModel, "generate", one_of_several.write_by_prompt)
        out = tmp_path_factory.mktemp("one") / "run"
        return train_profiler(tiny_runs.build_dataset(), config_from_dict(settings), out).path


def rewards_of(row: dict) -> dict[tuple[str, str], float]:
    return {(sample["example_id"], sample["text"]): sample["reward"] for sample in row["samples"]}


def test_there_were_two_processes(two: Path) -> None:
    assert {path.name for path in find_checkpoint(two).glob("rng_state_*")} == {"rng_state_0.pth", "rng_state_1.pth"}


def test_the_same_profiles_get_the_same_rewards(one: Path, two: Path) -> None:
    ours, theirs = read_log(two), read_log(one)
    assert [row["step"] for row in ours] == [row["step"] for row in theirs] == [1, 2]
    for row, other in zip(ours, theirs, strict=True):
        rewards, expected = rewards_of(row), rewards_of(other)
        assert len(rewards) == 12  # four users, three candidates each: those of both processes
        assert rewards.keys() == expected.keys()
        assert max(abs(reward - expected[key]) for key, reward in rewards.items()) < 1e-4


def test_the_update_is_the_same(one: Path, two: Path) -> None:
    weights, expected = tiny_runs.adapter_of(two), tiny_runs.adapter_of(one)
    assert weights.keys() == expected.keys()
    for name, values in weights.items():
        assert (values - expected[name]).abs().max() < 1e-4, name
    assert any(values.abs().max() > 1e-3 for name, values in weights.items() if "lora_B" in name)


def test_the_log_is_that_of_all_processes_and_written_once(one: Path, two: Path) -> None:
    for row, other in zip(read_log(two), read_log(one), strict=True):
        assert row["n_tokens"] == other["n_tokens"]
        assert row["watch"] == pytest.approx(other["watch"])
        for name in ("loss", "gradient_norm", "entropy", "clipped_share", "flat_groups", "reward", "token_ratio"):
            np.testing.assert_allclose(row[name], other[name], atol=1e-4, rtol=1e-3, err_msg=name)


@pytest.mark.slow
def test_both_processes_leave_what_a_resume_needs(two: Path, settings, one: Path) -> None:
    checkpoint = find_checkpoint(two)
    assert {path.name for path in checkpoint.glob("progress_*")} == {"progress_0.safetensors", "progress_1.safetensors"}
    # As if it had been killed after its first step.
    (two / "manifest.json").unlink()
    first = two / "checkpoints" / "checkpoint-1"
    assert first.is_dir()
    for path in sorted(checkpoint.iterdir()):
        path.unlink()
    result = launch(settings, two)
    assert result.returncode == 0, result.stderr[-3000:]
    for name, values in tiny_runs.adapter_of(two).items():
        torch.testing.assert_close(values, tiny_runs.adapter_of(one)[name], atol=1e-4, rtol=0)


def test_what_cannot_be_spread_is_refused() -> None:
    check_processes(config_from_dict({"train": {"stages": ["sft", "grpo"]}}), 1)
    with pytest.raises(ConfigError, match="sft runs in one"):
        check_processes(config_from_dict({"train": {"stages": ["sft", "grpo"]}}), 2)
    with pytest.raises(ConfigError, match=r"users_per_step=4 must be a multiple .* times 4 processes"):
        check_processes(config_from_dict({"train": {"users_per_step": 4, "users_per_micro_batch": 2}}), 4)
    alone = Processes()
    alone.wait()
    with alone.first_alone():
        pass


def test_a_checkpoint_of_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    check_resumed(tmp_path, 2)  # from before there was such a file
    for rank in (0, 1):
        (tmp_path / f"progress_{rank}.safetensors").touch()
    check_resumed(tmp_path, 2)
    with pytest.raises(ConfigError, match=r"written by 2 processes, resumed by 1; .* start 2 of them"):
        check_resumed(tmp_path, 1)
