"""A run folder: what was asked, on what machine, what happened, and whether it is whole.

`config.json` and `environment.json` are written first, `log.jsonl` grows while the run goes on, `manifest.json`
is written last: its presence means that the run is whole.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl

from bluerec.config import Config, config_from_dict, digest_settings
from bluerec.errors import ConfigError, DataError, first_line

CONFIG_FILE = "config.json"
ENVIRONMENT_FILE = "environment.json"
LOG_FILE = "log.jsonl"
MANIFEST_FILE = "manifest.json"
_RECORDED_PACKAGES = ("bluerec", "numpy", "polars", "torch", "transformers", "trl", "peft", "sentence-transformers")


class RunFolder:
    """The files of one run. Create with `start` or `resume`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def start(cls, path: str | Path, config: Config, **identity: Any) -> RunFolder:
        """Begin a run in a new or empty folder; `identity` (data digest, ...) goes into config.json.

        Raises `ConfigError` if the folder already holds a run.
        """
        folder = Path(path)
        if (folder / CONFIG_FILE).exists():
            raise ConfigError(f"{folder} already holds a run; go on with --resume {folder}, or choose another --out")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be created ({error.strerror}); choose another --out") from error
        write_json(folder / CONFIG_FILE, {"config": config.as_dict(), "digest": config.digest, **identity})
        write_json(folder / ENVIRONMENT_FILE, describe_environment())
        return cls(folder)

    @classmethod
    def resume(cls, path: str | Path, config: Config, **identity: Any) -> RunFolder:
        """Reopen a run. Raises `ConfigError` naming the settings that differ from the saved ones.

        So does a file of settings that was changed since the run was begun.
        """
        folder = Path(path)
        saved = _read_saved(folder)
        wanted = {"config": config.as_dict(), **identity}
        # Through the config, so that settings which are younger than the run take their defaults.
        before = saved | {"config": config_from_dict(saved.get("config", {}), where=str(folder)).as_dict()}
        before = {key: before.get(key) for key in wanted}
        differing = list(_differences(before, wanted))
        if differing:
            raise ConfigError(
                f"{folder}: cannot resume with other settings: {'; '.join(differing[:5])}; leave them as they were, or "
                f"begin a new run from its adapter: --out NEW --set profiler.adapter={folder}"
            )
        return cls(folder)

    @property
    def is_whole(self) -> bool:
        return (self.path / MANIFEST_FILE).exists()

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one row to the log, flushed, so that a running run can be read."""
        append_row(self.path / LOG_FILE, row)

    def rewrite_log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put these rows in place of the log, all or none of them."""
        with atomic_path(self.path / LOG_FILE) as partial:
            partial.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows), encoding="utf-8")

    def finish(self, **facts: Any) -> None:
        """Declare the run whole."""
        write_json(self.path / MANIFEST_FILE, {"finished": _now(), **facts})


def load_saved_settings(folder: str | Path) -> dict[str, Any]:
    """The settings of a run by section, as they were saved. Raises `DataError` where there is no run."""
    settings: dict[str, Any] = _read_saved(Path(folder))["config"]
    return settings


def find_way_on(folder: Path) -> str | None:
    """What one can do with a run that has not finished, to be told; None where there is no such run."""
    if not (folder / CONFIG_FILE).is_file() or (folder / MANIFEST_FILE).exists():
        return None
    if not (folder / ENVIRONMENT_FILE).is_file():  # a model's folder has a config.json, too
        return None
    # The state of the trainer is what a checkpoint is finished with. Rounds have folders of their own.
    states = sorted(folder.glob("**/checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime_ns)
    checkpoint = f"give its checkpoint {states[-1].parent}, or " if states else ""
    return f"the run has not finished: {checkpoint}go on with bluerec train DIR --resume {folder}"


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row to a file of JSON lines. Raises `ValueError` for a number that JSON does not know, such as NaN."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def read_log(folder: str | Path) -> list[dict[str, Any]]:
    """Rows of a log; a last line cut off by a kill is left out."""
    path = Path(folder) / LOG_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; {folder} is not a training run")
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise DataError(f"{path}:{number}: not a JSON line; the log is damaged") from error
    return rows


def describe_environment() -> dict[str, Any]:
    """Versions, machine and commit: what is needed to judge a number later."""
    versions = {}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "started": _now(),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "commit": _commit(),
        "versions": versions,
    }


def read_json(path: Path, what: str) -> Any:
    """Load a JSON file. Raises `DataError` if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; {path.parent} is not a {what}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged JSON ({error}); write it again") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text as it is, in UTF-8; the file is whole or as it was before. Raises as `atomic_path`."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that it is either whole or absent."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def level_modes(folder: Path) -> None:
    """Let whoever may read a JSON file below a folder read the weights there, too: safetensors keeps them private."""
    likeness = next(folder.rglob("*.json"), None)
    if likeness is None:
        return
    for path in folder.rglob("*.safetensors"):
        # Of a disk that knows no modes, or weights of somebody else: they stay as they are.
        with suppress(OSError):
            path.chmod(likeness.stat().st_mode & 0o777)


def check_writable(path: str | Path) -> None:
    """Raise the error of `atomic_path` now, and not after the work, where `path` cannot be written."""
    path = Path(path)
    _check_is_file(path)
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    with atomic_path(probe) as partial:
        partial.touch()
    probe.unlink()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, moved there if the block succeeds and removed if it fails.

    Raises `DataError` where the folder cannot be written or the disk is full, or where a folder or a device, such
    as /dev/null, has the name: a file that takes its place would break the machine.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _check_is_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:
        # polars wraps what the system says of a full disk; any other error of it is not about writing.
        if not isinstance(error, OSError) and "os error" not in str(error):
            raise
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"{path}: cannot be written ({reason}); free space or choose another --out") from error
    finally:
        with suppress(OSError):  # where a parent is a file, even looking for the partial one fails
            partial.unlink(missing_ok=True)


def _check_is_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is there and is no file; choose another --out")


def _read_saved(folder: Path) -> dict[str, Any]:
    """What was saved of a run. Raises `ConfigError` where its settings are not those of the hash beside them."""
    path = folder / CONFIG_FILE
    saved = read_json(path, "run folder")
    if not isinstance(saved, dict) or not isinstance(saved.get("config"), dict):
        raise DataError(f"{path}: holds no settings; {folder} is not a training run")
    config = config_from_dict(saved["config"], where=str(path))
    # Settings that are younger than the run have no part in the hash, unless a later version wrote it.
    if saved.get("digest", config.digest) not in (digest_settings(saved["config"]), config.digest):
        raise ConfigError(
            f"{path}: the settings were changed since the run was begun (their digest is not {saved['digest']}); put "
            "them back, or begin a new run with another --out"
        )
    return saved


def _differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield f"{path} was {before!r}, is {after!r}"


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
