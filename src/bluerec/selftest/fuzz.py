"""Requests made by schemathesis from the service's own description, right and wrong ones: no 500, nothing unnamed."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bluerec.errors import MissingExtraError
from bluerec.selftest.served import Served, serve
from bluerec.selftest.small_store import make_store
from bluerec.selftest.suite import Outcome, Plan, Suite, replaced
from bluerec.store.store import Store

_N_USERS = 5
_ROUND = 6_400
_DESCRIBED = {"application/json", "text/plain"}


class _Over(Exception):
    """The time of the suite is over, or its requests are: no further one is made up."""


def _fuzz(plan: Plan, n_requests: int) -> Outcome:
    outcome = Outcome({"requests": 0, "accepted": 0, "refused": 0})
    with serve(make_store(plan.folder / "store", n_users=_N_USERS)) as served:
        operations = _load_operations(served)
        outcome.counts["operations"] = len(operations)
        # In rounds, so that a run that ends early has tried all operations alike; some make fewer requests than asked.
        each, round_ = max(1, min(_ROUND, n_requests) // len(operations)), 0
        before = -1
        while before < outcome.counts["requests"] < n_requests and not plan.is_over:
            before = int(outcome.counts["requests"])
            for operation in operations:
                _try_operation(replace(plan, seed=plan.seed + round_), served, operation, each, n_requests, outcome)
            round_ += 1
        if served.client.get("/health/ready").status_code != 200:
            outcome.faults.append("the service is not ready afterwards")
    return outcome


def _load_operations(served: Served) -> list[Any]:
    try:
        import schemathesis
    except ImportError as error:
        raise MissingExtraError("schemathesis", "dev") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = schemathesis.openapi.from_dict(served.client.get("/openapi.json").json())
        found: list[Any] = list(schema.get_all_operations())
    return [result.ok() for result in found]


def _try_operation(plan: Plan, served: Served, operation: Any, n: int, n_requests: int, outcome: Outcome) -> None:
    """So many requests of one operation, a third of them wrong on purpose."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode

    described = set(operation.definition.raw["responses"])
    for mode, share in ((GenerationMode.POSITIVE, 2), (GenerationMode.NEGATIVE, 1)):
        try:
            strategy = operation.as_strategy(generation_mode=mode)
        except ValueError:
            continue

        @seed(plan.seed)
        @settings(
            max_examples=max(1, n * share // 3), deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=strategy)
        def ask(case: Any) -> None:
            if plan.is_over or outcome.counts["requests"] >= n_requests:
                raise _Over
            _judge(served, case, described, outcome)
            plan.progress(int(outcome.counts["requests"]), n_requests)

        # Some operations take nothing that could be wrong, and the time may be over.
        with warnings.catch_warnings(), suppress(Unsatisfiable, _Over):
            warnings.simplefilter("ignore")
            ask()


def _judge(served: Served, case: Any, described: set[str], outcome: Outcome) -> None:
    """Send a request and look at the answer: a status that is described, in the form that is described."""
    if "user_id" in (case.path_parameters or {}) and outcome.counts["requests"] % 2:
        case.path_parameters["user_id"] = f"u000{int(outcome.counts['requests']) % _N_USERS}"
    wanted = case.as_transport_kwargs(base_url="http://testserver")
    headers = {
        name: value.encode("utf-8", "replace") for name, value in dict(wanted.pop("headers", None) or {}).items()
    }
    headers |= {name: value.encode() for name, value in served.admin.items()}
    kept = {name: wanted[name] for name in ("params", "json", "data", "content", "cookies") if name in wanted}
    if "data" in kept:
        kept["content"] = kept.pop("data")
    answer = served.client.request(wanted["method"], wanted["url"], headers=headers, **kept)
    outcome.count("requests")
    outcome.count("accepted" if answer.status_code < 400 else "refused")
    where = f"{case.method} {case.path}"
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if answer.status_code >= 500:
        outcome.faults.append(f"{where}: status {answer.status_code}")
    elif str(answer.status_code) not in described and answer.status_code not in (404, 405):
        outcome.faults.append(f"{where}: status {answer.status_code} is not described")
    elif kind not in _DESCRIBED:
        outcome.faults.append(f"{where}: answers {kind or 'without a type'}")


def _divide(store: Store, *_: object) -> None:
    raise ZeroDivisionError("planted")


def _plant(plan: Plan) -> Outcome:
    """The same with a store that has a defect."""
    with replaced(Store, "versions", _divide):
        return _fuzz(plan, 90)


API_FUZZ = Suite(
    title="requests that nobody foresaw",
    promise="No request makes the service answer 500 or with a status that its description does not name.",
    planted_fault="a store that divides by zero when it is asked for versions",
    run=lambda plan: _fuzz(plan, plan.choose(300, 100_000)),
    plant=_plant,
)
