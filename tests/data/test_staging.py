"""A folder takes the place of another or leaves it alone: in a failure, in a kill between the renames, afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bluerec.data.staging import new_folder
from bluerec.errors import DataError

FILES = ("data.txt",)


def replace(out: Path, content: str, *, overwrite: bool = True) -> None:
    with new_folder(out, FILES, overwrite=overwrite) as (folder, scratch):
        (scratch / "half.txt").write_text("half")
        (folder / "data.txt").write_text(content)


def fail_to_move(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Renaming a folder of one of these names fails."""
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name in names:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)


def test_the_old_folder_comes_back_where_the_new_one_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(tmp_path / "out", "old")
    with monkeypatch.context() as patch:
        fail_to_move(patch, "folder")
        with pytest.raises(DataError, match=r"out: cannot be written \(Input/output error\)"):
            replace(tmp_path / "out", "new")
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out" / "data.txt").read_text() == "old"


def test_where_it_cannot_be_put_back_either_the_message_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(tmp_path / "out", "old")
    with monkeypatch.context() as patch:
        fail_to_move(patch, "folder", "replaced")
        with pytest.raises(DataError, match=rf"it is whole in .*\.out\.{os.getpid()}\.partial/replaced, move it back"):
            replace(tmp_path / "out", "new")
    assert [path.read_text() for path in tmp_path.glob(".out.*.partial/replaced/data.txt")] == ["old"]
    # The next run of this process finds it, as one of another with the number of a process that was killed.
    with pytest.raises(DataError, match="already holds prepared data"):
        replace(tmp_path / "out", "new", overwrite=False)
    assert (tmp_path / "out" / "data.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


CHILD = """
import os, signal, sys
from pathlib import Path
from bluerec.data.staging import new_folder

rename = Path.rename

def die(self, target):
    if self.name == "folder":
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.rename = die
with new_folder(Path(sys.argv[1]), ("data.txt",), overwrite=True) as (folder, _):
    (folder / "data.txt").write_text("new")
"""


def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    replace(out, "old")
    killed = subprocess.run([sys.executable, "-c", CHILD, str(out)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    with pytest.raises(DataError, match="already holds prepared data"):
        replace(out, "newer", overwrite=False)
    assert (out / "data.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]
    replace(out, "newer")
    assert (out / "data.txt").read_text() == "newer"
    assert os.listdir(tmp_path) == ["out"]


def test_what_a_failing_block_leaves(tmp_path: Path) -> None:
    replace(tmp_path / "out", "old")
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out", FILES, overwrite=True) as (folder, _):
        (folder / "data.txt").write_text(str(1 / 0))
    assert (tmp_path / "out" / "data.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]
