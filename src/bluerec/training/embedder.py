"""The stage that trains the embedder: the profile that is written now should find the item that comes next.

Contrastive fine-tuning with the loss of sentence-transformers (InfoNCE with the other pairs of the batch as negatives,
in both directions). Item vectors and reference profiles are made anew afterwards, by the next stage.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bluerec.config import EmbedderConfig, EmbedderTrainingConfig
from bluerec.data.histories import ExampleTable
from bluerec.errors import ConfigError, TrainingError
from bluerec.profiling.embedders import (
    HASHING_MODEL,
    load_sentence_transformer,
    render_for_embedder,
    render_item_text,
)
from bluerec.profiling.prompts import find_template, join_profile
from bluerec.rewards.texts import is_usable
from bluerec.rewards.title_index import TitleIndex
from bluerec.runs import append_row
from bluerec.training.composing import ProfileComposer
from bluerec.training.session import EMBEDDER_FOLDER, Round, Session
from bluerec.training.trainer_log import follow_loss

PAIRS_FILE = "pairs.parquet"
LOG_FILE = "embedder-log.jsonl"

Pair = tuple[str, str]


def run_embedder_stage(session: Session, one: Round, adapter: Path | None, embedder: EmbedderConfig) -> EmbedderConfig:
    """Train the embedder on profiles by the profiler with this adapter; returns the settings that load the result.

    A finished one is kept; one that was interrupted is trained again from its beginning, to the same weights.
    Raises `ConfigError` for an embedder without weights, `TrainingError` if the loss is not a number.
    """
    done = one.folder / EMBEDDER_FOLDER
    trained = replace(embedder, model=str(done))
    if done.is_dir():
        return trained
    if embedder.model == HASHING_MODEL:
        raise ConfigError(
            "train.stages: embedder.model='hashing' has no weights to train; name a sentence-transformers model"
        )
    settings = session.config.embedder_training
    table = session.choose_users(settings.n_users, seed=one.seed + 3)
    one.folder.mkdir(parents=True, exist_ok=True)
    if settings.source == "composed":
        session.say(f"embedder: composing profiles of {len(table)} train users")
        texts = compose_profiles(session, table)
    else:
        session.say(f"embedder: writing profiles of {len(table)} train users")
        texts = session.write_profiles(table, adapter, one.folder / PAIRS_FILE, seed=one.seed)
    pairs = pair_up(table, texts, embedder.instruction)
    n_distinct = len({profile for profile, _ in pairs})
    if n_distinct < 2:
        # No text is a negative of itself: nothing would be left to learn from, and the loss would be 0.
        raise TrainingError(
            f"embedder: {len(table)} users have {n_distinct} different profiles of three words or more; train the "
            "profiler first (profiler.adapter), or raise profiler.temperature or profiler.max_new_tokens"
        )
    session.say(
        f"embedder: training {embedder.model} on {len(pairs)} pairs of profile and next item, "
        f"{n_distinct} different profiles"
    )
    model, _ = load_sentence_transformer(embedder.model, offline=session.offline, announce=session.say)
    log = one.folder / LOG_FILE
    log.unlink(missing_ok=True)

    def note(row: Mapping[str, Any]) -> None:
        append_row(log, row)
        session.say(f"embedder: step {row['step']} of {row['n_steps']}, loss {row['loss']:.3f}")

    work = one.folder / f".{EMBEDDER_FOLDER}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    fit_embedder(model, pairs, settings, work, seed=one.seed, log=note)
    model.save_pretrained(str(work / "model"), create_model_card=False, safe_serialization=True)
    (work / "model").replace(done)
    shutil.rmtree(work, ignore_errors=True)
    return trained


def compose_profiles(session: Session, table: ExampleTable) -> dict[str, str]:
    """Profiles by rule, by example id: what was taken lately. What may come next is what the embedder is to learn."""
    prefill = find_template(session.config.profiler.template).prefill
    composer = ProfileComposer(session.all_examples(), TitleIndex(session.dataset.titles), prefill=prefill, n_next=0)
    return {
        example_id: join_profile(prefill, text)
        for example_id, text in zip(table.example_ids, composer.compose(table), strict=True)
    }


def pair_up(table: ExampleTable, texts: Mapping[str, str], instruction: str) -> list[Pair]:
    """Profile and next item as the embedder is given them; users without a usable profile are left out."""
    targets = [render_item_text(table.dataset.item(int(item))) for item in table.target_rows]
    return [
        (render_for_embedder(texts[example_id], "profile", instruction), target)
        for example_id, target in zip(table.example_ids, targets, strict=True)
        if is_usable(texts[example_id])
    ]


def fit_embedder(
    model: Any,
    pairs: list[Pair],
    settings: EmbedderTrainingConfig,
    folder: Path,
    *,
    seed: int,
    log: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> None:
    """Train a SentenceTransformer in place. A batch holds no text twice, which would be a negative of itself.

    `folder` is for the trainer's files. Raises `TrainingError` if the loss is not a number.
    """
    import torch
    from datasets import Dataset as Rows
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import set_seed

    set_seed(seed)
    size = min(settings.batch_size, len(pairs))
    loss = MultipleNegativesRankingLoss(
        model,
        scale=1.0 / settings.temperature,
        directions=("query_to_doc", "doc_to_query") if settings.item_to_profile else ("query_to_doc",),
        partition_mode="per_direction",
    )
    args = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        seed=seed,
        num_train_epochs=settings.n_epochs,
        per_device_train_batch_size=size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=max(len(pairs) // size * settings.n_epochs // 10, 1),
        batch_sampler="no_duplicates",
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )
    rows = Rows.from_dict({"anchor": [profile for profile, _ in pairs], "positive": [item for _, item in pairs]})

    class Trainer(SentenceTransformerTrainer):  # type: ignore[misc]
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """No model card, which would quote profiles of users."""

    trainer = Trainer(model=model, args=args, train_dataset=rows, loss=loss)
    follow_loss(trainer, "embedder", log, name="embedder", setting="embedder_training.learning_rate")
    trainer.train()
    model.eval()
