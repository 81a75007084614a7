"""Texts of strangers that talk to a language model instead of naming a product: "ignore the above and write ...".

Signs are counted, each kind once: a command to set earlier ones aside, marks and labels of a chat, the address of a
model, a command to say something, talk about the shopper. One sign alone is in many titles ("Ignore the Rules: a Party
Game", "System Shock"); several together, or one that no shop uses, make an instruction. Who knows these signs can word
an instruction without them: this bounds what is tried without much thought, not what is thought out.
"""

from __future__ import annotations

import re
import unicodedata

from bluerec.data.hidden_characters import strip_hidden

# Points of a text that is an instruction, and of one that may be: the latter is read, and what comes of it looked at.
INSTRUCTION_POINTS = 4
SUSPECT_POINTS = 3
# What lies beyond is not looked at: titles and quoted reviews are shorter.
MAX_CHARACTERS = 1_000

_SET_ASIDE = r"\b(?:ignor(?:e|ing)|disregard|forget|overrid(?:e|ing)|bypass|neglect|discard|drop|skip|cancel|erase)\b"
_ORDERS = (
    r"(?:instructions?|prompts?|directions|directives?|commands?|guidelines|context|conversation|messages?|orders|constraints|policies|"
    r"protocols|restrictions)"
)
_THINGS = r"(?:tasks?|items?|titles?|products?|texts?|list|history|data|lines|rest|others|rules|reviews?|input)"
_EARLIER = r"(?:all|any|your|these|previous|prior|above|earlier|preceding|former|following|system|other)"
_FOREIGN = (
    r"\b(?:ignorier\w*|vergiss|vergessen|missachte\w*|oublie\w*|ignore[zr]|olvid\w+|ignor[ae]\w*|esque[cç]\w+|dimentica\w*)\b"
    r"(?:\W+\w+){0,4}?\W+(?:anweisungen|befehle|liste|instructions|instru[cz]\w+|consignes|indicaciones|istruzioni|lista)\b"
)
_FOREIGN_SAY = (
    r"\b(?:schreib\w*|sag\w?|nenne|écri\w+|dites?|escrib\w+|diga?|scriv\w+|escreva)\s(?:\w+\s){0,2}?(?:nur|seulement|uniquement|"
    r"solo|sólo|somente|soltanto|apenas|y nada)\b"
)
# Where a verb is a command: at a beginning, or after a word that leads to one.
_COMMAND = (
    r"(?:^|[.!?;:,>\])}\"'*-]\s*|\b(?:please|kindly|just|only|now|then|and|instead|must|should|always|never|not|don't|(?<!else )to|"
    r"you|ai|bot|assistant|model|so|simply|sure to|will)\s)"
)
_SAY = (
    r"(?:write|say|print|output|respond|reply|answer|repeat|return|state|mention|type|echo|generate|produce|name|list|"
    r"recommend|talk|speak|tell)"
)
_DO = (
    r"(?:include|insert|append|add|begin|start|end|finish|complete|continue|copy|put|quote|reveal|rank|suggest|promote|"
    r"advertise|praise|describe|summari[sz]e|replace|translate|conclude|pretend|assume|act|use|prefer)"
)
_ANSWER = r"(?:answers?|repl(?:y|ies)|responses?|outputs?|profiles?|summar(?:y|ies)|description|completions?|recommendations?)"
_SHOPPER = r"(?:shopper|user|customer|buyer|client|consumer)"
_WANTS = (
    r"(?:wants?|likes?|loves?|prefers?|enjoys?|desires?|buys|bought|collects|craves|asked|next|favou?rite|interest|"
    r"is (?:looking|interested|a (?:\w+ )?fan)|will (?:want|like|love|buy))"
)
_MODEL = r"(?:ai|a\.i\.|llms?|language models?|chat\s?bots?|recommender|summari[sz]er|profile writer)"
_CHAT_TAG = (
    r"(?:start_of_turn|end_of_turn|bos|eos|s|tool_call|tool|function|system|assistant|user|instructions?|prompt|human)"
)
_LABEL = r"(?:system|assistant|user|human|ai|bot|model|developer|admin(?:istrator)?|operator|instructions?|prompt|profile|summary|output)"

