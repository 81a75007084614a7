"""What every test may ask for: the real data where it lies beside the project, and a cache of its own."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

# No test reaches for a hub, whatever the machine's own settings are.
os.environ["HF_HUB_OFFLINE"] = "1"
# Tests compare with what is computed on the processor, wherever they run.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real interaction data: $BLUEREC_DATA, else shared/data beside the project."""
    folder = Path(os.environ.get("BLUEREC_DATA") or PROJECT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(
            f"no real data: {folder} is not a folder; set BLUEREC_DATA to the folder that holds games, beauty, ..."
        )
    return folder


@pytest.fixture
def isolated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for one test, instead of the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BLUEREC_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the source tree."""
    return PROJECT


@pytest.fixture(scope="session")
def load_benchmark(project: Path) -> Callable[[str], ModuleType]:
    """Import a script of `benchmarks/`, which is no package, by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, project / "benchmarks" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load
