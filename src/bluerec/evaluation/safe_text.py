"""Untrusted text made fit to be shown: no control or direction-changing characters, bounded in length."""

from __future__ import annotations

MAX_CHARACTERS = 4000
ELLIPSIS = "…"
# Line breaks, and the joiners without which emoji, Persian and Indic scripts are misspelt.
_KEPT = frozenset("\n\u200c\u200d")


def clean_text(text: str, max_characters: int = MAX_CHARACTERS) -> str:
    """The text with every character that does not print (controls, bidi overrides, lone surrogates) made a space.

    Longer texts are cut, with an ellipsis in the place of the last character.
    """
    if len(text) > max_characters:
        text = text[: max_characters - 1] + ELLIPSIS
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in _KEPT else " " for character in text)
