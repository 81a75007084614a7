"""The warm start of a training: profiles that are known to be good, imitated before any reinforcement learning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluerec.config import Config
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import Dataset
from bluerec.profiling.models import Profiler, save_adapter
from bluerec.profiling.precision import choose_dtype
from bluerec.profiling.prompts import encode_prompt, find_template, join_profile, render_prompt
from bluerec.rewards.title_index import TitleIndex
from bluerec.runs import RunFolder
from bluerec.training.adapters import prepare_lora
from bluerec.types import Embedder, Float32Array

if TYPE_CHECKING:
    from bluerec.training.supervised import Lesson

FOLDER = "warm-start"
LOG_FILE = "log.jsonl"
N_LOGGED_EXAMPLES = 5

Say = Callable[[str], None]


def run_warm_start(
    dataset: Dataset,
    config: Config,
    run: RunFolder,
    profiler: Profiler,
    adapter: Path | None,
    embedder: Embedder,
    item_vectors: Float32Array,
    resume: bool,
    say: Say,
    tell: Callable[[Mapping[str, Any]], None] | None,
) -> Path:
    """Train on composed profiles of train users; returns the folder of the adapter, `warm-start/adapter` in the run.

    A finished one is kept. Its log is `warm-start/log.jsonl`.
    """
    from transformers import set_seed

    from bluerec.training.supervised import fit_supervised

    folder = run.path / FOLDER
    done = folder / "adapter"
    if (done / "adapter_config.json").is_file():
        return done
    lessons = _compose_lessons(dataset, config, profiler, embedder, item_vectors, say)
    set_seed(config.train.seed)
    # The weights that stay as they are; those of the adapter are in float32 whatever these are in.
    profiler.model.to(choose_dtype(config.sft.dtype))
    model = prepare_lora(profiler, adapter, config)
    folder.mkdir(exist_ok=True)

    def log(row: Mapping[str, Any]) -> None:
        with (folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        say(f"warm start: step {row['step']} of {row['n_steps']}, loss {row['loss']:.3f}")

    fit_supervised(
        model,
        lessons,
        config.sft,
        folder / "checkpoints",
        pad_token=int(profiler.tokenizer.pad_token_id),
        seed=config.train.seed,
        resume=resume,
        log=log,
    )
    save_adapter(model, done)
    return done


def _compose_lessons(
    dataset: Dataset, config: Config, profiler: Profiler, embedder: Embedder, item_vectors: Float32Array, say: Say
) -> list[Lesson]:
    from bluerec.training.composing import ProfileComposer
    from bluerec.training.supervised import Lesson

    examples = split_examples(dataset, config.data.protocol, seed=config.data.split_seed)
    table = examples.select("train", max_users=config.sft.n_users, seed=config.train.seed + 2)
    say(f"warm start: composing profiles of {len(table)} train users")
    texts = ProfileComposer(examples, embedder, item_vectors, TitleIndex(dataset.titles)).compose(table)
    prefill = find_template(config.profiler.template).prefill
    for text in texts[:N_LOGGED_EXAMPLES]:
        say(f"  e.g. {join_profile(prefill, text)}")
    lessons = [
        Lesson(prompt, completion)
        for prompt, completion in zip(
            _encode_prompts(table, config, profiler), _encode_texts(texts, profiler), strict=True
        )
        if len(completion) <= config.profiler.max_new_tokens
    ]
    say(f"warm start: imitating {len(lessons)} of them, {len(texts) - len(lessons)} are too long")
    return lessons


def _encode_prompts(table: ExampleTable, config: Config, profiler: Profiler) -> list[list[int]]:
    return [
        encode_prompt(render_prompt(example.history, config.profiler, profiler.count_tokens), profiler.tokenizer)
        for example in table.examples(last=config.profiler.max_events)
    ]


def _encode_texts(texts: list[str], profiler: Profiler) -> list[list[int]]:
    end = profiler.tokenizer.eos_token
    return [profiler.tokenizer(text + end, add_special_tokens=False)["input_ids"] for text in texts]
