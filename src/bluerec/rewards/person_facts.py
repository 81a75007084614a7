"""Statements about who a user is that no purchase history supports: age, sex, name, family, job, home.

A list of patterns, case-sensitive on purpose: "Mega Man", "Game Boy", "Her Story" and "Harry Potter" are titles,
"a young man", "she enjoys" and "a gamer named Harry" are facts. Products made for somebody ("perfume for women",
"female protagonist", "toys for ages 8 to 12") are no fact about the user. What these patterns do not cover is not seen.
"""

from __future__ import annotations

import re

_PERSON = (
    "user|person|individual|customer|shopper|buyer|player|gamer|reader|reviewer|consumer|someone|fan|enthusiast|"
    "man|woman|boy|girl|guy|lady|student|adult|teen|teenager|mother|father|mom|mum|dad|parent"
)
_GENDERED = (
    "man|woman|boy|girl|guy|lady|gentleman|mother|father|mom|mum|dad|housewife|husband|wife|grandmother|grandfather|"
    "grandma|grandpa|bachelor|businessman|businesswoman"
)
_RELATIVE = (
    "wife|husband|son|sons|daughter|daughters|child|children|kid|kids|boyfriend|girlfriend|partner|spouse|brother|"
    "sister|mother|father|mom|mum|dad|grandson|granddaughter|grandchildren|grandkids|nephew|niece|baby|toddler"
)
_JOB = (
    "accountant|architect|artist|attorney|chef|coder|cook|designer|developer|doctor|driver|editor|electrician|"
    "engineer|entrepreneur|esthetician|farmer|freelancer|hairdresser|hairstylist|homemaker|journalist|lawyer|lecturer|"
    "manager|mechanic|musician|nurse|officer|painter|pharmacist|photographer|physician|pilot|plumber|professor|"
    "programmer|researcher|retiree|salesman|scientist|secretary|soldier|streamer|student|stylist|surgeon|teacher|"
    "technician|therapist|veteran|veterinarian|waiter|waitress|writer|carpenter|builder|contractor|youtuber"
)
_GIVEN_NAME = (
    "Aaron|Adam|Alan|Alex|Alice|Amanda|Amy|Andrea|Andrew|Angela|Anna|Anne|Anthony|Ashley|Barbara|Benjamin|Betty|Brian|"
    "Carol|Catherine|Charles|Chris|Christina|Christopher|Cynthia|Daniel|David|Deborah|Dennis|Diana|Donald|Donna|Edward|"
    "Elizabeth|Emily|Emma|Eric|Frank|Gary|George|Greg|Hannah|Harry|Heather|Helen|Henry|Jack|Jacob|James|Jane|Janet|Jason|"
    "Jeff|Jennifer|Jeremy|Jerry|Jessica|Joe|John|Jonathan|Jose|Joseph|Joshua|Juan|Julia|Julie|Justin|Karen|Kate|"
    "Katherine|Keith|Kelly|Kenneth|Kevin|Kim|Larry|Laura|Lauren|Linda|Lisa|Lucy|Margaret|Maria|Mark|Martha|Mary|Matt|"
    "Matthew|Megan|Melissa|Michael|Michelle|Mike|Nancy|Nathan|Nicholas|Nicole|Olivia|Pamela|Patricia|Patrick|Paul|Peter|"
    "Rachel|Raymond|Rebecca|Richard|Robert|Roger|Ronald|Rose|Russell|Ruth|Ryan|Samantha|Samuel|Sandra|Sara|Sarah|Scott|"
    "Sharon|Sophia|Stephanie|Stephen|Steve|Steven|Susan|Teresa|Thomas|Tim|Timothy|Tom|Tyler|Victoria|Vincent|Virginia|"
    "Walter|William|Zachary"
)
_DECADE = r"(?:[2-9]0s|teens|twenties|thirties|forties|fifties|sixties|seventies)"
_PERSON_VERB = (
    "is|was|enjoys|loves|likes|has|prefers|plays|buys|owns|works|lives|seems|appears|tends|often|also|would|appreciates"
)
_HEDGE = r"(?:\s+(?:likely|probably|perhaps|also|currently|possibly|clearly))?"

_ARTICLE = r"(?:[Aa]n?|[Tt]he|[Tt]his|[Tt]hat)"
_SUBJECT = (
    r"(?:[Uu]ser|[Pp]erson|[Ii]ndividual|[Cc]ustomer|[Ss]hopper|[Bb]uyer|[Pp]layer|[Gg]amer|[Rr]eader|[Rr]eviewer|"
    r"[Cc]onsumer|[Tt]hey|who|[Hh]e|[Ss]he|I)\s+(?:is|are|am|was)" + _HEDGE
)
_HOME = r"(?:[A-Z]|the\s|an?\s+(?:small|big|large|city|town|house|apartment))"

