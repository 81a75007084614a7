"""Every number of a recipe has a range, and what lies outside is refused in one line that says what to use."""

from dataclasses import fields, is_dataclass
from math import inf, nan

import pytest

from bluerec.config import Config, config_from_dict, load_config
from bluerec.errors import ConfigError
from bluerec.sections import Range


def list_numbers() -> list[tuple[str, str, type]]:
    """Section, key and kind of every numeric setting."""
    config = Config()
    sections = [(section.name, getattr(config, section.name)) for section in fields(config)]
    return [
        (name, item.name, type(getattr(values, item.name)))
        for name, values in sections
        if is_dataclass(values)
        for item in fields(values)
        if type(getattr(values, item.name)) in (int, float)
    ]


@pytest.mark.parametrize(("section", "key", "kind"), list_numbers())
def test_no_number_may_be_anything(section: str, key: str, kind: type) -> None:
    for wrong in (-3, -(10**400)) if kind is int else (-3.0, -1e-9, nan, inf, -inf):
        with pytest.raises(ConfigError, match=rf"{section}\.{key}=") as caught:
            config_from_dict({section: {key: wrong}})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("profiler.max_events=-3", r"profiler\.max_events=-3: use at least 1"),
        ("profiler.max_events=0", "use at least 1"),
        ("profiler.max_new_tokens=0", "use at least 1"),
        ("profiler.max_prompt_tokens=0", "use at least 1"),
        ("profiler.temperature=-1", r"profiler\.temperature=-1\.0: must not be negative"),
        ("profiler.temperature=nan", "must be a finite number"),
        ("train.users_per_micro_batch=0", r"train\.users_per_micro_batch=0: use at least 1"),
        ("train.users_per_step=0", "use at least 1"),
        ("train.top_p=1.5", r"train\.top_p=1\.5: must be positive and at most 1"),
        ("train.learning_rate=0", "must be positive"),
        ("train.seed=4294967296", "must lie between 0 and 4294967295"),
        ("sft.micro_batch_size=0", r"sft\.micro_batch_size=0: use at least 1"),
        ("sft.log_every=0", "use at least 1"),
        ("embedding_reward.item_to_profile=1.5", "must lie between 0 and 1"),
        ("quality_reward.n_grades=10", "must lie between 2 and 9"),
        ("embedding_reward.weight=-1", r"embedding_reward\.weight=-1\.0: must not be negative"),
        ("train.runaway_length=2", "shares between 0"),
    ],
)
def test_numbers_without_sense_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)


def test_the_ends_of_a_range_are_in_it_or_not() -> None:
    assert [Range(at_least=1).find_fault(value) for value in (1, 0)] == [None, "use at least 1"]
    assert [Range(above=0).find_fault(value) for value in (1e-9, 0)] == [None, "must be positive"]
    assert Range(above=2).find_fault(2) == "must be above 2"
    assert [Range(above=0, at_most=1).find_fault(value) is None for value in (0, 0.5, 1, 1.1)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_what_counts_as_all_or_off_stays_allowed() -> None:
    off = ("data.max_users=0", "profiler.temperature=0", "train.flat_steps=0", "train.warmup_steps=0", "train.kl=0")
    load_config(None, off)
