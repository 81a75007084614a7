"""Personal data planted in reviews, and texts full of numbers that are none: what leaks, what is taken wrongly."""

from __future__ import annotations

import random
from collections.abc import Callable

import polars as pl

from bluerec.config import ProfilerConfig
from bluerec.data.personal_data import find_personal_data, strip_personal_data
from bluerec.profiling import prompts
from bluerec.profiling.prompts import join_profile, render_prompt
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced
from bluerec.types import Event, History, Interaction, Item

MAX_LEAKED, MAX_TITLES = 0.01, 0.02
_AROUND = (
    "Great game, {}",
    "Arrived broken, contact me: {} please",
    "{} is where you reach me",
    "my number is {}. Thanks!",
    "Seller asked for {} and never sent it",
    "(write to {}) five stars",
    "Works. {}",
    "I paid with {}, do not do that",
)
_NAMES = ("anna", "j.smith", "mueller_k", "li.wei", "o'brien", "maria-jose", "x99", "the.real.sam")
_HOSTS = ("gmail.com", "mail.example.org", "web.de", "uni-koeln.de", "yahoo.co.uk", "proton.me", "firma.example")
# Numbers that are assigned to nobody or to examples, in the forms in which people of these countries write them.
_PHONES = (
    "(415) 555-2{}",
    "415-555-2{}",
    "415.555.2{}",
    "+1 212 555 2{}",
    "+44 20 7946 0{}",
    "07700 900{}",
    "+49 30 901820{}",
    "0171 23456{}",
    "+33 1 23 45 6{}",
    "01 23 45 6{}",
    "+34 612 34 5{}",
    "+91 98765 43{}",
    "98765 43{}",
    "+81 3-1234-5{}",
)
_PREFIXES = ("4", "51", "52", "55", "34", "37", "6011")
_ACCOUNTS = {"DE": 18, "GB": None, "FR": 23, "NL": None, "ES": 20, "AT": 16, "CH": 17}


def _make_email(draw: random.Random) -> str:
    name, host = draw.choice(_NAMES) + str(draw.randrange(1000)), draw.choice(_HOSTS)
    forms = ("{}@{}", "{}@{}", "{}@{}", "{} (at) {}", "{} [at] {}", "{} @ {}")
    written = draw.choice(forms).format(name, host)
    return written.replace(".", " (dot) ") if "(at)" in written and draw.random() < 0.5 else written


def _make_phone(draw: random.Random) -> str:
    from phonenumbers import NumberParseException, is_valid_number, parse

    while True:
        form = draw.choice(_PHONES)
        written = form.format("".join(str(draw.randrange(10)) for _ in range(3)))
        if form.startswith(("+33", "01 23", "+34")):
            written += f" {draw.randrange(10, 100)}"
        for region in (None, "US", "GB", "DE", "FR", "IN"):
            try:
                if is_valid_number(parse(written, region)):
                    return written
            except NumberParseException:
                continue


def _make_card(draw: random.Random) -> str:
    from stdnum import luhn

    prefix = draw.choice(_PREFIXES)
    length = 15 if prefix in ("34", "37") else 16
    body = prefix + "".join(str(draw.randrange(10)) for _ in range(length - 1 - len(prefix)))
    digits = body + luhn.calc_check_digit(body)
    cut = (4, 10) if length == 15 else (4, 8, 12)
    parts = [digits[start:end] for start, end in zip((0, *cut), (*cut, length), strict=True)]
    return draw.choice((" ", "-", "")).join(parts)


def _make_account(draw: random.Random) -> str:
    country = draw.choice(list(_ACCOUNTS))
    length = _ACCOUNTS[country]
    digits = "".join(str(draw.randrange(10)) for _ in range(length or (14 if country == "GB" else 10)))
    body = digits if length else ("WEST" if country == "GB" else "ABNA") + digits
    number = int("".join(str(int(letter, 36)) for letter in f"{body}{country}00"))
    iban = f"{country}{98 - number % 97:02d}{body}"
    return iban if draw.random() < 0.5 else " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))


def _make_address(draw: random.Random) -> str:
    if draw.random() < 0.6:
        return ".".join(str(draw.randrange(1, 255)) for _ in range(4))
    groups = [f"{draw.randrange(1, 2**16):x}" for _ in range(8)]
    return ":".join(groups) if draw.random() < 0.5 else "2001:db8::" + ":".join(groups[:3])


def _make_social(draw: random.Random) -> str:
    return f"{draw.randrange(100, 665)}-{draw.randrange(1, 100):02d}-{draw.randrange(1, 10_000):04d}"


KINDS: dict[str, Callable[[random.Random], str]] = {
    "e-mail addresses": _make_email, "phone numbers": _make_phone, "card numbers": _make_card,
    "accounts": _make_account, "IP addresses": _make_address, "social security numbers": _make_social,
}  # fmt: skip


