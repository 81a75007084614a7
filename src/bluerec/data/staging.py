"""A folder that is whole or absent: it is made beside its place and moved there at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from bluerec.errors import DataError, first_line

# Where the folder that is replaced waits, inside the staging folder, until the new one stands in its place.
REPLACED = "replaced"


@contextmanager
def new_folder(out: Path, files: Sequence[str], *, overwrite: bool) -> Iterator[tuple[Path, Path]]:
    """A folder that takes the place of `out` if the block succeeds, and one for what is needed meanwhile.

    `files` are the names that the folder will hold. Raises `DataError` if `out` holds others, or these without
    `overwrite`, and where the disk is full or not to be written on; then `out` is as it was. What a kill left half
    exchanged is put back first.
    """
    out = out.absolute()
    _clear_abandoned(out)
    _check_free(out, files, overwrite)
    staging = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        (staging / "folder").mkdir(parents=True)
        (staging / "scratch").mkdir()
        yield staging / "folder", staging / "scratch"
        if out.exists():
            out.rename(staging / REPLACED)
        (staging / "folder").rename(out)
    except (OSError, pl.exceptions.ComputeError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"{out}: cannot be written ({reason}); free space or choose another --out") from error
    finally:
        _clear(staging, out)


def _check_free(out: Path, files: Sequence[str], overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; choose another --out")
    found = sorted(entry.name for entry in out.iterdir())
    foreign = [name for name in found if name not in files]
    if foreign:
        raise DataError(f"{out}: holds other files, e.g. {foreign[0]!r}; choose a new folder as --out")
    if found and not overwrite:
        raise DataError(f"{out}: already holds prepared data; add --overwrite to replace it, or choose another --out")


def _clear_abandoned(out: Path) -> None:
    """Clear away what a killed run left beside `out`."""
    for staging in out.parent.glob(f".{out.name}.*.partial"):
        owner = staging.name.split(".")[-2]
        # In a container the killed run may have had the number that this process has.
        if owner.isdecimal() and (int(owner) == os.getpid() or not _is_running(int(owner))):
            _clear(staging, out)


def _clear(staging: Path, out: Path) -> None:
    """Remove a staging folder; the folder it was to replace goes back first, unless another has its place."""
    replaced = staging / REPLACED
    if replaced.exists() and not out.exists():
        try:
            replaced.rename(out)
        except OSError as error:
            raise DataError(
                f"{out}: cannot be put back ({error.strerror}); it is whole in {replaced}, move it back"
            ) from error
    shutil.rmtree(staging, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It runs, for somebody else.
        return True
    return True
