"""Characters that nobody sees taken out of strangers' texts: they hide instructions, split words and steer terminals.

Gone are control characters but white space, ANSI sequences whole, tags (U+E0000 to U+E007F), zero-width and filling
characters, marks that turn the direction of writing. Joiners and variation selectors stay where a script or an emoji
needs them, and nowhere else.
"""

from __future__ import annotations

import re

# Terminal sequences: CSI with its parameters, OSC and the like to their end; of others the escape alone goes.
_ANSI = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,4096}"
    "(?:\x07|\x1b\\\\|\x9c)"
)
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001faff"
)
# Letters and signs of Arabic, Indic and South-East Asian scripts, in which joiners are spelling.
_JOINING = "\u0600-\u061b\u061d-\u109f\u1780-\u180a\u1820-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefe"
_IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_NEEDED = (
    f"(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])|(?:(?<=[{_EMOJI}])|(?<=[{_EMOJI}]\ufe0f))\u200d(?=[{_EMOJI}])"
    f"|(?<=[{_EMOJI}])[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)|(?<=[{_IDEOGRAPHS}])[\ufe00-\ufe02\U000e0100-\U000e01ef]"
)
# As a class of both Python's and polars' regular expressions. Marks of direction are among the blanks of a source, and
# are taken out here as well: a profile keeps its line breaks and has no other blanks.
HIDDEN_CLASS = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"(?!{_NEEDED})[{HIDDEN_CLASS}]")
_SUSPECT = re.compile(f"[{HIDDEN_CLASS}]")


def strip_hidden(text: str) -> str:
    """The text without characters that do not show. What shows is left alone; doing it twice changes nothing."""
    while _SUSPECT.search(text):
        plain = _HIDDEN.sub("", _ANSI.sub("", text))
        if plain == text:
            break
        text = plain
    return text
