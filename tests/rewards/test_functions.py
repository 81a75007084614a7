"""The reward objects: equal to naive loops, the same alone and in any batch, with floors, and never silently wrong."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_world import build_table, build_world, embed_world, write_references

from bluerec.config import Config, EmbeddingRewardConfig, config_from_dict
from bluerec.data import histories
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.errors import ConfigError, DataError, TrainingError
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.profiling.fakes import FakeReader
from bluerec.rewards import choice, embedding, guards
from bluerec.rewards.choice import ChoiceReward
from bluerec.rewards.functions import build_rewards, score_profile
from bluerec.rewards.negatives import NegativeSampler
from bluerec.rewards.ranking import RankingReward
from bluerec.rewards.title_index import TitleIndex
from bluerec.types import Reward, RewardFunction

TABLE = build_table()
EMBEDDER, ITEM_VECTORS = embed_world(TABLE)
REFERENCES = write_references(TABLE)
GROUP = (
    "Likes a racing cup, a fishing cup.",
    "Likes puzzle kits and little else.",
    "Likes fishing, garden and racing things.",
    "Collects old stamps from distant countries.",
)


def make_config(**sections: dict) -> Config:
    small = {"n_random": 10, "n_popular": 6, "n_near": 4, "n_references": 8}
    return config_from_dict(sections | {"embedding_reward": small | sections.get("embedding_reward", {})})


# The rewards that are left out at weight 0.
OPTIONAL = {
    "ranking_reward": {"weight": 1.0},
    "length_reward": {"weight": 1.0, "target_words": 8},
    "quality_reward": {"weight": 1.0},
}


class WordJudge:
    """Counts the words that a profile shares with the history: each makes one grade more as likely again."""

    name = "words"

    def grade(self, histories, texts, n_grades):
        answers = []
        for titles, text in zip(histories, texts, strict=True):
            shared = len(set(" ".join(titles).lower().split()) & set(text.lower().strip(".").split()))
            weights = [1.0 + shared * grade for grade in range(n_grades)]
            answers.append([math.log(weight / sum(weights)) for weight in weights])
        return np.array(answers, dtype=np.float32)


def make_rewards(config: Config | None = None, table: ExampleTable = TABLE, **changes) -> dict[str, RewardFunction]:
    parts = {"embedder": EMBEDDER, "item_vectors": ITEM_VECTORS, "reader": FakeReader(), "judge": WordJudge(),
             "reference_texts": REFERENCES}  # fmt: skip
    built = build_rewards(
        config or make_config(), table, **(parts | changes), title_index=TitleIndex(TABLE.dataset.titles)
    )
    return {function.name: function for function, _ in built}


REWARDS = make_rewards(make_config(**OPTIONAL)) | {
    "bridge": make_rewards(make_config(embedding_reward={"bridge": 0.5}))["embedding"]
}
ALL = pytest.mark.parametrize("name", sorted(REWARDS))


def batch(n_users: int = 5) -> tuple[list[str], list[str]]:
    texts = [text for _ in range(n_users) for text in (*GROUP, "")]
    return texts, [TABLE.example_ids[row] for row in range(n_users) for _ in range(len(GROUP) + 1)]


def test_every_reward_is_built() -> None:
    assert set(REWARDS) == {
        "embedding", "bridge", "choice", "ranking", "length", "quality", "guard_repetition",
        "guard_copying", "guard_foreign_title", "guard_unfinished", "guard_invented_person",
    }  # fmt: skip
    assert set(make_rewards()) == set(REWARDS) - {"bridge", "ranking", "length", "quality"}
    assert all(isinstance(reward, RewardFunction) for reward in REWARDS.values())


@ALL
def test_alone_in_a_batch_and_permuted_agree(name: str) -> None:
    reward = REWARDS[name]
    texts, example_ids = batch()
    together = reward.score(texts, example_ids)
    alone = [reward.score([text], [example_id])[0] for text, example_id in zip(texts, example_ids, strict=True)]
    order = np.random.default_rng(0).permutation(len(texts))
    permuted = reward.score([texts[place] for place in order], [example_ids[place] for place in order])
    np.testing.assert_allclose(alone, together, atol=1e-6)
    np.testing.assert_allclose(permuted, np.array(together)[order], atol=1e-6)


@ALL
def test_another_process_with_other_examples_agrees(name: str) -> None:
    """What a score is built from depends on the seed and the example, not on which others there are, or came first."""
    wanted = make_config(**OPTIONAL, embedding_reward={"bridge": 0.5 if name == "bridge" else 0.0})
    turned = TABLE.take(np.arange(len(TABLE))[::-1])
    other = make_rewards(wanted, turned)["embedding" if name == "bridge" else name]
    texts, example_ids = batch()
    expected = REWARDS[name].score(texts, example_ids)
    np.testing.assert_allclose(other.score(texts[::-1], example_ids[::-1])[::-1], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["embedding", "bridge", "choice", "ranking", "length", "quality"])
def test_scores_vary_within_a_group(name: str) -> None:
    for example_id in TABLE.example_ids[:8]:
        scores = REWARDS[name].score(GROUP, [example_id] * len(GROUP))
        assert len({round(score, 6) for score in scores}) >= 2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.integers(0, len(TABLE) - 1))
def test_any_text_gets_a_number(texts: list[str], row: int) -> None:
    for reward in REWARDS.values():
        scores = reward.score(texts, [TABLE.example_ids[row]] * len(texts))
        assert all(math.isfinite(score) for score in scores)


def sampled_references(name: str, row: int) -> list[str]:
    """The examples whose profiles an example is compared with."""
    contrast, _ = REWARDS[name]._contrast(row)
    return [sorted(REFERENCES)[place] for place in contrast.references]


def naive_embedding(text: str, row: int, share: float, temperature: float) -> float:
    """From the definitions, with Python's own arithmetic."""
    sampler = NegativeSampler(TABLE, ITEM_VECTORS, n_random=10, n_popular=6, n_near=4)
    references = EMBEDDER.embed([REFERENCES[key] for key in sampled_references("embedding", row)], "profile")
    profile = EMBEDDER.embed([text], "profile")[0]
    item = ITEM_VECTORS[TABLE.target_rows[row]]

    def cosine(left, right) -> float:
        return sum(float(x) * float(y) for x, y in zip(left, right, strict=True))

    def log_share(others: list[float]) -> float:
        true = cosine(profile, item)
        return -math.log(sum(math.exp((other - true) / temperature) for other in (true, *others)))

    to_item = log_share([cosine(profile, ITEM_VECTORS[negative]) for negative in sampler.sample(row)])
    to_profile = log_share([cosine(reference, item) for reference in references])
    return (1 - share) * to_item + share * to_profile


