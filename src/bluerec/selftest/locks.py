"""What a person wrote outlives every rewrite: offers by the thousand against profiles with locked sentences."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bluerec.selftest.small_store import make_store, open_store
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced
from bluerec.store import transactions

_WORDS = ("racing", "chess", "puzzle", "farming", "football", "golf", "dungeon", "deck", "space", "trains")
_N_USERS = 8


def _offer_often(plan: Plan, n_offers: int) -> Outcome:
    draw, locked = random.Random(plan.seed + 7), dict[str, tuple[str, ...]]()
    outcome = Outcome({"rewrites": 0, "locked sentences in them": 0, "edits between": 0})
    with open_store(make_store(plan.folder / "store", n_users=_N_USERS)) as store:
        number = 0
        while outcome.counts["rewrites"] < n_offers:
            plan.progress(int(outcome.counts["rewrites"]), n_offers)
            number += 1
            user = f"u{draw.randrange(_N_USERS):04d}"
            profile = store.profile(user)
            if number % 25 == 0 or user not in locked:
                mine = " ".join(f"{draw.choice(_WORDS).title()} {draw.choice(_WORDS)} {number}." for _ in range(3))
                old = profile.sentences[: draw.randrange(3)] if profile else ()
                locked[user] = store.save_edit(user, f"{mine} {' '.join(old)}").locked
                outcome.count("edits between")
                continue
            offers = [f"Likes {draw.choice(_WORDS)} and {draw.choice(_WORDS)}." for _ in range(draw.randrange(1, 4))]
            after = store.save_written(user, " ".join(offers), "model")
            kept = locked[user]
            outcome.count("rewrites")
            outcome.count("locked sentences in them", len(kept))
            there = tuple(sentence for sentence in after.sentences if sentence in kept)
            if there != kept or not all(sentence in after.text for sentence in kept):
                outcome.faults.append(f"rewrite {number}: of {len(kept)} locked sentences {len(there)} are left")
    return outcome


def _take_every_offer(current: Sequence[str], locked: Sequence[str], offered: Sequence[str]) -> list[str]:
    return list(offered)


def _plant(plan: Plan) -> Outcome:
    with replaced(transactions, "merge_offer", _take_every_offer):
        return _offer_often(plan, 20)


LOCKS = Suite(
    title="locked sentences",
    promise="A sentence that a person wrote is never overwritten, moved or dropped by a rewrite.",
    planted_fault="a merge that takes every offer as it is",
    run=lambda plan: _offer_often(plan, plan.choose(500, 10_000)),
    plant=_plant,
)
