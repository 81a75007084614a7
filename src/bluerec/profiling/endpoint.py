"""Models behind an OpenAI-compatible endpoint: bounded waits, retries, and a breaker that spares it.

Such servers are slow, restarted and overloaded. A request is tried again where that can help (no connection, a
timeout, status 429 or 5xx); after several failures in a row nothing is asked for a while, and then one request tries.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bluerec.config import ProfilerConfig
from bluerec.errors import BluerecError, ConfigError, MissingExtraError, ModelError, RefusedError, UnavailableError
from bluerec.profiling.prompts import join_profile
from bluerec.types import Prompt

KEY_VARIABLE = "BLUEREC_ENDPOINT_KEY"
MAX_ANSWER_BYTES = 1_000_000
CHARACTERS_PER_TOKEN = 4
_GLANCE_SECONDS = 0.2
_LATER = frozenset((408, 425, 429, 502, 503, 504))
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
_THOUGHT = re.compile(r"^\s*<think>.*?(?:</think>|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an endpoint is waited for.

    Seconds for a connection and for a whole answer; tries of one request; seconds before the second try, doubled from
    then on and never above `most_between_tries`, whatever the server asks for; failures in a row after which the
    breaker opens, and seconds until it lets one request through.
    """

    connect_seconds: float = 5.0
    answer_seconds: float = 120.0
    n_tries: int = 3
    between_tries: float = 0.5
    most_between_tries: float = 10.0
    n_failures: int = 3
    open_seconds: float = 30.0


class Breaker:
    """Counts failures in a row. Open, it refuses at once; after a while one caller may try, and decides by that."""

    def __init__(self, n_failures: int, open_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self.clock = n_failures, open_seconds, clock
        self._lock = threading.Lock()
        self._n_failures = 0
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        return self._n_failures >= self._most

    def enter(self) -> None:
        """Raises `UnavailableError` while the breaker is open; one caller passes when its time is over."""
        with self._lock:
            if not self.is_open:
                return
            left = self._until - self.clock()
            if left > 0:
                raise UnavailableError("the endpoint failed several times; it is asked again later", left)
            self._until = self.clock() + self._seconds  # others wait for what this one finds

    def leave(self, failed: bool) -> None:
        """Tell how a request went."""
        with self._lock:
            self._n_failures = self._n_failures + 1 if failed else 0
            if failed and self.is_open:
                self._until = self.clock() + self._seconds


class ChatEndpoint:
    """Answers of `POST {url}/chat/completions`. Any thread may ask; `n_at_once` requests run side by side.

    Nothing is sent but the messages. The key, if there is one, is only in the header. Redirects are not followed.
    """

    def __init__(
        self, url: str, model: str, *, key: str | None = None, patience: Patience | None = None, n_at_once: int = 4
    ) -> None:
        self._patience = patience or Patience()
        self._model = model
        self._url = f"{check_url(url)}/chat/completions"
        self._client = _make_client(self._patience, key)
        self._n_at_once = n_at_once
        self.breaker = Breaker(self._patience.n_failures, self._patience.open_seconds)

    @property
    def name(self) -> str:
        """The model's name; neither its address nor its folder is recorded with profiles."""
        return name_model(self._model)

    def ask(self, messages: Sequence[dict[str, str]], *, max_tokens: int, temperature: float) -> str:
        """The answer to a chat, without what the model thought before it; perhaps nothing.

        Raises `UnavailableError` where the endpoint does not answer at present, `ModelError` where it refuses.
        """
        body = {
            "model": self._model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": False,
        }
        self.breaker.enter()
        failed = True
        try:
            text = self._ask(body)
            failed = False
        except ModelError as error:
            # A refusal of this one request is an answer: the endpoint works.
            failed = isinstance(error, (UnavailableError, _ServerError))
            raise
        finally:
            self.breaker.leave(failed)
        return text

    def ask_all(self, ask: Callable[[Asked], Answered], questions: Sequence[Asked]) -> list[Answered]:
        """What `ask` gives for each question, in their order, several side by side.

        After a failure nothing more is begun. Whoever interrupts it does not wait for the answers under way.
        """
        answers: dict[int, Answered] = {}
        failures: list[BluerecError | KeyboardInterrupt] = []
        places, lock = iter(range(len(questions))), threading.Lock()

        def work() -> None:
            while not failures:
                with lock:
                    place = next(places, None)
                if place is None:
                    return
                try:
                    answers[place] = ask(questions[place])
                except BluerecError as error:
                    failures.append(error)
                finally:
                    if place not in answers:  # where it was another error, its traceback is printed by its thread
                        failures.append(ModelError("a question to the endpoint failed; see the traceback above"))

        try:
            _run_side_by_side(work, min(self._n_at_once, len(questions)))
        except KeyboardInterrupt as error:
            failures.append(error)
            raise
        if failures:
            raise failures[0]
        return [answers[place] for place in range(len(questions))]

    def close(self) -> None:
        self._client.close()

    def _ask(self, body: dict[str, Any]) -> str:
        for number in range(self._patience.n_tries):
            try:
                return self._ask_once(body)
            except (UnavailableError, _ServerError) as error:
                if number + 1 == self._patience.n_tries:
                    raise
                wait = error.retry_after if isinstance(error, UnavailableError) else 0.0
                self._sleep(number, wait)
        raise ModelError("the endpoint is to be tried at least once; raise n_tries")

    def _sleep(self, number: int, asked_for: float) -> None:
        wait = self._patience.between_tries * 2.0**number * random.uniform(0.5, 1.0)
        time.sleep(min(max(wait, asked_for), self._patience.most_between_tries))

    def _ask_once(self, body: dict[str, Any]) -> str:
        import httpx

        try:
            with self._client.stream("POST", self._url, json=body) as answer:
                content = _read(answer, time.monotonic() + self._patience.answer_seconds)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"{self._url}: no answer ({type(error).__name__}); is the server running?"
            ) from error
        if answer.status_code in _LATER:
            raise UnavailableError(f"{self._url}: status {answer.status_code}; try again later", _read_wait(answer))
        if answer.status_code >= 500:
            raise _ServerError(f"{self._url}: status {answer.status_code}; see the log of that server")
        if answer.status_code != 200:
            remedy = f"set {KEY_VARIABLE}" if answer.status_code in (401, 403) else "check the address and the model"
            raise RefusedError(
                f"{self._url}: status {answer.status_code} for model {self._model!r}; {remedy}", answer.status_code
            )
        return _read_text(content, self._url)


