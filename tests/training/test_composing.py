"""Profiles put together by rule: names of products, what is left out, and that the text retrieves what comes next."""

import re

import numpy as np
import pytest
from small_worlds import make_dataset

from bluerec.data.histories import split_examples
from bluerec.data.toy import build_world
from bluerec.profiling.embedders import HashingEmbedder, embed_items
from bluerec.profiling.prompts import TEMPLATES, join_profile
from bluerec.rewards.title_index import TitleIndex
from bluerec.training.composing import HEAD_WORDS, N_NEXT, ProfileComposer, name_product


@pytest.mark.parametrize(
    ("title", "n_words", "name"),
    [
        ("Halo 3: Limited Edition - Xbox 360", 4, "Halo 3 for Xbox 360"),
        ("Wii Remote Controller [White]", 6, "Wii Remote Controller"),
        ("The Legend of the Hidden Temple", 3, "The Legend"),
        ("GBA 6-Pak Care Case - Game Boy Advance", 2, "GBA 6-Pak for Game Boy Advance"),
        ("Curling Iron, 1 inch", 6, "Curling Iron"),
        ("(((", 4, ""),
        ("", 4, ""),
    ],
)
def test_a_product_is_named_by_the_head_of_its_title_and_its_platform(title: str, n_words: int, name: str) -> None:
    assert name_product(title, n_words) == name


def compose(dataset, fits=lambda text: True):
    examples = split_examples(dataset)
    composer = ProfileComposer(examples, TitleIndex(dataset.titles), fits, prefill=TEMPLATES["interests"].prefill)
    return examples, composer.compose(examples)


def test_the_latest_items_are_named_first_and_older_ones_left_out() -> None:
    items = [f"i{number}" for number in range(9)]
    dataset = make_dataset({"u": items[:7], "v": items[2:]}, items)
    table, texts = compose(dataset)
    row = table.user_ids.index("u")
    titles = [dataset.titles[item] for item in table.history_rows(row)]
    expected = [name_product(title, n) for title, n in zip(titles[::-1], HEAD_WORDS, strict=False)]
    liked = texts[row].split(", and may want ")[0].rstrip(".")
    assert liked == f" {', '.join(expected[:-1])} and {expected[-1]}"
    assert titles[0] not in liked  # the sixth


@pytest.mark.parametrize("template", TEMPLATES)
def test_with_any_template_the_profile_is_a_whole_sentence(template: str) -> None:
    """Also where nothing is put into the model's mouth that it would go on from."""
    prefill = TEMPLATES[template].prefill
    dataset = make_dataset({"u": ["a", "b", "c"], "v": ["b", "c", "a"]}, list("abc"))
    examples = split_examples(dataset)
    measured: list[str] = []
    composer = ProfileComposer(
        examples, TitleIndex(dataset.titles), lambda text: bool(measured.append(text)), prefill=prefill
    )
    for row, text in enumerate(composer.compose(examples)):
        latest = name_product(dataset.titles[examples.history_rows(row)[-1]], HEAD_WORDS[0])
        profile = join_profile(prefill, text)
        assert re.match(rf"This (shopper|person) likes {re.escape(latest)}\b.*\.$", profile), profile
        opening = text.partition(latest)[0]
        assert opening == (" " if prefill else "This person likes ")
        assert all(longer.startswith(opening) for longer in measured)  # what is to fit has the opening, too


def test_of_a_text_that_is_too_long_the_oldest_products_are_left_out() -> None:
    items = [f"i{number}" for number in range(8)]
    dataset = make_dataset({"u": items[:6], "v": items[2:]}, items)
    _, long = compose(dataset)
    _, short = compose(dataset, lambda text: len(text) < len(long[0]))
    names = long[0].partition(" may want ")[0]
    assert short[0] != long[0]
    assert short[0].partition(" and ")[0] == names.split(" and ")[0].rpartition(",")[0]
    _, shortest = compose(dataset, lambda text: False)
    assert shortest[0].startswith(names.split(",")[0])  # one product stays, however long its name


def test_what_comes_next_for_the_user_has_no_part_in_it() -> None:
    """Two users with one history and different next items get one text."""
    dataset = make_dataset({"u": ["a", "b", "c"], "v": ["a", "b", "d"], "w": ["b", "c", "d", "a"]}, list("abcd"))
    table, texts = compose(dataset)
    assert texts[table.user_ids.index("u")] == texts[table.user_ids.index("v")]


def test_what_may_come_next_is_what_others_took_and_no_title_of_the_catalogue() -> None:
    world = build_world(n_users=150, n_items=60, seed=1)
    table, texts = compose(world.dataset)
    index = TitleIndex(world.dataset.titles)
    coming = [text.partition(" may want ")[2] for text in texts]
    assert np.mean([bool(part) for part in coming]) > 0.5
    for row, part in enumerate(coming):
        history = [world.dataset.titles[item] for item in table.history_rows(row)]
        assert not index.find_foreign(f"may want {part}", history)
        assert len(part.removesuffix(" next.").split(" or ")) <= N_NEXT


def test_composed_profiles_retrieve_their_own_users_next_items() -> None:
    world = build_world(n_users=300, n_items=80, seed=3)
    table, texts = compose(world.dataset)
    embedder = HashingEmbedder()
    cosines = embedder.embed(texts, "profile") @ embed_items(world.dataset, embedder)[table.target_rows].T
    own, others = np.diag(cosines), (cosines.sum(axis=1) - np.diag(cosines)) / (len(table) - 1)
    # No text has seen the future, so the difference is small; it is there all the same.
    difference = own - others
    assert difference.mean() > 3 * difference.std() / np.sqrt(len(table))
