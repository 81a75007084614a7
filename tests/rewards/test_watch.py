"""The watch list: golden values by hand, alarms that must fire, and titles that must not set them off."""

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.errors import DataError
from bluerec.rewards.person_facts import find_person_facts
from bluerec.rewards.title_index import TitleIndex, normalise_words
from bluerec.rewards.watch import (
    measure,
    measure_boilerplate,
    measure_copied,
    measure_distinct,
    measure_diversity,
    measure_listing,
    measure_repetition,
    measure_unfinished,
    summarise,
)

CATALOGUE = [
    "Fire Emblem: The Sacred Stones",
    "Nightshade - PlayStation 2",
    "Dark Cloud",
    "Crazy Taxi",
    "Journey",
    "The Punisher",
    "Pokémon Snap (Nintendo 64)",
    "Grand Theft Auto: San Andreas",
    "Harry Potter and the Chamber of Secrets - PC",
    "Beard Guyz Coarse Beard Balm 3oz",
    *(f"Star Wars Battle {number} - Xbox 360" for number in range(8)),
    "Star Wars",
    "Xbox 360",
]
INVENTED = [
    "A 25-year-old woman named Sarah who likes puzzle games.",
    "The user is 34 years old and enjoys racing.",
    "A gamer aged 19 with a taste for shooters.",
    "The user is in his early thirties.",
    "The user is a young man who collects role-playing games.",
    "She enjoys cosy farming games and soft colours.",
    "Her interests are skin care and perfume.",
    "This customer values quality, and he often buys tools.",
    "A female gamer with a love of strategy.",
    "The user is a software engineer who likes retro consoles.",
    "They work as a nurse and buy practical tools.",
    "A college student looking for cheap games.",
    "A mother of two who buys toys.",
    "The user buys educational games for their children.",
    "The user lives in a small apartment and likes board games.",
    "The user is from Texas.",
    "My name is John and I like shooters.",
    "John enjoys open-world games.",
    "A middle-aged man with an interest in fishing games.",
    "I am a teacher who likes word puzzles.",
    "The person is likely a retired teacher.",
    "The user is married and enjoys party games.",
    "A teenager who plays fighting games.",
    "I'm David, a fan of racing games.",
    "The user in the mid 30s likes hardware.",
    "The user is a male with an interest in hunting gear.",
]
HONEST = [
    "Enjoys Harry Potter and Grand Theft Auto, with a preference for open worlds.",
    "Likes Mega Man, Spider-Man and other action games on the Game Boy.",
    "Prefers Her Story, His Dark Materials and She-Ra.",
    "A fan of Tomb Raider: the female protagonist matters, and so does the story.",
    "Buys perfume for women and after-shave for men.",
    "Looks for fragrances for her and for him.",
    "Buys games for ages 8 to 12 and party games for the whole family.",
    "The user would give his or her friends a party game.",
    "Prefers John Madden football, Max Payne and Alan Wake.",
    "Plays as a detective in slow adventure games; enjoys Doctor Who and Trauma Center.",
    "Enjoys 10-year-old classics such as 20 year old console games.",
    "Interested in Farming Simulator, Train Simulator and Teenage Mutant Ninja Turtles.",
    "Likes games called Doom and Quake, and a series named Halo.",
    "Lives for competition: shooters, racing, and sport from the 2K series.",
    "Nintendo is a clear favourite; Sony was used before.",
    "Chooses durable tools, brass fittings and male adapters; female threads as well.",
    "Likes women's skin care, men's razors and baby shampoo.",
    "The user is a collector of role-playing games and prefers complete editions.",
    "Wants games popular in the nineties, and music from the sixties or the 80s.",
    "Prefers Professor Layton, Ms. Pac-Man, Lady Gaga and The Boy Who Cried Werewolf.",
]


def naive_copied(text: str, titles: list[str]) -> float:
    words = re.findall(r"[a-z0-9]+", text.lower())
    spans = [" ".join(words[start : start + 3]) for start in range(len(words) - 2)]
    joined = [" " + " ".join(re.findall(r"[a-z0-9]+", title.lower())) + " " for title in titles]
    return sum(any(f" {span} " in title for title in joined) for span in spans) / len(spans) if spans else 0.0


