"""Rewards that come from outside the package, by the file or module that a recipe names."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError, TrainingError
from bluerec.types import Embedder, Float32Array, RewardFunction

# Names that a reward of one's own cannot have, and how those of the guards begin.
_TAKEN_NAMES = ("embedding", "choice", "ranking", "length", "quality")
_GUARD_PREFIX = "guard_"


class OwnReward:
    """A reward from outside whose scores are looked at before anything is trained on them."""

    def __init__(self, reward: RewardFunction, place: str) -> None:
        """`place` is that of its code, for the messages."""
        self._reward = reward
        self._place = place

    @property
    def label(self) -> str:
        """Its name and the place of its code, for messages."""
        return f"reward {self.name!r} ({self._place})"

    @property
    def name(self) -> str:
        return self._reward.name

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """One score per text, None for all texts of an example or for none of them.

        Raises `TrainingError` for too few or too many, or one that is no finite number.
        """
        who = self.label
        given = list(self._reward.score(texts, example_ids))
        if len(given) != len(texts):
            raise TrainingError(f"{who} gave {len(given)} scores for {len(texts)} texts; mend its code")
        try:
            scores = [None if score is None else float(score) for score in given]
        except (TypeError, ValueError, OverflowError) as error:
            raise TrainingError(f"{who} gave what is no number ({error}); mend its code") from error
        lacks: dict[str, bool] = {}
        for score, example_id in zip(scores, example_ids, strict=True):
            if score is not None and not math.isfinite(score):
                raise TrainingError(f"{who} gave {score} for example {example_id!r}; mend its code")
            # A candidate without a score would be compared with those that have one.
            if lacks.setdefault(example_id, score is None) != (score is None):
                raise TrainingError(
                    f"{who} gave None for some candidates of example {example_id!r} and numbers for others; "
                    "give None for all of them or for none"
                )
        return scores


def load_own_reward(place: str, table: ExampleTable, embedder: Embedder, item_vectors: Float32Array) -> RewardFunction:
    """The reward that `NAME(table, embedder, item_vectors)` makes, `place` being FILE.py:NAME or MODULE:NAME.

    `table` holds every example that will be scored, `item_vectors` (n_items, d) are the catalogue's by `embedder`. The
    file is run with the rights of this process. Raises `ConfigError` if there is no such thing, or what it makes is no
    `RewardFunction`; what NAME itself raises comes through.
    """
    make, _ = _find_maker(place)
    # What it raises itself is for its author, with all lines.
    made = make(table, embedder, item_vectors)
    if not isinstance(getattr(made, "name", None), str) or not callable(getattr(made, "score", None)):
        raise ConfigError(
            f"own_reward.function={place!r} made a {type(made).__name__}; a reward has a name (a text) and "
            "score(texts, example_ids)"
        )
    return OwnReward(made, place)


def check_own_reward(place: str) -> dict[str, str]:
    """Load the code of a reward without making it: its absolute place, and the hash of its file (of that file alone).

    Raises `ConfigError` as `load_own_reward`, and where NAME cannot be called with three arguments or its class has a
    name that is taken: all that can be known before models and data are loaded.
    """
    make, path = _find_maker(place)
    if not callable(make):
        raise ConfigError(f"own_reward.function={place!r} is a {type(make).__name__}; name a class or a function")
    try:
        inspect.signature(make).bind(None, None, None)
    except TypeError as error:
        raise ConfigError(
            f"own_reward.function={place!r}: it is called as NAME(table, embedder, item_vectors) ({error})"
        ) from error
    except ValueError:  # some builtins tell no signature
        pass
    name = getattr(make, "name", None)
    if isinstance(name, str) and (name in _TAKEN_NAMES or name.startswith(_GUARD_PREFIX)):
        raise ConfigError(f"two rewards are called {name!r}; give own_reward.function {place!r} another name")
    if path is None:
        return {"function": place}
    source, _, attribute = place.rpartition(":")
    absolute = f"{path}:{attribute}" if source.endswith(".py") else place
    return {"function": absolute, "file": str(path), "digest": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}


def _find_maker(place: str) -> tuple[Any, Path | None]:
    """What `place` names, and the file that it is in, if any."""
    source, separator, name = place.rpartition(":")
    if not separator or not source or not name.isidentifier():
        raise ConfigError(f"own_reward.function={place!r}: name it as FILE.py:NAME or MODULE:NAME")
    try:
        module = _load_module(source)
        make = getattr(module, name)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise ConfigError(f"own_reward.function={place!r}: {type(error).__name__}: {error}") from error
    file = getattr(module, "__file__", None)
    return make, Path(file).resolve() if file else None


def _load_module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    path = Path(source).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{source} is not there")
    return _run_file(path, path.read_bytes())


# The file is run once, not at the check and at the use; once more where it was changed.
@lru_cache(maxsize=8)
def _run_file(path: Path, content: bytes) -> ModuleType:
    # Under a name of its own, so that a reward in `types.py` hides nothing.
    module_name = f"bluerec_own_reward_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
