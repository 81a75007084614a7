"""The verb `demo`: the other verbs in a row, as anybody would type them."""

from __future__ import annotations

import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bluerec.cli import console
from bluerec.cli.options import OfflineOption, SeedOption
from bluerec.data.tables import INTERACTIONS_FILE, load_dataset
from bluerec.errors import ConfigError
from bluerec.profiling.models import has_shipped_adapter
from bluerec.runs import read_json, write_json

SHOWN_RANKERS = "random,popularity,mean,harmonic-centred,profile,profile+history,shuffled-profile"
MARKER_FILE = "demo.json"
STORE_FOLDER = "store"
WORLD_USERS = 400
WORLD_ITEMS = 300
# Short prompts, short profiles and small groups: enough to see every part move, not enough to learn much.
PROFILER_SETTINGS = ("profiler.max_events=5", "profiler.max_prompt_tokens=224", "profiler.max_new_tokens=32")
TRAIN_SETTINGS = (
    "train.users_per_step=4",
    "train.users_per_micro_batch=2",
    "train.group_size=4",
    "train.warmup_steps=1",
    "embedding_reward.n_references=16",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One verb of the demo: what to tell, and the arguments after `bluerec`."""

    title: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        return shlex.join(["bluerec", *self.arguments])


def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder of the demo; an earlier demo there is replaced.")] = Path(
        "runs/demo"
    ),
    data: Annotated[
        Path | None, typer.Option("--data", help="Your own folder: prepared, or raw together with --source.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Format of a raw folder or file, as for: bluerec prepare.")
    ] = None,
    n_users: Annotated[int, typer.Option("--users", min=2, help="Test users that get a profile.")] = 32,
    n_steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps.")] = 3,
    seed: SeedOption = 0,
    offline: OfflineOption = False,
) -> None:
    """Run the whole job: data, profiles, training, profiles again, evaluation, report.

    Without --data it makes a small synthetic world first and says so. The training is far too short to learn much; it
    shows that every part works, in about two minutes on two cores.
    """
    begin = time.monotonic()
    _clear(out)
    write_json(out / MARKER_FILE, {"commands": []})
    folder = data if data is not None else out / "world"
    steps = []
    if data is None:
        _make_world(folder, out, seed)
    elif source is not None or not (data / INTERACTIONS_FILE).is_file():
        folder = out / "data"
        steps.append(_plan_prepare(data, source, folder))
    steps += _plan(folder, out, n_users, n_steps, seed, offline=offline, with_oracle=data is None)
    write_json(out / MARKER_FILE, {"commands": [step.command for step in steps]})
    for number, step in enumerate(steps, start=1):
        _run(step, f"[{number}/{len(steps)}]")
    if data is None:
        console.say("All of this was about a synthetic world: its numbers say nothing about real people.")
    console.say(f"{time.monotonic() - begin:.0f} s in all; open {out / 'report.html'}")
    serve = shlex.join(["bluerec", "serve", str(out / STORE_FOLDER)])
    console.say(f"Read these profiles, correct them and see the lists move: {serve}")


def _clear(out: Path) -> None:
    """Make room for the demo; only what a demo has written is removed."""
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / MARKER_FILE).is_file()):
        raise ConfigError(f"{out} holds something else than a demo; choose another --out")
    if (out / MARKER_FILE).is_file():
        read_json(out / MARKER_FILE, "demo")
        shutil.rmtree(out)


def _make_world(folder: Path, out: Path, seed: int) -> None:
    from bluerec.data.histories import split_examples
    from bluerec.data.profiles import save_profiles
    from bluerec.data.toy import build_oracle_profiles, build_world, save_world

    world = build_world(n_users=WORLD_USERS, n_items=WORLD_ITEMS, seed=seed)
    save_world(world, folder)
    save_profiles(build_oracle_profiles(world, split_examples(load_dataset(folder))), out / "oracle.parquet")
    console.say(
        f"A SYNTHETIC world: {WORLD_USERS} invented users of an imaginary shop with {WORLD_ITEMS} games. Their true "
        "tastes are known; the ranker `oracle` is told them, and is the best that a text can do here."
    )


def _plan_prepare(data: Path, source: str | None, folder: Path) -> Step:
    if source is None:
        raise ConfigError(
            f"{data} is not a prepared folder ({INTERACTIONS_FILE} is missing); name its format with --source "
            "(make demo DATA=PATH SOURCE=NAME), see: bluerec prepare --help"
        )
    return Step("preparing your data", ("prepare", source, str(data), "--out", str(folder)))


def _plan(
    folder: Path, out: Path, n_users: int, n_steps: int, seed: int, *, offline: bool, with_oracle: bool
) -> list[Step]:
    no_download = ("--offline",) if offline else ()
    shared = ("--seed", str(seed), *no_download)
    asked = tuple(argument for setting in PROFILER_SETTINGS for argument in ("--set", setting))
    steps = (f"train.seed={seed}", f"train.n_steps={n_steps}", *TRAIN_SETTINGS)
    trained = tuple(argument for setting in steps for argument in ("--set", setting))
    users = ("--split", "test", "--max-users", str(n_users))
    shipped = ("shipped",) if has_shipped_adapter() else ()
    names = ("untrained", "trained", *shipped, *(("oracle",) if with_oracle else ()))
    sets = tuple(part for name in names for part in ("--profiles", f"{name}={out / name}.parquet"))
    written = ("untrained", "trained", *shipped)
    stored = tuple(part for name in written for part in ("--profiles", f"{out / name}.parquet"))
    shown = ("--rankers", SHOWN_RANKERS, "--pools", "100,full")
    run, results = out / "run", out / "results.json"

    def write(name: str, adapter: str, settings: tuple[str, ...] = asked) -> tuple[str, ...]:
        target = ("--adapter", adapter, "--out", f"{out / name}.parquet")
        return ("write", str(folder), *target, *users, *settings, *shared)

    return [
        Step("profiles by the untrained model", write("untrained", "none")),
        Step(
            "a short training by reinforcement",
            ("train", str(folder), "--out", str(run), *asked, *trained, *no_download),
        ),
        Step("profiles by the trained model", write("trained", str(run))),
        # Asked as it was trained.
        *(Step("profiles by the adapter that comes with bluerec", write(name, name, ())) for name in shipped),
        Step(
            "evaluation against plain rankers",
            ("evaluate", str(folder), *sets, *users, *shown, "--out", str(results), *shared),
        ),
        Step(
            "the report",
            ("report", str(results), str(run), *sets, "--data", str(folder), "--out", str(out / "report.html")),
        ),
        Step(
            "a store of these profiles, to look at and to edit",
            ("index", str(folder), *stored, "--only-profiled", "--out", str(out / STORE_FOLDER), *no_download),
        ),
    ]


def _run(step: Step, place: str) -> None:
    from bluerec.cli import app

    begin = time.monotonic()
    console.say(f"{place} {step.title}\n      $ {step.command}")
    app(list(step.arguments), standalone_mode=False)
    console.say(f"      {time.monotonic() - begin:.0f} s")