@pytest.mark.parametrize("text", GROUP)
def test_the_embedding_reward_agrees_with_its_definition(text: str) -> None:
    for row in range(4):
        score = REWARDS["embedding"].score([text], [TABLE.example_ids[row]])[0]
        floor = REWARDS["embedding"]._contrast(row)[1]
        assert score == pytest.approx(max(naive_embedding(text, row, 0.5, 0.05), floor), abs=1e-4)


def test_a_profile_of_the_right_topic_is_worth_more() -> None:
    for row in range(4):
        data = TABLE.dataset
        right, wrong = (data.titles[item].split()[0] for item in (TABLE.target_rows[row], TABLE.target_rows[row - 1]))
        texts = [f"Likes {wrong} things only.", f"Likes {right} things only."]
        for name in ("embedding", "choice"):
            low, high = REWARDS[name].score(texts, [TABLE.example_ids[row]] * 2)
            assert low < high


def test_naming_the_target_adds_to_the_history() -> None:
    for row in range(8):
        texts = [TABLE.dataset.titles[TABLE.target_rows[row]], "stamps and coins of all countries"]
        gain, loss = REWARDS["bridge"].score(texts, [TABLE.example_ids[row]] * 2)
        assert gain > max(loss, 0.0)


@pytest.mark.parametrize("name", ["embedding", "bridge"])
def test_the_floor_lies_below_the_worst_stranger(name: str) -> None:
    reward = REWARDS[name]
    for row in range(6):
        example_id = TABLE.example_ids[row]
        strangers = [REFERENCES[key] for key in sampled_references(name, row)]
        worst = min(reward.score(strangers, [example_id] * len(strangers)))
        (floor,) = set(reward.score(["", "  ", "two words"], [example_id] * 3))
        assert floor == pytest.approx(worst - embedding.FLOOR_MARGIN)
        assert min(reward.score(GROUP, [example_id] * len(GROUP))) >= floor


