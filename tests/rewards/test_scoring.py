"""InfoNCE: golden numbers as formulas, a naive loop in plain Python, and what must and must not change a score."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.rewards.scoring import (
    combine_in_groups,
    expected_grade,
    fuse,
    info_nce,
    info_nce_bridge,
    info_nce_to_item,
    info_nce_to_profile,
    ndcg_of_rank,
    normalise,
    rank_target,
    reciprocal_of_rank,
    score_length,
    weigh_history,
)

EAST, NORTH, WEST = (np.array(vector, dtype=np.float32) for vector in ([1, 0], [0, 1], [-1, 0]))
SEEDS = st.integers(0, 2**32 - 1)


def unit(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return normalise(generator.normal(size=shape).astype(np.float32))


def build_case(seed: int, *, n: int = 5, m: int = 7, r: int = 4, d: int = 6) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "profile": unit(generator, n, d),
        "item": unit(generator, n, d),
        "negatives": unit(generator, n, m, d),
        "references": unit(generator, n, r, d),
    }


def naive_dot(left, right) -> float:
    return sum(float(x) * float(y) for x, y in zip(left, right, strict=True))


def naive_log_share(true: float, others: list[float], temperature: float) -> float:
    weights = [math.exp(value / temperature) for value in (true, *others)]
    return math.log(weights[0] / sum(weights))


def naive_info_nce(profile, item, negatives, references, temperature: float, share: float) -> float:
    true = naive_dot(profile, item)
    to_item = naive_log_share(true, [naive_dot(profile, negative) for negative in negatives], temperature)
    to_profile = naive_log_share(true, [naive_dot(item, reference) for reference in references], temperature)
    return (1 - share) * to_item + share * to_profile


def test_golden_numbers() -> None:
    profile, item = EAST[None], EAST[None]  # cosine 1
    others = np.stack([NORTH, WEST])[None]  # cosines 0 and -1
    for temperature in (1.0, 0.5, 0.05):
        expected = -math.log(1 + math.exp(-1 / temperature) + math.exp(-2 / temperature))
        assert info_nce_to_item(profile, item, others, temperature) == pytest.approx([expected])
        assert info_nce_to_profile(profile, item, others, temperature) == pytest.approx([expected])
    # The item opposite, the profile north: cosine 0 with the item, 0 with one negative, 1 with the other.
    scores = info_nce(
        NORTH[None], WEST[None], np.stack([EAST, NORTH])[None], EAST[None, None], temperature=0.5, share=0.25
    )
    to_item, to_profile = -math.log(2 + math.exp(2)), -math.log(1 + math.exp(-2))
    assert scores == pytest.approx([0.75 * to_item + 0.25 * to_profile])


def test_equal_cosines_are_worth_chance() -> None:
    same = np.repeat(EAST[None, None], 9, axis=1)
    assert info_nce_to_item(EAST[None], EAST[None], same, 0.05) == pytest.approx([math.log(1 / 10)])
    assert info_nce_to_profile(EAST[None], EAST[None], same, 0.05) == pytest.approx([math.log(1 / 10)])


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.05, 2.0), st.floats(0.0, 1.0))
def test_agrees_with_a_plain_loop(seed: int, temperature: float, share: float) -> None:
    case = build_case(seed)
    scores = info_nce(**case, temperature=temperature, share=share)
    rows = zip(*case.values(), strict=True)
    expected = [naive_info_nce(*row, temperature, share) for row in rows]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    assert scores.dtype == np.float64
    assert (scores <= 0).all()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.permutations(range(5)))
def test_a_row_is_scored_by_itself(seed: int, order: list[int]) -> None:
    case = build_case(seed)
    together = info_nce(**case, temperature=0.1, share=0.5)
    alone = [
        info_nce(**{name: rows[[row]] for name, rows in case.items()}, temperature=0.1, share=0.5)[0]
        for row in range(len(together))
    ]
    permuted = info_nce(**{name: rows[order] for name, rows in case.items()}, temperature=0.1, share=0.5)
    np.testing.assert_allclose(alone, together, atol=1e-6)
    np.testing.assert_allclose(permuted, together[order], atol=1e-6)


def test_what_rows_share_may_be_passed_once() -> None:
    case = build_case(1)
    shared = {name: rows if name == "profile" else rows[:1] for name, rows in case.items()}
    repeated = {name: np.repeat(rows[:1], 5, axis=0) if name != "profile" else rows for name, rows in case.items()}
    np.testing.assert_allclose(
        info_nce(**shared, temperature=0.1, share=0.5), info_nce(**repeated, temperature=0.1, share=0.5), atol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_both_directions_differ_within_a_group(seed: int) -> None:
    case = build_case(seed)
    item, negatives, references = case["item"][:1], case["negatives"][:1], case["references"][:1]
    assert np.ptp(info_nce_to_item(case["profile"], item, negatives, 0.1)) > 1e-4
    assert np.ptp(info_nce_to_profile(case["profile"], item, references, 0.1)) > 1e-4


def test_a_profile_nearer_to_the_item_is_worth_more() -> None:
    item = EAST[None]
    angles = np.linspace(math.pi / 2, 0, 10)  # from a right angle to the item itself
    profiles = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    others = np.stack([NORTH, WEST])[None]
    for share in (0.0, 0.5, 1.0):
        scores = info_nce(profiles, item, others, others, temperature=0.2, share=share)
        assert (np.diff(scores) > 0).all()
    gains = info_nce_bridge(NORTH[None], profiles, item, others, others, others, weight=0.5, temperature=0.2, share=0.0)
    assert (np.diff(gains) > 0).all()


def test_extreme_temperatures_give_numbers() -> None:
    others = np.stack([EAST, WEST])[None]
    assert info_nce_to_item(WEST[None], EAST[None], others, 1e-4) == pytest.approx([-2 / 1e-4])
    assert np.isfinite(info_nce_to_item(EAST[None], EAST[None], others, 1e-6)).all()


def test_not_a_number_is_not_hidden() -> None:
    case = build_case(2)
    case["profile"][0, 0] = np.nan
    scores = info_nce(**case, temperature=0.1, share=0.5)
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1:]).all()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.05, 3.0), st.floats(0.0, 1.0))
def test_the_bridge_agrees_with_a_plain_loop(seed: int, weight: float, share: float) -> None:
    case = build_case(seed)
    generator = np.random.default_rng(seed + 1)
    history, reference_histories = 0.6 * unit(generator, 5, 6), 0.8 * unit(generator, 5, 4, 6)
    gains = info_nce_bridge(
        history,
        case["profile"],
        case["item"],
        case["negatives"],
        case["references"],
        reference_histories,
        weight=weight,
        temperature=0.2,
        share=share,
    )

    def naive_fuse(left, right):
        total = [float(x) + weight * float(y) for x, y in zip(left, right, strict=True)]
        length = math.sqrt(sum(x * x for x in total))
        return [x / length for x in total]

    for row, gain in enumerate(gains):
        item, negatives = case["item"][row], case["negatives"][row]
        fused_references = [
            naive_fuse(one, other) for one, other in zip(reference_histories[row], case["references"][row], strict=True)
        ]
        fused = naive_fuse(history[row], case["profile"][row])
        after = naive_info_nce(fused, item, negatives, fused_references, 0.2, share)
        before = naive_info_nce(
            history[row] / 0.6, item, negatives, [one / 0.8 for one in reference_histories[row]], 0.2, share
        )
        assert gain == pytest.approx(after - before, abs=1e-4)


def test_a_profile_that_repeats_the_history_adds_nothing() -> None:
    case = build_case(3)
    histories = case["references"]
    gains = info_nce_bridge(
        case["profile"],
        case["profile"],
        case["item"],
        case["negatives"],
        histories,
        histories,
        weight=0.7,
        temperature=0.1,
        share=0.5,
    )
    np.testing.assert_allclose(gains, 0.0, atol=1e-5)


def test_fuse_and_normalise() -> None:
    np.testing.assert_allclose(fuse(EAST[None], NORTH[None], 1.0), [[math.sqrt(0.5), math.sqrt(0.5)]], rtol=1e-6)
    np.testing.assert_allclose(fuse(EAST, WEST, 1.0), [0.0, 0.0])  # they cancel, and point nowhere
    assert normalise(np.zeros((2, 3), dtype=np.float32)).tolist() == [[0.0] * 3] * 2


def test_the_history_is_weighed_by_recency() -> None:
    items = np.stack([EAST, WEST, NORTH])  # oldest first: weights 1/3, 1/2, 1
    expected = np.array([1 / 3 - 1 / 2, 1.0]) / (1 / 3 + 1 / 2 + 1)
    np.testing.assert_allclose(weigh_history(items), expected, rtol=1e-6)
    np.testing.assert_allclose(weigh_history(items[:1]), EAST)


def naive_rank(scores: list[float], target: int, hidden: set[int]) -> int:
    rivals = [item for item in range(len(scores)) if item != target and item not in hidden]
    return 1 + sum(1 for item in rivals if scores[item] >= scores[target] - 1e-6)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_ranks_agree_with_a_plain_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 6, size=(5, 12)).astype(np.float32)  # many ties
    targets = generator.integers(12, size=5)
    hidden = generator.random((5, 12)) < 0.3
    expected = [
        naive_rank(row.tolist(), int(target), set(np.flatnonzero(mask)))
        for row, target, mask in zip(scores, targets, hidden, strict=True)
    ]
    assert rank_target(scores, targets, hidden).tolist() == expected


def test_what_a_rank_is_worth() -> None:
    # With one relevant item the ideal gain is 1 / log2(2) = 1, so NDCG is the gain at the rank.
    assert ndcg_of_rank(np.array([1, 2, 3, 7])) == pytest.approx([1.0, 1 / math.log2(3), 0.5, 1 / 3])
    assert reciprocal_of_rank(np.array([1, 2, 4])).tolist() == [1.0, 0.5, 0.25]
    constant = np.zeros((1, 9), dtype=np.float32)
    assert rank_target(constant, np.array([0]), np.zeros((1, 9), dtype=bool)).tolist() == [9]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=6), st.integers(1, 60), st.floats(0.01, 1), st.floats(0.1, 3))
def test_length_agrees_with_its_definition(n_words: list[int], target: int, slope: float, cap: float) -> None:
    scores = score_length(np.array(n_words), target=target, slope=slope, cap=cap)
    assert scores.tolist() == pytest.approx([max(-cap, min(cap, slope * (target - n))) for n in n_words])


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 9))
def test_the_expected_grade_is_a_mean(seed: int, n_grades: int) -> None:
    shares = np.random.default_rng(seed).dirichlet(np.ones(n_grades), size=4)
    naive = [sum(p * (grade - 1) / (n_grades - 1) for grade, p in enumerate(row, start=1)) for row in shares]
    assert expected_grade(np.log(shares).astype(np.float32)) == pytest.approx(naive, abs=1e-5)
    certain = np.log(np.eye(n_grades) + 1e-30)
    assert expected_grade(certain) == pytest.approx(np.linspace(0, 1, n_grades), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_rewards_are_combined_as_a_plain_loop_does(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores, weights = generator.normal(size=(12, 3)), np.array([1.0, 0.5, 2.0])
    scores[:4, 1] = np.nan  # a reward that the first group lacks
    scores[4:8, 2] = 0.3  # and one that says nothing in the second
    expected = []
    for start in (0, 4, 8):
        group = scores[start : start + 4].tolist()
        for row in group:
            total = 0.0
            for place, weight in enumerate(weights):
                column = [other[place] for other in group]
                mean = sum(column) / 4
                deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / 4)
                if deviation > 1e-9:
                    total += weight * (row[place] - mean) / deviation
            expected.append(total)
    assert combine_in_groups(scores, weights, 4) == pytest.approx(expected)
