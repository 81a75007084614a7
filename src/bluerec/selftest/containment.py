"""Texts that want to be obeyed: whatever they say, they stay where they were put.

Here they are not recognised, they are contained: in the rows of their user, in the quotation of the prompt (also where
the rule that withholds instructions misses one), in the block of the context. What a model makes of them is another
question, see `steering`.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from bluerec.config import ProfilerConfig
from bluerec.profiling.prompts import render_prompt
from bluerec.selftest.payloads import CHAT_MARKS, make_wishes
from bluerec.selftest.served import Served, serve
from bluerec.selftest.small_store import make_store
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced
from bluerec.store import queries, transactions
from bluerec.store import store as store_module
from bluerec.types import Event, History, Interaction, Item

VICTIM, SECRET = "victim-user", "secretcanary"
CARRIERS = ("title", "review title", "review", "profile", "user id")
_REVIEWS = {"review_title": "review title", "review_text": "review"}
_WATCHED = (
    "socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system", "os.exec",
    "os.posix_spawn", "os.fork", "os.remove", "os.rename", "shutil.rmtree", "ctypes.dlopen",
)  # fmt: skip
_watch: dict[str, Any] = {"installed": False, "found": None, "folder": ""}


@contextmanager
def watch_the_process(folder: Path, found: list[str]) -> Iterator[None]:
    """Note every connection, process and file outside the folder that this process begins meanwhile."""
    if not _watch["installed"]:
        sys.addaudithook(_note)  # for good: there is no way to take one back
        _watch["installed"] = True
    _watch.update(found=found, folder=str(folder))
    try:
        yield
    finally:
        _watch["found"] = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch["found"] is None:
        return
    if event in _WATCHED:
        _watch["found"].append(f"{event} {str(arguments)[:100]}")
    elif event == "open":
        path, mode, _ = arguments
        written = isinstance(mode, str) and set(mode) & set("wax+")
        if written and isinstance(path, str) and not path.startswith(_watch["folder"]):
            _watch["found"].append(f"{event} {path!r} {mode}")


def _attempt(plan: Plan, n_wishes: int) -> Outcome:
    wishes = make_wishes(n_wishes, VICTIM)
    outcome = Outcome({"attempts": 0, "ways in": len(CARRIERS), "answers looked at": 0})
    reached: list[str] = []
    with serve(make_store(plan.folder / "store", n_users=5)) as served:
        served.store.save_edit(VICTIM, f"Likes {SECRET}. Only chess.")
        served.store.add_interactions(VICTIM, [{"item_id": "i0001", "timestamp": 1, "review_text": SECRET}])
        victims = ["u0000", "u0001", "u0002", "u0003", "u0004", VICTIM]
        before = [served.store.export_user(user) for user in victims]
        with watch_the_process(plan.folder, reached):
            for number, (wish, canary) in enumerate(wishes):
                if plan.is_over:
                    break
                plan.progress(number, len(wishes))
                for carrier in CARRIERS:
                    outcome.count("attempts")
                    outcome.faults += [
                        f"{carrier} {wish[:80]!r}: {fault}" for fault in _try(served, carrier, wish, canary, outcome)
                    ]
        outcome.faults += [f"reached out of the process: {event}" for event in reached]
        for user, told in zip(victims, before, strict=True):
            if served.store.export_user(user) != told:
                outcome.faults.append(f"{user} is not as before")
    return outcome


def _try(served: Served, carrier: str, wish: str, canary: str, outcome: Outcome) -> Iterator[str]:
    """Put a wish in one way, look at everything that comes out for its user and for another."""
    user = f"attacker {canary} {carrier}" if carrier != "user id" else _as_id(wish)
    item = Item("i0002", wish) if carrier == "title" else Item("i0002", "Chess")
    reviews = {
        "review_title": wish if carrier == "review title" else None,
        "review_text": wish if carrier == "review" else None,
    }
    served.store.add_interactions(user, [{"item_id": "i0002", "timestamp": 5, **reviews}])
    served.store.save_edit(user, f"Chess. {wish}" if carrier == "profile" else "Chess and golf.")
    yield from _look_at_prompt(item, user, reviews)
    yield from _look_at_answers(served, user, wish, canary, carrier, outcome)


def _as_id(wish: str) -> str:
    return "".join(letter if letter.isprintable() else "_" for letter in wish)[:256].strip() or "_"


def _look_at_prompt(item: Item, user: str, reviews: dict[str, str | None]) -> Iterator[str]:
    events = tuple(Event(Interaction(user, item.item_id, n, 4.0, **reviews), item) for n in range(2))
    # As if the rule had missed it: quoting has to hold by itself.
    prompt = render_prompt(History(user, events, 9), ProfilerConfig(), _count_words, withhold=lambda text: False)
    content = prompt.messages[1]["content"]
    if len(content.splitlines()) != _count_lines_of_two_events() or len(prompt.messages) != 2:
        yield "an event is more than one line of the prompt"
    if any(mark.lower() in content.lower() for mark in CHAT_MARKS):
        yield "a mark of the chat format is in the prompt"
    if user in content:
        yield "the user's id is in the prompt"


@cache
def _count_lines_of_two_events() -> int:
    events = tuple(Event(Interaction("u", "i", n), Item("i", "Chess")) for n in range(2))
    prompt = render_prompt(History("u", events, 9), ProfilerConfig(), _count_words)
    return len(prompt.messages[1]["content"].splitlines())


def _count_words(text: str) -> int:
    return len(text.split())


def _look_at_answers(
    served: Served, user: str, wish: str, canary: str, carrier: str, outcome: Outcome
) -> Iterator[str]:
    from bluerec.serving.routes import render_context
    from bluerec.serving.studio import _quote_id

    here = f"/users/{_quote_id(user)}"
    paths = [f"{here}/export" if carrier.startswith("review") else f"{here}/profile", f"{here}/recommendations?k=3"]
    if carrier == "profile":
        paths.append(f"{here}/context")
    for path in paths:
        answer = served.client.get(path, headers=served.admin)
        outcome.count("answers looked at")
        if answer.status_code != 200:
            yield f"GET {path} answers {answer.status_code}"
        # A wish may name the victim; what the victim wrote must be nowhere.
        if SECRET in answer.text:
            yield f"GET {path} shows what another user wrote"
        if "set-cookie" in answer.headers or not answer.headers["content-type"].startswith("application/json"):
            yield f"GET {path} has headers of the attacker's"
    path = f"/users/{VICTIM}/recommendations?k=10"
    outcome.count("answers looked at")
    if canary in served.client.get(path, headers=served.admin).text:
        yield f"GET {path} shows what the attacker wrote"
    found = served.client.get("/users", params={"prefix": wish[:256]}, headers=served.admin)
    if found.status_code == 200 and not all(name.startswith(wish[:256]) for name in found.json()):
        yield "a prefix brings users that do not begin with it"
    lines = render_context(f"Likes {wish}").splitlines()
    if not all(line.startswith("> ") for line in lines[1:-1]) or lines[-1] != "End of the quotation.":
        yield "the quotation of the context ends early"


def _plant(plan: Plan) -> Outcome:
    """The same with a store that takes everybody for the victim."""
    known = transactions.find_user

    def find_victim(connection: sqlite3.Connection, _: str) -> int:
        return known(connection, VICTIM)

    with replaced(store_module, "find_user", find_victim), replaced(queries, "find_user", find_victim):
        return _attempt(plan, 2)


CONTAINMENT = Suite(
    title="texts that want to be obeyed",
    promise=(
        "Instructions in titles, reviews, profiles and ids reach no other user, no prompt but as quoted data, no "
        "process, no network and no file outside the store."
    ),
    planted_fault="a store that takes everybody for the victim",
    run=lambda plan: _attempt(plan, plan.choose(10, 612)),
    plant=_plant,
)
