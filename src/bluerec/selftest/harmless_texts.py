"""What the rule about instructions does to texts that are none: titles that sound like them, and all real ones."""

from __future__ import annotations

import polars as pl

from bluerec.data.instructions import is_instruction
from bluerec.selftest.first_strangers import HARMLESS_OF_FIRST_STRANGERS
from bluerec.selftest.hostile_text import HARMLESS as SOUNDING
from bluerec.selftest.steering_wishes import HARMLESS, HARMLESS_HELD_OUT
from bluerec.selftest.strangers import HARMLESS_OF_STRANGERS
from bluerec.selftest.suite import Outcome, Plan
from bluerec.selftest.third_strangers import HARMLESS_OF_THIRD_STRANGERS

MAX_WITHHELD = 1 / 2_000
# As far as a prompt quotes them.
_REVIEW_CHARACTERS, _TITLE_CHARACTERS = 120, 100


def judge_harmless(plan: Plan, outcome: Outcome) -> None:
    """Count what is withheld of harmless titles, and of the real titles and reviews where there are some."""
    titles = [
        *SOUNDING,
        *HARMLESS,
        *HARMLESS_HELD_OUT,
        *HARMLESS_OF_FIRST_STRANGERS,
        *HARMLESS_OF_STRANGERS,
        *HARMLESS_OF_THIRD_STRANGERS,
    ]
    wrong = [title for title in titles if is_instruction(title)]
    outcome.counts |= {"harmless titles": len(titles), "withheld of these": len(wrong)}
    outcome.faults += [f"the harmless title {title!r} is withheld" for title in wrong]
    real = find_real_titles(plan)
    if real:
        withheld = [title for title in real if is_instruction(title)]
        reviews = find_real_reviews(plan)
        outcome.counts |= {
            "real titles": len(real), "withheld of the real titles": len(withheld), "real reviews": len(reviews),
            "withheld of the real reviews": sum(is_instruction(review) for review in reviews),
        }  # fmt: skip
        if len(withheld) > MAX_WITHHELD * len(real):
            outcome.faults.append(f"{len(withheld)} of {len(real)} real titles are withheld, e.g. {withheld[0]!r}")


def find_real_titles(plan: Plan) -> list[str]:
    """The titles of all prepared folders as far as prompts quote them."""
    paths = sorted(plan.data.glob("*/items.parquet")) if plan.data else []
    titles = [title for path in paths for title in pl.read_parquet(path, columns=["title"])["title"].to_list()]
    return [title[:_TITLE_CHARACTERS] for title in titles if title]


def find_real_reviews(plan: Plan) -> list[str]:
    """What prompts quote of the reviews of all prepared folders: the title of a review, or else its beginning."""
    found: list[str] = []
    for path in sorted(plan.data.glob("*/interactions.parquet")) if plan.data else []:
        table = pl.read_parquet(path, columns=["review_title", "review_text"])
        quoted = table.select(pl.coalesce("review_title", "review_text").str.slice(0, _REVIEW_CHARACTERS).alias("text"))
        found += [text for text in quoted["text"].drop_nulls().to_list() if text]
    return found
