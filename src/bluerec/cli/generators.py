"""What writes the profiles of a store, by the name that the command line gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bluerec.cli import console
from bluerec.config import ProfilerConfig
from bluerec.evaluation.template_profiles import TEMPLATE_WRITER, compose_profile
from bluerec.types import Event, History

NO_WRITER = "none"
Asked = Sequence[tuple[str, Sequence[Event]]]
WriteMany = Callable[[Asked], Sequence[tuple[str, str]]]
WRITER_HELP = "template (frequent words, no model), or a model: embedded name, folder or hub name."


def make_writer(name: str, adapter: str | None, *, offline: bool) -> WriteMany:
    """From users and their events to texts and the name of what wrote them; a model is loaded when first used."""
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


def _load(name: str, adapter: str | None, offline: bool) -> WriteMany:
    from bluerec.profiling.models import choose_adapter, load_profiler
    from bluerec.profiling.prompts import render_prompt
    from bluerec.profiling.writers import LocalWriter

    config = replace(ProfilerConfig(), model=name)
    profiler = load_profiler(name, adapter=choose_adapter(adapter, name), offline=offline, announce=console.say)
    writer = LocalWriter(profiler, config)

    def write(asked: Asked) -> Sequence[tuple[str, str]]:
        histories = [
            History(user, tuple(events), max(event.interaction.timestamp for event in events) + 1)
            for user, events in asked
        ]
        prompts = [render_prompt(history, config, profiler.count_tokens) for history in histories]
        return [(text, writer.name) for text in writer.write(prompts)]

    return write
