"""The verb `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bluerec.cli import console
from bluerec.cli.bench_models import BenchModels, ReaderChoice, ReaderEndpointOption, ReaderOption, ReaderTokensOption
from bluerec.cli.bench_page_file import Page
from bluerec.cli.options import JsonOption, OfflineOption, SetOption
from bluerec.config import Config, load_config
from bluerec.errors import ConfigError
from bluerec.evaluation.bench_config import BenchConfig, BenchExternal, load_bench
from bluerec.evaluation.bench_page import save_bench_page
from bluerec.evaluation.bench_run import BENCH_FILE, Bench, digest_bench
from bluerec.evaluation.bench_table import order_systems, pick, render_markdown
from bluerec.evaluation.comparisons import HEADLINE_METRIC
from bluerec.profiling.endpoint_reader import ANSWER_TOKENS
from bluerec.runs import check_writable, describe_environment, write_text

PAGE_FILE, MARKDOWN_FILE, ANSWERS_FILE = "bench.html", "bench.md", "answers.jsonl"

ExternalOption = Annotated[
    list[str] | None,
    typer.Option(
        "--external",
        metavar="NAME[@DATA]=RANKS.parquet",
        help="Ranks or scored lists of another system; repeat for more. DATA is needed where there are several.",
    ),
]
ExternalListsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--external-lists",
        metavar="NAME[@DATA]=LISTS.parquet",
        help="Scored lists of a system whose ranks are given, to be fused with texts; repeat for more.",
    ),
]
MarkdownOption = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        metavar="PAGE.md",
        help="Also write the tables to this page. One that says which tables it wants (docs/benchmark.md) has them "
        "filled, and the numbers are kept beside it.",
    ),
]


def bench_command(
    benchmark: Annotated[Path, typer.Argument(metavar="CONFIG", help="A benchmark, e.g. configs/bench/plain.toml.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The folder of the run; finished cells are kept.")],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="The folder with the prepared data sets.")] = Path(
        "data"
    ),
    external: ExternalOption = None,
    external_lists: ExternalListsOption = None,
    markdown: MarkdownOption = None,
    reader: ReaderOption = None,
    reader_endpoint: ReaderEndpointOption = None,
    reader_tokens: ReaderTokensOption = ANSWER_TOKENS,
    settings: SetOption = None,
    offline: OfflineOption = False,
    json: JsonOption = False,
) -> None:
    """Compare systems on data sets, protocols and pools: one table with intervals, one page, all ranks.

    A stopped run goes on where it was. A cell is measured anew only if its data, users, profiles or system changed.
    """
    config = load_bench(benchmark)
    config = replace(config, externals=(*config.externals, *(_parse_external(text, config) for text in external or ())))
    config = _add_lists(config, external_lists or ())
    overrides = (*config.settings, *(settings or ()))
    model_settings = load_config(None, overrides)
    models = BenchModels(overrides, offline, ReaderChoice(reader, reader_endpoint, out / ANSWERS_FILE, reader_tokens))
    page = Page.open(markdown, config.name) if markdown else None
    models.check(config)
    for path in (out / BENCH_FILE, *(page.files if page else ())):
        check_writable(path)
    bench = Bench(
        config, data, out, models.embed, models.write, console.say, models.load_answerer, models.describe,
        model_settings.data.split_seed,
    )  # fmt: skip
    changed = [*(f"--set {override}" for override in settings or ()), *models.asked.options]
    results = bench.run(_identify(config, benchmark, model_settings, changed))
    write_text(out / MARKDOWN_FILE, render_markdown(results))
    save_bench_page(results, out / PAGE_FILE)
    if page:  # last: a table in it may ask for what was not measured
        page.write(results)
    if json:
        console.print_json(results)
    else:
        _print_results(results)
    console.say(f"table: {out / BENCH_FILE}, page: {out / PAGE_FILE}, ranks of every user: {out / 'cells'}")


def _parse_external(text: str, config: BenchConfig, option: str = "--external") -> BenchExternal:
    name, separator, path = text.partition("=")
    name, _, data = name.partition("@")
    if not separator or not name or not path:
        raise ConfigError(f"{option} {text!r}: expected NAME=RANKS.parquet or NAME@DATA=RANKS.parquet")
    known = [entry.name for entry in config.data]
    if not data and len(known) > 1:
        raise ConfigError(f"{option} {text!r}: of which data set? write {name}@{known[0]}={path}")
    data = data or known[0]
    if data not in known:
        raise ConfigError(f"{option} {text!r}: no data set {data!r}; choose from {', '.join(known)}")
    return BenchExternal(name, data, path, config.protocols[0], config.masks[0])


def _add_lists(config: BenchConfig, given: Sequence[str]) -> BenchConfig:
    """The external systems with the lists that are given for them."""
    externals = list(config.externals)
    for text in given:
        wanted = _parse_external(text, config, "--external-lists")
        places = [place for place, its in enumerate(externals) if (its.name, its.data) == (wanted.name, wanted.data)]
        if not places:
            raise ConfigError(
                f"--external-lists {text!r}: no ranks of it; add --external {wanted.name}@{wanted.data}=RANKS.parquet, "
                "or give the lists there"
            )
        for place in places:
            externals[place] = replace(externals[place], lists=wanted.path)
    return replace(config, externals=tuple(externals))


def _identify(config: BenchConfig, path: Path, settings: Config, changed: Sequence[str]) -> dict[str, Any]:
    environment = describe_environment()
    options = "".join(f" {option}" for option in changed)
    for entry in config.externals:
        options += f" --external {entry.name}@{entry.data}=RANKS.parquet"
        options += f" --external-lists {entry.name}@{entry.data}=LISTS.parquet" if entry.lists else ""
    return {
        "name": config.name,
        "title": config.title,
        "config": config.as_dict(),
        "config_digest": digest_bench(config),
        "settings_digest": settings.digest,
        "seed": config.seed,
        "caveats": {entry.name: entry.caveat for entry in config.data if entry.caveat},
        "sources": [entry.name for entry in config.data if entry.is_source],
        # Folders are left out: they belong to one machine, and the results to nobody's.
        "command": f"bluerec bench {_name_recipe(path)} --data DATA --out RUN{options}",
        "commit": environment["commit"],
        "created": environment["started"],
        "versions": environment["versions"],
        "platform": environment["platform"],
        "cpu_count": environment["cpu_count"],
    }


def _name_recipe(path: Path) -> str:
    """A benchmark of the project by its path there, another by its name: folders belong to one machine."""
    return f"configs/bench/{path.name}" if path.parent.parts[-2:] == ("configs", "bench") else path.name


def _print_results(results: dict[str, Any]) -> None:
    for arena in results["arenas"]:
        where = {key: arena[key] for key in ("dataset", "protocol", "mask")}
        lines = []
        for system in order_systems(results, **where):
            line = {"system": system}
            for pool in arena["pools"]:
                found = pick(results["rows"], system=system, pool=pool, metric=HEADLINE_METRIC, **where)
                line[pool] = f"{found[0]['mean']:.4f}" if found else "-"
                line[f"95% {pool}"] = f"{found[0]['low']:.4f}..{found[0]['high']:.4f}" if found else "-"
            lines.append(line)
        title = f"{', '.join(where.values())}: NDCG@10 of {arena['n_users']:,} users, by pool"
        console.print_table(lines, title=title)
    for note in results["notes"]:
        console.say(f"note: {note}")
