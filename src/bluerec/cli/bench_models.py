"""The models of a benchmark: what embeds, what writes, and who answers the questions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bluerec.cli import console
from bluerec.config import ProfilerConfig, load_config
from bluerec.data.histories import ExampleTable
from bluerec.data.tables import Dataset
from bluerec.errors import ConfigError
from bluerec.evaluation.answerers import Answerer, EndpointAnswerer, LikelihoodAnswerer
from bluerec.evaluation.bench_config import BenchConfig, BenchProfiles
from bluerec.evaluation.bench_measures import QA
from bluerec.evaluation.bench_profiles import describe_writing
from bluerec.evaluation.lineup import Vectors
from bluerec.profiling.endpoint import check_url, name_model
from bluerec.profiling.endpoint_reader import ANSWER_TOKENS

ReaderOption = Annotated[
    str | None,
    typer.Option(
        "--reader",
        metavar="MODEL",
        help="Who answers the questions (measure qa): embedded name, folder, hub name, or its name at "
        "--reader-endpoint; default profiler.model.",
    ),
]
ReaderEndpointOption = Annotated[
    str | None,
    typer.Option(
        "--reader-endpoint",
        metavar="URL",
        help="Let a server answer: the address of an OpenAI-compatible API, like http://127.0.0.1:8000/v1. Profiles "
        "and histories are sent there. Its key, if it wants one, is read from BLUEREC_ENDPOINT_KEY.",
    ),
]
ReaderTokensOption = Annotated[
    int,
    typer.Option(
        "--reader-tokens",
        min=1,
        help="Tokens that an answer of --reader-endpoint may have; more for a model that thinks before it answers.",
    ),
]


@dataclass(frozen=True)
class ReaderChoice:
    """Who answers the questions: a local model, or one at an address, whose answers are kept at `path`."""

    model: str | None
    endpoint: str | None
    path: Path
    max_tokens: int = ANSWER_TOKENS

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            if not self.model:
                raise ConfigError("--reader-endpoint: name the model that answers there with --reader")
            check_url(self.endpoint, "--reader-endpoint")

    @property
    def options(self) -> list[str]:
        """As they were given, without the address: it belongs to one machine."""
        named = [f"--reader {shlex.quote(name_model(self.model))}"] if self.model else []
        tokens = [f"--reader-tokens {self.max_tokens}"] if self.max_tokens != ANSWER_TOKENS else []
        return [*named, *(["--reader-endpoint URL", *tokens] if self.endpoint else [])]


class BenchModels:
    """The models of a run, loaded when they are first needed."""

    def __init__(self, overrides: Sequence[str], offline: bool, asked: ReaderChoice) -> None:
        self.asked = asked
        self._overrides = overrides
        self._settings = load_config(None, overrides)
        self._offline = offline
        self._embedders: dict[str, Any] = {}
        self._answerer: Answerer | None = None

    def embed(self, dataset: Dataset, model: str = "") -> Vectors:
        from bluerec.profiling.embedders import embed_items, load_embedder

        if model not in self._embedders:
            wanted = replace(self._settings.embedder, model=model or self._settings.embedder.model)
            self._embedders[model] = load_embedder(wanted, offline=self._offline, announce=console.say)
        embedder = self._embedders[model]
        with console.progress("embedding items") as tell:
            return Vectors(embedder, embed_items(dataset, embedder, progress=tell))

    def check(self, config: BenchConfig) -> None:
        """Raises `ConfigError` before anything is measured, where a reader is named and nothing is asked of it."""
        is_asked = any(QA in (data.measures or config.measures) for data in config.data)
        if self.asked.model is not None and not is_asked:
            raise ConfigError(f"--reader: this benchmark asks no questions; add {QA!r} to its measures")
        if self.asked.endpoint is not None:
            self.load_answerer()

    def load_answerer(self) -> Answerer:
        """The reader of the questions; the untrained profiler, where no other was named."""
        if self._answerer is None:
            url, model = self.asked.endpoint, self.asked.model or self._settings.profiler.model
            self._answerer = self._load_local(model) if url is None else self._reach(url, model)
        return self._answerer

    def _reach(self, url: str, model: str) -> EndpointAnswerer:
        from bluerec.profiling.endpoint import KEY_VARIABLE, ChatEndpoint
        from bluerec.profiling.endpoint_reader import PATIENT, EndpointReader, KeptAnswers

        endpoint = ChatEndpoint(url, model, key=os.environ.get(KEY_VARIABLE), patience=PATIENT)
        kept = KeptAnswers(self.asked.path)
        return EndpointAnswerer(EndpointReader(endpoint, kept, max_tokens=self.asked.max_tokens))

    def _load_local(self, model: str) -> LikelihoodAnswerer:
        from bluerec.profiling.models import load_profiler
        from bluerec.profiling.precision import choose_dtype
        from bluerec.profiling.readers import LetterReader, LikelihoodReader

        base = load_profiler(model, offline=self._offline, announce=console.say)
        kind = LetterReader if self._settings.choice_reward.scoring == "letter" else LikelihoodReader
        dtype = choose_dtype("auto")
        reader = kind(base.model, base.tokenizer, base.name, dtype=dtype)
        return LikelihoodAnswerer(base.model, base.tokenizer, reader, dtype=dtype)

    def describe(self, wanted: BenchProfiles, table: ExampleTable) -> dict[str, Any]:
        """What the texts of an adapter depend on."""
        return describe_writing(wanted, table, self._settle(wanted))

    def _settle(self, wanted: BenchProfiles) -> ProfilerConfig:
        """How an adapter is asked."""
        from bluerec.profiling.prompt_settings import load_writing_config

        template = [f"profiler.template={wanted.template}"] if wanted.template else []
        overrides = [*self._overrides, *template]
        return load_writing_config(None, overrides, model=wanted.model or None, adapter=wanted.adapter).profiler

    def write(self, wanted: BenchProfiles, table: ExampleTable, path: Path) -> None:
        """Write the profiles of an adapter; a stopped run goes on where it was."""
        from bluerec.profiling.models import load_profiler
        from bluerec.profiling.writers import LocalWriter, write_profiles

        profiler = self._settle(wanted)
        loaded = load_profiler(profiler.model, adapter=profiler.adapter, offline=self._offline, announce=console.say)
        console.say(f"writing {len(table)} profiles {wanted.name!r} with {loaded.label}")
        writer = LocalWriter(loaded, profiler, seed=wanted.seed)
        with console.progress(f"writing profiles {wanted.name}") as tell:
            write_profiles(table, writer, profiler, loaded.count_tokens, path, progress=tell)
