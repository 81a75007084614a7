"""Published data sets fetched file by file: sizes known first, a broken transfer goes on, a file is whole or absent.

The addresses are those that the authors of the data sets give.
"""

from __future__ import annotations

import difflib
import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bluerec import __version__
from bluerec.errors import ConfigError, DataError
from bluerec.runs import write_json
from bluerec.types import CountDone

_HOST = "https://mcauleylab.ucsd.edu/public_datasets"
AMAZON_ADDRESS = f"{_HOST}/data/amazon_2023"
GOOGLE_ADDRESS = f"{_HOST}/gdrive/googlelocal"
DATASETS = ("amazon-2023", "google-local")
AMAZON_CATEGORIES = (
    *("All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products"),
    *("Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories"),
    *("Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food"),
    *("Handmade_Products", "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen"),
    *("Industrial_and_Scientific", "Kindle_Store", "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments"),
    *("Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Software", "Sports_and_Outdoors"),
    *("Subscription_Boxes", "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games", "Unknown"),
)
GOOGLE_STATES = (
    *("Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado", "Connecticut", "Delaware"),
    *("District_of_Columbia", "Florida", "Georgia", "Hawaii", "Idaho", "Illinois", "Indiana", "Iowa", "Kansas"),
    *("Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan", "Minnesota", "Mississippi"),
    *("Missouri", "Montana", "Nebraska", "Nevada", "New_Hampshire", "New_Jersey", "New_Mexico", "New_York"),
    *("North_Carolina", "North_Dakota", "Ohio", "Oklahoma", "Oregon", "Pennsylvania", "Rhode_Island"),
    *("South_Carolina", "South_Dakota", "Tennessee", "Texas", "Utah", "Vermont", "Virginia", "Washington"),
    *("West_Virginia", "Wisconsin", "Wyoming"),
)
_SECONDS_TO_WAIT = 60
_N_ATTEMPTS = 3
_CHUNK_BYTES = 2**20
_BROKEN_OFF = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server. `n_bytes` is None where the server does not tell; `version` changes with the content."""

    url: str
    n_bytes: int | None
    version: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def list_addresses(dataset: str, part: str, *, core: bool = False, address: str | None = None) -> list[str]:
    """The addresses of the reviews and the metadata of a category or state, the reviews first.

    With `core`, the published 5-core ratings (amazon-2023) or 10-core reviews (google-local); `address` is another
    place with the same folders. Raises `ConfigError` for an unknown name, with the nearest known one.
    """
    if dataset == "amazon-2023":
        root, name = address or AMAZON_ADDRESS, _find_name(part, AMAZON_CATEGORIES, "--category")
        ratings = f"benchmark/5core/rating_only/{name}.csv.gz"
        reviews = ratings if core else f"raw/review_categories/{name}.jsonl.gz"
        return [f"{root}/{reviews}", f"{root}/raw/meta_categories/meta_{name}.jsonl.gz"]
    if dataset == "google-local":
        root, name = address or GOOGLE_ADDRESS, _find_name(part, GOOGLE_STATES, "--state")
        return [f"{root}/review-{name}{'_10' if core else ''}.json.gz", f"{root}/meta-{name}.json.gz"]
    raise ConfigError(f"data set {dataset!r} is not known; give one of {', '.join(DATASETS)}")


def look_up(url: str) -> RemoteFile:
    """Ask a server for size and version of a file. Raises `DataError` if it cannot be reached or lacks the file."""
    with _open(urllib.request.Request(url, method="HEAD")) as answer:
        length = answer.headers.get("Content-Length")
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return RemoteFile(url, int(length) if length else None, version)


def download(remote: RemoteFile, folder: str | Path, *, tell: CountDone = lambda done, total: None) -> Path:
    """Fetch a file into a folder, going on with what an earlier attempt left; returns its path.

    A file that is there is left as it is. Raises `DataError` if the transfer breaks off, the disk is full or the
    folder cannot be written.
    """
    path = Path(folder) / remote.name
    if path.exists():
        return path
    partial = path.with_name(f"{path.name}.part")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_space(remote, partial)
        _forget_other_version(remote, partial)
        for attempt in range(1, _N_ATTEMPTS + 1):
            try:
                _transfer(remote, partial, tell)
                break
            except _BROKEN_OFF as error:
                if attempt == _N_ATTEMPTS or isinstance(error, urllib.error.HTTPError):
                    raise _explain(error, remote.url) from error
        partial.replace(path)
        _version_file(partial).unlink(missing_ok=True)
    return path


def _transfer(remote: RemoteFile, partial: Path, tell: CountDone) -> None:
    """Append to `partial` what it lacks, or fetch it anew where the server does not go on."""
    n_there = partial.stat().st_size if partial.exists() else 0
    if remote.n_bytes is not None and n_there == remote.n_bytes:
        return
    headers = {"Range": f"bytes={n_there}-", "If-Range": remote.version} if n_there and remote.version else {}
    with _open_once(urllib.request.Request(remote.url, headers=headers)) as answer:
        goes_on = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        n_done = n_there if goes_on else 0
        with partial.open("ab" if goes_on else "wb") as file:
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                n_done += len(chunk)
                tell(n_done, remote.n_bytes or n_done)
    if remote.n_bytes is not None and n_done != remote.n_bytes:
        raise ConnectionError(f"{n_done} of {remote.n_bytes} bytes came")


def _forget_other_version(remote: RemoteFile, partial: Path) -> None:
    """Keep the beginning of a file only if it is of the same version; note the version for the next attempt."""
    note = _version_file(partial)
    wanted = {"url": remote.url, "version": remote.version, "n_bytes": remote.n_bytes}
    try:
        same = json.loads(note.read_text(encoding="utf-8")) == wanted
    except (FileNotFoundError, ValueError):
        same = False
    if not same:
        partial.unlink(missing_ok=True)
        write_json(note, wanted)


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _check_space(remote: RemoteFile, partial: Path) -> None:
    free = shutil.disk_usage(partial.parent).free
    n_there = partial.stat().st_size if partial.exists() else 0
    n_needed = (remote.n_bytes or 0) - n_there
    if n_needed > free:
        raise DataError(
            f"{partial.parent}: {remote.name} needs {describe_size(n_needed)}, {describe_size(free)} are free; "
            "free space or choose another --out"
        )


def describe_size(n_bytes: int | None) -> str:
    """A number of bytes for people."""
    if n_bytes is None:
        return "unknown size"
    size, units = float(n_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def _find_name(given: str, known: tuple[str, ...], option: str) -> str:
    wanted = given.strip().replace(" ", "_").lower()
    for name in known:
        if name.lower() == wanted:
            return name
    nearest = difflib.get_close_matches(wanted, [name.lower() for name in known], n=1, cutoff=0.0)
    name = next(name for name in known if name.lower() == nearest[0])
    raise ConfigError(f"{option} {given!r} is not known; did you mean {name}? There are: {', '.join(known)}")


def _open_once(request: urllib.request.Request) -> http.client.HTTPResponse:
    request.add_header("User-Agent", f"bluerec/{__version__}")
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_SECONDS_TO_WAIT)
    return answer


@contextmanager
def _open(request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
    try:
        with _open_once(request) as answer:
            yield answer
    except _BROKEN_OFF as error:
        raise _explain(error, request.full_url) from error


def _explain(error: Exception, url: str) -> DataError:
    if isinstance(error, urllib.error.HTTPError):
        return DataError(f"{url}: the server answers {error.code} ({error.reason}); check the name, or try later")
    reason = getattr(error, "reason", None) or error
    return DataError(
        f"{url}: cannot be fetched ({reason}); run the same command again to go on, or fetch the file where there is "
        "internet and give its folder to bluerec prepare"
    )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another --out"
        ) from error