def test_references_are_of_other_users() -> None:
    for row, user in enumerate(TABLE.user_ids):
        users = [key.partition("@")[0] for key in sampled_references("embedding", row)]
        assert user not in users
        assert len(users) == len(set(users)) == 8


def test_few_references_are_used_as_they_are() -> None:
    few = dict(list(REFERENCES.items())[:3])
    reward = make_rewards(reference_texts=few | {"user99@1": "short"})["embedding"]
    assert len(reward._contrast(0)[0].references) == 3
    assert math.isfinite(reward.score(GROUP[:1], TABLE.example_ids[:1])[0])


def test_no_reference_is_refused() -> None:
    for texts in ({}, {"user99@1": "short"}):
        with pytest.raises(ConfigError, match="reference profiles"):
            make_rewards(reference_texts=texts)
    own = make_rewards(reference_texts={TABLE.example_ids[0]: GROUP[0]})["embedding"]
    with pytest.raises(ConfigError, match="at least two users"):
        own.score(GROUP[:1], TABLE.example_ids[:1])
    foreign = REFERENCES | {"user99@1": GROUP[0]}
    make_rewards(reference_texts=foreign)
    with pytest.raises(ConfigError, match="user99@1"):
        make_rewards(make_config(embedding_reward={"bridge": 0.5}), reference_texts=foreign)


def test_item_vectors_of_another_embedder_are_refused() -> None:
    with pytest.raises(ConfigError, match="hashing-64"):
        make_rewards(embedder=HashingEmbedder(64))
    with pytest.raises(ConfigError, match="48 items"):
        make_rewards(item_vectors=ITEM_VECTORS[:-1])
    with pytest.raises(ConfigError, match=r"ranking reward.*48 items"):
        RankingReward(make_config().ranking_reward, TABLE, EMBEDDER, ITEM_VECTORS[:-1])


def test_choices_hold_the_target_and_titles_that_differ() -> None:
    reward = ChoiceReward(make_config(choice_reward={"n_options": 6}).choice_reward, TABLE, FakeReader())
    places = set()
    for row in range(len(TABLE)):
        found = reward.build_choice(row)
        titles = TABLE.dataset.titles
        history = {titles[item] for item in TABLE.history_rows(row)}
        assert found.options[found.true] == titles[TABLE.target_rows[row]]
        assert len(set(found.options)) == 6
        assert not history & set(found.options)
        places.add(found.true)
    assert places == set(range(6))


def test_choices_leave_out_untitled_and_repeated_titles() -> None:
    names = {row: "" for row in range(24, 36)} | {row: "One and the same" for row in range(36, 47)}
    table = build_table(titles=names)
    reward = ChoiceReward(make_config().choice_reward, table, FakeReader())
    for row in range(0, len(table), 4):  # users of the first topic
        options = reward.build_choice(row).options
        assert "" not in options
        assert options.count("One and the same") <= 1
    untitled = [row for row in range(len(table)) if not table.dataset.titles[table.target_rows[row]]]
    scores = reward.score(GROUP, [table.example_ids[untitled[0]]] * len(GROUP))
    assert scores == [None] * len(GROUP)


def test_too_few_titles_are_named() -> None:
    table = build_table(titles={row: "One and the same" for row in range(12, 48)})
    reward = ChoiceReward(make_config(choice_reward={"n_options": 12}).choice_reward, table, FakeReader())
    with pytest.raises(DataError, match=r"choice_reward\.n_options=12 needs 11"):
        reward.score(GROUP[:1], table.example_ids[:1])


