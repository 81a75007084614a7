"""Splits, pools, draws and hashed words stay as they were: all rest on the same 64 bits of a name."""

import numpy as np

from bluerec.data.candidates import example_seed
from bluerec.data.hashing import hash_name
from bluerec.data.histories import split_of_user
from bluerec.profiling.embedders import HashingEmbedder
from bluerec.rewards.negatives import seeded_generator


def test_the_bits_of_a_name_are_the_same_everywhere() -> None:
    assert hash_name("") == 0xE4A6A0577479B2B4
    assert hash_name("pool:3:日本@1") == example_seed("日本@1", 3) == 0xB3C60E766F2942AA
    assert seeded_generator("x").integers(2**40) == np.random.default_rng(hash_name("x")).integers(2**40)


def test_the_split_of_a_user_is_a_share_of_the_bits() -> None:
    for user in map(str, range(50)):
        share = hash_name(f"split:7:{user}") / 2**64
        assert split_of_user(user, seed=7) == ("test" if share < 0.25 else "validation" if share < 0.35 else "train")


def test_a_hashed_word_has_its_place_by_the_bits() -> None:
    (vector,) = HashingEmbedder(64).embed(["chess"], "item")
    bits = hash_name("chess")
    assert vector[bits // 2 % 64] == (1.0 if bits % 2 else -1.0)
