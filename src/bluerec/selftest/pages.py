"""Scripts in every text that a page shows: nothing of them becomes an element, an attribute or an address.

This looks at what the server sends; a browser is not needed to see that a text stayed a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import polars as pl

from bluerec.data.tables import build_dataset
from bluerec.errors import MissingExtraError
from bluerec.selftest.payloads import make_scripts
from bluerec.selftest.served import SAME_SITE, Served, serve
from bluerec.selftest.small_store import CONFIG, EMBEDDER, make_world
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced
from bluerec.store.building import build_store

# Whose values a browser follows.
_ADDRESSES = frozenset({"href", "src", "action", "formaction", "data-preview", "data-compare"})
_HARMLESS = "a harmless text"
_NEVER = frozenset({"script", "style", "iframe", "object", "embed", "base", "meta", "link", "math", "xss", "portal"})


class _Elements(HTMLParser):
    """The elements of a page with the names of their attributes, and the addresses in it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[tuple[str, str]] = set()
        self.addresses: list[str] = []
        self.n_by_tag: dict[str, int] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.n_by_tag[tag] = self.n_by_tag.get(tag, 0) + 1
        self.elements.update((tag, name) for name, _ in [("", None), *attributes])
        self.addresses += [value or "" for name, value in attributes if name in _ADDRESSES]


def read_elements(page: str) -> _Elements:
    """What a browser would make of a page, as far as it matters here."""
    parser = _Elements()
    parser.feed(page)
    parser.close()
    return parser


def _ask(served: Served, user: str, text: str) -> Iterator[tuple[str, Any]]:
    """Every page on which a text of a user can stand."""
    from bluerec.serving.studio import _quote_id

    here = f"/studio/users/{_quote_id(user)}"
    get, post = served.client.get, served.client.post
    yield "choose", get("/studio", params={"q": user[:200]})
    yield "user", get(here)
    yield "compare", get(f"{here}/versions/1/2")
    yield "delete", get(f"{here}/delete")
    yield "not deleted", post(f"{here}/delete", data={"confirm": text[:200]}, headers=SAME_SITE)
    yield "preview", post(f"{here}/preview", data={"text": text}, headers=SAME_SITE)
    yield "steer", post(f"{here}/steer", data={"text": text, "more": "i0003"}, headers=SAME_SITE)
    yield "try", post("/studio/try", data={"text": text}, headers=SAME_SITE)
    yield "failure", get(f"{here}/versions/77/78", headers={"accept": "text/html"})


def _attack(plan: Plan, scripts: list[str]) -> Outcome:
    outcome = Outcome({"scripts": -1, "pages": 0})
    texts = [_HARMLESS, *scripts]
    with serve(_build(plan, texts)) as served:
        served.sign_in()
        known: dict[str, _Elements] = {}
        for number, text in enumerate(texts):
            if plan.is_over:
                break
            plan.progress(number, len(texts))
            outcome.count("scripts")
            user = text if text.isprintable() and len(text) <= 200 else f"user {number}"
            served.store.save_edit(user, f"Likes {text} and more. {text}")
            served.store.save_edit(user, f"{text}\nAlso chess. Nothing like {text}.")
            row = {"item_id": f"i{number % 600:04d}", "timestamp": number, "review_title": text, "review_text": text}
            served.store.add_interactions(user, [row])
            for kind, answer in _ask(served, user, f"{text} {text}"):
                outcome.count("pages")
                fault = _find_fault(kind, answer, known, learn=text is _HARMLESS)
                if fault:
                    outcome.faults.append(f"{kind} with {text!r}: {fault}")
    return outcome


def _build(plan: Plan, texts: list[str]) -> Any:
    """A store whose items bear the texts as titles, makers and categories."""
    world = make_world(20, 600)
    n_items = world.dataset.n_items
    chosen = [texts[row % len(texts)] for row in range(n_items)]
    items = world.dataset.items.with_columns(
        title=pl.Series(chosen), brand=pl.Series(chosen), categories=pl.Series([[text] for text in chosen])
    )
    dataset = build_dataset(world.interactions, items)
    return build_store(plan.folder / "store", dataset, EMBEDDER, CONFIG, users=[])


def _find_fault(kind: str, answer: Any, known: dict[str, _Elements], *, learn: bool) -> str:
    from bluerec.serving.limits import CONTENT_SECURITY_POLICY

    if answer.headers.get("content-security-policy") != CONTENT_SECURITY_POLICY:
        return "no content security policy"
    if not answer.headers["content-type"].startswith("text/html") or answer.status_code >= 500:
        return f"status {answer.status_code}, {answer.headers['content-type']}"
    found = read_elements(answer.text)
    if learn:
        known[kind] = found
        return ""
    base = known[kind]
    # Elements that only another text brings: what a list or a diff repeats was there on some harmless page.
    harmless = set().union(*(page.elements for page in known.values()))
    new = sorted(f"<{tag} {name}>" for tag, name in found.elements - harmless)
    if new:
        return f"new in the page: {', '.join(new[:5])}"
    more = [tag for tag in _NEVER if found.n_by_tag.get(tag, 0) != base.n_by_tag.get(tag, 0)]
    if more:
        return f"another number of: {', '.join(more)}"
    wrong = [address for address in found.addresses if not address.startswith(("/", "#")) or address.startswith("//")]
    return f"leads to {wrong[0]!r}" if wrong else ""


def _plant(plan: Plan) -> Outcome:
    """The same with a template engine that does not escape."""
    try:
        from bluerec.serving.studio import templates
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve") from error
    try:
        with replaced(templates, "autoescape", False):
            _forget(templates)
            return _attack(plan, make_scripts(2))
    finally:
        _forget(templates)


def _forget(templates: Any) -> None:
    if templates.cache is not None:
        templates.cache.clear()


PAGES = Suite(
    title="scripts in texts",
    promise=(
        "A text that wants to run stays a text on every page: no new element, attribute or address, and the content "
        "security policy stands on every answer."
    ),
    planted_fault="templates that do not escape",
    run=lambda plan: _attack(plan, make_scripts(plan.choose(20, 500))),
    plant=_plant,
)
