"""What writes the profiles of a store, by the name that the command line gives it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.config import ProfilerConfig
from bluerec.profiling.word_profiles import TEMPLATE_WRITER, compose_profile
from bluerec.types import Event, History, ProfileWriter

NO_WRITER = "none"
Asked = Sequence[tuple[str, Sequence[Event]]]
WriteMany = Callable[[Asked], Sequence[tuple[str, str]]]
WRITER_HELP = (
    "template (frequent words, no model), or a model: embedded name, folder, hub name, or its name at --endpoint."
)
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="Let a server write: the address of an OpenAI-compatible API, like http://127.0.0.1:8000/v1. Histories "
        "are sent there. Its key, if it wants one, is read from BLUEREC_ENDPOINT_KEY.",
    ),
]


def make_writer(name: str, adapter: str | None, *, offline: bool, endpoint: str | None = None) -> WriteMany:
    """From users and their events to texts and the name of what wrote them; a model is loaded when first used."""
    if endpoint is not None:
        return _ask_endpoint(name, endpoint)
    if name == TEMPLATE_WRITER:
        return _write_by_rule
    loaded: list[WriteMany] = []

    def write(asked: Asked) -> Sequence[tuple[str, str]]:
        if not loaded:
            loaded.append(_load(name, adapter, offline))
        return loaded[0](asked)

    return write


def _write_by_rule(asked: Asked) -> Sequence[tuple[str, str]]:
    return [(compose_profile(event.item for event in events), TEMPLATE_WRITER) for _, events in asked]


def open_endpoint(url: str, config: ProfilerConfig) -> tuple[ProfileWriter, Callable[[str], int]]:
    """The model `config.model` behind an endpoint, and how tokens are counted for it."""
    from bluerec.profiling.endpoint import KEY_VARIABLE, EndpointWriter, count_roughly

    return EndpointWriter(url, config.model, config, key=os.environ.get(KEY_VARIABLE)), count_roughly


def _ask_endpoint(name: str, url: str) -> WriteMany:
    config = replace(ProfilerConfig(), model=name)
    writer, count_tokens = open_endpoint(url, config)

    def write(asked: Asked) -> Sequence[tuple[str, str]]:
        return _write(asked, writer, config, count_tokens)

    return write


def _load(name: str, adapter: str | None, offline: bool) -> WriteMany:
    from bluerec.profiling.models import load_profiler
    from bluerec.profiling.prompt_settings import load_writing_config
    from bluerec.profiling.writers import LocalWriter

    config = load_writing_config(None, (), model=name, adapter=adapter).profiler
    profiler = load_profiler(name, adapter=config.adapter, offline=offline, announce=console.say)
    writer = LocalWriter(profiler, config)

    def write(asked: Asked) -> Sequence[tuple[str, str]]:
        return _write(asked, writer, config, profiler.count_tokens)

    return write


def _write(
    asked: Asked, writer: ProfileWriter, config: ProfilerConfig, count_tokens: Callable[[str], int]
) -> Sequence[tuple[str, str]]:
    from bluerec.profiling.histories import write_histories

    histories = [
        History(user, tuple(events), max(event.interaction.timestamp for event in events) + 1) for user, events in asked
    ]
    return [(one.text, one.writer) for one in write_histories(writer, histories, config, count_tokens)]
