"""Rewards that come from outside the package, by the file or module that a recipe names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError, TrainingError
from bluerec.rewards.texts import check_scores
from bluerec.types import Embedder, Float32Array, RewardFunction


class OwnReward:
    """A reward from outside whose scores are looked at before anything is trained on them."""

    def __init__(self, reward: RewardFunction) -> None:
        self._reward = reward

    @property
    def name(self) -> str:
        return self._reward.name

    def score(self, texts: Sequence[str], example_ids: Sequence[str]) -> list[float | None]:
        """One score per text. Raises `TrainingError` for too few or too many, or one that is no finite number."""
        given = list(self._reward.score(texts, example_ids))
        if len(given) != len(texts):
            raise TrainingError(f"reward {self.name!r} gave {len(given)} scores for {len(texts)} texts; mend its code")
        try:
            scores = [None if score is None else float(score) for score in given]
        except (TypeError, ValueError, OverflowError) as error:
            raise TrainingError(f"reward {self.name!r} gave what is no number ({error}); mend its code") from error
        return check_scores(self.name, scores, example_ids)


def load_own_reward(place: str, table: ExampleTable, embedder: Embedder, item_vectors: Float32Array) -> RewardFunction:
    """The reward that `NAME(table, embedder, item_vectors)` makes, `place` being FILE.py:NAME or MODULE:NAME.

    `table` holds every example that will be scored, `item_vectors` (n_items, d) are the catalogue's by `embedder`. The
    file is run with the rights of this process. Raises `ConfigError` if there is no such thing, or what it makes is no
    `RewardFunction`; what NAME itself raises comes through.
    """
    source, separator, name = place.rpartition(":")
    if not separator or not source or not name.isidentifier():
        raise ConfigError(f"own_reward.function={place!r}: name it as FILE.py:NAME or MODULE:NAME")
    try:
        make = getattr(_load_module(source), name)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise ConfigError(f"own_reward.function={place!r}: {type(error).__name__}: {error}") from error
    # What it raises itself is for its author, with all lines.
    made = make(table, embedder, item_vectors)
    if not isinstance(getattr(made, "name", None), str) or not callable(getattr(made, "score", None)):
        raise ConfigError(
            f"own_reward.function={place!r} made a {type(made).__name__}; a reward has a name (a text) and "
            "score(texts, example_ids)"
        )
    return OwnReward(made)


def _load_module(source: str) -> ModuleType:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    path = Path(source).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{source} is not there")
    # Under a name of its own, so that a reward in `types.py` hides nothing.
    module_name = f"bluerec_own_reward_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
