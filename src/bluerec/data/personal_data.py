"""Personal data in texts that strangers wrote: e-mail addresses, phone, card, account and social security numbers, IPs.

What can be checked is checked (digits of cards and accounts, numbering plans of phones, addresses), so that years,
model numbers and bar codes of titles stay. Names and street addresses are not found: titles are full of them.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

PLACEHOLDER = "[removed]"
# National forms are tried for these; numbers with a country code are found for all countries.
PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "BR", "JP", "AU")
_MIN_PHONE_DIGITS = 9

_MAYBE = re.compile(r"@|\d|::|\bdot\b|[(\[{<]\s?at\s?[)\]}>]", re.IGNORECASE)
_AT = r"(?:\s?@\s?|\s?[(\[{<]\s?at\s?[)\]}>]\s?)"
_DOT = r"(?:\.|\s?[(\[{<]\s?dot\s?[)\]}>]\s?|\sdot\s)"
_LOCAL, _LABEL = r"[^\W_][\w.+%'-]{0,63}", r"[^\W_](?:[\w-]{0,62}[^\W_])?"
_EMAIL = re.compile(
    rf"(?<![\w.+%-]){_LOCAL}(?:{_AT}{_LABEL}(?:{_DOT}{_LABEL}){{0,4}}{_DOT}[^\W\d_]{{2,24}}"
    rf"|\sat\s{_LABEL}(?:\sdot\s{_LABEL}){{0,3}}\sdot\s[^\W\d_]{{2,24}})(?!\w)",
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\d.])[2-6](?:[ .-]?\d){12,18}(?![\d])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ -]?\d{2}(?:[ -]?[A-Za-z0-9]){11,32}")
_SOCIAL = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}[ -](?!00)\d{2}[ -](?!0000)\d{4}(?![\d-])")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?:%\w{1,16})?(?![\w:])")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of personal data: its kind and where in the text it stands."""

    kind: str
    start: int
    end: int


def strip_personal_data(text: str) -> str:
    """The text with `PLACEHOLDER` wherever personal data was found; a text without any comes back as it is."""
    plain = _fold(text)
    found = find_personal_data(plain)
    if not found:
        return text
    parts, end = [], 0
    for piece in found:
        parts += [plain[end : piece.start], PLACEHOLDER]
        end = piece.end
    return "".join([*parts, plain[end:]])


def find_personal_data(text: str) -> list[Found]:
    """What was found, in the order of the text; pieces that touch each other are one."""
    if not _MAYBE.search(text):
        return []
    merged: list[Found] = []
    for piece in sorted(_find_all(text), key=lambda piece: (piece.start, -piece.end)):
        if merged and piece.start < merged[-1].end:
            last = merged.pop()
            piece = Found(last.kind, last.start, max(last.end, piece.end))
        merged.append(piece)
    return merged


def _find_all(text: str) -> Iterator[Found]:
    yield from (Found("email", match.start(), match.end()) for match in _EMAIL.finditer(text))
    yield from (Found("ssn", match.start(), match.end()) for match in _SOCIAL.finditer(text))
    yield from _find_addresses(text)
    if len(_DIGIT.findall(text)) < _MIN_PHONE_DIGITS:
        return
    yield from _find_cards(text)
    yield from _find_accounts(text)
    yield from _find_phones(text)


def _find_addresses(text: str) -> Iterator[Found]:
    for match in _IPV4.finditer(text):
        if all(int(part) <= 255 for part in match.group().split(".")):
            yield Found("ip", match.start(), match.end())
    for match in _IPV6.finditer(text):
        address = match.group() if match.group().endswith("::") else match.group().rstrip(":")
        if address.count(":") >= 2 and _DIGIT.search(address) and _is_ipv6(address):
            yield Found("ip", match.start(), match.start() + len(address))


def _is_ipv6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def _find_cards(text: str) -> Iterator[Found]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = [(place, letter) for place, letter in enumerate(match.group()) if letter.isdigit()]
        # What follows a card number may be digits too: an expiry date, a security code.
        for length in range(len(digits), 12, -1):
            if luhn.is_valid("".join(letter for _, letter in digits[:length])):
                yield Found("card", match.start(), match.start() + digits[length - 1][0] + 1)
                break


def _find_accounts(text: str) -> Iterator[Found]:
    from stdnum import iban

    start = 0
    while match := _IBAN.search(text, start):
        places = [place for place, letter in enumerate(match.group()) if letter.isalnum()]
        start = match.start() + 1
        # A word after the number looks like more of it: the longest beginning with the right check digits counts.
        for length in range(min(len(places), 34), 14, -1):
            end = places[length - 1] + 1
            if iban.is_valid(match.group()[:end], check_country=False):
                start = match.start() + end
                yield Found("iban", match.start(), start)
                break


def _find_phones(text: str) -> Iterator[Found]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    for region in PHONE_REGIONS:
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
            if len(_DIGIT.findall(match.raw_string)) >= _MIN_PHONE_DIGITS:
                yield Found("phone", match.start, match.end)


def _fold(text: str) -> str:
    """Full-width letters, digits and signs as the plain ones: they would hide an address from the patterns."""
    return text if text.isascii() or not _MAYBE.search(folded := unicodedata.normalize("NFKC", text)) else folded
