"""True profiles and planted lies: each measure tells them apart."""

import numpy as np
import pytest
from small_worlds import make_dataset

from bluerec.data.histories import split_examples
from bluerec.errors import DataError
from bluerec.evaluation.faithfulness import (
    GUARD_NAMES,
    measure_distinctness,
    measure_guards,
    measure_reading_ease,
    measure_support,
)
from bluerec.evaluation.vector_rankers import ItemSpace
from bluerec.profiling.embedders import HashingEmbedder, embed_items

N_USERS = 40
# Every user keeps to four items of their own, the last of which is the target.
TABLE = split_examples(
    make_dataset(
        {f"u{user}": [f"thing{4 * user + place}" for place in range(4)] for user in range(N_USERS)},
        [f"thing{place}" for place in range(4 * N_USERS)],
    )
)
EMBEDDER = HashingEmbedder(2048)
SPACE = ItemSpace.centred(embed_items(TABLE.dataset, EMBEDDER))
TITLES = TABLE.dataset.titles
HISTORIES = [[TITLES[item] for item in TABLE.history_rows(row)] for row in range(N_USERS)]
TRUE = [f"Took {its[0]}. Likes {its[1]}." for its in HISTORIES]


def _draw_unit(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.normal(size=(n, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class RandomEmbedder(HashingEmbedder):
    """Every text lies anywhere."""

    def __init__(self, seed: int) -> None:
        super().__init__(16)
        self._rng = np.random.default_rng(1000 + seed)

    def embed(self, texts, kind):
        return _draw_unit(self._rng, len(texts))


def guard(texts: list[str], name: str) -> np.ndarray:
    return measure_guards(TABLE, texts)[GUARD_NAMES[name]]


def test_true_sentences_are_supported_and_a_strangers_are_not() -> None:
    own = measure_support(TABLE, TRUE, SPACE, EMBEDDER)
    assert own.mean() > 0.9
    shuffled = measure_support(TABLE, TRUE[7:] + TRUE[:7], SPACE, EMBEDDER)
    assert shuffled.mean() < 0.2


def test_half_a_lie_is_half_supported() -> None:
    stranger = TRUE[7:] + TRUE[:7]
    mixed = [f"{own.split('. ')[0]}. {other.split('. ')[0]}." for own, other in zip(TRUE, stranger, strict=True)]
    assert measure_support(TABLE, mixed, SPACE, EMBEDDER).mean() == pytest.approx(0.5, abs=0.1)


def test_what_fits_everybody_is_supported_by_nobody() -> None:
    support = measure_support(TABLE, ["Likes good things."] * N_USERS, SPACE, EMBEDDER)
    assert support.mean() < 0.2


@pytest.mark.parametrize("seed", range(3))
def test_chance_supports_one_sentence_in_twenty_however_long_the_history(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.uniform(0, np.log(40), size=400)).astype(int) + 2
    item_ids = [f"thing{place}" for place in range(600)]
    taken = {f"u{user}": rng.permutation(item_ids)[:length].tolist() for user, length in enumerate(lengths)}
    table = split_examples(make_dataset(taken, item_ids))
    space = ItemSpace(_draw_unit(rng, 600))
    shares = measure_support(table, ["One. Two. Three. Four."] * len(table), space, RandomEmbedder(seed), seed=seed)
    history_lengths = np.array([len(table.history_rows(row)) for row in range(len(table))])
    for group in (history_lengths <= 3, history_lengths >= 15, history_lengths > 0):
        assert shares[group].mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / (4 * group.sum())))


def test_what_is_not_wanted_is_no_claim_about_the_history() -> None:
    own = measure_support(TABLE, [f"{text} No longer interested in gardens." for text in TRUE], SPACE, EMBEDDER)
    assert own.tolist() == measure_support(TABLE, TRUE, SPACE, EMBEDDER).tolist()
    assert np.isnan(measure_support(TABLE, ["Nothing like gardens."] * N_USERS, SPACE, EMBEDDER)).all()


def test_without_strangers_nothing_is_measured() -> None:
    with pytest.raises(DataError, match="measure two users or more"):
        measure_support(TABLE.take(np.array([0])), TRUE[:1], SPACE, EMBEDDER)


def test_invented_facts_are_found_and_others_are_not() -> None:
    lies = [f"{text} She is a 25-year-old woman named Sarah." for text in TRUE]
    assert guard(lies, "guard_invented_person").tolist() == [1.0] * N_USERS
    assert guard(TRUE, "guard_invented_person").tolist() == [0.0] * N_USERS


def test_copied_and_repeated_words_are_found() -> None:
    copied = [f"{its[0]}" for its in HISTORIES]
    assert guard(copied, "guard_copying").min() == 1.0
    assert guard(["likes quiet evenings at home"] * N_USERS, "guard_copying").max() == 0.0
    assert guard(["so very good so very good so very good"] * N_USERS, "guard_repetition").min() > 0.4
    assert guard(TRUE, "guard_repetition").max() == 0.0
    assert guard(["no end"] * N_USERS, "guard_unfinished").min() == 1.0
    assert guard(TRUE, "guard_unfinished").max() == 0.0


def test_distinctness_is_the_mean_distance_to_all_others() -> None:
    vectors = EMBEDDER.embed(TRUE[:6], "profile")
    naive = [np.mean([1 - vectors[row] @ vectors[other] for other in range(6) if other != row]) for row in range(6)]
    assert measure_distinctness(vectors) == pytest.approx(naive, abs=1e-6)
    assert measure_distinctness(vectors[[0, 0, 0]]) == pytest.approx(0, abs=1e-6)


def test_plain_words_read_more_easily_than_long_ones() -> None:
    plain, hard = measure_reading_ease(
        [
            "Likes to buy cars. Has a lot of them.",
            "Demonstrates considerable appreciation regarding sophisticated instrumentation.",
        ]
    )
    assert plain > 80 > 20 > hard
    # Flesch: 206.835 - 1.015 words/sentence - 84.6 syllables/word, here 9 words in 2 sentences, 9 syllables.
    assert plain == pytest.approx(206.835 - 1.015 * 9 / 2 - 84.6 * 9 / 9, abs=0.01)
