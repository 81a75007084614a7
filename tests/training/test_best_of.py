"""The best of N candidates: which one is picked, that a kill changes nothing, and what is left out."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import tiny_runs

from bluerec.config import config_from_dict
from bluerec.data.histories import split_examples
from bluerec.errors import ConfigError, TrainingError
from bluerec.profiling.decoding import Sampling
from bluerec.profiling.models import load_profiler
from bluerec.training import best_of
from bluerec.training.best_of import BestOf, pick_best
from bluerec.training.policy import Policy
from bluerec.training.profiler import train_profiler

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:peft")

# Many tokens end a candidate: random weights would hardly ever choose the one that does.
STOPS = tuple(range(60, 90))
N_CANDIDATES = 4


def test_the_best_in_the_weighted_sum_is_picked() -> None:
    scores = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 0.0], [1.0, 1.0], [1.0, 3.0], [1.0, 2.0]])
    (first, _), (second, gain) = pick_best(scores, np.array([1.0, 0.1]), 3, [True] * 6)
    assert first == 2  # the first reward counts ten times as much
    assert second == 4  # in the second group it does not vary
    assert gain == pytest.approx(0.1 * (3 - 2) / np.std([1, 3, 2]))
    assert pick_best(scores, np.array([0.1, 1.0]), 3, [True] * 6)[0][0] == 0


def test_only_candidates_that_ended_and_are_better_are_picked() -> None:
    scores = np.array([[3.0], [2.0], [0.0], [1.0], [1.0], [1.0]])
    assert pick_best(scores, np.ones(1), 3, [False, True, True, True, True, True]) == [
        (1, pytest.approx((2 - 5 / 3) / np.std([3, 2, 0]))), None,
    ]  # fmt: skip
    assert pick_best(scores, np.ones(1), 3, [False, False, True, True, True, True])[0] is None  # worse than the mean


class Vowels:
    name = "vowels"

    def score(self, texts, example_ids):
        return [float(sum(text.count(vowel) for vowel in "aeiou")) for text in texts]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory):
    folder = tiny_models.save_causal("llama", tmp_path_factory.mktemp("model") / "tiny")
    config = config_from_dict({"profiler": {"model": str(folder)}, "train": {"rollout_dtype": "float32"}})
    policy = Policy(load_profiler(str(folder)), config, None, seed=0)
    table = split_examples(tiny_runs.build_dataset()).select("train", max_users=10)
    prompts = [policy.tokenizer(f"user {row}")["input_ids"] for row in range(len(table))]
    return table, prompts, policy


def build(parts, seed: int = 0) -> BestOf:
    table, prompts, policy = parts
    sampling = Sampling(12, STOPS, 1.0)
    return BestOf(table, prompts, policy, [(Vowels(), 1.0)], sampling, N_CANDIDATES, prefill="Likes", seed=seed)


def test_a_kill_changes_nothing(parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best_of, "USERS_PER_CHUNK", 4)
    told = []
    whole = build(parts).choose(tmp_path / "whole.jsonl", lambda *counts: told.append(counts))
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert [one.example_id for one in whole] == parts[0].example_ids
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    for kept in ("".join(lines[:4]), "".join(lines[:6]), "".join(lines[:6]) + lines[6][:10], "".join(lines), ""):
        path = tmp_path / "cut.jsonl"
        path.write_text(kept)
        again = build(parts).choose(path)
        assert [(one.example_id, one.tokens, one.text) for one in again] == [
            (one.example_id, one.tokens, one.text) for one in whole
        ]
        assert path.read_text() == (tmp_path / "whole.jsonl").read_text()


def test_a_kill_while_the_file_is_cut_back_loses_no_user(
    parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_of, "USERS_PER_CHUNK", 4)
    path = tmp_path / "best.jsonl"
    build(parts).choose(path)
    whole = path.read_text()
    stamp = path.stat()
    build(parts).choose(path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stamp.st_ino, stamp.st_mtime_ns)  # nothing to cut
    cut = whole[: whole.rindex("{") + 10]
    path.write_text(cut)
    write_text = Path.write_text

    def die(self: Path, text: str, **options: object) -> int:
        write_text(self, text[:20], **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", die)
        with pytest.raises(KeyboardInterrupt):
            build(parts).choose(path)
    assert path.read_text() == cut
    build(parts).choose(path)
    assert path.read_text() == whole


def test_the_best_have_ended_and_gained(parts, tmp_path: Path) -> None:
    found = [one for one in build(parts).choose(tmp_path / "best.jsonl") if one.tokens is not None]
    assert len(found) >= 5
    assert all(one.tokens[-1] in STOPS and one.gain > 0 and one.text.startswith("Likes") for one in found)


def test_where_vllm_samples_there_is_no_decoder(tmp_path: Path) -> None:
    folder = tiny_models.save_causal("llama", tmp_path / "tiny")
    config = config_from_dict({"profiler": {"model": str(folder)}, "trl": {"use_vllm": True}})
    policy = Policy(load_profiler(str(folder)), config, None, seed=0)
    with pytest.raises(ConfigError, match=r"leave out trl\.use_vllm"):
        BestOf(split_examples(tiny_runs.build_dataset()), [], policy, [], Sampling(2, STOPS), 2, prefill="", seed=0)


def test_nothing_to_imitate_stops_the_training(tmp_path: Path) -> None:
    """Random weights with the true end of a turn: within so few tokens hardly a candidate ends."""
    settings = tiny_runs.build_settings(tmp_path / "tiny")
    config = config_from_dict(
        settings
        | {
            "sft": {"source": "best-of-n", "n_users": 2, "n_candidates": 2},
            "train": settings["train"] | {"stages": ["sft"]},
        }
    )
    with pytest.raises(TrainingError, match="none of 2 users has a candidate that ended by itself"):
        train_profiler(tiny_runs.build_dataset(), config, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "warm-start" / "best.jsonl").read_text().splitlines()]
    assert [row["tokens"] for row in rows] == [None, None]
