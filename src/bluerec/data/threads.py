"""Work on tables in threads: polars lets go of the interpreter, so threads use all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# More threads would mean more tables in memory at once; polars has threads of its own.
N_THREADS = min(4, os.cpu_count() or 1)

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results in the order of the items, a few of them computed ahead of the caller.

    The items are drawn in the caller's thread. An exception comes out where its result would.
    """
    with ThreadPoolExecutor(N_THREADS) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > N_THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