def test_copied_counts_the_trigrams_of_titles() -> None:
    text = "likes grand theft auto vice city a lot"  # 8 words, 6 trigrams, 3 within the title
    assert measure_copied(text, ["Grand Theft Auto: Vice City"]) == 3 / 6
    assert measure_copied("GRAND THEFT AUTO", ["Grand Theft Auto"]) == 1.0
    assert measure_copied(text, ["Grand Theft", "Auto Vice City!"]) == 1 / 6
    assert measure_copied("two words", ["two words"]) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["ab", "cd", "ef", "gh"]), max_size=14),
    st.lists(st.lists(st.sampled_from(["ab", "cd", "ef"]), max_size=5), max_size=4),
)
def test_copied_agrees_with_substring_search(words: list[str], titles: list[list[str]]) -> None:
    rendered = [" - ".join(title) for title in titles]
    assert measure_copied(", ".join(words), rendered) == pytest.approx(naive_copied(" ".join(words), rendered))


def test_repetition_is_the_share_of_trigrams_seen_before() -> None:
    assert measure_repetition("one two three four five") == 0.0
    # the cat sat | cat sat the | sat the cat | the cat sat: 4 trigrams, 3 different
    assert measure_repetition("the cat sat the cat sat") == pytest.approx(1 - 3 / 4)
    assert measure_repetition("go go go go go go") == pytest.approx(1 - 1 / 4)
    assert measure_repetition("") == 0.0


@pytest.mark.parametrize(
    "text", ["Likes games.", 'Likes "games."', "Really?", "Likes games!)", "それが好き。", "End. \n"]
)
def test_finished(text: str) -> None:
    assert measure_unfinished(text) == 0.0


@pytest.mark.parametrize("text", ["", "Likes games and", "PlayStation 2, PlayStation", "Likes v1.5", "Likes games,"])
def test_unfinished(text: str) -> None:
    assert measure_unfinished(text) == 1.0


def test_listing_is_the_share_of_words_in_runs_of_short_entries() -> None:
    assert measure_listing("PlayStation 5, PlayStation 2, PlayStation 3, PlayStation 4") == 1.0
    assert measure_listing("This user likes slow strategy games with a long campaign and history.") == 0.0
    assert measure_listing("Likes games, and books.") == 0.0  # two entries are no list
    assert measure_listing("- Doom\n- Quake\n- Halo\n") == 1.0
    prose = "this user has for many years preferred the following kinds of games"  # 12 words, one entry
    assert measure_listing(f"{prose}; racing, sport, puzzle") == 3 / 15


@pytest.mark.parametrize("text", INVENTED)
def test_invented_persons_are_seen(text: str) -> None:
    assert find_person_facts(text)
    assert measure(text, [])["invented_person"] == 1.0


@pytest.mark.parametrize("text", HONEST)
def test_titles_and_products_are_no_persons(text: str) -> None:
    assert find_person_facts(text) == ()


def test_a_fact_that_the_history_states_is_not_invented() -> None:
    text = "The user buys puzzles for their daughter."
    assert find_person_facts(text) == ("their daughter",)
    assert find_person_facts(text, support="A gift for THEIR daughter, she was happy") == ()


def test_titles_of_real_catalogues_set_off_few_person_alarms(real_data) -> None:
    import polars as pl

    for domain, limit in (("games", 0.001), ("beauty", 0.001), ("industrial", 0.001)):
        titles = pl.read_parquet(real_data / domain / "items.parquet")["title"].to_list()
        alarms = [title for title in titles if find_person_facts(f"The user enjoys {title} and similar items.")]
        assert len(alarms) <= limit * len(titles), alarms[:10]


def test_foreign_titles_are_named_and_own_ones_are_free() -> None:
    index = TitleIndex(CATALOGUE)
    text = "Likes Dark Cloud and fire emblem the sacred stones, and Nightshade."
    assert index.find(text) == ("dark cloud", "fire emblem the sacred stones")
    assert index.find_foreign(text, ["Dark Cloud - PlayStation 2"]) == ("fire emblem the sacred stones",)
    assert index.find_foreign(text, ["Dark Cloud 2", "Fire Emblem: The Sacred Stones"]) == ()
    assert index.find_foreign("Pokemon Snap is a favourite.", []) == ("pokemon snap",)


@pytest.mark.parametrize(
    "text",
    [
        "A long journey, and The Punisher.",  # one content word is never a title
        "Dark cloud effects and a crazy taxi ride.",  # small letters: words, not a name
        "Plays Star Wars on Xbox 360.",  # a series and a maker, shared by many titles
        "Racing games, open worlds and good stories.",
        "",
    ],
)
def test_descriptions_name_no_title(text: str) -> None:
    assert TitleIndex(CATALOGUE).find(text) == ()


