"""What is wrong with a value of a request, in words of ours: those of pydantic repeat what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WHOLE, _NUMBER, _OBJECT = "must be a whole number", "must be a number", "must be a JSON object"
# By the type of pydantic's error or of ours, with the bounds that the field states.
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "has a field that is not known",
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "dict_type": _OBJECT,
    "json_invalid": "is not JSON",
    "string_type": "must be a text",
    "string_too_short": "must have {min_length:,} or more characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "empty_text": "must have a character that shows",
    "not_unicode": "must be Unicode text without lone surrogates",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE + " with fewer digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge:,.15g}",
    "less_than_equal": "must be at most {le:,.15g}",
    "not_in_seconds": "must be in Unix seconds, this is beyond the year 9999",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "too_short": "must have {min_length:,} or more entries",
    "too_long": "must have at most {max_length:,} entries",
}


def describe_fault(where: str, kind: str, bounds: Mapping[str, Any]) -> str:
    """The words for one error; its type where there are none.

    `bounds` may hold what was sent: only the bounds that the words above name are taken from it.
    """
    if where == "body" and WORDS.get(kind) == _OBJECT:
        # Without the header a body is bytes, however good its JSON is.
        return f"{_OBJECT}, sent with the header Content-Type: application/json"
    return WORDS.get(kind, kind).format_map(bounds)
