"""Characters that do not show, put between those that do, on every way into a store."""

from __future__ import annotations

import random
from collections.abc import Sequence

import polars as pl

from bluerec.config import ProfilerConfig
from bluerec.data import cleaning, hidden_characters
from bluerec.data.cleaning import clean_texts
from bluerec.data.tables import build_dataset
from bluerec.profiling.prompts import join_profile, render_prompt
from bluerec.selftest.small_store import make_store, make_world, open_store
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced
from bluerec.store import sentences
from bluerec.store.store import Store
from bluerec.types import Event, History, Interaction, Item

# By name: tags, variation selectors, zero-width characters, directions, fillers, and the terminal's own.
HIDDEN = [
    *range(0xE0000, 0xE0080), *range(0xFE00, 0xFE10), *range(0x200B, 0x2010), 0x2060, *range(0x202A, 0x202F),
    *range(0x2066, 0x206A), 0xFEFF, 0xAD, 0x180E, 0x3164, *range(0xE0100, 0xE01F0),
]  # fmt: skip
TERMINAL = (
    "\x1b[31m",
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x1b]8;;http://evil.example\x1b\\",
    "\x9b31m",
    "\x00",
    "\x07",
    "\x1b",
)
# What sounds like an attack and is a title.
HARMLESS = (
    "Ignore the Wizard",
    "System Shock 2",
    "Override: Mech City Brawl",
    "The Prompt",
    "Assistant Manager Simulator",
    "<3 Heart Ukulele",
    "Do Not Disturb Sign",
    "Delete! The Board Game",
    "Instructions Not Included",
    "SELECT Shampoo",
    "Script Notebook",
    "Secret of Mana: All Previous Chapters",
    "Forget Me Not Seeds",
    "You Are Now Entering Flavortown",
    "Root Access: A Gardener's Guide",
    "Password Journal (10 x 15 cm)",
    "& Sons Beard Oil",
    "100% Cotton; Drop Shoulder",
    "Jailbreak! Escape Room Game",
    "Reveal Hidden Picture Book",
    "Terminal Velocity",
    "Admin: The Card Game",
    "C:\\> Retro Mug",
    "Robert'); Table Lamp",
    "{{Curly}} Hair Cream",
    "é — “quotes” … №1",
    "新しいゲーム",
    "❤️ Mug 👨‍👩‍👧",
    "می‌خواهم",
    "क्‍ष",
    "Ω 3-6-9 (180 ct.)",
    "Ignore All Previous Relationships: A Novel",
)


def hide(words: str, draw: random.Random) -> str:
    """A text with hidden characters and terminal sequences put in between."""
    pieces = list(words)
    for _ in range(draw.randrange(1, 10)):
        piece = draw.choice(TERMINAL) if draw.random() < 0.3 else chr(draw.choice(HIDDEN))
        pieces.insert(draw.randrange(len(pieces) + 1), piece)
    return "".join(pieces)


def _draw_words(draw: random.Random) -> str:
    return " ".join("".join(draw.choice("bcdfgkmnprst") + draw.choice("aeiou") for _ in range(3)) for _ in range(4))


