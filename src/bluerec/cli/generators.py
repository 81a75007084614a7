"""What writes the profiles of a store, by the name that the command line gives it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bluerec.cli import console
from bluerec.config import Config, ProfilerConfig, load_config, override_text
from bluerec.errors import ConfigError, MissingExtraError, ModelError
from bluerec.profiling.shared_words import STORE_WORD_SUPPORT
from bluerec.profiling.word_profiles import TEMPLATE_WRITER, compose_profile
from bluerec.types import Event, History, Item, ProfileWriter

if TYPE_CHECKING:
    from bluerec.profiling.endpoint import EndpointWriter
    from bluerec.profiling.shared_words import SharedWords

NO_WRITER = "none"
_NAMED_BY_OPTIONS = {"model": "--writer", "adapter": "--adapter"}
Asked = Sequence[tuple[str, Sequence[Event]]]
WriteMany = Callable[[Asked], Sequence[tuple[str, str]]]
WRITER_HELP = (
    "template (frequent words, no model), or a model: embedded name, folder, hub name, or its name at --endpoint."
)
WordSupportOption = Annotated[
    int,
    typer.Option(
        "--word-support",
        metavar="N",
        min=0,
        help="What writes does not read words that fewer than N items of the catalogue bear, ordinary ones excepted; "
        "0: it reads all.",
    ),
]
WriterSettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="profiler.KEY=VALUE",
        help="Override a setting of what writes (docs/config.md), e.g. profiler.template=open; may be repeated.",
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="Let a server write: the address of an OpenAI-compatible API, like http://127.0.0.1:8000/v1. Histories "
        "are sent there. Its key, if it wants one, is read from BLUEREC_ENDPOINT_KEY.",
    ),
]


@dataclass(frozen=True, slots=True)
class WriterChoice:
    """What writes for a store, as the command line names it; `settings` are those of --set."""

    name: str
    adapter: str | None = None
    endpoint: str | None = None
    settings: Sequence[str] = ()
    word_support: int = STORE_WORD_SUPPORT
    offline: bool = False

    def settle(self) -> ProfilerConfig:
        """The settings to write with. Raises `ConfigError` for those that would have no effect."""
        if self.settings and self.endpoint is None and self.name in (TEMPLATE_WRITER, NO_WRITER):
            raise ConfigError(f"--set has no effect with --writer {self.name}, which asks no model; leave it out")
        for one in self.settings:
            section, _, key = one.partition("=")[0].strip().partition(".")
            if section != "profiler":
                raise ConfigError(
                    f"--set {one!r}: only settings of the profiler count here, e.g. profiler.template=open"
                )
            if key in _NAMED_BY_OPTIONS:
                raise ConfigError(f"--set {one!r}: name it with {_NAMED_BY_OPTIONS[key]}")
            if key == "dtype" and self.endpoint is not None:
                raise ConfigError(f"--set {one!r} has no effect with --endpoint, whose server decides; leave it out")
        return settle_writing(None, self.settings, self.name, self.adapter, self.endpoint).profiler

    def check(self) -> None:
        """Find what writes without loading it: raises what would fail everybody, before there is anybody."""
        config = self.settle()
        if self.endpoint is not None:
            writer, _ = open_endpoint(self.endpoint, config)
            writer.close()
        elif self.name != TEMPLATE_WRITER:
            from bluerec.profiling.models import resolve_model

            resolve_model(config.model, offline=self.offline)


def settle_writing(
    path: Path | None, overrides: Sequence[str], model: str | None, adapter: str | None, endpoint: str | None
) -> Config:
    """A recipe with its overrides, to write with. Raises `ConfigError`, and `ModelError` without such an adapter."""
    if endpoint is not None:
        if adapter:
            raise ConfigError("--endpoint takes no --adapter: what is behind it has its own weights; leave it out")
        if not model:
            raise ConfigError("--endpoint needs the model's name there: --profiler NAME, or --writer NAME for a store")
        return load_config(path, [override_text("profiler.model", model), *overrides])
    from bluerec.profiling.prompt_settings import load_writing_config

    return load_writing_config(path, overrides, model=model, adapter=adapter)


def make_writer(choice: WriterChoice, catalogue: Callable[[], Iterable[Item]]) -> WriteMany:
    """From users and their events to texts and the name of what wrote them.

    When first used, the words of the catalogue are counted, of which those that fewer than `word_support` items bear
    are not read (0: all are), and a model is loaded.
    """
    loaded: list[WriteMany] = []

    def write(asked: Asked) -> Sequence[tuple[str, str]]:
        if not loaded:
            words = _count_words(catalogue, choice.word_support) if choice.word_support else None
            loaded.append(_load(choice, words))
        return loaded[0](asked)

    return write


def _count_words(catalogue: Callable[[], Iterable[Item]], support: int) -> SharedWords:
    from bluerec.profiling.shared_words import SharedWords, load_ordinary_words

    try:
        is_ordinary = load_ordinary_words()
    except (ModelError, MissingExtraError) as error:
        console.say(f"{error}; without it no word is read that fewer than {support} items bear")
        is_ordinary = frozenset[str]().__contains__
    return SharedWords.of_items(catalogue(), support, is_ordinary)


def open_endpoint(url: str, config: ProfilerConfig) -> tuple[EndpointWriter, Callable[[str], int]]:
    """The model `config.model` behind an endpoint, and how tokens are counted for it."""
    from bluerec.profiling.endpoint import KEY_VARIABLE, EndpointWriter, count_roughly

    return EndpointWriter(url, config.model, config, key=os.environ.get(KEY_VARIABLE)), count_roughly


def _load(choice: WriterChoice, words: SharedWords | None) -> WriteMany:
    config = choice.settle()
    if choice.endpoint is not None:
        return partial(_write, *open_endpoint(choice.endpoint, config), config, words)
    if choice.name == TEMPLATE_WRITER:
        return partial(_write_by_rule, words)
    from bluerec.profiling.models import load_profiler
    from bluerec.profiling.writers import LocalWriter

    profiler = load_profiler(config.model, adapter=config.adapter, offline=choice.offline, announce=console.say)
    return partial(_write, LocalWriter(profiler, config), profiler.count_tokens, config, words)


def _write_by_rule(words: SharedWords | None, asked: Asked) -> Sequence[tuple[str, str]]:
    histories = [words.trim(history, n_reviews=0) if words else history for history in _as_histories(asked)]
    return [(compose_profile(event.item for event in history.events), TEMPLATE_WRITER) for history in histories]


def _write(
    writer: ProfileWriter,
    count_tokens: Callable[[str], int],
    config: ProfilerConfig,
    words: SharedWords | None,
    asked: Asked,
) -> Sequence[tuple[str, str]]:
    from bluerec.profiling.histories import write_histories

    written = write_histories(writer, _as_histories(asked), config, count_tokens, words)
    return [(one.text, one.writer) for one in written]


def _as_histories(asked: Asked) -> list[History]:
    return [
        History(user, tuple(events), max(event.interaction.timestamp for event in events) + 1) for user, events in asked
    ]
