"""A writer behind an OpenAI-compatible endpoint, over loopback: what is sent, what is tried again, what is spared."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conformance import check_writer
from fake_endpoint import Answer, FakeServer, complete, serve

from bluerec.config import ProfilerConfig
from bluerec.errors import ConfigError, ModelError, UnavailableError
from bluerec.profiling.endpoint import Breaker, ChatEndpoint, EndpointWriter, Patience, check_url, count_roughly
from bluerec.types import Prompt

QUICK = Patience(connect_seconds=5.0, answer_seconds=5.0, between_tries=0.01, n_failures=2, open_seconds=0.3)
MESSAGES = ({"role": "system", "content": "You describe taste."}, {"role": "user", "content": "- Chess"})
PROMPT = Prompt(MESSAGES, "This shopper likes", "interests", 1, 0)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serve() as fake:
        yield fake


@pytest.fixture
def writer(server: FakeServer) -> Iterator[EndpointWriter]:
    made = EndpointWriter(server.url, "some-model", ProfilerConfig(), key="SECRET-1", patience=QUICK)
    yield made
    made.close()


def test_it_keeps_what_every_writer_keeps(server: FakeServer, writer: EndpointWriter) -> None:
    server.answers = [lambda body: complete("About " + body["messages"][-1]["content"])]
    prompts = [Prompt(({"role": "user", "content": f"- game {n}"},), "", "open", 1, 0) for n in range(9)]
    check_writer(writer, prompts)


def test_what_is_sent(server: FakeServer, writer: EndpointWriter) -> None:
    server.answers = [complete("<think>hm,\nchess?</think>\n\n This shopper\n likes chess. ")]
    assert writer.write([PROMPT]) == ["This shopper likes chess."]
    path, headers, body = server.seen[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer SECRET-1")
    assert body["messages"][0] == MESSAGES[0]
    assert body["messages"][1]["content"] == '- Chess Begin with the words "This shopper likes".'
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("some-model", 48, 0.0)
    assert "SECRET" not in json.dumps(body) + writer.name
    named = {"some/model": "some/model", "./models/small/": "small", "/srv/small": "small"}
    for model, name in named.items():
        assert EndpointWriter(server.url, model, ProfilerConfig()).name == name


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failure_that_passes_is_not_seen(server: FakeServer, writer: EndpointWriter, status: int) -> None:
    server.answers = [(status, {"Retry-After": "0"}, b"busy"), (status, {}, b""), complete("Likes chess.")]
    assert writer.write([PROMPT]) == ["Likes chess."]
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [307, 400, 401, 404, 422])
def test_a_refusal_is_not_repeated_and_opens_nothing(server: FakeServer, writer: EndpointWriter, status: int) -> None:
    server.answers = [(status, {"Location": "http://127.0.0.1:9/"}, b"SECRET of the server")]
    for _ in range(4):
        with pytest.raises(ModelError, match=f"status {status}") as error:
            writer.write([PROMPT])
        assert not isinstance(error.value, UnavailableError)
        assert "SECRET" not in str(error.value)
    assert len(server.seen) == 4
    assert not writer.breaker.is_open


@pytest.mark.parametrize(
    "answer", [(200, {}, b"<html>"), (200, {}, b"[]"), complete(None), complete("  "), complete("<think>on and on")]
)
def test_an_answer_without_a_profile_is_named(server: FakeServer, writer: EndpointWriter, answer: Answer) -> None:
    server.answers = [answer]
    with pytest.raises(ModelError, match=r"wrote nothing|not that of a chat completion"):
        writer.write([PROMPT])


def test_thoughts_that_the_prompt_began_are_left_out(server: FakeServer, writer: EndpointWriter) -> None:
    server.answers = [complete("hm, chess?\n</think>\n\nLikes chess.")]
    assert writer.write([PROMPT]) == ["Likes chess."]


@pytest.mark.parametrize("content", [b"[" * 200_000, b"\xff\xfe", b'{"choices": {}}'])
def test_what_is_no_answer_at_all_is_named(server: FakeServer, writer: EndpointWriter, content: bytes) -> None:
    server.answers = [(200, {}, content)]
    with pytest.raises(ModelError, match="not that of a chat completion"):
        writer.write([PROMPT])


def test_odd_waits_are_not_waited_for(server: FakeServer, writer: EndpointWriter) -> None:
    server.answers = [(503, {"Retry-After": "\u00b2"}, b""), complete("Likes chess.")]
    assert writer.write([PROMPT]) == ["Likes chess."]


@pytest.mark.parametrize("key", ["caf\u00e9", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_refused(server: FakeServer, key: str) -> None:
    with pytest.raises(ConfigError, match="BLUEREC_ENDPOINT_KEY"):
        EndpointWriter(server.url, "m", ProfilerConfig(), key=key)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever starts the tests in the background may have told them to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_who_interrupts_does_not_wait_for_a_server_that_hangs(server: FakeServer) -> None:
    started = threading.Event()

    def hang(_: dict[str, Any]) -> Answer:
        started.set()
        time.sleep(60.0)
        return complete("Too late.")

    server.answers = [hang]
    endpoint = ChatEndpoint(server.url, "m", patience=Patience(answer_seconds=60.0))

    def interrupt() -> None:
        started.wait()
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        endpoint.ask_all(
            lambda text: endpoint.ask([{"role": "user", "content": text}], max_tokens=1, temperature=0), "ab"
        )
    assert time.monotonic() - begin < 30.0


def test_a_flood_is_cut(server: FakeServer, writer: EndpointWriter) -> None:
    server.answers = [complete("x" * 3_000_000)]
    with pytest.raises(ModelError, match="larger than"):
        writer.write([PROMPT])


def test_a_hanging_server_is_not_waited_for_longer_than_said(server: FakeServer) -> None:
    def hang(_: dict[str, Any]) -> Answer:
        time.sleep(60.0)
        return complete("Too late.")

    server.answers = [hang]
    patience = Patience(answer_seconds=0.2, n_tries=2, between_tries=0.01)
    writer = EndpointWriter(server.url, "m", ProfilerConfig(), patience=patience)
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match="ReadTimeout"):
        writer.write([PROMPT])
    assert 0.4 <= time.monotonic() - begin < 30.0
    writer.close()


def test_the_breaker_spares_the_endpoint_and_tries_again(server: FakeServer, writer: EndpointWriter) -> None:
    now = 100.0
    writer.breaker.clock = lambda: now
    server.answers = [(503, {}, b"")]
    for _ in range(2):
        with pytest.raises(UnavailableError, match="status 503"):
            writer.write([PROMPT])
    asked = len(server.seen)
    assert asked == 2 * QUICK.n_tries
    for _ in range(20):
        with pytest.raises(UnavailableError, match="asked again later") as error:
            writer.write([PROMPT])
        assert 0 < error.value.retry_after <= QUICK.open_seconds
    assert len(server.seen) == asked
    server.answers = [complete("Likes chess.")]
    now += QUICK.open_seconds
    assert writer.write([PROMPT]) == ["Likes chess."]
    assert not writer.breaker.is_open


def test_one_caller_tries_and_the_others_wait_for_what_it_finds() -> None:
    now = 100.0
    breaker = Breaker(2, 30.0, clock=lambda: now)
    breaker.leave(failed=True)
    breaker.enter()
    breaker.leave(failed=True)
    with pytest.raises(UnavailableError):
        breaker.enter()
    now += 31
    breaker.enter()
    with pytest.raises(UnavailableError):
        breaker.enter()
    breaker.leave(failed=True)
    now += 29
    with pytest.raises(UnavailableError):
        breaker.enter()
    now += 2
    breaker.enter()
    breaker.leave(failed=False)
    breaker.enter()


def test_nothing_listening_is_named(writer: EndpointWriter) -> None:
    dead = EndpointWriter("http://127.0.0.1:9/v1/", "m", ProfilerConfig(), patience=QUICK)
    with pytest.raises(UnavailableError, match="is the server running"):
        dead.write([PROMPT])
    dead.close()


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "file:///etc/passwd", "http://", "http://u:p@h/v1", "http://h/v1?k=1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--endpoint"):
        check_url(url)


def test_tokens_are_guessed_upwards() -> None:
    assert [count_roughly(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