def test_the_choice_reward_is_the_readers_log_probability_of_the_target() -> None:
    reward = REWARDS["choice"]
    for row in range(4):
        found = reward.build_choice(row)
        for text in GROUP:
            words = set(text.lower().strip(".").replace(",", "").split())
            shared = [len(words & set(option.lower().split())) for option in found.options]
            expected = shared[found.true] - math.log(sum(math.exp(n) for n in shared))
            assert reward.score([text], [TABLE.example_ids[row]])[0] == pytest.approx(expected, abs=1e-5)


def test_a_hash_selects_one_in_every_n_examples() -> None:
    rare = ChoiceReward(make_config(choice_reward={"every": 3}).choice_reward, TABLE, FakeReader())
    texts, example_ids = batch(len(TABLE))
    scores = dict.fromkeys(example_ids)
    for example_id, score in zip(example_ids, rare.score(texts, example_ids), strict=True):
        scores[example_id] = (scores[example_id] or []) + [score is None]
    # None for the whole prompt, an unusable text included, or for none of it.
    assert all(len(set(absent)) == 1 for absent in scores.values())
    n_scored = sum(not absent[0] for absent in scores.values())
    assert 0 < n_scored < len(TABLE)
    full = REWARDS["choice"].score(texts, example_ids)
    some = rare.score(texts, example_ids)
    assert all(one is None or one == other for one, other in zip(some, full, strict=True))


def test_an_unusable_text_is_worth_less_than_guessing() -> None:
    expected = math.log(1 / 4) - choice.FLOOR_MARGIN
    assert REWARDS["choice"].score(["", "two words"], TABLE.example_ids[:2]) == pytest.approx([expected] * 2)


def test_no_text_is_worth_less_than_silence_in_the_choice() -> None:
    class Misled:
        name = "misled"

        def choose(self, contexts, options):
            return np.full((len(contexts), len(options[0])), -50.0, dtype=np.float32)

    reward = ChoiceReward(make_config().choice_reward, TABLE, Misled())
    assert reward.score(GROUP, TABLE.example_ids[:4]) == [reward.floor] * 4


@pytest.mark.parametrize(
    ("measure", "worth"), [("ndcg", lambda n: 1 / math.log2(1 + n)), ("reciprocal", lambda n: 1 / n)]
)
def test_the_ranking_reward_agrees_with_its_definition(measure: str, worth) -> None:
    reward = make_rewards(make_config(ranking_reward={"weight": 1.0, "measure": measure}))["ranking"]
    for row in range(6):
        target, history = int(TABLE.target_rows[row]), set(TABLE.history_rows(row).tolist())
        for text in GROUP:
            profile = EMBEDDER.embed([text], "profile")[0].tolist()
            cosines = [sum(x * y for x, y in zip(profile, item, strict=True)) for item in ITEM_VECTORS.tolist()]
            rank = 1 + sum(
                1
                for item, cosine in enumerate(cosines)
                if item != target and item not in history and cosine >= cosines[target] - 1e-6
            )
            assert reward.score([text], [TABLE.example_ids[row]]) == pytest.approx([worth(rank)])
        assert reward.score([TABLE.dataset.titles[target], ""], [TABLE.example_ids[row]] * 2) == [1.0, 0.0]


def test_brevity_pays_up_to_a_point_and_silence_does_not() -> None:
    config = make_config(length_reward={"weight": 1.0, "target_words": 6, "slope": 0.1, "cap": 0.25})
    texts = [
        "one two three",
        "one two three four five",
        "one two three four five six seven",
        "word " * 60,
        "",
        "two words",
    ]
    scores = make_rewards(config)["length"].score(texts, TABLE.example_ids[:6])
    assert scores == pytest.approx([0.25, 0.1, -0.1, -0.25, -0.25, -0.25])


def test_the_quality_reward_is_the_judges_expected_grade() -> None:
    reward = REWARDS["quality"]
    for row in range(4):
        titles = [TABLE.dataset.titles[item] for item in TABLE.history_rows(row)]
        for text in GROUP:
            shared = len(set(" ".join(titles).lower().split()) & set(text.lower().strip(".").split()))
            weights = [1.0 + shared * grade for grade in range(5)]
            expected = sum(weight * grade / 4 for grade, weight in enumerate(weights)) / sum(weights)
            assert reward.score([text], [TABLE.example_ids[row]]) == pytest.approx([expected], abs=1e-5)
    assert reward.score(["", "two words"], TABLE.example_ids[:2]) == [0.0, 0.0]


