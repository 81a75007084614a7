"""The page of --markdown: written whole, or filled where it says which tables it wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluerec.errors import ConfigError
from bluerec.evaluation.bench_fill import fill_page, find_runs
from bluerec.evaluation.bench_record import load_record, save_record
from bluerec.evaluation.bench_table import GENERATED, render_markdown
from bluerec.runs import write_text


@dataclass(frozen=True)
class Page:
    """A page for the benchmark `name`. With tables of its own, the numbers are kept in `record`."""

    path: Path
    name: str
    record: Path | None = None

    @classmethod
    def open(cls, path: Path, name: str) -> Page:
        """Look at a page before anything is measured. Raises `ConfigError` where writing it would lose its text."""
        if not path.exists():
            return cls(path, name)
        text = _read_text(path)
        runs = find_runs(text, where=str(path))
        if not runs:
            if text.strip() and GENERATED not in text:
                raise ConfigError(
                    f"--markdown {path}: is no page of a benchmark, and would be lost; say in it which tables it wants "
                    "(docs/benchmark.md), or name another"
                )
            return cls(path, name)
        if name not in runs:
            raise ConfigError(f"--markdown {path}: wants tables of {', '.join(runs)}, and none of {name}")
        if not path.suffix:
            raise ConfigError(
                f"--markdown {path}: give the page an end such as .md; its numbers go to a folder beside it"
            )
        return cls(path, name, path.with_suffix("") / f"{name}.json")

    @property
    def files(self) -> tuple[Path, ...]:
        """What `write` will write."""
        return (self.path,) if self.record is None else (self.path, self.record)

    def write(self, results: Mapping[str, Any]) -> None:
        """Raises `ConfigError` for a table of what was not measured; the record is kept even so."""
        if self.record is None:
            write_text(self.path, render_markdown(results))
            return
        save_record(results, self.record)
        write_text(
            self.path, fill_page(_read_text(self.path), {self.name: load_record(self.record)}, where=str(self.path))
        )


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"--markdown {path}: cannot be read as UTF-8 text; save it so, or name another") from error
