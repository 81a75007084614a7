"""Files of a run: whole or absent, never in the place of something else; older runs can be gone on with."""

import json
from pathlib import Path

import polars as pl
import pytest

from bluerec.config import Config, config_from_dict, digest_settings
from bluerec.errors import ConfigError, DataError
from bluerec.runs import CONFIG_FILE, RunFolder, atomic_path, check_writable, load_saved_settings, read_log


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with pytest.raises(ZeroDivisionError), atomic_path(path) as partial:
        partial.write_text(str(1 / 0))
    assert not list((tmp_path / "deep").iterdir())
    with atomic_path(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_a_full_disk_is_one_line_whoever_reports_it(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    for error in (full, pl.exceptions.ComputeError("No space left on device (os error 28)")):
        with pytest.raises(DataError, match=r"No space left on device.*another --out"), atomic_path(tmp_path / "file"):
            raise error
    with pytest.raises(pl.exceptions.ComputeError), atomic_path(tmp_path / "file"):
        raise pl.exceptions.ComputeError("the schema does not fit")  # ours, and not about the disk
    assert not list(tmp_path.iterdir())


def test_whether_a_file_can_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "file")
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "file").write_text("kept")
    check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"
    for path in (tmp_path, Path("/dev/null"), tmp_path / "file" / "below", Path("/proc/nowhere/file")):
        with pytest.raises(DataError, match="another --out"):
            check_writable(path)


def test_a_run_older_than_a_setting_can_be_resumed(tmp_path: Path) -> None:
    run = RunFolder.start(tmp_path / "run", Config(), data_digest="d")
    saved = json.loads((run.path / CONFIG_FILE).read_text())
    del saved["config"]["train"]["rollout_dtype"]
    (run.path / CONFIG_FILE).write_text(json.dumps(saved))
    assert not RunFolder.resume(run.path, Config(), data_digest="d").is_whole
    with pytest.raises(ConfigError, match="data_digest was 'd', is 'e'"):
        RunFolder.resume(run.path, Config(), data_digest="e")
    other = config_from_dict({"train": {"rollout_dtype": "float32"}})
    with pytest.raises(ConfigError, match=r"train\.rollout_dtype was 'auto', is 'float32'"):
        RunFolder.resume(run.path, other, data_digest="d")


def test_settings_that_were_changed_by_hand_are_refused(tmp_path: Path) -> None:
    run = RunFolder.start(tmp_path / "run", Config(), data_digest="d")
    assert load_saved_settings(run.path)["train"]["lora_rank"] == 16
    saved = json.loads((run.path / CONFIG_FILE).read_text())
    # A run from before there was a setting: its hash is of what it knew.
    del saved["config"]["train"]["aggregation"]
    (run.path / CONFIG_FILE).write_text(json.dumps(saved | {"digest": digest_settings(saved["config"])}))
    RunFolder.resume(run.path, Config(), data_digest="d")
    saved["config"]["train"]["lora_rank"] = 4
    (run.path / CONFIG_FILE).write_text(json.dumps(saved))
    other = config_from_dict({"train": {"lora_rank": 4}})
    for attempt in (lambda: RunFolder.resume(run.path, other, data_digest="d"), lambda: load_saved_settings(run.path)):
        with pytest.raises(ConfigError, match=r"config\.json: the settings were changed .* put them back") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_log_that_was_cut_off_is_read(tmp_path: Path) -> None:
    run = RunFolder.start(tmp_path / "run", Config())
    run.log({"step": 1})
    with (run.path / "log.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    assert read_log(run.path) == [{"step": 1}]
    with pytest.raises(ValueError):
        run.log({"step": 3, "reward": float("nan")})
