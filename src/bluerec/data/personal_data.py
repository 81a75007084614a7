"""Personal data in texts that strangers wrote: e-mail addresses, phone, card, account and social security numbers, IPs.

What can be checked is checked (digits of cards and accounts, numbering plans of phones, addresses), so that years,
model numbers and bar codes of titles stay. Names and street addresses are not found: titles are full of them.
"""

from __future__ import annotations

import ipaddress
import re
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

PLACEHOLDER = "[removed]"
# National forms are tried for these; numbers with a country code are found for all countries.
PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "BR", "JP", "AU")
_MIN_PHONE_DIGITS = 9
_MIN_CARD_DIGITS = 13
# Blocks of digits that are tried as phone numbers, several times in each region: in a text of nothing but numbers that
# would take seconds. What looks like a phone number after so many is taken for one, as it may be one. Of 20,068 reviews
# none has more than 12.
_MAX_TRIED_BLOCKS = 24
# How far apart the blocks of a phone number are, and how much stands before and after it that decides, as phonenumbers
# has it; a longer block is tried in parts.
_MAX_GAP, _MAX_LEAD, _MAX_TAIL, _MAX_BLOCK_DIGITS = 4, 11, 2, 20

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
_SIGN = "[ -]?[A-Za-z0-9]"
_IBAN = re.compile(
    rf"(?<![A-Za-z0-9])(?P<head>[A-Za-z]{{2}}[ -]?\d{{2}})(?P<rest>(?:{_SIGN}){{11}})(?P<more>(?:{_SIGN}){{0,21}})"
)
# The signs of an account number as digits, as its check digits count them: A is 10, Z is 35.
_STEPS = {sign: (10 if sign.isdigit() else 100, int(sign, 36)) for sign in string.digits + string.ascii_letters}
_SIGN_VALUES = str.maketrans({sign: str(value) for sign, (_, value) in _STEPS.items()} | {" ": "", "-": ""})
_SOCIAL = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}[ -](?!00)\d{2}[ -](?!0000)\d{4}(?![\d-])")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?:%\w{1,16})?(?![\w:])")
_DIGIT = re.compile(r"\d")
_BLOCK = re.compile(r"\d+")
# What may stand between the digits of a phone number, and digits that stand so, as phonenumbers has it.
_BETWEEN = (
    r"-xX\u2010-\u2015\u2212\u30fc\uff0d-\uff0f \xa0\xad\u200b\u2060\u3000()"
    r"\uff08\uff09\uff3b\uff3d.\[\]/~\u2053\u223c\uff5e"
)
_LIKE_PHONE = re.compile(rf"\d(?:[{_BETWEEN}]{{0,{_MAX_GAP}}}\d){{{_MIN_PHONE_DIGITS - 1},}}")
# Between a number and its extension.
_EXTENSION = re.compile(
    r"[ \xa0\t,-]*+(?:;ext=|(?:(?:e?xt|ｅ?ｘｔ)\w{0,8}|доб|anexo|int|ｉｎｔ|[x#~ｘ＃～])[:.．]?)?[ \xa0\t,-]*+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of personal data: its kind and where in the text it stands."""

    kind: str
    start: int
    end: int


@dataclass(slots=True)
class _Series:
    """Blocks of digits from `start` to `end` in a text; between `free_from` and `start` are no digits."""

    free_from: int
    start: int
    end: int = 0
    n_digits: int = 0
    n_blocks: int = 0


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
    yield from _find_numbers(text)


def _find_numbers(text: str) -> Iterator[Found]:
    if len(_DIGIT.findall(text)) >= _MIN_PHONE_DIGITS:
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
    for match in _CARD.finditer(text):
        length = _measure_card(match.group())
        if length:
            yield Found("card", match.start(), match.start() + length)


def _measure_card(text: str) -> int:
    """Characters of the longest card number of 13 digits or more that a text begins with, 0 for none.

    What follows a card number may be digits too: an expiry date, a security code.
    """
    length = n_digits = 0
    # Luhn's sums of the digits so far: with every even one doubled, and with every odd one.
    sums = [0, 0]
    for place, letter in enumerate(text, start=1):
        if not letter.isdigit():
            continue
        if not letter.isascii():
            break
        sums[n_digits % 2] += sum(divmod(2 * int(letter), 10))
        sums[1 - n_digits % 2] += int(letter)
        n_digits += 1
        if n_digits >= _MIN_CARD_DIGITS and sums[n_digits % 2] % 10 == 0:
            length = place
    return length


def _find_accounts(text: str) -> Iterator[Found]:
    from stdnum import iban

    start = 0
    while match := _IBAN.search(text, start):
        start = match.start() + 1
        # A word after the number looks like more of it: the longest beginning with the right check digits counts.
        for end in reversed(_find_checked(match)):
            if iban.is_valid(text[match.start() : end], check_country=False):
                start = end
                yield Found("iban", match.start(), end)
                break


def _find_checked(match: re.Match[str]) -> list[int]:
    """Where in the text an account number of 15 signs or more could end: there its check digits are right.

    As by ISO 7064, 97-10, for all lengths in one pass; the head counts as if it stood at the end, as six digits.
    """
    head = int(match["head"].translate(_SIGN_VALUES))
    wanted = (1 - head) * pow(10**6, -1, 97) % 97
    rest = int(match["rest"].translate(_SIGN_VALUES)) % 97
    ends = [match.end("rest")] if rest == wanted else []
    for place, sign in enumerate(match["more"], start=match.start("more") + 1):
        if sign in _STEPS:
            power, value = _STEPS[sign]
            rest = (rest * power + value) % 97
            if rest == wanted:
                ends.append(place)
    return ends


def _find_phones(text: str) -> Iterator[Found]:
    from phonenumbers import Leniency, PhoneNumberMatcher

    n_tried = 0
    for series in _find_series(text):
        if series.n_digits < _MIN_PHONE_DIGITS:
            continue
        n_tried += series.n_blocks
        if n_tried > _MAX_TRIED_BLOCKS:
            matches = _LIKE_PHONE.finditer(text, series.start, series.end)
            yield from (Found("phone", match.start(), match.end()) for match in matches)
            continue
        start = max(series.start - _MAX_LEAD, series.free_from)
        window = text[start : series.end + _MAX_TAIL]
        for region in PHONE_REGIONS:
            for match in PhoneNumberMatcher(window, region, leniency=Leniency.VALID):
                if len(_DIGIT.findall(match.raw_string)) >= _MIN_PHONE_DIGITS:
                    yield Found("phone", start + match.start, start + match.end)


def _find_series(text: str) -> list[_Series]:
    """All blocks of digits, those together that could be of one phone number with its extension."""
    found: list[_Series] = []
    end = 0
    for block in _BLOCK.finditer(text):
        n_blocks = 1 + (block.end() - block.start()) // _MAX_BLOCK_DIGITS
        is_near = block.start() - end <= _MAX_GAP or _EXTENSION.fullmatch(text, end, block.start())
        if found and is_near:
            found[-1].n_blocks += n_blocks
        else:
            found.append(_Series(end, block.start(), n_blocks=n_blocks))
        found[-1].n_digits += block.end() - block.start()
        end = found[-1].end = block.end()
    return found


def _fold(text: str) -> str:
    """Full-width letters, digits and signs as the plain ones: they would hide an address from the patterns."""
    return text if text.isascii() or not _MAYBE.search(folded := unicodedata.normalize("NFKC", text)) else folded