def test_a_series_rule_needs_many_titles() -> None:
    assert TitleIndex(["Star Wars", "Star Wars Battle 1"]).find("Loves Star Wars.") == ("star wars",)


def test_title_index_on_a_real_catalogue(real_data) -> None:
    import polars as pl

    titles = pl.read_parquet(real_data / "games" / "items.parquet")["title"].to_list()
    index = TitleIndex(titles)
    sample = titles[::40]
    planted = sum(bool(index.find_foreign(f"Enjoys {title} and more.", [])) for title in sample) / len(sample)
    own = sum(bool(index.find_foreign(f"Enjoys {title} and more.", [title])) for title in sample)
    assert planted > 0.9
    assert own == 0
    assert index.find("Enjoys action and adventure games on PlayStation 4, Xbox One and Nintendo Switch.") == ()
    assert index.find("Prefers Role-Playing Games, Racing Wheels, Gaming Headsets and Wireless Controllers.") == ()


def test_measure_has_the_log_keys() -> None:
    measures = measure("Likes games.", ["Doom"], index=TitleIndex(CATALOGUE))
    assert set(measures) == {
        "copied", "repetition", "invented_person", "unfinished", "listing", "n_words", "foreign_title",
    }  # fmt: skip
    assert "foreign_title" not in measure("Likes games.", ["Doom"])
    assert measures["n_words"] == 2.0


def test_diversity_compares_different_users_only() -> None:
    same, other = "likes slow strategy games", "buys brass fittings only"
    assert measure_diversity([same, same], ["a", "b"]) == 0.0
    assert measure_diversity([same, same], ["a", "a"]) == 1.0
    assert measure_diversity([same, other], ["a", "b"]) == 1.0
    assert measure_diversity([same, same, other], ["a", "b", "c"]) == pytest.approx(2 / 3)
    assert measure_diversity(["", ""], ["a", "b"]) == 0.0


def test_diversity_agrees_with_a_naive_loop_over_bigrams() -> None:
    texts = ["a b c d", "a b d c", "x y", "a b c d e"]

    def bag(text: str) -> set[str]:
        words = ["", *text.split()]
        return {f"{one} {two}" for one, two in pairwise(words)}

    distances = [1 - len(bag(x) & bag(y)) / len(bag(x) | bag(y)) for x, y in combinations(texts, 2)]
    assert measure_diversity(texts, ["1", "2", "3", "4"]) == pytest.approx(sum(distances) / len(distances))


def test_collapse_is_still_seen_when_texts_are_thinned() -> None:
    texts = ["the same profile for everybody"] * 600
    assert measure_diversity(texts, [str(row) for row in range(600)]) == 0.0


def test_distinct_and_boilerplate() -> None:
    assert measure_distinct(["a b c", "a b d"], 2) == 3 / 4
    texts = ["The user is a fan of racing.", "The user is a fan of puzzles.", "Buys tools for the garden often."]
    assert measure_boilerplate(texts, ["a", "b", "c"]) == 2 / 3
    assert measure_boilerplate(texts[:2], ["a", "a"]) == 0.0


def test_summarise_is_the_mean_of_measures() -> None:
    index = TitleIndex(CATALOGUE)
    texts = ["Likes Dark Cloud.", "A gamer named Sarah likes"]
    summary = summarise(texts, [["Doom"], ["Doom"]], user_ids=["a", "b"], index=index)
    rows = [measure(text, ["Doom"], index=index) for text in texts]
    for name in rows[0]:
        assert summary[name] == (rows[0][name] + rows[1][name]) / 2
    assert summary["foreign_title"] == summary["invented_person"] == summary["unfinished"] == 0.5
    assert {"diversity", "distinct_2", "boilerplate"} < set(summary)


def test_summarise_refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="2 texts, 1 histories"):
        summarise(["a", "b"], [[]])
    with pytest.raises(DataError, match="at least one"):
        summarise([], [])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.lists(st.text(max_size=30), max_size=4))
def test_any_text_gets_shares_between_0_and_1(text: str, titles: list[str]) -> None:
    measures = measure(text, titles, index=TitleIndex(CATALOGUE))
    assert measures.pop("n_words") == len(normalise_words(text))
    assert all(0.0 <= value <= 1.0 for value in measures.values())