def _run_side_by_side(work: Callable[[], None], n_threads: int) -> None:
    """Daemons, unlike the threads of an executor: an interrupted program ends without waiting for a server."""
    threads = [threading.Thread(target=work, name=f"endpoint-{n}", daemon=True) for n in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a signal may have reached another thread, and is seen between waits only
            thread.join(_GLANCE_SECONDS)


class EndpointWriter:
    """Writes with a model behind an endpoint, see `ChatEndpoint`, which takes the other options."""

    def __init__(
        self, url: str, model: str, config: ProfilerConfig, *, key: str | None = None, patience: Patience | None = None
    ) -> None:
        self._endpoint = ChatEndpoint(url, model, key=key, patience=patience)
        self._url, self._config = url, config

    @property
    def name(self) -> str:
        return self._endpoint.name

    @property
    def breaker(self) -> Breaker:
        return self._endpoint.breaker

    def write(self, prompts: Sequence[Prompt]) -> list[str]:
        """One profile per prompt, in their order.

        Raises `UnavailableError` where the endpoint does not answer at present, `ModelError` where it refuses.
        """
        return self._endpoint.ask_all(self._write_one, prompts)

    def close(self) -> None:
        self._endpoint.close()

    def _write_one(self, prompt: Prompt) -> str:
        text = self._endpoint.ask(
            _render_messages(prompt), max_tokens=self._config.max_new_tokens, temperature=self._config.temperature
        )
        profile = join_profile("", text)
        if not profile:
            raise ModelError(f"{self._url}: the model wrote nothing; choose another --writer")
        return profile


class _ServerError(ModelError):
    """A failure inside the server: perhaps of this prompt alone."""


def name_model(model: str) -> str:
    """A model as it is recorded: of a folder its last part, which belongs to no machine."""
    is_folder = model.startswith((".", "/", "~"))
    return model.rstrip("/").rsplit("/", 1)[-1] if is_folder else model


def check_url(url: str, option: str = "--endpoint") -> str:
    """The address without a slash at its end. Raises `ConfigError` where it is none, or holds a password."""
    try:
        parts = urlsplit(url)
        is_odd = parts.port == 0 or url != url.strip() or any(mark.isspace() for mark in url)
    except ValueError:
        parts, is_odd = urlsplit(""), True
    if is_odd or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"{option} {url!r}: not an address like http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise ConfigError(f"{option}: no password belongs into an address; set {KEY_VARIABLE}")
    return url.rstrip("/")


def count_roughly(text: str) -> int:
    """Tokens of a text where the tokenizer is elsewhere: a guess by its length."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _make_client(patience: Patience, key: str | None) -> Any:
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError("httpx", "serve") from error
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"{KEY_VARIABLE}: holds characters that no key has; set it anew")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(patience.answer_seconds, connect=patience.connect_seconds)
    return httpx.Client(headers=headers, timeout=timeout, follow_redirects=False)


def _render_messages(prompt: Prompt) -> list[dict[str, str]]:
    """Chat messages. Not every server goes on from words put into the model's mouth, so it is asked to begin so."""
    messages = [dict(message) for message in prompt.messages]
    if prompt.prefill:
        messages[-1]["content"] += f' Begin with the words "{prompt.prefill}".'
    return messages


def _read(answer: Any, deadline: float) -> bytes:
    """The body. Raises `ModelError` beyond the bounds: a server that drips or floods would hold the queue."""
    content = b""
    for part in answer.iter_bytes():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise ModelError(f"the endpoint's answer is larger than {MAX_ANSWER_BYTES:,} bytes; use another server")
        if time.monotonic() > deadline:
            raise UnavailableError("the endpoint's answer took too long; use a faster server or model")
    return content


def _read_wait(answer: Any) -> float:
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _read_text(content: bytes, url: str) -> str:
    import json

    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ModelError(f"{url}: the answer is not that of a chat completion ({type(error).__name__})") from error
    return _strip_thoughts(text) if isinstance(text, str) else ""


def _strip_thoughts(text: str) -> str:
    """What follows a model's thoughts. Where the prompt begins them, only their end is seen."""
    return _THOUGHT.sub("", text) if _THOUGHT.match(text) else text.rpartition("</think>")[2]
