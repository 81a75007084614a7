"""A thousand users, each with a mark of their own, and every endpoint with every wrong key."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from bluerec.selftest.served import Served, bearer, serve
from bluerec.selftest.small_store import make_store
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced

_MARK = re.compile(r"canary-\d{5}-x")
_BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/users/{user_id}/profile"): {"text": "Racing games."},
    ("POST", "/users/{user_id}/revert"): {"version": 1},
    ("POST", "/users/{user_id}/interactions"): {"interactions": [{"item_id": "i0001", "timestamp": 7}]},
    ("POST", "/recommend"): {"text": "Racing games."},
}
_CLOSED = (401, 403)


def _endpoints(served: Served) -> list[tuple[str, str]]:
    """Every endpoint of the API that is about users, from its own description."""
    paths = served.client.get("/openapi.json").json()["paths"]
    return [(verb.upper(), path) for path, verbs in paths.items() for verb in verbs if not path.startswith("/health")]


def _isolate(plan: Plan, n_users: int) -> Outcome:
    outcome = Outcome({"users": n_users, "answers looked at": 0, "refused": 0})
    names = [f"person{number:05d}" for number in range(n_users)]
    with serve(make_store(plan.folder / "store", n_users=1)) as served:
        from bluerec.serving.keys import Scope

        for number, name in enumerate(names):
            mark = f"canary-{number:05d}-x"
            served.store.save_edit(name, f"Games for {mark}.")
            row = {"item_id": f"i{number % 120:04d}", "timestamp": number, "review_text": f"mine is {mark}"}
            served.store.add_interactions(name, [row])
        tokens = {name: bearer(served.keys.create(Scope.USER, name)[1]) for name in names}
        endpoints = _endpoints(served)
        outcome.counts["endpoints"] = len(endpoints)
        draw = random.Random(plan.seed)
        for number, name in enumerate(names):
            if plan.is_over:
                break
            outcome.count("users tried")
            plan.progress(number, n_users)
            other = names[(number + draw.randrange(1, n_users)) % n_users]
            outcome.faults += _look_at_own(served, name, f"canary-{number:05d}-x", tokens[name], outcome)
            outcome.faults += _look_at_others(served, other, tokens[name], endpoints, outcome)
        outcome.faults += _delete_some(served, names, tokens, outcome)
    return outcome


def _look_at_own(served: Served, name: str, mark: str, key: dict[str, str], outcome: Outcome) -> Iterator[str]:
    for end in ("profile", "versions", "recommendations?k=5", "export", "context"):
        answer = served.client.get(f"/users/{name}/{end}", headers=key)
        outcome.count("answers looked at")
        found = set(_MARK.findall(answer.text))
        if answer.status_code != 200 or found - {mark}:
            others = ", ".join(sorted(found - {mark})) or "none"
            yield f"{name} {end}: status {answer.status_code}, marks of others: {others}"


def _look_at_others(
    served: Served, other: str, key: dict[str, str], endpoints: list[tuple[str, str]], outcome: Outcome
) -> Iterator[str]:
    """Another user's endpoints with one's own key, and everything with a wrong key and without one."""
    for verb, path in endpoints:
        for kind, headers in (("foreign", key), ("wrong", bearer("blu_wrong")), ("missing", {})):
            if kind == "foreign" and "{user_id}" not in path:
                continue
            body = _BODIES.get((verb, path))
            answer = served.client.request(verb, path.replace("{user_id}", other), json=body, headers=headers)
            outcome.count("answers looked at")
            outcome.count("refused", int(answer.status_code in _CLOSED))
            if answer.status_code not in _CLOSED or _MARK.search(answer.text):
                yield f"{verb} {path} with a {kind} key: status {answer.status_code}"


def _delete_some(
    served: Served, names: list[str], tokens: dict[str, dict[str, str]], outcome: Outcome
) -> Iterator[str]:
    """Users delete themselves with their own keys; nobody else changes."""
    gone = names[:: max(2, len(names) // 5)]
    kept = [name for name in names if name not in gone]
    before = [served.store.export_user(name) for name in kept]
    for name in gone:
        if served.client.delete(f"/users/{name}/profile", headers=tokens[name]).status_code != 200:
            yield f"{name} cannot delete their profile"
        if served.client.get(f"/users/{name}/profile", headers=tokens[name]).status_code not in _CLOSED:
            yield f"the key of {name} opens something after their deletion"
        outcome.count("deleted themselves")
    changed = [name for name, told in zip(kept, before, strict=True) if served.store.export_user(name) != told]
    if changed:
        yield f"{len(changed)} users changed when others were deleted"


def _plant(plan: Plan) -> Outcome:
    """The same where a key opens everybody."""
    try:
        from bluerec.serving.keys import Principal
    except ImportError:  # the suite itself says what is missing
        return _isolate(plan, 2)
    with replaced(Principal, "may_read", lambda principal, user_id: True):
        return _isolate(plan, 3)


ISOLATION = Suite(
    title="users among each other",
    promise="A user's key shows and changes that user and nobody else; wrong and missing keys open nothing.",
    planted_fault="keys that may read everybody",
    run=lambda plan: _isolate(plan, plan.choose(6, 1_000)),
    plant=_plant,
)
