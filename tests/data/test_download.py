"""Downloads from a server on this machine: sizes, resumption, other versions, and each fault as one line."""

import shutil
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bluerec.data import download as downloads
from bluerec.data.download import describe_size, download, list_addresses, look_up
from bluerec.errors import ConfigError, DataError

CONTENT = bytes(range(256)) * 5000


@dataclass
class Server:
    """One file at any address that ends with its name; `fails_after` cuts each of the next answers short."""

    content: bytes = CONTENT
    version: str = '"one"'
    ranges: bool = True
    fails_after: list[int] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(200, 0)

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            goes_on = wanted and state.ranges and self.headers.get("If-Range") == state.version
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and goes_on else 0
            self.answer(206 if goes_on else 200, start)
            stop = start + state.fails_after.pop(0) if state.fails_after else len(state.content)
            if self.path.endswith("file.gz"):
                self.wfile.write(state.content[start:stop])

        def answer(self, status: int, start: int) -> None:
            if not self.path.endswith("file.gz"):
                self.send_error(404)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(state.content) - start))
            self.send_header("ETag", state.version)
            self.end_headers()

    class Loopback(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Loopback(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_address[1]}/data/file.gz"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        running.shutdown()
        thread.join()


def test_size_and_content(server: Server, tmp_path: Path) -> None:
    remote = look_up(server.url)
    assert (remote.n_bytes, remote.version, remote.name) == (len(CONTENT), '"one"', "file.gz")
    told: list[tuple[int, int]] = []
    path = download(remote, tmp_path / "new", tell=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [entry.name for entry in path.parent.iterdir()] == ["file.gz"]


def test_a_file_that_is_there_is_not_fetched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(b"mine")
    assert download(look_up(server.url), tmp_path).read_bytes() == b"mine"
    assert server.requests == []


def test_a_transfer_that_breaks_off_goes_on(server: Server, tmp_path: Path) -> None:
    server.fails_after = [400_000, 300_000]
    assert download(look_up(server.url), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=400000-", "bytes=700000-"]


def test_a_later_command_goes_on(server: Server, tmp_path: Path) -> None:
    server.fails_after = [100_000] * downloads._N_ATTEMPTS
    with pytest.raises(DataError, match=r"300000 of 1280000 bytes came.*run the same command again to go on"):
        download(look_up(server.url), tmp_path)
    assert not (tmp_path / "file.gz").exists()
    assert download(look_up(server.url), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=300000-"


@pytest.mark.parametrize("change", ["version", "ranges"])
def test_another_version_or_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path, change: str) -> None:
    server.fails_after = [100_000] * downloads._N_ATTEMPTS
    with pytest.raises(DataError):
        download(look_up(server.url), tmp_path)
    if change == "version":
        server.content, server.version = CONTENT[::-1], '"two"'
    else:
        server.ranges = False
    assert download(look_up(server.url), tmp_path).read_bytes() == server.content


def test_a_name_that_the_server_lacks(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"other.gz: the server answers 404"):
        look_up(server.url.replace("file.gz", "other.gz"))


def test_no_server() -> None:
    with pytest.raises(DataError, match=r"cannot be fetched \(.*refused\).*bluerec prepare"):
        look_up("http://127.0.0.1:9/file.gz")


def test_too_little_space_and_no_place(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = look_up(server.url)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"cannot be written .*choose another --out"):
        download(remote, tmp_path / "file" / "folder")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 0, 10**6))
    with pytest.raises(DataError, match=r"file.gz needs 1.3 MB, 1.0 MB are free"):
        download(remote, tmp_path)


def test_addresses_of_the_published_sets() -> None:
    reviews, meta = list_addresses("amazon-2023", "video games")
    assert reviews.endswith("/amazon_2023/raw/review_categories/Video_Games.jsonl.gz")
    assert meta.endswith("/amazon_2023/raw/meta_categories/meta_Video_Games.jsonl.gz")
    core = list_addresses("amazon-2023", "Video_Games", core=True, address="http://here")
    assert core[0] == "http://here/benchmark/5core/rating_only/Video_Games.csv.gz"
    assert list_addresses("google-local", "New_York", core=True, address="x") == [
        "x/review-New_York_10.json.gz",
        "x/meta-New_York.json.gz",
    ]


@pytest.mark.parametrize(
    ("dataset", "part", "message"),
    [
        ("amazon-2023", "Video_Gmaes", "did you mean Video_Games"),
        ("google-local", "New Yrok", "did you mean New_York"),
        ("movielens", "1m", "give one of amazon-2023, google-local"),
    ],
)
def test_unknown_names(dataset: str, part: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list_addresses(dataset, part)


def test_sizes_for_people() -> None:
    assert [describe_size(size) for size in (None, 999, 1500, 2 * 10**9)] == [
        "unknown size",
        "999 bytes",
        "1.5 kB",
        "2.0 GB",
    ]
