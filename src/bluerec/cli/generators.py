"""What writes the profiles of a store, by the name that the command line gives it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bluerec.cli import console
from bluerec.config import ProfilerConfig
from bluerec.errors import MissingExtraError, ModelError
from bluerec.profiling.word_profiles import TEMPLATE_WRITER, compose_profile
from bluerec.types import Event, History, Item, ProfileWriter

if TYPE_CHECKING:
    from bluerec.profiling.endpoint import EndpointWriter
    from bluerec.profiling.shared_words import SharedWords

NO_WRITER = "none"
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
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="Let a server write: the address of an OpenAI-compatible API, like http://127.0.0.1:8000/v1. Histories "
        "are sent there. Its key, if it wants one, is read from BLUEREC_ENDPOINT_KEY.",
    ),
]


def check_writer(name: str, adapter: str | None, *, offline: bool, endpoint: str | None) -> None:
    """Find what writes without loading it: raises what would fail everybody, before there is anybody."""
    if endpoint is not None:
        writer, _ = open_endpoint(endpoint, replace(ProfilerConfig(), model=name))
        writer.close()
    elif name != TEMPLATE_WRITER:
        from bluerec.profiling.models import resolve_model
        from bluerec.profiling.prompt_settings import load_writing_config

        load_writing_config(None, (), model=name, adapter=adapter)  # raises where there is no such adapter
        resolve_model(name, offline=offline)


def make_writer(
    name: str,
    adapter: str | None,
    *,
    catalogue: Callable[[], Iterable[Item]],
    word_support: int,
    offline: bool,
    endpoint: str | None = None,
) -> WriteMany:
    """From users and their events to texts and the name of what wrote them.

    When first used, the words of the catalogue are counted, of which those that fewer than `word_support` items bear
    are not read (0: all are), and a model is loaded.
    """
    loaded: list[WriteMany] = []

    def write(asked: Asked) -> Sequence[tuple[str, str]]:
        if not loaded:
            words = _count_words(catalogue, word_support) if word_support else None
            loaded.append(_load(name, adapter, words, offline, endpoint))
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


def _load(name: str, adapter: str | None, words: SharedWords | None, offline: bool, endpoint: str | None) -> WriteMany:
    if endpoint is not None:
        config = replace(ProfilerConfig(), model=name)
        return partial(_write, *open_endpoint(endpoint, config), config, words)
    if name == TEMPLATE_WRITER:
        return partial(_write_by_rule, words)
    from bluerec.profiling.models import load_profiler
    from bluerec.profiling.prompt_settings import load_writing_config
    from bluerec.profiling.writers import LocalWriter

    config = load_writing_config(None, (), model=name, adapter=adapter).profiler
    profiler = load_profiler(name, adapter=config.adapter, offline=offline, announce=console.say)
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