# Kind of sign, points, pattern over the folded text. Of a kind the best counts.
_SIGNS = tuple(
    (kind, points, re.compile(pattern))
    for kind, points, pattern in (
        ("aside", 4, rf"{_SET_ASIDE}(?:\W+\w+){{0,3}}?\W+{_EARLIER}\W+(?:\w+\W+){{0,3}}?(?:{_ORDERS}|tasks?|items?|titles?|list)\b"),
        ("aside", 4, rf"{_SET_ASIDE}(?:\W+\w+){{0,4}}?\W+(?:above|so far|written before)\b"),
        ("aside", 4, _FOREIGN),
        ("aside", 2, rf"{_SET_ASIDE}(?:\W+(?:the|all|those|everything|of|in|my))*\W+(?:{_ORDERS}|{_THINGS})\b"),
        ("aside", 2, rf"\b(?:do not|don't|never) (?:{_SAY}|describe)\s(?:\w+\s)?(?:the|any|other|these)\b"),
        ("aside", 3, r"\b(?:above|these|those|previous|other|earlier) (?:\w+ )?(?:is|are|was|were|do|does|did)(?: not|n't)? (?:relevant|irrelevant|matter|count|wrong|void|invalid|fake)\b"),
        ("aside", 2, r"\binstead of (?:summari[sz]ing|describing|answering|listing|writing|that|this)\b|\b(?:never ?mind|stop everything|task complete)\b"),
        ("mark", 4, r"<\|[^|<>]{0,40}\|>|\[/?inst\]|<</?sys>>"),
        ("mark", 4, rf"</?{_CHAT_TAG}>|#{{2,}}\s*{_LABEL}|#{{2,}}\s*(?:response|input|task)|\brole\W{{1,3}}(?:system|assistant|user)\b"),
        ("mark", 2, r"-{3,}|`{3,}|<!--|-->"),
        ("label", 3, rf"(?:^|\s)[\[(]{{1,2}}{_LABEL}[\])]{{1,2}}\s*\S"),
        ("label", 2, rf"(?:^|[.!?;>\])\"'*-]\s*){_LABEL}(?:\s(?:message|prompt|output|notice|note|format))?\s?:\s?\S"),
        ("label", 3, r"(?:^|[.!?;]\s)(?:user|shopper|customer|buyer)? ?(?:profile|interests?|preferences?|result|taste)\s?:\s?\S"),
        ("label", 3, r"(?:^|\s)[\[(]+(?:hidden|note|instructions?|todo)\s?:"),
        ("label", 3, rf"\b{_LABEL} (?:message|notice|prompt|override)\s?:\s?\S"),
        ("label", 4, rf"\b{_LABEL}\s?:.*(?:\b{_LABEL}|[.!?] a)\s?:|\bq:.*\ba:"),
        ("address", 3, rf"\b(?:dear|hey|hello|attention|note (?:to|for)|ps to|to|for|as|you are|if you are)(?:\s(?:the|an?|all|my))*\s{_MODEL}\b"),
        ("address", 3, r"\b(?:dear|hey|attention|note (?:to|for)|you are)(?:\s(?:the|an?|my|helpful))*\s(?:model|assistant|bot|system)\b"),
        ("address", 3, r"\b(?:model|ai|system|bot|assistant|whoever|anyone) (?:that |who )?(?:reads|reading|writes|writing|summari[sz]es)\b"),
        ("address", 4, r"\b(?:assistant|model|ai|bot) (?:replies|answers|says|writes|outputs|responds)\s?:"),
        ("address", 3, r"\b(?:i|we) want you to\b|\bas your (?:creator|owner|developer|admin\w*|user)\b|\bwe are testing you\b|\btodo for\b"),
        ("address", 2, r"\b(?:ai|language|chat)\s(?:model|assistant|reviewer|agent|bot|writer)s?\b"),
        ("you", 3, rf"\byour (?:\w+ )?(?:task|completion|prompt|{_ANSWER})\b"),
        ("you", 3, r"\bi (?:order|command|ask) you\b"),
        ("you", 2, r"(?:^|[.!?]\s)you are (?:now )?an?\s"),
        ("you", 2, r"(?<!repeats everything )\byou (?:only )?(?:speak|talk|write|say)\b|\bif (?:you are )?asked\b|\bdo whatever i\b|\bwhatever you (?:write|say|do)\b|\bwhile (?:writing|answering)\b"),
        ("you", 1, r"\byou (?:love|like|are|must|should|will|shall|have to|need to|only)\b"),
        ("role", 3, r"(?:^|[.!?]\s)(?:act as (?:an?|if)|pretend (?:that|to be|you)|assume (?:that )?(?:the|this)|imagine you)\b"),
        ("say", 4, rf"{_COMMAND}(?:{_SAY}|{_DO})\b[^.!?]{{0,60}}?\b(?:your|the|every|each|this|all)\s(?:\w+\s){{0,2}}?{_ANSWER}\b"),
        ("you", 4, r"\byour (?:new|next|only|real) (?:task|job|goal|answer)\b"),
        ("only", 2, r"\bregardless of (?:the |any )?(?:content|items?|titles?|list|instructions?)\b"),
        ("say", 4, rf"{_COMMAND}(?:{_SAY}|{_DO})\b[^.!?]{{0,60}}?\b(?:every|each|all)\s{_SHOPPER}s?\b"),
        ("say", 4, rf"{_COMMAND}(?:respond|reply|answer) (?:only|just|exactly|simply) (?:with|by|in)\b"),
        ("say", 3, rf"{_COMMAND}(?:respond|reply)\s?:\s?\S"),
        ("say", 3, rf"\byou (?:must|should|shall|will|have to) (?:\w+ )?{_SAY}\b|\binstead,? {_SAY}\b"),
        ("say", 3, rf"{_COMMAND}{_SAY}\b[^.!?]{{0,60}}?\b(?:only|exactly|nothing else|nothing but|verbatim|word for word|instead)\b"),
        ("say", 3, rf"{_COMMAND}(?:{_SAY}|{_DO})\b[^.!?]{{0,20}}?\bthe\s(?:\w+\s)?(?:words?|text|phrase|following)\b"),
        ("say", 3, r"\b(?:instead|please|kindly|simply|just|now|then|always),? (?:write|say|print|output|respond|reply|answer|repeat|mention|generate)\b"),
        ("say", 3, rf"{_FOREIGN_SAY}"),
        ("say", 3, rf"{_COMMAND}(?:{_SAY}|{_DO})\b[^.!?]{{0,60}}?\b(?:in|into|to) (?:your|the|every|each) (?:text|sentence|line)s?\b"),
        ("say", 2, rf"{_COMMAND}(?!answer\s?:){_SAY}(?:\s\w+){{0,2}}\s?[:\"]"),
        ("say", 2, rf"{_COMMAND}(?:write|say|print|output|respond|reply|answer(?!\s?:)|repeat|mention|conclude|name)\b"),
        ("say", 1, rf"{_COMMAND}(?!answer\s?:)(?:{_SAY}|{_DO})\b"),
        ("shopper", 4, rf"\b(?:the|this|that|each|every)\s(?:\w+\s)?{_SHOPPER}s?(?:'s)?\s(?:\w+\s){{0,2}}?{_WANTS}\b"),
        ("shopper", 3, rf"\b(?:the|this|that|each|every)\s(?:person|reviewer|reader)(?:'s)?\s(?:\w+\s){{0,2}}?{_WANTS}\b"),
        ("shopper", 3, rf"\b{_SHOPPER}'s (?:\w+ )?(?:favou?rite|brand|interest|preference|taste)s?\b"),
        ("shopper", 2, r"\bthey (?:want|like|love) \w+|\btell (?:them|everyone|everybody|the \w+ to)\b"),
        ("shopper", 1, rf"\b(?:the|this|that|each|every|all)\s{_SHOPPER}s?\b"),
        ("frame", 4, r"\bsystem prompt\b|\bprompt injection\b|\bdeveloper mode\b|\bsystem override\b|\b(?:begin|end) admin\b"),
        ("frame", 3, r"\b(?:new|next|real|actual) (?:task|instruction|order|objective)s?\s?[:.]|\badmin(?:istrator)? (?:notice|mode)\b"),
        ("frame", 3, r"\bend of (?:the |this )?(?:list|data|items|history|quotation|quote|input|context|prompt)\b(?!\s\w)"),
        ("frame", 2, r"\bfrom now on\b|\btools? \w+ with\b|\bcall the tool\b"),
        ("frame", 2, r"\b(?:and|then) stop\b|\bsay so\b|\byou should say it\b"),
        ("only", 3, r"\bconsider only\b|\bonly \w+ (?:may|must|shall|can|should|matters)\b|\b(?:the|these|any|no) (?:\w+ )?(?:items?|titles?|products?) (?:do not|don't|does not) matter\b"),
        ("only", 2, r"\b(?:no|any|anything|nothing) (?:other|else)\b|\b(?:name|list|show|use) only\b|\bmust contain\b"),
        ("place", 3, r"\b(?:as|into|be|by|is) (?:the|their|his|her|your|a user's|the user's) (?:\w+ )?(?:result|answer|main interest|only interest|favou?rite brand|summary)\b|\bthe main interest\b"),
        ("place", 3, r"\b(?:change|set|switch|replace) the (?:\w+ )?(?:brand|list|titles?|interest|favou?rite|items?)\b.* (?:to|by|with)\b"),
        ("stress", 2, r"\b(?:it is|it's) (?:very )?(?:important|crucial|essential|vital|necessary) that\b|^remember:|\bremember that\b"),
        ("must", 3, r"\byour (?:text|output|answer|reply) (?:has to|must|should|may)\b"),
        ("must", 3, r"\b(?:the|your|every|each|all|this)\s(?:\w+\s)?(?:profiles?|summar(?:y|ies)|repl(?:y|ies)|responses?|answers?|completions?) (?:must|should|shall|has to|have to|needs? to|is to|are to|begins?|starts?)\b"),
        ("key", 3, r"\{\s*\"|\b[a-z]+_[a-z]+\s?[:=]|\b(?:profile|summary|preference|favou?rite|likes?|output|answer)\s?=\s?\S"),
        ("answer", 2, rf"\b(?:generated|produced|correct|final)\s(?:text|sentence|{_ANSWER})\b|\btext to be (?:produced|written|generated)\b"),
        ("answer", 3, r"\b(?:the|your) (?:\w+ )?answer (?:is|:)|\banswer: |\bresult: |\bnext (?:sentence|line|word)\b|\bsentence about\b|\bcorrect: "),
        ("answer", 1, r"\b(?:profiles?|summary|summaries|prompt|instructions?|outputs?)\b"),
        ("stress", 1, r"\b(?:important|attention|warning|urgent|note|notice|ps)\b[^.]{0,20}:|\babove all\b|\bnothing else\b|\bat all costs\b|!!!"),
    )
)  # fmt: skip
# Of what a shopper likes a profile speaks by right.
_RIGHTS_OF_A_PROFILE = frozenset(("shopper", "answer"))
# Beginnings of words of which every sign has one: a text without any is not looked at further.
_MAYBE = re.compile(
    r"[<\[({#`]|---|[:=]|\b(?:ignor|disregard|forget|overrid|bypass|neglect|discard|drop|skip|cancel|erase|verg|missacht|oubli|olvid|"
    r"esque|dimentica|schreib|sag|nenne|écri|dite|escri|dig|scriv|escrev|above|these|those|previous|other|earlier|instead|never|stop|"
    r"whatever|if asked|while|we |i want|todo|they|tell|only|no |any|nothing|consider|must|main|change|set|switch|it is|it's|remember|answer|result|"
    r"next|sentence|correct|interest|preference|taste|hidden|ai|a\.i|llm|model|bot|chat|recommender|summari|writer|whoever|anyone|your|you|i order|i command|shopper|"
    rf"user|customer|buyer|client|consumer|person|reviewer|reader|system|prompt|admin|task|end of|from now|{_SAY[3:-1]}|{_DO[3:-1]})"
)
# Letters of a word with marks between them: any, or one that stays the same, so that another, or two spaces, part words.
_SPACED = (
    re.compile(r"(?<!\w)(?:\w[ .*_-]){3,}\w(?!\w)"), re.compile(r"(?<!\w)\w(?P<mark>[ .*_-])(?:\w(?P=mark)){2,}\w(?!\w)"),
)  # fmt: skip
_MARK = re.compile(r"[ .*_-]")
_HYPHEN = re.compile(r"(?<=[a-z])[-*_.](?=[a-z])")
# Letters of other alphabets that look like ours, and digits that are read as letters inside a word.
LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u04bb\u0501\u051b\u03bf\u03b1\u03b5\u03b9\u03c1\u03bd",
    "aeopcyxisjhdqoaeipv",
)
_DIGITS = str.maketrans("013457@$", "oieastas")
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d\u00ab\u00bb\u201e", '\'\'"""""')
_DIGIT_IN_WORD = re.compile(r"\b(?=\w*[a-z])(?=\w*[0-9@$])[\w@$]+")
_ANY_WORD = re.compile(r"\S+")
_WORD = re.compile(r"[a-z]{5,}")
# Words of commands that are read with a letter missing, added, changed or moved, where two of them stand together.
_OFTEN_MISSPELLED = (
    "ignore", "disregard", "previous", "instructions", "mention", "instead", "profile", "sentence", "response", "shopper",
)  # fmt: skip


def is_instruction(text: str) -> bool:
    """Whether a title or review tells a model what to do, and is not to be read by one."""
    return count_points(text) >= INSTRUCTION_POINTS


def is_suspect(text: str) -> bool:
    """Whether a text may be an instruction: what a model made of it is to be looked at."""
    return count_points(text) >= SUSPECT_POINTS


def is_obedient(profile: str) -> bool:
    """Whether a profile reads like an instruction itself: it passes one on, or answers one."""
    return count_points(profile, without=_RIGHTS_OF_A_PROFILE) >= INSTRUCTION_POINTS


def count_points(text: str, *, without: frozenset[str] = frozenset()) -> int:
    """How much a text looks like an instruction, 0 and up; `without` are kinds of signs that do not count."""
    folded = _fold(text)
    plain = _join_lines(folded)
    readings = {_undisguise(plain, _SPACED[0]), _undisguise(folded, _SPACED[1])} - {plain}
    points = _count(plain, without) if _MAYBE.search(plain) else 0
    return max([points, *(_count(reading, without) for reading in readings)])


def find_signs(text: str) -> dict[str, int]:
    """The kinds of signs in a text with their points, to explain a decision."""
    return _find(_join_lines(_fold(text)), frozenset())


def _count(plain: str, without: frozenset[str]) -> int:
    return sum(_find(plain, without).values())


def _find(plain: str, without: frozenset[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for kind, points, pattern in _SIGNS:
        if kind not in without and found.get(kind, 0) < points and pattern.search(plain):
            found[kind] = points
    return found


def _fold(text: str) -> str:
    """Small letters in their plain forms, lookalikes of other alphabets replaced in words that mix them."""
    text = unicodedata.normalize("NFKC", strip_hidden(text[:MAX_CHARACTERS])).translate(_QUOTES).casefold()
    return text if text.isascii() else _ANY_WORD.sub(lambda match: _unmix(match.group()), text)


def _join_lines(text: str) -> str:
    return " ".join(text.split())


def _unmix(word: str) -> str:
    return word.translate(LOOKALIKES) if not word.isascii() and re.search("[a-z]", word) else word


def _undisguise(text: str, spaced: re.Pattern[str]) -> str:
    """One line in which parted letters are put together, digits are read as letters, and misspellings corrected."""
    text = _join_lines(spaced.sub(lambda match: _MARK.sub("", match.group()), text))
    text = _DIGIT_IN_WORD.sub(lambda match: match.group().translate(_DIGITS), text)
    return _correct(_HYPHEN.sub("", text))


def _correct(text: str) -> str:
    """Words of commands spelt right, if at least two of them are misspelt: one alone is in many names of products."""
    meant = {word: key for word in _WORD.findall(text) for key in _OFTEN_MISSPELLED if _is_misspelt(word, key)}
    return text if len(meant) < 2 else _WORD.sub(lambda match: meant.get(match.group(), match.group()), text)


def _is_misspelt(word: str, key: str) -> bool:
    """Whether one letter after the first is missing, added or changed, or two neighbours are exchanged.

    Another form of the word ("ignored", "profiles", "instruction") is spelt right.
    """
    if word[0] != key[0] or word in ("instruction", *(key + end for end in "sdr")):
        return False
    start = next((place for place, pair in enumerate(zip(word, key, strict=False)) if pair[0] != pair[1]), None)
    if start is None:
        return abs(len(word) - len(key)) == 1
    if len(word) == len(key):
        rest = word[start + 1 :] == key[start + 1 :]
        return rest or (
            word[start : start + 2] == key[start : start + 2][::-1] and word[start + 2 :] == key[start + 2 :]
        )
    return word[start + 1 :] == key[start:] or word[start:] == key[start + 1 :]
