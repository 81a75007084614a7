"""What is installed and what it amounts to, and what a store holds, with the remedy for each fault.

Nothing here changes anything, but for one file of no length that is written to the cache folder and removed again.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

from bluerec.config import EmbedderConfig, ProfilerConfig
from bluerec.errors import BluerecError, ModelError, StoreError
from bluerec.profiling.models import EMBEDDED_MODELS, SHIPPED_ADAPTER, cache_folder, has_shipped_adapter, resolve_model
from bluerec.profiling.precision import name_dtype
from bluerec.serving.keys import KeyRing
from bluerec.store.inspection import EVENTS, VERSIONS
from bluerec.store.store import Store

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
# Of users whose rows are damaged.
MOST_NAMED = 3
_PEOPLE = (EVENTS, VERSIONS)
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


def diagnose_store(folder: Path) -> list[Finding]:
    """Look at a store as a service needs it: its files, every row, its embedder, its queue and its keys.

    What a killed process left in the journal is taken over, as whenever a store is opened.
    """
    findings: list[Finding] = []
    try:
        with Store.open(folder, offline=True) as store:
            findings += _check_folder("store folder", folder, "free the disk or mend the rights")
            findings += _check_keys(folder)
            findings += _check_counts(store)
            findings += _check_rows(store)
            findings += _check_embedder(store)
    except BluerecError as error:
        findings.append(_tell_fault("store", error))
    return findings


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
    yield from _check_folder("cache folder", cache_folder(), "set BLUEREC_CACHE to a folder with room")
    yield from _check_folder("current folder", Path.cwd(), "change to a folder with room")


def _check_folder(name: str, folder: Path, remedy: str) -> Iterator[Finding]:
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


def _check_keys(folder: Path) -> Iterator[Finding]:
    try:
        yield Finding("store keys", f"{len(KeyRing.open(folder))}")
    except StoreError as error:
        yield _tell_fault("store keys", error)


def _check_counts(store: Store) -> Iterator[Finding]:
    jobs = store.jobs()
    n_failed = sum(job.state == "failed" for job in jobs)
    yield Finding("store items", f"{store.catalogue.n_items:,}; search: {store.search_facts.describe()}")
    yield Finding("store users", f"{store.count_users():,}, {store.count_profiles():,} of them with a profile")
    yield Finding(
        "store queue",
        f"{store.n_open_jobs():,} open jobs, {n_failed:,} failed",
        "warning" if n_failed else "ok",
        f"see the log of the service, and try them again: bluerec refresh {store.folder}" if n_failed else "",
    )


def _check_rows(store: Store) -> Iterator[Finding]:
    """One finding for each table, so that what is damaged has its own remedy."""
    found = store.inspect()
    # Making a store anew writes histories again as they are: their damage could not be told afterwards.
    first = "mend the tables of people first, then " if any(t.n_damaged for t in found if t.table in _PEOPLE) else ""
    for state in found:
        name = f"table {state.table}"
        if not state.n_damaged:
            yield Finding(name, f"{state.n_rows:,} rows, none damaged")
            continue
        named = ", ".join(repr(user) for user in state.users[:MOST_NAMED])
        more = f" and {len(state.users) - MOST_NAMED:,} more" if len(state.users) > MOST_NAMED else ""
        whose = f", of users {named}{more}" if named else ""
        if state.table not in _PEOPLE:
            remedy = f"{first}make it anew, people's texts stay: bluerec index DIR --out {store.folder} --rebuild"
        else:
            remedy = "put a copy of the store in its place, or delete these users: DELETE /users/{id}/profile"
        yield Finding(name, f"{state.n_rows:,} rows, {state.n_damaged:,} damaged or missing{whose}", "fault", remedy)


def _check_embedder(store: Store) -> Iterator[Finding]:
    """Load it, without a download: what is there may still be another, or not whole."""
    try:
        store.embedder.warm()
    except StoreError as error:
        yield _tell_fault("store embedder", error)
    except BluerecError as error:
        found = _tell_fault("store embedder", error)
        is_elsewhere = "--offline" in found.remedy
        yield replace(found, remedy="start bluerec serve once without --offline") if is_elsewhere else found
    else:
        yield Finding("store embedder", store.embedder.name)


def _tell_fault(name: str, error: BluerecError) -> Finding:
    """An error that says what and, after a semicolon, the remedy."""
    value, _, remedy = str(error).partition("; ")
    return Finding(name, value, "fault", remedy)


def _memory_gb() -> float | None:
    """Memory of the machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (ValueError, OSError, AttributeError):
        return None
