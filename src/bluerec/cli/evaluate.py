"""The verb `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import JsonOption, OfflineOption, SeedOption, SetOption
from bluerec.config import Config, load_config
from bluerec.data.candidates import parse_pools
from bluerec.data.histories import split_examples
from bluerec.data.tables import Dataset, load_dataset
from bluerec.evaluation.experiment import EvaluationPlan, evaluate
from bluerec.evaluation.lineup import Vectors, choose_rankers, needs_vectors
from bluerec.evaluation.profile_sets import load_profile_sets
from bluerec.evaluation.results import PairedRow, ResultRow, Results, save_ranks, save_results
from bluerec.runs import check_writable

SHOWN_METRICS = ("ndcg@10", "recall@10")


def evaluate_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder.")],
    more_profiles: Annotated[
        list[str] | None, typer.Argument(metavar="[[NAME=]PROFILES]...", help="More profiles, as with --profiles.")
    ] = None,
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profiles", metavar="[NAME=]PROFILES", help="Profiles to rank with; repeat to compare sets."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The results file; all ranks are written beside it.")] = Path(
        "results.json"
    ),
    pools: Annotated[
        str, typer.Option("--pools", help="Numbers of sampled negatives, and full for the whole catalogue.")
    ] = "100,500,1000,full",
    split: Annotated[
        str, typer.Option("--split", help="train, validation, test, several joined by commas, or all.")
    ] = "test",
    max_users: Annotated[int | None, typer.Option("--max-users", min=1, help="A random sample of users.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="leave-one-out or global-time (needs real timestamps).")
    ] = None,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Let seen items compete with the target.")] = False,
    rankers: Annotated[
        str | None, typer.Option("--rankers", metavar="A,B", help="Only these rankers; by default all that apply.")
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    offline: OfflineOption = False,
    json: JsonOption = False,
) -> None:
    """Rank what users took next, with and without their profiles, and say how sure the numbers are.

    Without profiles, the plain rankers: chance, popularity, co-occurrence, and the vectors of the history. Sets of
    profiles are compared on the users that have one in each.
    """
    config = load_config(None, settings or ())
    sets = [*(profiles or ()), *(more_profiles or ())]
    plan = EvaluationPlan(
        pools=parse_pools(pools),
        rankers=choose_rankers(rankers, has_profiles=bool(sets)),
        split=split,
        max_users=max_users,
        mask_seen=not unmasked,
        seed=seed,
        config_digest=config.digest,
    )
    check_writable(out)
    examples = split_examples(load_dataset(directory), protocol or config.data.protocol, seed=config.data.split_seed)
    profile_sets = load_profile_sets(sets, examples, split=split)
    vectors = _embed_catalogue(examples.dataset, config, offline) if needs_vectors(plan.rankers) else None
    with console.progress("ranking users") as tell:
        results, ranking = evaluate(examples, plan, vectors=vectors, profile_sets=profile_sets, progress=tell)
    save_ranks(ranking, out)
    save_results(results, out)
    if json:
        console.print_json(results.as_dict())
    else:
        _print_results(results)
    console.say(f"results: {out}, and beside it the rank of every user")


def _embed_catalogue(dataset: Dataset, config: Config, offline: bool) -> Vectors:
    from bluerec.profiling.embedders import embed_items, load_embedder

    embedder = load_embedder(config.embedder, offline=offline, announce=console.say)
    with console.progress("embedding items") as tell:
        return Vectors(embedder, embed_items(dataset, embedder, progress=tell))


def _print_results(results: Results) -> None:
    identity = results.identity
    pools = list(dict.fromkeys(row.pool for row in results.rows))
    for pool in pools:
        title = f"{identity['data']}, {identity['split']}, {identity['n_users']:,} users, {_name_pool(pool)}"
        console.print_table(_tabulate(results.rows, pool), title=title)
    console.print_table(
        _tabulate_pairs(results.paired, pools[-1]), title=f"Differences on the same users, {_name_pool(pools[-1])}"
    )
    for note in results.notes:
        console.say(f"note: {note}")


def _tabulate(rows: tuple[ResultRow, ...], pool: str) -> list[dict[str, str]]:
    """One line for each ranker, the best first."""
    of = {(row.ranker, row.metric): row for row in rows if row.pool == pool}
    leading = sorted((row for row in of.values() if row.metric == SHOWN_METRICS[0]), key=lambda row: -row.mean)
    lines = []
    for leader in leading:
        line = {"ranker": leader.ranker}
        for metric in SHOWN_METRICS:
            row = of[leader.ranker, metric]
            line[metric] = f"{row.mean:.4f}"
            line[f"{metric.partition('@')[0]} 95%"] = f"{row.low:.4f}..{row.high:.4f}"
        lines.append(line)
    return lines


def _tabulate_pairs(paired: tuple[PairedRow, ...], pool: str) -> list[dict[str, str]]:
    return [
        {
            "ranker": row.a,
            "minus": row.b,
            row.metric: f"{row.difference:+.4f}",
            "95%": f"{row.low:+.4f}..{row.high:+.4f}",
            "p": f"{row.p_value:.3f}",
        }
        for row in paired
        if (row.pool, row.metric) == (pool, SHOWN_METRICS[0])
    ]


def _name_pool(pool: str) -> str:
    return f"{pool} sampled negatives" if pool.isdecimal() else "full catalogue"
