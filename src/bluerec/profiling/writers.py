"""From prompts to profiles: the local writer, and a table of profiles that a kill does not lose."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bluerec.config import ProfilerConfig
from bluerec.data.histories import ExampleTable
from bluerec.data.profiles import PROFILES_SCHEMA, find_kind, load_profiles, save_profiles
from bluerec.errors import ConfigError
from bluerec.profiling.decoding import Sampling, generate_groups, lay_out_for_decoding
from bluerec.profiling.histories import write_histories
from bluerec.profiling.models import Profiler
from bluerec.profiling.precision import choose_dtype, name_dtype
from bluerec.profiling.prompts import close_profile, encode_prompt, join_profile
from bluerec.profiling.shared_words import SharedWords
from bluerec.runs import check_writable, read_json, write_json
from bluerec.types import CountDone, Profile, ProfileWriter, Prompt

BATCH_SIZE = 64
# A kill loses at most this many profiles.
PROFILES_PER_PART = 256
_PARTS_SUFFIX = ".parts"
# The settings that a text depends on, beside the model and its adapter.
SETTINGS_OF_TEXT = ("template", "max_events", "max_prompt_tokens", "max_new_tokens", "temperature", "dtype")


class LocalWriter:
    """Writes with a causal language model in memory; an adapter is merged into the weights first.

    Prompts are run sorted by length. Greedy texts (temperature 0, in float32) depend on their own prompt alone;
    sampled ones, and those of a bfloat16 copy, are reproducible for the same prompts, batch size and seed.
    """

    def __init__(
        self, profiler: Profiler, config: ProfilerConfig, *, batch_size: int = BATCH_SIZE, seed: int = 0
    ) -> None:
        self._model = _in_precision(merge_adapter(profiler.model), config.dtype)
        lay_out_for_decoding(self._model)
        self._tokenizer = profiler.tokenizer
        self._name = profiler.label
        self._batch_size = batch_size
        self._seed = seed
        self._sampling = Sampling(config.max_new_tokens, find_stop_tokens(profiler), config.temperature)

    @property
    def name(self) -> str:
        return self._name

    def write(self, prompts: Sequence[Prompt]) -> list[str]:
        """One profile per prompt, prefill included, in the order of the prompts."""
        import torch

        encoded = [encode_prompt(prompt, self._tokenizer) for prompt in prompts]
        generator = torch.Generator(device=self._model.device).manual_seed(self._seed)
        order = sorted(range(len(prompts)), key=lambda row: len(encoded[row]))
        texts = [""] * len(prompts)
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            written = generate_groups(
                self._model,
                [encoded[row] for row in rows],
                1,
                self._sampling,
                pad_token=int(self._tokenizer.pad_token_id),
                generator=generator,
            )
            for row, tokens in zip(rows, written, strict=True):
                text = self._tokenizer.decode(tokens, skip_special_tokens=True)
                profile = join_profile(prompts[row].prefill, text)
                is_whole = bool(tokens) and tokens[-1] in self._sampling.stop_tokens
                texts[row] = profile if is_whole else close_profile(profile)
        return texts


def merge_adapter(model: Any) -> Any:
    """The plain model with its LoRA weights added in; a model without adapter is returned as it is."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def _in_precision(model: Any, name: str) -> Any:
    """The model itself, or a copy in another precision: others may hold on to it."""
    dtype = choose_dtype(name)
    return model if model.dtype == dtype else copy.deepcopy(model).to(dtype)


def find_stop_tokens(profiler: Profiler) -> tuple[int, ...]:
    """Token ids that end a profile: those of the generation config and of the tokenizer."""
    configured = profiler.model.generation_config.eos_token_id
    tokens = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({int(token) for token in [*tokens, profiler.tokenizer.eos_token_id] if token is not None}))