def _make_harmless(draw: random.Random) -> str:
    """Numbers as titles and reviews have them, that are nobody's."""
    year, n = draw.randrange(1980, 2025), draw.randrange
    forms = (
        f"Played it from {year} to {year + 7}, {n(1, 500)} hours, level {n(1, 99)}",
        f"Model {n(100, 999)}-{n(1000, 9999)}",
        f"UPC {n(10**11, 10**12)}",
        f"Ordered {n(1, 12)}/{n(1, 29)}/{year}, arrived {n(1, 12)}/{n(1, 29)}/{year}",
        f"ISBN 978-{n(0, 9)}-{n(100, 999)}-{n(10000, 99999)}-{n(0, 9)}",
        f"Version {n(1, 9)}.{n(0, 20)}.{n(0, 50)}",
        f"${n(1, 999)}.{n(10, 99)} instead of ${n(1000, 9999)}.00",
        f"{n(1, 12)}:{n(10, 59)}:{n(10, 59)} is my best time",
        f"Item {n(10**8, 10**9)}",
        f"{n(2, 30)} x {n(2, 30)} x {n(2, 30)} cm, {n(100, 2000)} g",
        f"B00{n(10**6, 10**7)}",
        f"Street Fighter {n(2, 6)}: 30th Anniversary {year}-{year + 30}",
        f"4K 60 Hz 1920x1080, {n(1, 64)} GB",
    )
    return draw.choice(forms)


def _plant_secrets(plan: Plan, n_each: int) -> Outcome:
    draw, outcome = random.Random(plan.seed + 11), Outcome()
    n_leaked = n_found = 0
    for kind, make in KINDS.items():
        leaked = 0
        for number in range(n_each):
            plan.progress(number, n_each)
            secret = make(draw)
            review = draw.choice(_AROUND).format(secret)
            leaked += any(_holds(text, secret) for text in (_prompt_with(review), join_profile("Likes", f" {review}")))
            n_found += bool(find_personal_data(review))
        outcome.counts[f"{kind} planted"] = n_each
        outcome.counts[f"{kind} leaked"] = leaked
        n_leaked += leaked
        if leaked > MAX_LEAKED * n_each:
            outcome.faults.append(f"{leaked} of {n_each} {kind} reach a prompt or a profile")
    harmless = [_make_harmless(draw) for _ in range(3 * n_each)]
    n_wrong = sum(strip_personal_data(text) is not text for text in harmless)
    n_planted = n_each * len(KINDS)
    outcome.counts |= {
        "harmless texts with numbers": len(harmless), "changed of these": n_wrong,
        "recall": round(n_found / n_planted, 4), "precision": round(n_found / max(1, n_found + n_wrong), 4),
    }  # fmt: skip
    _look_at_titles(plan, outcome)
    return outcome


def _look_at_titles(plan: Plan, outcome: Outcome) -> None:
    paths = sorted(plan.data.glob("*/items.parquet")) if plan.data else []
    titles = [title for path in paths for title in pl.read_parquet(path, columns=["title"])["title"].to_list() if title]
    if not titles:
        return
    wrong = sum(strip_personal_data(title) is not title for title in titles)
    outcome.counts |= {"real titles": len(titles), "changed of the real titles": wrong}
    if wrong > MAX_TITLES * len(titles):
        outcome.faults.append(f"{wrong} of {len(titles)} real titles would be changed")


def _prompt_with(review: str) -> str:
    event = Event(Interaction("u", "i", 0, 5.0, None, review), Item("i", "Chess"))
    prompt = render_prompt(History("u", (event,), 1), ProfilerConfig(), lambda text: len(text.split()))
    return prompt.messages[1]["content"]


def _holds(text: str, secret: str) -> bool:
    """Whether the secret, or a half of it and more, is in a text, however it is spaced."""
    plain, wanted = (_squeeze(part) for part in (text, secret))
    half = max(6, (2 * len(wanted)) // 3)
    return any(wanted[start : start + half] in plain for start in range(max(1, len(wanted) - half + 1)))


def _squeeze(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum() or letter in "@:")


def _look_away(text: str) -> str:
    return text


def _plant(plan: Plan) -> Outcome:
    with replaced(prompts, "strip_personal_data", _look_away):
        return _plant_secrets(plan, 20)


PERSONAL_DATA = Suite(
    title="personal data in reviews",
    promise=(
        "E-mail addresses, phone, card, account and social security numbers and IP addresses of reviews reach a prompt "
        "or a profile in at most 1% of cases; at most 2% of titles would be changed by the same rules."
    ),
    planted_fault="prompts and profiles without the rules",
    run=lambda plan: _plant_secrets(plan, plan.choose(100, 2_000)),
    plant=_plant,
)
