"""A Parquet, CSV or JSON-lines file as a table: its column names, some of its rows, and a reader of some columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bluerec.data.sources.blocks import CountBytes, read_head
from bluerec.data.sources.findings import BadLine, BadLines
from bluerec.data.sources.lines import Delimited, JsonLines, LineFormat, coerce_fields, read_lines
from bluerec.data.sources.source import has_suffix
from bluerec.errors import DataError, first_line

FORMATS = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".tsv", ".txt"),
    "jsonl": (".jsonl", ".json", ".ndjson"),
}
_SEPARATORS = ",\t;|"
_BATCH_ROWS = 100_000
_SAMPLE_ROWS = 1000
_SAMPLE_BYTES = 2**20

Types = Mapping[str, pl.DataType]


@dataclass(frozen=True)
class TableFile:
    """A table on disk. `sample` holds its first rows, with all columns; of a text file all as texts or lists."""

    path: Path
    table_format: str
    sample: pl.DataFrame
    separator: str = ","

    @property
    def names(self) -> list[str]:
        return self.sample.columns

    def read(
        self, types: Types, required: tuple[str, ...], bad: BadLines, *, of: str, tell: CountBytes | None = None
    ) -> Iterator[pl.DataFrame]:
        """The columns named in `types`, as those types; a row without a required column is a bad line."""
        if self.table_format == "parquet":
            return self._read_parquet(types, required, bad, of, tell)
        schema = pl.Schema(types)
        if self.table_format == "jsonl":
            line_format: LineFormat = JsonLines(schema, required)
            return read_lines(self.path, line_format, bad, of=of, tell=tell)
        line_format = Delimited(schema, tuple(self.names), required, self.separator)
        return read_lines(self.path, line_format, bad, of=of, tell=tell, skip=1)

    def _read_parquet(
        self, types: Types, required: tuple[str, ...], bad: BadLines, of: str, tell: CountBytes | None
    ) -> Iterator[pl.DataFrame]:
        n_rows = 0
        for table in self._scan_parquet(types):
            lacks = table.select(
                pl.any_horizontal((pl.col(name).is_null() | (pl.col(name) == "")) for name in required)
            ).to_series()
            for row in lacks.arg_true():
                values = ", ".join(f"{name}={table[name][row]!r}" for name in required)
                bad.add(self.path, BadLine(n_rows + row + 1, "row without an id", values), of=of)
            bad.examples.locate(self.path, (~lacks).arg_true().cast(pl.Int64) + n_rows + 1)
            n_rows += table.height
            yield table.filter(~lacks)
        if tell is not None:
            tell(self.path.stat().st_size)

    def _scan_parquet(self, types: Types) -> Iterator[pl.DataFrame]:
        columns = [pl.col(name).cast(kind, strict=False) for name, kind in types.items()]
        try:
            yield from pl.scan_parquet(self.path).select(columns).collect_batches(chunk_size=_BATCH_ROWS)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{self.path}: damaged Parquet file ({first_line(error)}); export it again") from error


def guess_format(path: Path, otherwise: str) -> str:
    """The format that the suffix tells."""
    return next((name for name, suffixes in FORMATS.items() if has_suffix(path, *suffixes)), otherwise)


def open_table(path: Path, table_format: str) -> TableFile:
    """Open a file. Raises `DataError` if it is empty or not of this format, or its header has a name twice."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    if table_format == "parquet":
        return TableFile(path, table_format, _sample_parquet(path))
    if table_format == "jsonl":
        return TableFile(path, table_format, _sample_json_lines(path))
    return _open_csv(path)


def _sample_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.scan_parquet(path).head(_SAMPLE_ROWS).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({first_line(error)}); export it again") from error


def _sample_json_lines(path: Path) -> pl.DataFrame:
    """The fields of the first lines, sound ones only: lists where a field holds any, else texts."""
    rows = []
    reader = JsonLines(pl.Schema({}))
    lines = [line for line in read_head(path, _SAMPLE_BYTES).split(b"\n")[:_SAMPLE_ROWS] if line.strip()]
    for line in lines:
        try:
            rows.append(reader.parse_line(line))
        except ValueError:
            continue
    if not rows:
        raise DataError(f"{path}: no JSON object in its first {len(lines)} line(s); is this a JSON-lines file?")
    lists = {name for row in rows for name, value in row.items() if isinstance(value, list | tuple)}
    names = dict.fromkeys(name for row in rows for name in row)
    kinds = {name: pl.List(pl.String()) if name in lists else pl.String() for name in names}
    texts = JsonLines(pl.Schema(kinds))
    return pl.DataFrame([coerce_fields(texts, row) for row in rows], schema=kinds, orient="row")


def _open_csv(path: Path) -> TableFile:
    head = read_head(path, _SAMPLE_BYTES)
    header = head.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    if not header.replace("\t", " ").isprintable() or "\ufffd" in header:
        raise DataError(f"{path}: the first line is not text; is this a CSV file with a header?")
    separator = max(_SEPARATORS, key=header.count)
    names = [name.strip().strip('"') for name in header.split(separator)]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: the header names column {repeated[0]!r} twice; rename one")
    schema = dict.fromkeys(names, pl.String())
    table = TableFile(path, "csv", pl.DataFrame(schema=schema), separator)
    bad = BadLines(limit=_SAMPLE_BYTES)
    sample = next(table.read(schema, (), bad, of="sample"), table.sample)
    if sample.is_empty():
        raise DataError(
            f"{path}: no row to read under its header ({bad.first or 'the file ends there'}); export it again"
        )
    return TableFile(path, "csv", sample.head(_SAMPLE_ROWS), separator)
