"""Holm's correction, the paired test and the metrics, each against a second, naive implementation."""

import itertools
import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluerec.evaluation.bench_table import compute_p_value, correct_by_holm
from bluerec.evaluation.metrics import METRIC_NAMES, score_ranks

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def holm_naively(p_values: list[float], level: float) -> list[bool]:
    """Step down as Holm (1979) tells it: the smallest against level / m, the next against level / (m - 1), ..."""
    rejected = [False] * len(p_values)
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        if p_values[place] * (len(p_values) - step) > level:
            break
        rejected[place] = True
    return rejected


@given(P_VALUES, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_steps_reject(p_values: list[float], level: float) -> None:
    assert [p <= level for p in correct_by_holm(p_values)] == holm_naively(p_values, level)


def test_holm_on_the_textbook_example() -> None:
    assert correct_by_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([3 * 0.01, 2 * 0.03, 2 * 0.03, 4 * 0.005])
    assert correct_by_holm([]) == []


@given(P_VALUES)
def test_a_correction_never_makes_smaller_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = correct_by_holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, adjusted, strict=True))
    by_size = [adjusted[place] for place in sorted(range(len(p_values)), key=lambda place: p_values[place])]
    assert by_size == sorted(by_size)


def test_the_paired_test_agrees_with_flipping_every_sign() -> None:
    generator = random.Random(0)
    for shift in (0.0, 0.2, 0.6):
        values = np.array([generator.gauss(shift, 0.5) for _ in range(16)])
        flipped = [abs(sum(s * v for s, v in zip(signs, values, strict=True)))
                   for signs in itertools.product((1, -1), repeat=16)]  # fmt: skip
        exact = sum(total >= abs(values.sum()) - 1e-12 for total in flipped) / len(flipped)
        assert compute_p_value(values, np.zeros(16)) == pytest.approx(exact, abs=0.03)


def test_the_paired_test_as_a_formula() -> None:
    own, other = np.random.default_rng(0).normal([[0.1], [0.0]], 0.5, (2, 80))
    differences = (own - other).tolist()
    z = statistics.mean(differences) / (statistics.stdev(differences) / math.sqrt(80))
    assert compute_p_value(own, other) == pytest.approx(2 * (1 - statistics.NormalDist().cdf(z)))
    assert compute_p_value(own, own) == 1.0


@pytest.mark.parametrize("n_users", [5, 10, 20, 60])
def test_a_true_null_is_rejected_in_one_case_of_twenty(n_users: int) -> None:
    draws = np.random.default_rng(n_users).normal(0.0, 1.0, (400, n_users))
    rejected = np.mean([compute_p_value(values, np.zeros(n_users)) <= 0.05 for values in draws])
    assert rejected < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_two_users_who_agree_prove_nothing() -> None:
    assert compute_p_value(np.array([0.5, 0.5]), np.zeros(2)) > 0.4
    assert compute_p_value(np.array([0.5]), np.zeros(1)) == 1.0
    assert compute_p_value(np.full(100, 0.5), np.zeros(100)) == 0.0


def test_a_clear_difference_stays_significant_among_a_hundred() -> None:
    own = np.random.default_rng(0).normal(0.2, 0.1, 400)
    assert correct_by_holm([compute_p_value(own, np.zeros(400))] + [0.5] * 99)[0] < 0.001


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_metrics_of_a_sorted_list(ranks: list[int]) -> None:
    """Each rank as a list of relevances, scored by the definitions: DCG over ideal DCG, hits, first hit."""
    expected = {}
    for cutoff in (5, 10, 20):
        lists = [[int(place == rank) for place in range(1, 61)][:cutoff] for rank in ranks]
        dcg = [sum(hit / math.log2(place + 1) for place, hit in enumerate(its, 1)) for its in lists]
        expected[f"ndcg@{cutoff}"] = [value / (1 / math.log2(2)) for value in dcg]
        expected[f"recall@{cutoff}"] = [float(sum(its)) for its in lists]
        expected[f"mrr@{cutoff}"] = [max(hit / place for place, hit in enumerate(its, 1)) for its in lists]
    values = score_ranks(np.array(ranks))
    for column, name in enumerate(METRIC_NAMES):
        assert values[:, column].tolist() == pytest.approx(expected[name])
