"""Blocks of lines as tables: fast where all lines are sound, line by line where one is not.

A block is given whole to polars. Where that fails the block is halved until the faulty lines are alone; those are
read by Python, which also knows Python literals and numbers in quotes. What then still cannot be read is a bad
line: counted, and beyond `BadLines.limit` the run stops.
"""

from __future__ import annotations

import ast
import csv
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bluerec.data.sources.blocks import Block, CountBytes, find_records, read_blocks
from bluerec.data.sources.findings import BadLine, BadLines, shorten
from bluerec.data.threads import map_ahead

# Below this many lines, reading one by one is cheaper than halving further.
_FEW_LINES = 32
_POLARS_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line; a Python literal, as some published files have it, is read too.

    `schema` holds the fields wanted, `required` the texts without which a line is bad.
    """

    schema: pl.Schema
    required: tuple[str, ...] = ()
    quoted: bool = False

    def parse_block(self, data: bytes) -> pl.DataFrame:
        """All lines at once; raises a polars error if any line is not as it should be."""
        return pl.read_ndjson(data, schema=self.schema)

    def split(self, data: bytes) -> list[bytes]:
        """The lines, blank ones included."""
        return data.split(b"\n")

    def parse_line(self, line: bytes) -> dict[str, Any]:
        """The fields of one line, of any type; raises `ValueError` saying what is wrong."""
        text = line.decode("utf-8")
        try:
            value = json.loads(text, parse_constant=lambda _: None)
        except (json.JSONDecodeError, RecursionError):
            value = _read_literal(text.strip())
        if not isinstance(value, dict):
            raise ValueError("not an object with fields")
        return value


@dataclass(frozen=True)
class Delimited:
    """Lines of separated values. `columns` names all of them in the order of the file, `schema` those wanted.

    A field between double quotes may hold separators and line breaks if `quoted`. See `JsonLines` for `required`.
    """

    schema: pl.Schema
    columns: tuple[str, ...]
    required: tuple[str, ...] = ()
    separator: str = ","
    quoted: bool = True
    encoding: str = "utf-8"

    def parse_block(self, data: bytes) -> pl.DataFrame:
        """See `JsonLines.parse_block`; raises `ValueError` for a line with too few, too many or no values."""
        data = self._decode(data).encode()
        records = find_records(data, quoted=self.quoted)
        # The parser fills short lines with nulls, and cuts off what is too much.
        n_separators = records.count(data, self._one_character.encode(), quoted=self.quoted)
        if (n_separators != len(self.columns) - 1).any():
            raise ValueError(f"a line has not {len(self.columns)} values")
        if self.quoted and _has_text_after_quotes(data, self._one_character):
            raise ValueError("text follows a closing quote")  # of which the parser makes what it likes
        table = pl.read_csv(
            data,
            has_header=False,
            schema={name: self.schema.get(name, pl.String()) for name in self.columns},
            # By their places: without a header, polars takes no names here.
            columns=[place for place, name in enumerate(self.columns) if name in self.schema],
            separator=self._one_character,
            quote_char='"' if self.quoted else None,
        )
        # Blank lines are rows without a value, and nothing else may be.
        table = table.filter(~pl.all_horizontal(pl.all().is_null()))
        if table.height != len(records.lines):
            raise ValueError("a line has no value")
        return table.select(self.schema.names())

    def split(self, data: bytes) -> list[bytes]:
        """The records, each with the line breaks between its quotes."""
        if not self.quoted:
            return data.split(b"\n")
        records: list[bytes] = []
        is_open = False
        for line in data.split(b"\n"):
            if is_open:
                records[-1] += b"\n" + line
            else:
                records.append(line)
            is_open ^= bool(line.count(b'"') % 2)
        return records

    def parse_line(self, line: bytes) -> dict[str, Any]:
        """See `JsonLines.parse_line`."""
        text = self._decode(line).rstrip("\r")
        if self.quoted:
            values = next(csv.reader([text], delimiter=self._one_character, strict=True), [])
        else:
            values = text.split(self._one_character)
        if len(values) != len(self.columns):
            raise ValueError(f"{len(values)} values, the file has {len(self.columns)} columns")
        return {name: value or None for name, value in zip(self.columns, values, strict=True)}

    @property
    def _one_character(self) -> str:
        return self.separator if len(self.separator) == 1 else "\x1f"

    def _decode(self, data: bytes) -> str:
        text = data.decode(self.encoding)
        return text if len(self.separator) == 1 else text.replace(self.separator, self._one_character)


LineFormat = JsonLines | Delimited


def _has_text_after_quotes(data: bytes, separator: str) -> bool:
    """Whether a closing quote is followed by anything but a separator, the end of a line or, doubled, a quote."""
    characters = np.frombuffer(data, np.uint8)
    closing = np.flatnonzero(characters == ord('"'))[1::2]
    following = characters[closing[closing + 1 < len(characters)] + 1]
    return not np.isin(following, np.frombuffer(f'{separator}"\r\n'.encode(), np.uint8)).all()


def read_lines(
    path: Path, line_format: LineFormat, bad: BadLines, *, of: str, tell: CountBytes | None = None, skip: int = 0
) -> Iterator[pl.DataFrame]:
    """Tables with the schema of the format, in the order of the file, the first `skip` lines left out.

    Where the rows of a table stand is told to `bad.examples` before it is given.
    """

    def parse(block: Block) -> _Parsed:
        return _parse_block(line_format, block, skip, bad.limit)

    for parsed in map_ahead(parse, read_blocks(path, quoted=line_format.quoted, tell=tell)):
        for bad_line in parsed.bad:
            bad.add(path, bad_line, of=of)
        for table, numbers in parsed.tables:
            bad.examples.locate(path, numbers)
            yield table


@dataclass
class _Parsed:
    """What became of a block: tables, with the line of each row, and bad lines.

    Once `bad` is over the limit the rest of the block does not matter.
    """

    limit: int
    tables: list[tuple[pl.DataFrame, pl.Series]] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)

    @property
    def is_hopeless(self) -> bool:
        return len(self.bad) > self.limit


def _parse_block(line_format: LineFormat, block: Block, skip: int, limit: int) -> _Parsed:
    parsed = _Parsed(limit)
    if block.too_long:
        parsed.bad.append(BadLine(block.first_line, "line too long", _decode(block.data)))
        return parsed
    data, first_line = block.data, block.first_line
    if first_line <= skip:
        data, first_line = b"\n".join(data.split(b"\n")[skip - first_line + 1 :]), skip + 1
    table = _try_all(line_format, data)
    if table is None:
        _parse_halves(line_format, line_format.split(data), first_line, parsed)
    else:
        parsed.tables.append((table, _number_rows(line_format, data, first_line, table.height)))
    return parsed


def _number_rows(line_format: LineFormat, data: bytes, first_line: int, n_rows: int) -> pl.Series:
    """The line on which each row of some data begins, (n_rows,); null where the parser divides them otherwise."""
    n_lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if n_rows == n_lines:
        return pl.int_range(first_line, first_line + n_rows, eager=True)
    lines = find_records(data, quoted=line_format.quoted).lines
    return pl.Series(first_line + lines) if len(lines) == n_rows else pl.Series([None] * n_rows, dtype=pl.Int64())


def _try_all(line_format: LineFormat, data: bytes) -> pl.DataFrame | None:
    """The table if every line is sound."""
    try:
        table = line_format.parse_block(data)
    except (*_POLARS_FAULTS, ValueError):
        return None
    lacks_any = any(table[name].has_nulls() or (table[name] == "").any() for name in line_format.required)
    return None if lacks_any else table


def _parse_halves(line_format: LineFormat, lines: Sequence[bytes], first_line: int, parsed: _Parsed) -> None:
    """Parse lines of which at least one is not sound."""
    if len(lines) <= _FEW_LINES:
        _parse_singly(line_format, lines, first_line, parsed)
        return
    middle = len(lines) // 2
    for half in (lines[:middle], lines[middle:]):
        if parsed.is_hopeless:
            return
        data = b"\n".join(half)
        table = _try_all(line_format, data)
        if table is None:
            _parse_halves(line_format, half, first_line, parsed)
        else:
            parsed.tables.append((table, _number_rows(line_format, data, first_line, table.height)))
        first_line += sum(line.count(b"\n") + 1 for line in half)


def _parse_singly(line_format: LineFormat, lines: Sequence[bytes], first_line: int, parsed: _Parsed) -> None:
    rows, numbers, number = [], [], first_line
    for line in lines:
        if line.strip():
            try:
                rows.append(coerce_fields(line_format, line_format.parse_line(line)))
                numbers.append(number)
            except (ValueError, csv.Error) as error:
                reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
                parsed.bad.append(BadLine(number, reason, _decode(line)))
        number += line.count(b"\n") + 1
    table = pl.DataFrame(rows, schema=line_format.schema, orient="row")
    parsed.tables.append((table, pl.Series(numbers, dtype=pl.Int64())))


def coerce_fields(line_format: LineFormat, values: dict[str, Any]) -> tuple[Any, ...]:
    """The wanted fields in the types of the schema. Raises `ValueError` naming the first that does not fit."""
    row = []
    for name, kind in line_format.schema.items():
        try:
            value = _COERCIONS[kind.base_type()](values.get(name))
        except (ValueError, OverflowError):
            raise ValueError(f"{name} is {shorten(str(values[name]))}, not of type {kind}") from None
        if name in line_format.required and value in (None, ""):
            raise ValueError(f"no {name} among the fields {shorten(', '.join(map(str, values)))}")
        row.append(value)
    return tuple(row)


def _read_literal(text: str) -> Any:
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("neither JSON nor a Python literal") from None


def _to_text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    # A lone half of a surrogate pair, which JSON can express, is no text.
    return text.encode("utf-8", "replace").decode()


def _to_integer(value: Any) -> int | None:
    number = _to_number(value)
    if number is None:
        return None
    exact = int(value) if isinstance(value, int | str) and not isinstance(number, float) else int(number)
    if exact != number or not -(2**63) <= exact < 2**63:
        raise ValueError
    return exact


def _to_number(value: Any) -> float | int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = float(value)
    return None if math.isnan(value) else value


def _to_texts(value: Any) -> list[str | None] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        raise ValueError
    return [_to_text(element) for element in (value if isinstance(value, list | tuple) else [value])]


_COERCIONS = {pl.String: _to_text, pl.Int64: _to_integer, pl.Float64: _to_number, pl.List: _to_texts}


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