def test_a_judge_sees_the_latest_titles() -> None:
    seen = []

    class Listening(WordJudge):
        def grade(self, histories, texts, n_grades):
            seen.extend(histories)
            return super().grade(histories, texts, n_grades)

    config = make_config(quality_reward={"weight": 1.0, "max_events": 2})
    make_rewards(config, judge=Listening())["quality"].score(GROUP[:1], TABLE.example_ids[:1])
    assert seen == [[TABLE.dataset.titles[item] for item in TABLE.history_rows(0)[-2:]]]


def test_guards_are_minus_the_shares_of_the_watch_list() -> None:
    title = TABLE.dataset.titles[TABLE.history_rows(0)[-1]]
    texts = {
        "guard_repetition": ("likes it all likes it all likes it all.", -(1 - 3 / 7)),
        "guard_copying": (f"Likes {title} too.", -1 / 3),
        "guard_unfinished": ("Likes racing games and", -1.0),
        "guard_invented_person": ("A 25-year-old woman named Sarah.", -1.0),
    }
    for name, (text, expected) in texts.items():
        assert REWARDS[name].score([text], TABLE.example_ids[:1]) == pytest.approx([expected])
        assert REWARDS[name].score(["Prefers calm games."], TABLE.example_ids[:1]) == [0.0]
        assert REWARDS[name].score([""], TABLE.example_ids[:1]) == [guards.FLOOR]


def test_a_foreign_title_is_one_of_the_catalogue_that_is_not_in_the_history() -> None:
    own, foreign = (
        TABLE.dataset.titles[int(item)].title() for item in (TABLE.history_rows(0)[0], TABLE.target_rows[1])
    )
    scores = REWARDS["guard_foreign_title"].score([f"Likes {own}.", f"Likes {foreign}."], TABLE.example_ids[:1] * 2)
    assert scores == [0.0, -1.0]


def test_what_a_review_says_is_not_invented() -> None:
    data = build_world()
    events = pl.DataFrame(
        {
            "user_id": [data.user_ids[0]],
            "item_id": [data.item_ids[data.item_rows[0]]],
            "timestamp": [int(data.timestamps[0])],
            "review_title": ["Good"],
            "review_text": ["Bought it for my daughter, she loves it. Their daughter too."],
        }
    )
    table = split_examples(replace(data, reviews=events.lazy()))
    reward = make_rewards(table=table)["guard_invented_person"]
    text = "Buys toys for their daughter."
    assert reward.score([text, text], table.example_ids[:2]) == [0.0, -1.0]


def test_the_reviews_of_an_example_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    load = histories._load_reviews
    monkeypatch.setattr(histories, "_load_reviews", lambda data, rows: read.append(list(rows)) or load(data, rows))
    texts = guards.HistoryTexts(TABLE)
    for rows in ([0], [0, 0], [0, 1], [1], []):
        texts.read("guard", ["Likes toys."] * len(rows), [TABLE.example_ids[row] for row in rows])
    assert read == [[TABLE.user_rows[0]], [TABLE.user_rows[1]]]


class _Broken:
    """An embedder and a reader that give what is not a number for one text."""

    name, dimension = "broken", 256

    def embed(self, texts, kind):
        vectors = EMBEDDER.embed(texts, kind)
        vectors[[text == GROUP[1] for text in texts]] = np.nan
        return vectors

    def choose(self, contexts, options):
        answers = FakeReader().choose(contexts, options)
        answers[[context == GROUP[1] for context in contexts]] = np.nan
        return answers

    def grade(self, histories, texts, n_grades):
        answers = WordJudge().grade(histories, texts, n_grades)
        answers[[text == GROUP[1] for text in texts]] = np.nan
        return answers


