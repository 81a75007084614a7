"""What the page of a benchmark says in words: who ranks best, and what a profile is worth beside the others."""

from types import SimpleNamespace

import pytest

from bluerec.evaluation.bench_page import find_outcomes, is_of_profiles


def make_arena(means: dict[str, float], paired: dict[str, tuple[float, float]]) -> SimpleNamespace:
    """An arena of one pool: systems by mean; difference and p-value against the reference."""
    rows = {name: {"mean": mean, "low": mean - 0.01, "high": mean + 0.01} for name, mean in means.items()}
    tests = {
        name: {"difference": difference, "low": difference - 0.01, "high": difference + 0.01, "p_holm": p_holm}
        for name, (difference, p_holm) in paired.items()
    }
    return SimpleNamespace(
        data="games",
        pools=["full"],
        systems=sorted(means, key=lambda name: -means[name]),
        row=lambda system, pool: rows.get(system),
        paired=tests.get,
    )


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("profile:blue", True),
        ("multi-interest+history:blue", True),
        ("shuffled-profile:blue", False),
        ("harmonic-centred:blue", False),
        ("harmonic-centred", False),
        ("popularity", False),
    ],
)
def test_a_profile_is_read_by_systems_of_its_owners_text_only(system: str, expected: bool) -> None:
    assert is_of_profiles(system) is expected


def test_the_history_in_the_space_of_a_set_is_no_profile() -> None:
    means = {"harmonic-centred:blue": 0.4, "profile:blue": 0.3, "harmonic-centred": 0.2}
    said = find_outcomes([make_arena(means, {"profile:blue": (0.1, 0.01)})], {"reference": "harmonic-centred"})
    assert said == [
        "games: harmonic-centred:blue ranks best, NDCG@10 0.4000 (0.3900 to 0.4100); the best system with a profile, "
        "profile:blue, differs from harmonic-centred (+0.1000, +0.0900 to +0.1100)."
    ]


def test_a_profile_that_ranks_first_is_tested_too() -> None:
    means = {"profile:blue": 0.3, "harmonic-centred": 0.28}
    said = find_outcomes([make_arena(means, {"profile:blue": (0.02, 0.4)})], {"reference": "harmonic-centred"})
    assert said == [
        "games: profile:blue ranks best, NDCG@10 0.3000 (0.2900 to 0.3100); the best without a profile, "
        "harmonic-centred, has 0.2800 (0.2700 to 0.2900); the best system with a profile, profile:blue, cannot "
        "be told from harmonic-centred (+0.0200, +0.0100 to +0.0300)."
    ]
