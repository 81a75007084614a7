"""Files as blocks of whole lines, gzip or plain.

Nothing here knows what a line means. Memory is bounded by the size of a block, whatever the file holds: a line
longer than `MAX_LINE_BYTES` is passed over and reported, not kept.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from bluerec.errors import DataError
from bluerec.types import IntArray

BLOCK_BYTES = 8 * 2**20
MAX_LINE_BYTES = 4 * 2**20
# So much of a line that is passed over is kept, for the message.
KEPT_OF_LONG_LINE = 200
# A quote that is not closed after so many lines is taken for a fault of its line.
_MAX_QUOTED_LINES = 200
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FOREIGN_KINDS = {
    b"PK\x03\x04": "a zip archive; extract it first",
    b"PAR1": "a Parquet file; run: bluerec prepare parquet",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first",
    b"BZh": "compressed with bzip2; decompress it first",
    b"\xfd7zX": "compressed with xz; decompress it first",
}

# Told how many bytes were read since it was last told.
CountBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, and the number of the first one (from 1); or the head of one line that is too long."""

    data: bytes
    first_line: int
    too_long: bool = False


def read_blocks(path: Path, *, quoted: bool = False, tell: CountBytes | None = None) -> Iterator[Block]:
    """Blocks of a text file.

    With `quoted`, a line break between double quotes does not end a line. `tell` hears how many bytes of the file
    were read since it was last called. Raises `DataError` for a file that is missing, empty or damaged, or of
    another kind.
    """
    with _open_text(path) as (text, raw):
        line, position = 1, 0
        while data := text.read(BLOCK_BYTES):
            data += _rest_of_line(text, data, quoted)
            yield from _without_long_lines(data, line)
            line += data.count(b"\n")
            if tell is not None:
                tell(raw.tell() - position)
                position = raw.tell()


def read_head(path: Path, n_bytes: int = 2**20) -> bytes:
    """The first whole lines of a file, at most `n_bytes`; see `read_blocks` for what is refused."""
    with _open_text(path) as (text, _):
        head = text.read(n_bytes)
    return head[: head.rfind(b"\n") + 1] or head


@dataclass(frozen=True, slots=True)
class Records:
    """The records of some whole lines, blank lines left out: where each begins and ends, and on which line from 0.

    All are (n_records,); the line break that ends a record is not of it.
    """

    begins: IntArray
    ends: IntArray
    lines: IntArray

    def count(self, data: bytes, character: bytes, *, quoted: bool) -> IntArray:
        """How often each record of `data` has a character, with `quoted` outside of double quotes, (n_records,)."""
        codes = np.frombuffer(data, dtype=np.uint8)
        places = _outside_quotes(codes, np.flatnonzero(codes == ord(character)), quoted=quoted)
        return np.searchsorted(places, self.ends) - np.searchsorted(places, self.begins)


def find_records(data: bytes, *, quoted: bool) -> Records:
    """The records of some whole lines. With `quoted`, a line break between double quotes does not end one."""
    codes = np.frombuffer(data, dtype=np.uint8)
    breaks = np.flatnonzero(codes == ord("\n"))
    if data and not data.endswith(b"\n"):
        breaks = np.append(breaks, len(data))
    ends = _outside_quotes(codes, breaks, quoted=quoted)
    begins, lines = np.zeros_like(ends), np.zeros_like(ends)
    begins[1:] = ends[:-1] + 1
    lines[1:] = np.searchsorted(breaks, ends[:-1]) + 1
    # A line may end with a carriage return and a line break.
    is_blank = ends - begins == 0
    is_blank |= (ends - begins == 1) & (np.append(codes, 0)[begins] == ord("\r"))
    return Records(begins[~is_blank], ends[~is_blank], lines[~is_blank])


def _outside_quotes(codes: NDArray[np.uint8], places: IntArray, *, quoted: bool) -> IntArray:
    quotes = np.flatnonzero(codes == ord('"')) if quoted else np.empty(0, dtype=np.int64)
    return places[np.searchsorted(quotes, places) % 2 == 0] if len(quotes) else places


def _rest_of_line(text: BinaryIO, data: bytes, quoted: bool) -> bytes:
    """What the last line of `data` still lacks; of a line that is too long no more than shows that it is."""
    rest = b"" if data.endswith(b"\n") else _read_line(text)
    is_open = quoted and bool((data.count(b'"') + rest.count(b'"')) % 2)
    for _ in range(_MAX_QUOTED_LINES if is_open else 0):
        more = _read_line(text)
        rest += more
        if not more or more.count(b'"') % 2:
            break
    return rest


def _read_line(text: BinaryIO) -> bytes:
    line = text.readline(MAX_LINE_BYTES)
    if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
        return line
    while (more := text.readline(MAX_LINE_BYTES)) and not more.endswith(b"\n"):
        pass
    return line + b"\n"


def _without_long_lines(data: bytes, first_line: int) -> Iterator[Block]:
    """The lines as one block, or cut around those that are too long."""
    start, line = 0, first_line
    for begin, end in _find_long_lines(data):
        if begin > start:
            yield Block(data[start:begin], line)
            line += data.count(b"\n", start, begin)
        yield Block(data[begin : begin + KEPT_OF_LONG_LINE], line, too_long=True)
        start, line = end, line + 1
    if start < len(data):
        yield Block(data[start:], line)


def _find_long_lines(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of each line over the limit. Looks at a line only where half its length shows no line break."""
    step = MAX_LINE_BYTES // 2
    position = 0
    while position + step < len(data):
        if data.find(b"\n", position, position + step) >= 0:
            position += step
            continue
        begin = data.rfind(b"\n", 0, position) + 1
        end = data.find(b"\n", position) + 1 or len(data)
        if end - begin > MAX_LINE_BYTES:
            yield begin, end
        position = end


@contextmanager
def _open_text(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The text of a file, and the file itself, whose position tells how far the reading is."""
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
            raw.seek(len(_BYTE_ORDER_MARK) if magic.startswith(_BYTE_ORDER_MARK) else 0)
            _check_kind(path, magic)
            if magic.startswith(_GZIP_MAGIC):
                with gzip.open(raw, "rb") as text:
                    yield cast(BinaryIO, text), raw
            else:
                yield raw, raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); download it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


def _check_kind(path: Path, magic: bytes) -> None:
    if not magic:
        raise DataError(f"{path}: the file is empty; download or export it again")
    for foreign, what in _FOREIGN_KINDS.items():
        if magic.startswith(foreign):
            raise DataError(f"{path}: not a text file but {what}")