@pytest.mark.parametrize("name", ["embedding", "choice", "ranking", "quality"])
def test_not_a_number_stops_the_training(name: str) -> None:
    reward = make_rewards(make_config(**OPTIONAL), embedder=_Broken(), reader=_Broken(), judge=_Broken())[name]
    assert reward.score(GROUP[:1], TABLE.example_ids[:1])
    with pytest.raises(TrainingError, match=rf"{name} reward: nan for example '{TABLE.example_ids[1]}'"):
        reward.score(GROUP[:2], TABLE.example_ids[:2])


@ALL
def test_faulty_calls_are_named(name: str) -> None:
    reward = REWARDS[name]
    assert reward.score([], []) == []
    with pytest.raises(DataError, match="unknown example 'nobody@1'"):
        reward.score(GROUP[:2], [TABLE.example_ids[0], "nobody@1"])
    with pytest.raises(DataError, match="2 texts for 1 examples"):
        reward.score(GROUP[:2], TABLE.example_ids[:1])


def test_weights_and_absent_parts() -> None:
    config = make_config(guards={"repetition": 0.25}, choice_reward={"weight": 0.0})
    built = build_rewards(config, TABLE, EMBEDDER, ITEM_VECTORS, None, REFERENCES)
    assert {function.name: weight for function, weight in built} == {
        "embedding": 1.0,
        "guard_repetition": 0.25,
        "guard_copying": 0.0,
        "guard_unfinished": 0.0,
        "guard_invented_person": 0.0,
    }
    with_title = make_config(guards={"foreign_title": 0.5})
    names = [
        function.name
        for function, _ in build_rewards(with_title, TABLE, EMBEDDER, ITEM_VECTORS, FakeReader(), REFERENCES)
    ]
    assert "guard_foreign_title" in names
    with pytest.raises(ConfigError, match="no reading model"):
        build_rewards(make_config(), TABLE, EMBEDDER, ITEM_VECTORS, None, REFERENCES)
    with pytest.raises(ConfigError, match="no judge"):
        make_rewards(make_config(**OPTIONAL), judge=None)


def test_score_profile_tells_every_reward() -> None:
    built = build_rewards(
        make_config(choice_reward={"every": 10**9}), TABLE, EMBEDDER, ITEM_VECTORS, FakeReader(), REFERENCES
    )
    rewards = score_profile(built, GROUP[0], TABLE.example_ids[0])
    assert all(isinstance(reward, Reward) for reward in rewards)
    assert [reward.name for reward in rewards] == [function.name for function, _ in built]
    assert rewards[0].value == REWARDS["embedding"].score(GROUP[:1], TABLE.example_ids[:1])[0]
    assert rewards[1] == Reward("choice", None, 0.5)
    assert rewards[1].value == 0.0


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("embedding_reward", {"bridge": -0.1}, "bridge"),
        ("embedding_reward", {"n_random": -1}, "at least one negative"),
        ("embedding_reward", {"n_random": 0, "n_popular": 0, "n_near": 0}, "at least one negative"),
        ("embedding_reward", {"n_references": 0}, "n_references"),
        ("guards", {"copying": -1.0}, r"guards\.copying"),
        ("ranking_reward", {"weight": -1.0}, r"ranking_reward\.weight"),
        ("ranking_reward", {"measure": "mrr"}, "ndcg, reciprocal"),
        ("length_reward", {"slope": 0.0}, "length_reward"),
        ("quality_reward", {"n_grades": 10}, "n_grades"),
    ],
)
def test_settings_without_sense_are_refused(section: str, value: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict({section: value})


def test_the_default_config_has_no_bridge() -> None:
    assert EmbeddingRewardConfig().bridge == 0.0


def test_weights_that_sum_to_nothing_are_refused() -> None:
    nothing = {name: {"weight": 0.0} for name in ("embedding_reward", "choice_reward")}
    with pytest.raises(ConfigError, match="sum to nothing"):
        config_from_dict(nothing)
    with pytest.raises(ConfigError, match="sum to nothing"):
        config_from_dict(nothing | {"length_reward": {"weight": 1.0}})  # says nothing of the user
    assert config_from_dict(nothing | {"quality_reward": {"weight": 1.0}})
