"""Which column of a table holds which field: as told, or guessed from its name and never silently.

A column with the field's own name is taken; else one with a name that is in use for it. Two such columns, or one
that could be two fields, are refused with the option that decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bluerec.errors import ConfigError, DataError

# Names in use, in lower case without anything between the words.
_EVENT_NAMES = {
    "user_id": "user userid uid customer customerid reviewer reviewerid visitorid member memberid accountid",
    "item_id": "item itemid iid product productid asin parentasin movieid bookid trackid articleid gmapid businessid",
    "timestamp": "time ts date datetime eventtime unixreviewtime reviewtime reviewdate createdat",
    "rating": "stars score overall rate starrating",
    "review_title": "reviewtitle reviewheadline headline summary",
    "review_text": "reviewtext review text comment reviewbody",
}
_ITEM_NAMES = {
    "item_id": _EVENT_NAMES["item_id"] + " id",
    "title": "itemtitle name itemname producttitle productname movietitle",
    "description": "itemdescription productdescription overview",
    "categories": "category genres genre tags",
    "brand": "store author artist manufacturer publisher maker",
    "price": "itemprice listprice",
    "domain": "maincategory department",
}
EVENT_OPTION = "--column"
ITEM_OPTION = "--item-column"
_SHOWN_NAMES = 12
_SHOWN_CHARACTERS = 40


def parse_mapping(texts: Sequence[str], option: str) -> dict[str, str]:
    """The texts FIELD=NAME of an option as a mapping; an empty NAME says that there is no such column.

    Raises `ConfigError` for an unknown field or another form.
    """
    fields = _EVENT_NAMES if option == EVENT_OPTION else _ITEM_NAMES
    mapping = {}
    for text in texts:
        field, equals, name = text.partition("=")
        if not equals or field not in fields:
            raise ConfigError(f"{option} {text!r}: give FIELD=NAME with one of the fields {', '.join(fields)}")
        mapping[field] = name
    return mapping


def map_events(
    names: Sequence[str], given: Mapping[str, str], *, where: str, has_items: bool, title_is_told: bool
) -> dict[str, str]:
    """Column of each event field. Raises `DataError` for what is ambiguous, or if user, item or time is missing.

    `title_is_told` says that an option already decides what a column called title is.
    """
    mapping = _map(names, given, _EVENT_NAMES, EVENT_OPTION, where)
    missing = [field for field in ("user_id", "item_id", "timestamp") if field not in mapping]
    if missing:
        raise DataError(
            f"{where}: no column for {', '.join(missing)} among {_listed(names)}; "
            f"say which with {EVENT_OPTION} {missing[0]}=NAME"
        )
    if "title" in names and "review_text" in mapping and "review_title" not in {*mapping, *given}:
        if has_items:
            mapping["review_title"] = "title"
        elif not title_is_told:
            raise DataError(
                f"{where}: column 'title' may be the item's title or the review's; "
                f"say {ITEM_OPTION} title=title or {EVENT_OPTION} review_title=title"
            )
    return mapping


def map_items(
    names: Sequence[str], given: Mapping[str, str], *, where: str, taken: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Column of each item field; `taken` are the columns of a table of events that serve its own fields.

    Raises `DataError` for what is ambiguous, if there is no id, or if an id is told other than that of the events.
    """
    if taken is None:
        mapping = _map(names, given, _ITEM_NAMES, ITEM_OPTION, where)
    else:
        told = given.get("item_id", taken["item_id"])
        if told != taken["item_id"]:
            raise DataError(
                f"{where}: {ITEM_OPTION} item_id={told} is for a table of items; give that table with --items FILE, "
                f"or name the column of this one with {EVENT_OPTION} item_id=NAME"
            )
        free = [name for name in names if name not in taken.values()]
        mapping = _map(
            [*free, taken["item_id"]], {**given, "item_id": taken["item_id"]}, _ITEM_NAMES, ITEM_OPTION, where
        )
    if "item_id" not in mapping:
        raise DataError(f"{where}: no column for item_id among {_listed(names)}; say {ITEM_OPTION} item_id=NAME")
    return mapping


def describe_columns(mapping: Mapping[str, str], names: Sequence[str]) -> str:
    """The fields with their columns, and those of the columns `names` that serve none, in words."""
    used = ", ".join(field if field == name else f"{field}={name}" for field, name in mapping.items())
    unused = [name for name in names if name not in mapping.values()]
    return used + (f"; not used: {_listed(unused)}" if unused else "")


def _map(
    names: Sequence[str], given: Mapping[str, str], known: Mapping[str, str], option: str, where: str
) -> dict[str, str]:
    mapping = {}
    for field, synonyms in known.items():
        if field in given:
            if given[field] and given[field] not in names:
                raise DataError(f"{where}: no column {given[field]!r} ({option}) among {_listed(names)}")
            candidates = [given[field]] if given[field] else []
        elif field in names:
            candidates = [field]
        else:
            free = [name for name in names if name not in given.values()]
            candidates = [name for name in free if _plain(name) in (_plain(field), *synonyms.split())]
        if len(candidates) > 1:
            raise DataError(
                f"{where}: {field} could be any of the columns {_listed(candidates)}; "
                f"say which with {option} {field}={candidates[0]}"
            )
        if candidates:
            mapping[field] = candidates[0]
    return mapping


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _listed(names: Sequence[str]) -> str:
    """The first names, each printable and short: they come from a file that may be anything."""
    shown = ", ".join(ascii(name[:_SHOWN_CHARACTERS])[1:-1] for name in names[:_SHOWN_NAMES])
    return shown + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "")
