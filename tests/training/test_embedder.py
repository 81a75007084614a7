"""The stage that trains the embedder: pairs, the loss in one direction and both, that it learns, and how it stops."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import tiny_runs
import torch

from bluerec.config import EmbedderConfig, EmbedderTrainingConfig, config_from_dict
from bluerec.data.histories import split_examples
from bluerec.errors import ConfigError, TrainingError
from bluerec.profiling.embedders import load_sentence_transformer, render_item_text
from bluerec.runs import RunFolder
from bluerec.training.composing import HEAD_WORDS, name_product
from bluerec.training.embedder import compose_profiles, fit_embedder, pair_up, run_embedder_stage
from bluerec.training.processes import Processes
from bluerec.training.session import Session, list_rounds

# What is liked, and the unlike word for what is taken next: only training can bring them together.
KINDS = {"racing": "violet", "puzzle": "seven", "garden": "Oslo", "fishing": "brass", "chess": "June", "guitar": "fern"}
PAIRS = [(f"Likes {kind} things.", f"{item} number {n}, {item}") for n in range(4) for kind, item in KINDS.items()]


@pytest.fixture
def model(tmp_path: Path):
    return load_sentence_transformer(str(tiny_models.save_last_token_embedder(tmp_path / "tiny")))[0]


def hits(model) -> float:
    """How often a profile finds its own kind among one item of each."""
    profiles = model.encode([f"Likes {kind} things." for kind in KINDS], prompt="", normalize_embeddings=True)
    items = model.encode([f"{item} number 9, {item}" for item in KINDS.values()], prompt="", normalize_embeddings=True)
    return float(((profiles @ items.T).argmax(axis=1) == np.arange(len(KINDS))).mean())


def test_a_profile_comes_to_find_its_item(model, tmp_path: Path) -> None:
    rows = []
    before = hits(model)
    settings = EmbedderTrainingConfig(n_epochs=12, batch_size=6, learning_rate=5e-3)
    fit_embedder(model, PAIRS, settings, tmp_path / "work", seed=0, log=rows.append)
    assert before < 0.5
    assert hits(model) > 0.9
    assert rows[-1]["step"] == rows[-1]["n_steps"] == len(rows)
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


@pytest.mark.parametrize("both", [True, False])
def test_the_first_loss_is_the_contrast_in_the_directions_that_are_asked_for(model, tmp_path: Path, both: bool) -> None:
    """By hand: the mean over pairs of -log softmax, of items for a profile, and of profiles for an item."""
    pairs = PAIRS[:6]
    vectors = [model.encode(list(texts), prompt="", normalize_embeddings=True) for texts in zip(*pairs, strict=True)]
    cosines = (vectors[0] @ vectors[1].T) / 0.2

    def contrast(logits) -> float:
        return (
            sum(math.log(sum(math.exp(x) for x in row)) - row[place] for place, row in enumerate(logits.tolist())) / 6
        )

    expected = (contrast(cosines) + contrast(cosines.T)) / 2 if both else contrast(cosines)
    settings = EmbedderTrainingConfig(batch_size=8, temperature=0.2, item_to_profile=both)
    rows = []
    fit_embedder(model, pairs, settings, tmp_path / "work", seed=0, log=rows.append)
    assert len(rows) == 1
    assert rows[0]["loss"] == pytest.approx(expected, abs=1e-3)


def test_a_text_that_occurs_twice_is_no_negative_of_itself(model, tmp_path: Path) -> None:
    pairs = [("Likes racing things.", "A racing kit"), ("Likes racing things.", "A racing kit")] * 4
    rows = []
    fit_embedder(model, pairs, EmbedderTrainingConfig(batch_size=4), tmp_path / "work", seed=0, log=rows.append)
    assert [row["loss"] for row in rows] == [0.0] * len(rows)  # each is alone in its batch


def test_a_loss_that_is_no_number_stops_it(model, tmp_path: Path) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"loss of step 1 is nan; lower embedder_training\.learning_rate"):
        fit_embedder(model, PAIRS, EmbedderTrainingConfig(batch_size=8), tmp_path / "work", seed=0)


def test_pairs_are_profile_and_next_item() -> None:
    table = split_examples(tiny_runs.build_dataset()).select("train", max_users=4)
    texts = {example_id: f"Likes things, sort {row}." for row, example_id in enumerate(table.example_ids)}
    texts[table.example_ids[1]] = "two words"  # says nothing
    pairs = pair_up(table, texts, "find what is next")
    items = [render_item_text(table.dataset.item(int(row))) for row in table.target_rows]
    assert pairs == [(f"Instruct: find what is next\nQuery:Likes things, sort {row}.", items[row]) for row in (0, 2, 3)]


def stage(tmp_path: Path, model: str, n_users: int = 8, **settings: object):
    train = {"stages": ["embedder", "grpo"]}
    profiler = str(tiny_models.save_causal("llama", tmp_path / "tiny-profiler"))
    config = config_from_dict({
        "train": train, "embedder": {"model": model},
        "embedder_training": {"n_users": n_users, "batch_size": 4, **settings},
        "profiler": {"model": profiler, "max_events": 1, "max_prompt_tokens": 600, "max_new_tokens": 24,
                     "temperature": 1.0},
    })  # fmt: skip
    dataset = tiny_runs.build_dataset()
    run = RunFolder.start(tmp_path / "run", config)
    session = Session(dataset, config, run, Processes(), False, True, lambda text: None, None, None)
    return session, list_rounds(config, run)[0]


def test_the_stage_leaves_an_embedder_and_a_log_and_is_done_once(tmp_path: Path) -> None:
    session, one = stage(tmp_path, str(tiny_models.save_last_token_embedder(tmp_path / "tiny")))
    trained = run_embedder_stage(session, one, None, session.config.embedder)
    assert trained == EmbedderConfig(model=str(tmp_path / "run" / "embedder"))
    rows = [json.loads(line) for line in (tmp_path / "run" / "embedder-log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert not list((tmp_path / "run" / "embedder").rglob("README.md"))  # it would quote profiles
    stamp = (tmp_path / "run" / "embedder" / "config.json").stat().st_mtime_ns
    assert run_embedder_stage(session, one, None, session.config.embedder) == trained
    assert (tmp_path / "run" / "embedder" / "config.json").stat().st_mtime_ns == stamp


def test_composed_profiles_are_of_the_history_and_need_no_profiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, one = stage(tmp_path, str(tiny_models.save_last_token_embedder(tmp_path / "tiny")), source="composed")
    monkeypatch.delattr(Session, "write_profiles")
    assert Path(run_embedder_stage(session, one, None, session.config.embedder).model).is_dir()
    table = session.choose_users(8, seed=one.seed + 3)
    texts = compose_profiles(session, table)
    assert list(texts) == table.example_ids
    for row, text in enumerate(texts.values()):
        assert text.startswith("This shopper likes ")
        assert " next" not in text
        latest = name_product(table.dataset.titles[table.history_rows(row)[-1]], HEAD_WORDS[0])
        assert latest in text


def test_one_profile_for_everybody_is_nothing_to_learn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, one = stage(tmp_path, str(tiny_models.save_last_token_embedder(tmp_path / "tiny")))
    monkeypatch.setattr(
        Session, "write_profiles", lambda self, table, *_, **__: dict.fromkeys(table.example_ids, "Likes all of it.")
    )
    with pytest.raises(TrainingError, match="8 users have 1 different profiles"):
        run_embedder_stage(session, one, None, session.config.embedder)


def test_an_embedder_without_weights_is_refused(tmp_path: Path) -> None:
    session, one = stage(tmp_path, "hashing")
    with pytest.raises(ConfigError, match="no weights to train"):
        run_embedder_stage(session, one, None, session.config.embedder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": {"stages": ["embedder"], "rounds": 2}}, "rounds are of grpo"),
        ({"train": {"stages": ["sft"], "rounds": 2}}, "rounds are of grpo"),
        ({"train": {"rounds": 0}}, r"train\.rounds=0"),
        ({"embedder_training": {"batch_size": 1}}, "batch_size"),
        ({"embedder_training": {"temperature": 0.0}}, "must be positive"),
        ({"embedder_training": {"source": "friends"}}, r"embedder_training\.source='friends': profiler, composed"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(settings)
