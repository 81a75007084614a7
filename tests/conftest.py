"""What every test may ask for: the real data where it lies beside the project, and a cache of its own."""

import os
from pathlib import Path

import pytest

# No test reaches for a hub, whatever the machine's own settings are.
os.environ["HF_HUB_OFFLINE"] = "1"
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
