"""The warm start of a training: profiles that are known to be good, imitated before any reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bluerec.config import Config
from bluerec.data.histories import ExampleTable
from bluerec.errors import TrainingError
from bluerec.profiling.decoding import Sampling
from bluerec.profiling.models import Profiler, save_adapter
from bluerec.profiling.precision import choose_dtype
from bluerec.profiling.prompt_settings import save_prompt_settings
from bluerec.profiling.prompts import encode_prompt, find_template, join_profile, render_prompt
from bluerec.rewards.title_index import TitleIndex
from bluerec.runs import append_row
from bluerec.training.adapters import SETTINGS_FILE, prepare_lora
from bluerec.training.session import N_REFERENCE_PROFILES, Session

if TYPE_CHECKING:
    from bluerec.training.supervised import Lesson

FOLDER = "warm-start"
LOG_FILE = "log.jsonl"
BEST_FILE = "best.jsonl"
N_LOGGED_EXAMPLES = 5


def run_warm_start(session: Session, adapter: Path | None) -> Path:
    """Train on good profiles of train users; returns the folder of the adapter, `warm-start/adapter` in the run.

    A finished one is kept. Its log is `warm-start/log.jsonl`. Raises `TrainingError` where there is nothing to
    imitate or the loss is not a number.
    """
    from transformers import set_seed

    from bluerec.training.supervised import fit_supervised

    config, say = session.config, session.say
    folder = session.run.path / FOLDER
    done = folder / "adapter"
    if (done / SETTINGS_FILE).is_file():
        return done
    if config.sft.source == "composed":
        profiler = session.load_profiler()
        lessons = _compose_lessons(session, profiler)
    else:
        folder.mkdir(exist_ok=True)
        lessons = _sample_lessons(session, adapter, folder)
        profiler = session.load_profiler()  # anew: the one that sampled carries an adapter
    set_seed(config.train.seed)
    # The weights that stay as they are; those of the adapter are in float32 whatever these are in.
    profiler.model.to(choose_dtype(config.sft.dtype))
    model = prepare_lora(profiler, adapter, config)
    folder.mkdir(exist_ok=True)

    def log(row: Mapping[str, Any]) -> None:
        append_row(folder / LOG_FILE, row)
        say(f"warm start: step {row['step']} of {row['n_steps']}, loss {row['loss']:.3f}")

    fit_supervised(
        model,
        lessons,
        config.sft,
        folder,
        pad_token=int(profiler.tokenizer.pad_token_id),
        seed=config.train.seed,
        resume=session.resume,
        log=log,
        say=say,
    )
    save_prompt_settings(config.profiler, done)
    save_adapter(model, done)
    return done


def _compose_lessons(session: Session, profiler: Profiler) -> list[Lesson]:
    """Profiles put together by rule."""
    from bluerec.training.composing import ProfileComposer
    from bluerec.training.supervised import Lesson

    config, say = session.config, session.say
    examples = session.all_examples()
    table = examples.select("train", max_users=config.sft.n_users, seed=config.train.seed + 2)
    say(f"warm start: composing profiles of {len(table)} train users")

    def fits(text: str) -> bool:
        return len(_encode_texts([text], profiler)[0]) <= config.profiler.max_new_tokens

    prefill = find_template(config.profiler.template).prefill
    texts = ProfileComposer(examples, TitleIndex(session.dataset.titles), fits, prefill=prefill).compose(table)
    _show(texts, config, session)
    lessons = [
        Lesson(prompt, completion)
        for prompt, completion in zip(
            _encode_prompts(table, config, profiler), _encode_texts(texts, profiler), strict=True
        )
        if len(completion) <= config.profiler.max_new_tokens
    ]
    if not lessons:
        raise TrainingError(
            f"warm start: none of {len(texts)} composed profiles has at most "
            f"profiler.max_new_tokens={config.profiler.max_new_tokens} tokens; raise it"
        )
    say(f"warm start: imitating {len(lessons)} of them, {len(texts) - len(lessons)} are too long")
    return lessons


def _sample_lessons(session: Session, adapter: Path | None, folder: Path) -> list[Lesson]:
    """The profiler's own best candidates."""
    from bluerec.training.best_of import BestOf
    from bluerec.training.grpo_stage import build_stage_rewards
    from bluerec.training.policy import Policy
    from bluerec.training.supervised import Lesson

    config, seed = session.config, session.config.train.seed
    # The rewards need the examples of the reference profiles too.
    known = session.choose_users(max(config.sft.n_users, N_REFERENCE_PROFILES), seed=seed + 2)
    table = known.select("train", max_users=config.sft.n_users, seed=seed + 2)
    references = session.write_references(known, adapter, folder, seed=seed)
    _, item_vectors = session.embed_catalogue(config.embedder)
    profiler = session.load_profiler()
    prompts = _encode_prompts(table, config, profiler)
    policy = Policy(profiler, config, adapter, seed=seed)
    index = TitleIndex(session.dataset.titles)
    rewards = build_stage_rewards(session, known, policy, config.embedder, item_vectors, references, index)
    sampling = Sampling(
        config.profiler.max_new_tokens, policy.stop_tokens, config.train.temperature, config.train.top_p
    )
    prefill = find_template(config.profiler.template).prefill
    n_candidates = config.sft.n_candidates
    session.say(f"warm start: sampling {n_candidates} candidates of each of {len(table)} train users")
    best = BestOf(table, prompts, policy, rewards, sampling, n_candidates, prefill=prefill, seed=seed).choose(
        folder / BEST_FILE, session.progress
    )
    lessons = [Lesson(prompt, one.tokens) for prompt, one in zip(prompts, best, strict=True) if one.tokens is not None]
    _show([one.text for one in best if one.tokens is not None], config, session, prefill="")
    if not lessons:
        raise TrainingError(
            f"warm start: none of {len(best)} users has a candidate that ended by itself and is better than the "
            "others; raise profiler.max_new_tokens or sft.n_candidates"
        )
    gain = sum(one.gain for one in best if one.tokens is not None) / len(lessons)
    session.say(
        f"warm start: imitating the best of {len(lessons)} users, {gain:.2f} deviations above the mean of their "
        f"candidates; {len(best) - len(lessons)} users have none that is better and ended by itself"
    )
    return lessons


def _show(texts: Sequence[str], config: Config, session: Session, prefill: str | None = None) -> None:
    start = find_template(config.profiler.template).prefill if prefill is None else prefill
    for text in texts[:N_LOGGED_EXAMPLES]:
        session.say(f"  e.g. {join_profile(start, text)}")


def _encode_prompts(table: ExampleTable, config: Config, profiler: Profiler) -> list[list[int]]:
    return [
        encode_prompt(render_prompt(example.history, config.profiler, profiler.count_tokens), profiler.tokenizer)
        for example in table.examples(last=config.profiler.max_events)
    ]


def _encode_texts(texts: list[str], profiler: Profiler) -> list[list[int]]:
    end = profiler.tokenizer.eos_token
    return [profiler.tokenizer(text + end, add_special_tokens=False)["input_ids"] for text in texts]