_AGE = (
    r"\b\d{1,2}[- ]years?[- ]old\b(?!\s+(?:game|console|title|product|classic|model|system))",
    r"\b(?:aged|age of)\s+\d{1,2}\b(?!\s*(?:\+|-|to|and))",
    rf"\b(?:[Hh]is|[Hh]er|[Tt]heir|[Mm]y|in the (?:early|mid|late))[ -]"
    rf"(?:early[ -]|mid[ -]|late[ -])?{_DECADE}\b",
    rf"\b(?:{_ARTICLE}|young|is|are)\s+(?:[a-z-]+\s+){{0,2}}"
    r"(?:teenager|teen|pensioner|adolescent|octogenarian|millennial)\b(?!['’-])",
    rf"\b(?:[Mm]iddle-aged|[Ee]lderly)\s+(?:[a-z]+\s+)?(?:{_PERSON})\b",
    rf"\b{_ARTICLE}\s+young\s+(?:adult|person|professional|gamer|player|user)\b(?!\s+(?:novel|fiction|book))",
)
_SEX = (
    # "he or she" leaves it open; a capital after the pronoun begins a title ("Her Story").
    r"(?<!or )(?<![/\w'’-])(?:he|she|himself|herself)\b(?!\s+or\b|/)(?!['’]?-)",
    r"(?<![/\w-])(?:He|She)(?:['’]s|['’]d|['’]ll)?\s+[a-z]",
    r"(?<!or )(?<![/\w-])(?:his|her)\s+(?!or\b|and\b)[a-z]",
    r"(?:^|[.!?]\s+)(?:His|Her)\s+[a-z]",
    rf"\b(?:{_ARTICLE}|young|old|older|single|married|working)\s+(?:[a-z-]+\s+){{0,2}}?(?:{_GENDERED})\b(?!['’-])",
    r"\b(?:[Mm]ale|[Ff]emale)\s+(?:gamer|player|user|shopper|customer|person|adult|consumer|reader|reviewer|buyer|"
    r"individual|fan|enthusiast|student|teen\w*)\b",
    rf"\b{_SUBJECT}\s+(?:an?\s+)?(?:male|female)\b",
)
_NAME = (
    rf"\b(?:{_PERSON})\s+(?:named|called|known as|by the name of)\s+[A-Z][a-z]+",
    r"\b(?:[Mm]y|[Hh]is|[Hh]er|[Tt]heir|(?:user|person|customer|shopper|gamer|player)['’]s)\s+name\s+is\b",
    rf"\b(?:Meet|I am|I['’]m)\s+(?:{_GIVEN_NAME})\b",
    rf"(?:^|[.!?:]\s+|\b[Uu]ser,?\s+)(?:{_GIVEN_NAME})\s+(?:{_PERSON_VERB})\b",
)
_FAMILY = (
    rf"\b(?:[Hh]is|[Hh]er|[Tt]heir|[Mm]y)\s+(?:[a-z]+\s+)?(?:{_RELATIVE})\b",
    r"\b(?:mother|father|parent|mom|mum|dad)\s+of\s+"
    rf"(?:an?|two|three|four|five|\d|young|small|[a-z]+ (?:{_RELATIVE}))\b",
    rf"\b{_SUBJECT}\s+(?:married|single|divorced|widowed|retired)\b",
)
_WORK = (
    r"\b(?:works?|working|worked|employed|job|career|profession)\s+(?:as|in)\s+(?:an?\s+|the\s+)?[a-z]",
    rf"\b{_SUBJECT}\s+(?:an?\s+)?(?:[a-z-]+\s+){{0,3}}(?:{_JOB})s?\b",
    r"\b(?:[Cc]ollege|[Uu]niversity|[Hh]igh[- ]school|[Gg]raduate)\s+student\b",
)
_PLACE = (
    rf"\b(?:lives|living|resides|residing|grew up|was born|born and raised)\s+in\s+{_HOME}",
    rf"\b{_SUBJECT}\s+(?:based\s+in|from|a native of)\s+[A-Z]",
)
_PATTERNS = tuple(re.compile(pattern) for pattern in (*_AGE, *_SEX, *_NAME, *_FAMILY, *_WORK, *_PLACE))
_MADE_FOR = re.compile(r"\bfor\s+(?:him|her|men|women|boys|girls|kids|children)\b(?=\s*(?:[.,;:!?)]|and\b|or\b|$))")


def find_person_facts(text: str, support: str = "") -> tuple[str, ...]:
    """Phrases that state a fact about the person, in the order of the patterns.

    `support` is what the history itself says (review texts): a phrase found in it is not invented.
    """
    readable = _MADE_FOR.sub("for them", text)
    known = support.casefold()
    facts = dict.fromkeys(match.group().strip(" .!?:") for pattern in _PATTERNS for match in pattern.finditer(readable))
    return tuple(fact for fact in facts if fact.casefold() not in known) if known else tuple(facts)
