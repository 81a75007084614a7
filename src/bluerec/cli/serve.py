"""bluerec serve: the service and the page over a store."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from bluerec.cli import console
from bluerec.cli.generators import (
    NO_WRITER,
    WRITER_HELP,
    EndpointOption,
    WordSupportOption,
    WriteMany,
    WriterChoice,
    WriterSettingsOption,
    make_writer,
)
from bluerec.cli.options import AdapterOption, JsonOption, OfflineOption
from bluerec.config import ProfilerConfig
from bluerec.errors import ConfigError, MissingExtraError
from bluerec.profiling.shared_words import STORE_WORD_SUPPORT
from bluerec.store.recommender import Recommender
from bluerec.store.store import Store
from bluerec.types import Event

if TYPE_CHECKING:
    from bluerec.serving.worker import Generate

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("0.0.0.0", "::")


def serve_command(
    folder: Annotated[Path, typer.Argument(metavar="STORE", help="A store made by bluerec index.")],
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8321,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="A host name that the service answers for, beside its address; may be repeated."),
    ] = None,
    writer: Annotated[
        str, typer.Option("--writer", help=f"What writes profiles for new interactions: {WRITER_HELP} none: nothing.")
    ] = ProfilerConfig().model,
    adapter: AdapterOption = None,
    endpoint: EndpointOption = None,
    word_support: WordSupportOption = STORE_WORD_SUPPORT,
    settings: WriterSettingsOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Serve the API and the page on this machine, and print the address with a token for this run.

    Keys that stay are made with bluerec key. Beyond this machine put a proxy with TLS in front.
    """
    try:
        import uvicorn
        from threadpoolctl import threadpool_limits

        from bluerec.serving.api import build_app
        from bluerec.serving.keys import KeyRing, Scope
        from bluerec.serving.metrics import configure_logging
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve") from error
    begin = time.perf_counter()
    choice = WriterChoice(writer, adapter, endpoint, settings or (), word_support, offline)
    if writer == NO_WRITER:
        choice.settle()  # refuses what would have no effect
    else:
        choice.check()
    # One thread a request: threads that wait for each other cost more than they bring where requests come together.
    with (
        threadpool_limits(1, user_api="blas"),
        _listen(host, port) as listener,
        Store.open(folder, offline=offline) as store,
    ):
        write = make_writer(choice, store.catalogue.names)
        generate = None if writer == NO_WRITER else _one_by_one(write)
        kept = KeyRing.open(folder)
        _, token = kept.create_for_this_run(Scope.ADMIN)
        hosts = () if host in _EVERYWHERE and not names else (*_LOOPBACK, host, *(names or ()))
        warm = partial(_load_embedder, store)
        app = build_app(store, Recommender(store), kept, generate=generate, warm=warm, hosts=hosts)
        configure_logging()
        _tell(host, listener.getsockname()[1], token, time.perf_counter() - begin, as_json)
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_keep_alive=30)
        # The server hands the signal on when it has stopped; then the store is closed as after any other end.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def freeze_garbage() -> None:
    """Leave what is in memory now out of all later collections of garbage.

    Models and libraries are half a million objects that live as long as the process. A full collection would walk
    through them all, which stops every request for a quarter of a second or more.
    """
    gc.collect()
    gc.freeze()


def _listen(host: str, port: int) -> Any:
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves the delay of small packets on.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host}:{port}: cannot listen ({error.strerror}); choose another --port or --host"
        ) from error
    listener.listen(128)  # whoever asks before the start is complete waits and is not refused
    return listener


def _one_by_one(write: WriteMany) -> Generate:
    def generate(user_id: str, events: Sequence[Event]) -> tuple[str, str]:
        text, name = write([(user_id, events)])[0]
        return text, name

    return generate


def _load_embedder(store: Store) -> None:
    store.embedder.warm()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    freeze_garbage()


def _tell(host: str, port: int, token: str, seconds: float, as_json: bool) -> None:
    shown = "127.0.0.1" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    page = f"{address}/studio/sign-in?token={quote(token)}"
    if as_json:
        console.print_json({"address": address, "page": page, "token": token, "seconds": round(seconds, 2)})
    else:
        console.print_result(f"page:  {page}")
        console.print_result(f"API:   curl -H 'Authorization: Bearer {token}' {address}/users")
        console.print_result("Stop with Ctrl+C; the token ends with it.")
    sys.stdout.flush()
