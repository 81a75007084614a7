"""How fast `bluerec serve` answers: stored profiles, free texts and edits, over HTTP on this machine.

The store is synthetic: item vectors lie around those of real sentences (embedded with the real embedder), each user
has two of these sentences and a history of twenty items. Requests come at a fixed rate whether or not earlier ones
have been answered, and a delay counts from the moment at which a request was due; then as fast as they are answered.

    python benchmarks/serving.py --seconds 60          # prints one JSON object
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from bluerec.config import EmbedderConfig
from bluerec.data.tables import build_dataset
from bluerec.profiling.embedders import load_embedder
from bluerec.store.building import build_store

KINDS = ["racing", "puzzle", "chess", "farming", "football", "golf", "dungeon", "card", "space", "train", "horror"]
TRAITS = ["quiet", "fast", "short", "long", "cheap", "classic", "handheld", "online", "funny", "difficult", "Japanese"]
ENDS = ["for two", "with friends", "with animals", "from the nineties", "for the evening", "with a story", "in cities"]
N_EVENTS = 20
# After an overload all is well when so many answers in a row come within this time.
WELL_IN_A_ROW, WELL_SECONDS, GIVE_UP_SECONDS = 10, 0.15, 60.0
NOISE = 1.0
# The server closes a connection that is idle for longer than thirty seconds.
IDLE_SECONDS = 20.0
# Counted as an error like every status but 200.
NO_ANSWER = 0


def make_store(folder: Path, n_items: int, n_users: int) -> float:
    """Build the store; the seconds that it took."""
    rng = np.random.default_rng(0)
    sentences = [f"Likes {trait} {kind} games {end}." for trait in TRAITS for kind in KINDS for end in ENDS]
    config = EmbedderConfig()
    embedder = load_embedder(config)
    begin = time.perf_counter()
    centres = embedder.embed(sentences, "profile")
    near = rng.integers(0, len(sentences), n_items)
    vectors = centres[near] + NOISE * rng.standard_normal((n_items, embedder.dimension)).astype(np.float32) / np.sqrt(
        embedder.dimension
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    titles = [f"{sentences[place][6:-1].capitalize()} {row}" for row, place in enumerate(near.tolist())]
    items = pl.DataFrame({"item_id": [f"i{row:06d}" for row in range(n_items)], "title": titles}).with_columns(
        description=pl.lit(""),
        categories=pl.Series([[KINDS[row % len(KINDS)]] for row in range(n_items)], dtype=pl.List(pl.String)),
        brand=pl.lit(None, pl.String),
        price=pl.Series(rng.uniform(5, 80, n_items).round(2)),
        domain=pl.lit("games"),
    )
    users = np.repeat(np.arange(n_users), N_EVENTS)
    taken = np.concatenate([rng.choice(n_items, N_EVENTS, replace=False) for _ in range(n_users)])
    events = pl.DataFrame(
        {
            "user_id": [f"u{user:05d}" for user in users],
            "item_id": [f"i{row:06d}" for row in taken],
            "timestamp": np.tile(np.arange(N_EVENTS), n_users) + 1_700_000_000,
            "rating": rng.integers(1, 6, len(users)).astype(np.float32),
        }
    )
    texts = [
        " ".join(sentences[place] for place in rng.choice(len(sentences), 2, replace=False)) for _ in range(n_users)
    ]
    profiles = pl.DataFrame(
        {"user_id": [f"u{user:05d}" for user in range(n_users)], "text": texts, "writer": "benchmark", "cutoff": 0}
    )
    build_store(folder, build_dataset(events, items), embedder, config, profiles=profiles, item_vectors=vectors)
    return time.perf_counter() - begin


class Connection:
    """One kept-alive connection, so that the asker costs little."""

    def __init__(self, address: str, token: str) -> None:
        self._place = urlsplit(address)
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        if self._streams is not None and time.perf_counter() - self._used > IDLE_SECONDS:
            self.close()
            self._streams = None
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._place.hostname, self._place.port)
        reader, writer = self._streams
        content = json.dumps(body).encode() if body is not None else b""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._place.netloc}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.lower().startswith(b"content-length:"))
        content = await reader.readexactly(length)
        self._used = time.perf_counter()
        return int(lines[0][9:12]), content

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


Ask = Callable[[Connection], Awaitable[int]]


def to_ms(seconds: float) -> float:
    return round(float(seconds) * 1000, 1)


def describe(delays: list[float], statuses: list[int], seconds: float) -> dict[str, Any]:
    p50, p99 = np.percentile(delays, [50, 99]) if delays else (np.nan, np.nan)
    return {
        "requests": len(delays),
        "per_second": round(len(delays) / seconds, 1),
        "p50_ms": to_ms(p50),
        "p99_ms": to_ms(p99),
        "max_ms": to_ms(max(delays)),
        "errors": dict(Counter(status for status in statuses if status != 200)),
    }


async def ask_at_rate(make: Callable[[], Connection], ask: Ask, rate: float, seconds: float) -> dict[str, Any]:
    """So many requests a second, each on the connection that is free, or on a new one."""
    free: list[Connection] = []
    delays: list[float] = []
    late: list[float] = []
    statuses: list[int] = []

    async def one(due: float) -> None:
        late.append(time.perf_counter() - due)
        connection = free.pop() if free else make()
        try:
            statuses.append(await ask(connection))
            free.append(connection)
        except (OSError, asyncio.IncompleteReadError):
            statuses.append(NO_ANSWER)
            connection.close()
        delays.append(time.perf_counter() - due)

    # A group forgets what has ended. The collection of garbage would walk through a hundred thousand tasks that are
    # kept, and what was due meanwhile would come to the server all at once, more than it lets in.
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    took = time.perf_counter() - begin
    for connection in free:
        connection.close()
    asker = {"asker_late_p99_ms": to_ms(np.percentile(late, 99)), "asker_late_max_ms": to_ms(max(late))}
    return {"asked_per_second": rate, **describe(delays, statuses, took), **asker}


async def ask_without_pause(make: Callable[[], Connection], ask: Ask, n: int, seconds: float) -> dict[str, Any]:
    """`n` askers, each of which asks again as soon as it is answered."""
    delays: list[float] = []
    statuses: list[int] = []
    begin = time.perf_counter()

    async def one() -> None:
        connection = make()
        while (now := time.perf_counter()) < begin + seconds:
            statuses.append(await ask(connection))
            delays.append(time.perf_counter() - now)
        connection.close()

    await asyncio.gather(*(one() for _ in range(n)))
    return {"askers": n, **describe(delays, statuses, time.perf_counter() - begin)}


async def overload(make: Callable[[], Connection], ask: Ask, rate: float, seconds: float) -> dict[str, Any]:
    """What too many requests get, how fast they are told, and how long it takes afterwards until all is well."""
    answers: list[tuple[int, float]] = []

    async def noted(connection: Connection) -> int:
        begin = time.perf_counter()
        status = await ask(connection)
        answers.append((status, time.perf_counter() - begin))
        return status

    asked = await ask_at_rate(make, noted, rate, seconds)
    refused = [delay for status, delay in answers if status in (429, 503)]
    begin, well, connection = time.perf_counter(), 0, make()
    while well < WELL_IN_A_ROW:
        now = time.perf_counter()
        status = await ask(connection)
        well = well + 1 if status == 200 and time.perf_counter() - now < WELL_SECONDS else 0
        if now - begin > GIVE_UP_SECONDS:
            raise SystemExit(f"not well again {GIVE_UP_SECONDS} s after an overload")
        await asyncio.sleep(1 / 30)
    connection.close()
    counts = Counter(status for status, _ in answers)
    return {
        "asked_per_second": rate,
        "answered_per_second": round(counts[200] * asked["per_second"] / len(answers), 1),
        "statuses": dict(sorted(counts.items())),
        "refused_p99_ms": to_ms(np.percentile(refused, 99)) if refused else None,
        "well_again_s": round(time.perf_counter() - begin - WELL_IN_A_ROW / 30, 2),
        **{name: value for name, value in asked.items() if name.startswith("asker_late")},
    }


async def measure(
    process: subprocess.Popen[str],
    facts: dict[str, Any],
    n_users: int,
    seconds: float,
    rate: float,
    only: Sequence[str],
) -> dict[str, Any]:
    draw = random.Random(1)

    def make() -> Connection:
        return Connection(facts["address"], facts["token"])

    async def stored(connection: Connection) -> int:
        return (await connection.ask("GET", f"/users/u{draw.randrange(n_users):05d}/recommendations?k=10"))[0]

    async def free_text(connection: Connection) -> int:
        text = f"{draw.choice(TRAITS)} {draw.choice(KINDS)} games number {draw.random():.9f}, {draw.choice(ENDS)}."
        return (await connection.ask("POST", "/recommend", {"text": text, "k": 10}))[0]

    results: dict[str, Any] = {"free_text_first_s": await wait_for_text(make)}
    await ask_without_pause(make, stored, 2, 2.0)
    await ask_without_pause(make, free_text, 2, 2.0)
    asked: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
        "stored_profile": lambda: ask_at_rate(make, stored, rate, seconds),
        "stored_profile_most": lambda: ask_without_pause(make, stored, 8, seconds / 4),
        "free_text": lambda: ask_at_rate(make, free_text, 30, seconds),
        "free_text_most": lambda: ask_without_pause(make, free_text, 4, seconds / 4),
        "overload": lambda: overload(make, free_text, 300, seconds / 2),
        "stored_profile_overload": lambda: overload(make, stored, 10 * rate, seconds / 2),
        "edit_to_list": lambda: measure_edits(make(), draw, n_users),
    }
    before = resident_mb(process)
    for name in only or asked:
        results[name] = {**await asked[name](), "resident_mb": [before, after := resident_mb(process)]}
        before = after
    return results


async def wait_for_text(make: Callable[[], Connection]) -> float:
    """Until the first free text is answered: the embedder is loaded beside the start."""
    begin, connection = time.perf_counter(), make()
    while (await connection.ask("POST", "/recommend", {"text": "Chess.", "k": 1}))[0] != 200:
        await asyncio.sleep(0.1)
    connection.close()
    return round(time.perf_counter() - begin, 2)


async def measure_edits(connection: Connection, draw: random.Random, n_users: int, n: int = 100) -> dict[str, Any]:
    """From sending an edit to holding the list of the new version."""
    delays: list[float] = []
    for number in range(n):
        user = f"/users/u{draw.randrange(n_users):05d}"
        text = f"Wants {draw.choice(TRAITS)} {draw.choice(KINDS)} games only, number {number}. And chess."
        begin = time.perf_counter()
        saved = json.loads((await connection.ask("PUT", f"{user}/profile", {"text": text}))[1])
        shown = json.loads((await connection.ask("GET", f"{user}/recommendations?k=10"))[1])
        delays.append(time.perf_counter() - begin)
        if shown["version"] != saved["version"]:
            raise SystemExit(f"{user}: the list is that of version {shown['version']}, not {saved['version']}")
    connection.close()
    return describe(delays, [200] * n, sum(delays))


def resident_mb(process: subprocess.Popen[str]) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


def run(folder: Path, n_users: int, seconds: float, rate: float, only: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "bluerec", "serve", str(folder), "--port", "0", "--writer", "none", "--json"]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            lines = ""
            while not lines.rstrip().endswith("}"):
                line = process.stdout.readline() if process.stdout else ""
                if not line:
                    raise SystemExit(f"the server ended before it had begun; look why: bluerec serve {folder}")
                lines += line
            facts = json.loads(lines)
            asyncio.run(first_answer(facts))
            start = time.perf_counter() - begin
            results = asyncio.run(measure(process, facts, n_users, seconds, rate, only))
        finally:
            process.terminate()
    return {"start_s": round(start, 2), **results}


def push_out_of_memory(*folders: Path) -> None:
    """Ask the system to keep nothing of these files in memory; they come from the disk again."""
    os.sync()  # what is not written yet stays
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


async def first_answer(facts: dict[str, Any]) -> None:
    """Until a list of a stored profile has come."""
    connection = Connection(facts["address"], facts["token"])
    status, _ = await connection.ask("GET", "/users/u00000/recommendations?k=10")
    connection.close()
    if status != 200:
        raise SystemExit(f"the first list came with status {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement at a fixed rate")
    parser.add_argument("--rate", type=float, default=200.0, help="lists of stored profiles asked for in a second")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this measurement")
    parser.add_argument("--store", type=Path, help="keep the store here, or use the one that is there")
    parser.add_argument("--cold", action="store_true", help="start with program and store read from the disk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.store or Path(temporary) / "store"
        built = None if folder.exists() else round(make_store(folder, options.items, options.users), 1)
        if options.cold:
            push_out_of_memory(Path(sys.prefix), folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        results = run(folder, options.users, options.seconds, options.rate, options.only)
    machine = {"cpus": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    facts = {"items": options.items, "users": options.users, "build_s": built, "store_mb": round(size, 1), **machine}
    print(json.dumps({**facts, **results}, indent=1))


if __name__ == "__main__":
    main()
