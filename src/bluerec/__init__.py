"""Textual user profiles that retrieve."""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["Profiler", "Recommender", "__version__"]
# Found when they are asked for, so that `import bluerec` loads nothing heavy; __init__.pyi tells their types.
_PUBLIC = {"Profiler": "bluerec.profiling.profiler", "Recommender": "bluerec.store.recommender"}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bluerec' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
