"""Rewards from outside the package: found by file or module, looked at, and refused in one line."""

import math
from pathlib import Path

import pytest
from reward_world import build_table, embed_world, write_references

from bluerec.config import config_from_dict
from bluerec.errors import ConfigError, TrainingError
from bluerec.rewards.functions import build_rewards
from bluerec.rewards.own import check_own_reward, load_own_reward

TABLE = build_table()
EMBEDDER, ITEM_VECTORS = embed_world(TABLE)
SOURCE = """
class Exclamations:
    name = "exclamations"

    def __init__(self, table, embedder, item_vectors):
        assert len(item_vectors) == table.dataset.n_items

    def score(self, texts, example_ids):
        return [text.count("!") for text in texts]


class Silent(Exclamations):
    def score(self, texts, example_ids):
        return [float("nan") for _ in texts]


class Few(Exclamations):
    def score(self, texts, example_ids):
        return [1.0]


class Word(Exclamations):
    def score(self, texts, example_ids):
        return ["good" for _ in texts]


class Same(Exclamations):
    name = "embedding"


def nothing(table, embedder, item_vectors):
    return 3


def broken(table, embedder, item_vectors):
    raise RuntimeError("no service")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "my rewards.py"
    path.write_text(SOURCE)
    return path


def load(place: object):
    return load_own_reward(str(place), TABLE, EMBEDDER, ITEM_VECTORS)


def build(place: str, weight: float = 2.0):
    config = config_from_dict(
        {"own_reward": {"function": place, "weight": weight}, "choice_reward": {"weight": 0.0}}
        | {"embedding_reward": {"n_random": 10, "n_popular": 6, "n_near": 4, "n_references": 8}}
    )
    return build_rewards(config, TABLE, EMBEDDER, ITEM_VECTORS, None, write_references(TABLE))


def test_a_reward_of_a_file_stands_beside_the_others(source: Path) -> None:
    built = {function.name: (function, weight) for function, weight in build(f"{source}:Exclamations")}
    assert "embedding" in built
    own, weight = built["exclamations"]
    assert weight == 2.0
    assert own.score(["Chess! Golf!", "Chess."], TABLE.example_ids[:2]) == [2.0, 0.0]
    assert "exclamations" not in {function.name for function, _ in build(f"{source}:Exclamations", 0.0)}


def test_a_reward_of_a_module(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source.rename(source.with_name("rewards_of_mine.py"))
    monkeypatch.syspath_prepend(source.parent)
    assert load("rewards_of_mine:Exclamations").name == "exclamations"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Missing", "AttributeError"),
        ("nothing", "made a int; a reward has a name"),
        ("1st", "name it as FILE.py:NAME"),
    ],
)
def test_what_is_no_reward_is_refused_in_one_line(name: str, message: str, source: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(f"{source}:{name}")
    assert "\n" not in str(caught.value)


def test_what_its_code_raises_comes_through(source: Path) -> None:
    with pytest.raises(RuntimeError, match="no service"):
        load(f"{source}:broken")


def test_places_that_are_none(tmp_path: Path) -> None:
    for place, message in (
        ("reward", "name it as FILE.py:NAME"),
        (":name", "name it as FILE.py:NAME"),
        (f"{tmp_path}/none.py:Reward", "is not there"),
        ("no_such_module_at_all:Reward", "ModuleNotFoundError"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(place)
    with pytest.raises(ConfigError, match=r"no own_reward\.function"):
        build("")


def test_scores_that_cannot_be_trained_on_are_refused(source: Path) -> None:
    with pytest.raises(TrainingError, match="nan for example"):
        load(f"{source}:Silent").score(["a"], TABLE.example_ids[:1])
    with pytest.raises(TrainingError, match="1 scores for 2 texts"):
        load(f"{source}:Few").score(["a", "b"], TABLE.example_ids[:2])
    with pytest.raises(TrainingError, match="no number"):
        load(f"{source}:Word").score(["a"], TABLE.example_ids[:1])
    assert math.isfinite(load(f"{source}:Exclamations").score(["!"], TABLE.example_ids[:1])[0])


def test_two_rewards_of_one_name_are_refused(source: Path) -> None:
    with pytest.raises(ConfigError, match="two rewards are called 'embedding'"):
        build(f"{source}:Same")


def test_a_reward_is_looked_at_before_anything_is_loaded(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check_own_reward(f"{source}:Exclamations")
    assert found["function"] == f"{source}:Exclamations"
    monkeypatch.chdir(source.parent)
    assert check_own_reward(f"{source.name}:Exclamations") == found  # by its absolute path
    source.write_text(SOURCE + "\n\ndef two(table, embedder):\n    return 3\n\n\nconstant = 3\n")
    assert check_own_reward(f"{source}:Exclamations")["digest"] != found["digest"]
    for place, message in (
        (f"{source}", "name it as FILE.py:NAME"),
        (f"{source}.py:Exclamations", "is not there"),
        (f"{source}:two", r"called as NAME\(table, embedder, item_vectors\) \(too many positional arguments"),
        (f"{source}:constant", "is a int; name a class or a function"),
        (f"{source}:Same", r"two rewards are called 'embedding'; give own_reward\.function .* another name"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            check_own_reward(place)
        assert "\n" not in str(caught.value)


def test_none_is_for_all_candidates_of_an_example_or_for_none(source: Path) -> None:
    source.write_text(
        SOURCE + "\n\nclass Picky(Exclamations):\n    def score(self, texts, example_ids):\n"
        "        return [1.0 if '!' in text else None for text in texts]\n"
    )
    picky, (first, second) = load(f"{source}:Picky"), TABLE.example_ids[:2]
    assert picky.score(["a!", "b", "c!"], [first, second, first]) == [1.0, None, 1.0]
    with pytest.raises(TrainingError, match=rf"gave None for some candidates of example {first!r}"):
        picky.score(["a!", "b"], [first, first])


def test_a_score_that_is_no_number_names_its_function(source: Path) -> None:
    with pytest.raises(TrainingError, match=r"my rewards\.py:Silent\) gave nan for example .*; mend its code$"):
        load(f"{source}:Silent").score(["a"], TABLE.example_ids[:1])
