"""The profiler in three lines: load it, give it a history, read what it wrote and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bluerec.config import Config, EmbedderConfig, ProfilerConfig
from bluerec.data.any_history import read_history
from bluerec.data.instructions import is_instruction
from bluerec.profiling.embedders import load_embedder, render_item_text
from bluerec.profiling.histories import write_histories
from bluerec.profiling.models import choose_adapter, load_profiler
from bluerec.profiling.prompt_settings import load_writing_config
from bluerec.profiling.shared_words import SharedWords
from bluerec.profiling.writers import LocalWriter
from bluerec.types import Embedder, Event, History, Item

N_EVIDENCE = 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """An item of the history that lies near the profile, and its cosine to it."""

    item: Item
    cosine: float


@dataclass(frozen=True, slots=True)
class WrittenProfile:
    """A profile: its text, what wrote it (model and adapter), and the items of the history nearest to it.

    `n_withheld` events had a text that looks like an instruction; no model read it, and no evidence rests on such an
    item.
    """

    text: str
    writer: str
    evidence: tuple[Evidence, ...]
    n_withheld: int = 0

    def __str__(self) -> str:
        return self.text


class Profiler:
    """Writes profiles with a language model on this machine. Make one with `load`."""

    def __init__(
        self,
        writer: LocalWriter,
        config: ProfilerConfig,
        count_tokens: Any,
        embedder: Embedder,
        words: SharedWords | None = None,
    ) -> None:
        self._writer = writer
        self._words = words
        self._config = config
        self._count_tokens = count_tokens
        self._embedder = embedder

    @classmethod
    def load(
        cls,
        model: str | None = None,
        *,
        adapter: str | None = None,
        config: ProfilerConfig | None = None,
        embedder: Embedder | None = None,
        words: SharedWords | None = None,
        offline: bool = False,
    ) -> Profiler:
        """Load a model by embedded name, folder or hub name, with a LoRA adapter: a run folder, `shipped` or `none`.

        Without names these are the embedded profiler and the shipped adapter, if there is one; without a `config` it is
        asked as the adapter was in training. `embedder` finds the evidence, by default the embedded one. Where titles
        come from strangers, give the `words` that several items of the catalogue bear (`SharedWords.of_items`): no
        others are read. Raises `ModelError` if something cannot be loaded, `ConfigError` for a setting out of range.
        """
        if config is None:
            settings = load_writing_config(None, (), model=model, adapter=adapter).profiler
        else:
            settings = replace(config, model=model or config.model)
            settings = replace(settings, adapter=choose_adapter(adapter, settings.model))
            Config(profiler=settings)  # refuses numbers without sense, as in a recipe
        loaded = load_profiler(settings.model, adapter=settings.adapter, offline=offline)
        found = embedder or load_embedder(EmbedderConfig(), cache=False, offline=offline)
        return cls(LocalWriter(loaded, settings), settings, loaded.count_tokens, found, words)

    @property
    def name(self) -> str:
        """Model and adapter, as recorded with every profile."""
        return self._writer.name

    def write(self, history: Any) -> WrittenProfile:
        """The profile of one history: titles, dicts, a polars or a pandas table (see `read_history`)."""
        return self.write_many([history])[0]

    def write_many(self, histories: Sequence[Any]) -> list[WrittenProfile]:
        """The profiles of several histories, written together."""
        read = [read_history(history) for history in histories]
        written = write_histories(self._writer, read, self._config, self._count_tokens, self._words)
        return [
            WrittenProfile(one.text, one.writer, self._find_evidence(one.text, history), one.n_withheld)
            for one, history in zip(written, read, strict=True)
        ]

    def _find_evidence(self, text: str, history: History) -> tuple[Evidence, ...]:
        items = [item for item in _distinct_items(history.events) if not is_instruction(item.title)]
        if not items:
            return ()
        cosines = (
            self._embedder.embed([text], "profile")
            @ self._embedder.embed([render_item_text(item) for item in items], "item").T
        )  # (1, n_items)
        order = np.argsort(-cosines[0], kind="stable")[:N_EVIDENCE]
        return tuple(Evidence(items[row], float(cosines[0, row])) for row in order)


def _distinct_items(events: Sequence[Event]) -> list[Item]:
    return list({event.item.item_id: event.item for event in events}.values())
