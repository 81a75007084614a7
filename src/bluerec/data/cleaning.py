"""Texts of the sources made plain: no HTML, no entities, no control or hidden characters, one line, bounded in length.

What a text says is left alone, also where it is an instruction to a language model: that is a matter of the
prompt. Cleaning a clean text changes nothing.
"""

from __future__ import annotations

import html
import re

import polars as pl

from bluerec.data.hidden_characters import HIDDEN_CLASS, strip_hidden

# Longer than any review that is read; what lies beyond is cut off before anything looks at it.
MAX_TEXT_CHARACTERS = 20_000
# Layers of markup that are undone one by one: a text of nothing but `&amp;amp;...` has thousands of them.
_MAX_DEPTH = 16

# What is not shown: comments, scripts and styles, by how they begin and end.
_OPENING = re.compile(r"<(?:(?P<comment>!--)|(?P<script>script)\b|(?P<style>style)\b)", re.IGNORECASE)
_CLOSINGS = {
    "comment": re.compile("-->"),
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
}
# A tag begins with a letter right after `<`: "I <3 this" and "a < b" are no tags.
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")
_MARKUP = r"</?[A-Za-z!][^<>]*>|&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);"
_SIGN = re.compile("[<>&]")
_HIDDEN = f"[{HIDDEN_CLASS}]"
# What most marked texts of shops hold and nothing else; replacing these at once spares Python the most of its work.
_FREQUENT = {
    "<br />": " ",
    "<br/>": " ",
    "<br>": " ",
    "&#34;": '"',
    "&#39;": "'",
    "&quot;": '"',
    "&amp;": "&",
    "&nbsp;": " ",
}
# White space and characters without a shape: controls, marks that turn the direction of writing, byte order marks.
_BLANK = r"\s\x{0}-\x{1F}\x{7F}-\x{9F}\x{202A}-\x{202E}\x{2066}-\x{2069}\x{FEFF}"
_UNEVEN = rf"[{_BLANK}&&[^ ]]|  |^ | $"


def strip_markup(text: str) -> str:
    """The text without tags, comments, scripts and styles, its entities resolved, until nothing of it is left.

    What is doubly escaped (`&amp;lt;b&amp;gt;`) is therefore resolved too; hidden characters go with it, because an
    entity can be one. What lies deeper than `_MAX_DEPTH` layers loses its `<`, `>` and `&`.
    """
    for _ in range(_MAX_DEPTH):
        plain = strip_hidden(_ENTITY.sub(_resolve, _TAG.sub(" ", _strip_invisible(text))))
        if plain == text:
            return text
        text = plain
    return strip_hidden(_SIGN.sub(" ", text))


def clean_texts(texts: pl.Series) -> tuple[pl.Series, int]:
    """Clean a column of texts; one that has nothing left becomes null.

    Returns also how many held markup.
    """
    texts = texts.str.slice(0, MAX_TEXT_CHARACTERS)
    hidden = _find_hidden(texts)
    if hidden.any():
        shown = [strip_hidden(text) for text in texts.filter(hidden)]
        texts = texts.scatter(hidden.arg_true(), pl.Series(shown, dtype=pl.String()))
    marked = texts.str.contains(_MARKUP).fill_null(False)
    if marked.any():
        texts = texts.scatter(marked.arg_true(), _strip_all(texts.filter(marked)))
    uneven = texts.str.contains(_UNEVEN).fill_null(False)
    if uneven.any():
        even = texts.filter(uneven).str.replace_all(rf"[{_BLANK}]+", " ").str.strip_chars(" ")
        texts = texts.scatter(uneven.arg_true(), even)
    return texts.set(texts == "", None), int(marked.sum())


def _find_hidden(texts: pl.Series) -> pl.Series:
    """Which texts `strip_hidden` may change; ASCII without an escape is passed over, as the pattern is dear."""
    unusual = (texts.str.len_bytes() != texts.str.len_chars()) | texts.str.contains("\x1b", literal=True)
    rows = unusual.fill_null(False).arg_true()
    return pl.repeat(False, len(texts), eager=True).scatter(rows, texts.gather(rows).str.contains(_HIDDEN))


def _strip_all(texts: pl.Series) -> pl.Series:
    """`strip_markup` of texts without nulls."""
    texts = texts.str.replace_many(_FREQUENT)
    still_marked = texts.str.contains(_MARKUP)
    plain = [strip_markup(text) for text in texts.filter(still_marked)]
    return texts.scatter(still_marked.arg_true(), pl.Series(plain, dtype=pl.String()))


def _strip_invisible(text: str) -> str:
    """The text without comments, scripts and styles; of each kind, an end that is not there is looked for once."""
    parts: list[str] = []
    place, endless = 0, set()
    for opening in _OPENING.finditer(text):
        kind = opening.lastgroup or ""
        if opening.start() < place or kind in endless:
            continue
        closing = _CLOSINGS[kind].search(text, opening.end())
        if closing is None:
            endless.add(kind)
        else:
            parts += [text[place : opening.start()], " "]
            place = closing.end()
    return "".join([*parts, text[place:]])


def _resolve(entity: re.Match[str]) -> str:
    return html.unescape(entity[0])
