"""The wheel holds what it should, stands without its extras, and names the one that is missing."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from bluerec import __version__
from bluerec.profiling.models import EMBEDDED_MODELS

# What a core installation lacks.
EXTRAS = {
    "torch": "models", "transformers": "models", "sentence_transformers": "models", "peft": "models",
    "safetensors": "models", "gguf": "models", "trl": "train", "accelerate": "train", "datasets": "train",
    "pandas": "dev", "sklearn": "models",
}  # fmt: skip
BLOCKED = f"""
import sys
for name in {sorted(EXTRAS)!r}:
    sys.modules[name] = None
"""


@pytest.fixture(scope="module")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable, "-m", "pip", "wheel", str(project), "--no-deps", "--no-build-isolation", "--quiet",
        "--disable-pip-version-check", "--wheel-dir", str(folder),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked: what an installation puts beside its dependencies."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_without_extras(installed: Path, code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    source = f"{BLOCKED}\nsys.path.insert(0, {str(installed)!r})\n{code}"
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=120, cwd=cwd, check=False
    )


def test_the_wheel_holds_the_package_and_its_data(wheel: Path, project: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if not name.endswith("/")}
    source = project / "src"
    expected = {
        str(path.relative_to(source))
        for path in (source / "bluerec").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected.add("bluerec/constraints.txt")
    assert expected <= inside
    info = f"bluerec-{__version__}.dist-info"
    assert inside - expected == {
        f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


def test_the_core_works_without_extras(installed: Path, tmp_path: Path) -> None:
    result = run_without_extras(
        installed,
        "import bluerec, bluerec.cli\n"
        "from bluerec.data.toy import build_world, save_world\n"
        "from bluerec.data.tables import load_dataset\n"
        "from bluerec.data.histories import split_examples\n"
        "folder = save_world(build_world(n_users=20, n_items=60), 'world')\n"
        "print(bluerec.__file__, len(split_examples(load_dataset(folder))))",
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    file, n_examples = result.stdout.split()
    assert Path(file).is_relative_to(installed)
    assert n_examples == "20"


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from bluerec.profiling.models import load_profiler; load_profiler('.')", "models"),
        (
            "from bluerec.profiling.embedders import load_embedder; from bluerec.config import EmbedderConfig; "
            "load_embedder(EmbedderConfig(model='.'))",
            "models",
        ),
    ],
)
def test_a_missing_extra_is_named(installed: Path, tmp_path: Path, code: str, extra: str) -> None:
    result = run_without_extras(installed, code, tmp_path)
    last = result.stderr.strip().splitlines()[-1]
    assert re.search(rf"MissingExtraError: .+ is not installed; run: pip install 'bluerec\[{extra}\]'", last)


def test_the_command_says_it_in_one_line(installed: Path, tmp_path: Path) -> None:
    code = (
        "from bluerec.data.toy import build_world, save_world\n"
        "save_world(build_world(n_users=20, n_items=60), 'world')\n"
        "sys.argv = ['bluerec', 'write', 'world', '--profiler', 'world', '--out', 'profiles.parquet']\n"
        "from bluerec.cli import main\nmain()"
    )
    result = run_without_extras(installed, code, tmp_path)
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "pip install 'bluerec[models]'" in result.stderr


def test_versions_agree(project: Path) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text())
    assert declared["project"]["version"] == __version__
    pins = [line for line in (project / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", pin) for pin in pins), "exact versions only"
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    extras = declared["project"]["optional-dependencies"]
    wanted = [*declared["project"]["dependencies"], *(name for names in extras.values() for name in names)]
    names = {re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-") for requirement in wanted} - {"bluerec"}
    assert names <= pinned
    assert {model.wheel for model in EMBEDDED_MODELS.values()} <= set(pins)