def write_profiles(
    table: ExampleTable,
    writer: ProfileWriter,
    config: ProfilerConfig,
    count_tokens: Callable[[str], int],
    out: str | Path,
    *,
    per_part: int = PROFILES_PER_PART,
    is_rough: bool = False,
    words: SharedWords | None = None,
    progress: CountDone | None = None,
    announce: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Write one profile per example and save them as `out`.

    Finished parts of `per_part` profiles are kept beside it in `OUT.parts` until all are there: the same call after a
    kill goes on where it was. Where the count of tokens `is_rough`, lengths stay unknown. Of what `words` does not know
    nothing is read. `announce` is told at the end of how many prompts the token budget left events out. Raises
    `ConfigError` if `out` exists, has an ending that is not read again, or its parts were begun with other settings.
    """
    out = Path(out)
    check_out(out)
    check_writable(out)
    parts = _Parts(out, _describe(table, writer, config, words))
    done = parts.load()
    written = set(done["example_id"].to_list())
    wanted = [row for row, example_id in enumerate(table.example_ids) if example_id not in written]
    n_cut = 0
    for start in range(0, len(wanted), per_part):
        if progress:
            progress(len(written) + start, len(table))
        rows = wanted[start : start + per_part]
        profiles, n_cut_here = _write_rows(table, rows, writer, config, count_tokens, is_rough=is_rough, words=words)
        parts.save(profiles)
        n_cut += n_cut_here
    everything = parts.load()
    order = pl.DataFrame({"example_id": table.example_ids})
    result = order.join(everything, on="example_id", how="left", maintain_order="left").select(PROFILES_SCHEMA.names())
    save_profiles(result, out)
    parts.remove()
    if progress:
        progress(len(table), len(table))
    if n_cut and announce:
        announce(
            f"{n_cut:,} of {len(wanted):,} prompts have fewer events than profiler.max_events={config.max_events} asks "
            f"for: more do not fit profiler.max_prompt_tokens={config.max_prompt_tokens}; --set raises it"
        )
    return result


def check_out(out: Path) -> None:
    """Raise `ConfigError`, before any work, where no table of profiles can be made of this name.

    Its ending is none that is read again, or there is one already: that is whole, and nothing is left to do.
    """
    find_kind(out)
    if out.exists():
        raise ConfigError(f"{out} already exists; choose another --out or delete it")


class _Parts:
    """Finished profiles in small files beside the final one."""

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
        self._folder = out.with_name(out.name + _PARTS_SUFFIX)
        self._marker = self._folder / "settings.json"
        self._identity = identity
        self._is_begun()  # refuses parts of other settings before anything is written

    def _is_begun(self) -> bool:
        """Whether there are finished parts. Raises `ConfigError` if they are of other settings.

        A folder without any holds nothing to go on with: what was asked first may have been a mistake.
        """
        if not any(self._folder.glob("part-*.parquet")):
            return False
        begun = read_json(self._marker, "folder of unfinished profiles")
        keys = dict.fromkeys((*self._identity, *begun))
        differing = [key for key in keys if begun.get(key) != self._identity.get(key)]
        if differing:
            raise ConfigError(
                f"{self._folder}: unfinished profiles of other settings ({', '.join(differing)} differ); "
                "repeat the former command, delete the folder, or choose another --out"
            )
        return True

    def load(self) -> pl.DataFrame:
        tables = [load_profiles(path) for path in sorted(self._folder.glob("part-*.parquet"))]
        return pl.concat(tables) if tables else pl.DataFrame(schema=PROFILES_SCHEMA)

    def save(self, table: pl.DataFrame) -> None:
        if not self._is_begun():  # asked again: another process may have begun meanwhile
            write_json(self._marker, self._identity)
        name = hashlib.blake2b("".join(table["example_id"].to_list()).encode(), digest_size=8).hexdigest()
        save_profiles(table, self._folder / f"part-{name}.parquet")

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _write_rows(
    table: ExampleTable,
    rows: Sequence[int],
    writer: ProfileWriter,
    config: ProfilerConfig,
    count_tokens: Callable[[str], int],
    *,
    is_rough: bool,
    words: SharedWords | None,
) -> tuple[pl.DataFrame, int]:
    """The profiles of some rows, and the number of their prompts that the token budget cut."""
    chosen = table.take(pl.Series(rows, dtype=pl.Int64).to_numpy())
    examples = list(chosen.examples(last=config.max_events))
    written = write_histories(writer, [example.history for example in examples], config, count_tokens, words)
    n_events = (chosen.history_stop - chosen.history_start).tolist()
    profiles = pl.DataFrame(
        [
            {
                **_profile_columns(
                    Profile(example.history.user_id, one.text, example.history.cutoff, one.writer, one.prompt.template)
                ),
                "example_id": example.example_id,
                "split": example.split,
                "n_events": one.prompt.n_events,
                "n_omitted": total - one.prompt.n_events,
                "n_tokens": None if is_rough else count_tokens(one.text),
            }
            for example, one, total in zip(examples, written, n_events, strict=True)
        ],
        schema=PROFILES_SCHEMA,
    )
    return profiles, sum(one.prompt.n_cut > 0 for one in written)


def _profile_columns(profile: Profile) -> dict[str, Any]:
    return {
        "profile_id": profile.profile_id,
        "user_id": profile.user_id,
        "cutoff": profile.cutoff,
        "text": profile.text,
        "writer": profile.writer,
        "template": profile.template,
    }


def _describe(
    table: ExampleTable, writer: ProfileWriter, config: ProfilerConfig, words: SharedWords | None
) -> dict[str, Any]:
    """What the profiles depend on; compared before an unfinished table is gone on with."""
    examples = hashlib.blake2b("\x1f".join(table.example_ids).encode(), digest_size=8).hexdigest()
    identity: dict[str, Any] = {"data": table.dataset.digest, "examples": examples, "writer": writer.name}
    if words:
        identity["word_support"] = words.support
    return identity | describe_settings(config)


def describe_settings(config: ProfilerConfig) -> dict[str, Any]:
    """The settings that a text depends on, with the precision that `auto` is on this machine."""
    settings = {name: getattr(config, name) for name in SETTINGS_OF_TEXT}
    return settings | {"dtype": name_dtype(config.dtype)}