def _smuggle(plan: Plan, n_texts: int) -> Outcome:
    draw, outcome = random.Random(plan.seed), Outcome({"smuggled texts": n_texts, "ways in": 5, "harmless titles": 0})
    words = [_draw_words(draw) for _ in range(n_texts)]
    hidden = [hide(text, draw) for text in words]
    cleaned, _ = clean_texts(pl.Series(hidden, dtype=pl.String()))
    _compare("prepared", cleaned.to_list(), words, outcome)
    _compare("written by a model", [join_profile("", text) for text in hidden], words, outcome)
    world = make_world()
    n_items = world.dataset.n_items
    items = world.dataset.items.with_columns(title=pl.Series(hidden[:n_items], dtype=pl.String()))
    folder = make_store(plan.folder / "store", dataset=build_dataset(world.interactions, items))
    with open_store(folder) as store:
        titles = [item.title for item in store.catalogue.items_at(range(n_items))]
        _compare("titles of a store", titles, words[:n_items], outcome)
        _compare_stored(plan, store, hidden, words, outcome)
    # The bytes of the files too: what was taken out of a text must not lie beside it.
    content = b"".join(path.read_bytes() for path in folder.glob("store.sqlite*"))
    outcome.faults += [
        f"{mark!r} is in the files" for mark in ("\x1b[31m", "\U000e0041", "\u2060") if mark.encode() in content
    ]
    titles = [*HARMLESS, *_real_titles(plan)]
    outcome.counts["harmless titles"] = len(titles)
    for title, cleaned_title in zip(titles, clean_texts(pl.Series(titles))[0].to_list(), strict=True):
        if title != cleaned_title or not _is_untouched(title):
            outcome.count("harmless titles changed")
            if title in HARMLESS:
                outcome.faults.append(f"the harmless title {title!r} was changed")
    if outcome.counts.setdefault("harmless titles changed", 0) > 0.005 * len(titles):
        outcome.faults.append(f"{outcome.counts['harmless titles changed']} harmless titles were changed")
    return outcome


def _compare_stored(plan: Plan, store: Store, hidden: Sequence[str], words: Sequence[str], outcome: Outcome) -> None:
    """Reviews and profiles, through the store's own doors."""
    for start in range(0, len(hidden), 100):
        plan.progress(start, len(hidden))
        part = hidden[start : start + 100]
        rows = [{"item_id": f"i{n:04d}", "timestamp": start + n, "review_text": text} for n, text in enumerate(part)]
        user = f"smuggler{start}"
        store.add_interactions(user, rows)
        texts = [event.interaction.review_text for event in store.history(user)]
        _compare("reviews of a store", texts, words[start : start + 100], outcome)
        edited = store.save_edit(user, "\n".join(part[:40])).text.split("\n")
        _compare("profiles of a store", edited, words[start : start + 40], outcome)


def _compare(way: str, found: Sequence[str | None], words: Sequence[str], outcome: Outcome) -> None:
    """What shows must be there and nothing else; white space may differ where a control character became a space."""
    for text, expected in zip(found, words, strict=True):
        outcome.count("texts looked at")
        if "".join((text or "").split()) != "".join(expected.split()):
            outcome.faults.append(f"{way}: {text!r} instead of {expected!r}")


def _real_titles(plan: Plan) -> list[str]:
    paths = sorted(plan.data.glob("*/items.parquet")) if plan.data else []
    titles = [title for path in paths for title in pl.read_parquet(path, columns=["title"])["title"].to_list() if title]
    # A title that holds markup or a hidden character is not harmless: cleaning it is what was asked for.
    return [title for title in titles if title == " ".join(title.split()) and cleaning.strip_markup(title) == title]


def _is_untouched(title: str) -> bool:
    """Whether a title comes through a store's door and into a prompt as it is."""
    event = Event(Interaction("u", "i", 0), Item("i", title))
    prompt = render_prompt(History("u", (event,), 1), ProfilerConfig(), lambda text: len(text.split()))
    line = prompt.messages[1]["content"].splitlines()[1]
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in title).split())
    in_prompt = line == f"- {plain}" or len(plain) > 100
    return sentences.clean_line(title) == title and in_prompt


def _plant(plan: Plan) -> Outcome:
    with (
        replaced(hidden_characters, "strip_hidden", str),
        replaced(cleaning, "strip_hidden", str),
        replaced(sentences, "strip_hidden", str),
    ):
        return _smuggle(plan, 200)


HIDDEN_CHARACTERS = Suite(
    title="characters that do not show",
    promise=(
        "Tags, zero-width characters, directions and terminal sequences are gone from every text that comes in; "
        "harmless titles, also those that sound like attacks, are not changed."
    ),
    planted_fault="texts that come in as they are",
    run=lambda plan: _smuggle(plan, plan.choose(1_000, 10_000)),
    plant=_plant,
)
