"""`bluerec show`: everything about one user on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from bluerec.cli import console
from bluerec.cli.options import AdapterOption, JsonOption, OfflineOption, SetOption
from bluerec.config import Config
from bluerec.data.histories import ExampleTable, split_examples
from bluerec.data.tables import load_dataset
from bluerec.evaluation.profile_sets import ProfileSet, load_profile_sets
from bluerec.evaluation.showcase import ShownProfile, ShownUser, find_user, show_users
from bluerec.profiling.models import Profiler, load_profiler
from bluerec.profiling.prompt_settings import PROMPT_SETTINGS, find_adapter_settings, load_writing_config
from bluerec.types import Prompt, Reader, Reward

WRITTEN_NOW = "written now"
# Without a table of profiles, this many other users get one, for the embedding reward to compare with.
N_REFERENCES = 15
N_NEAREST = 10


@dataclass(frozen=True, slots=True)
class UserView:
    """One user with the request for the profile, and the rewards of each profile by its name.

    The request is made by `settings`, now; `otherwise` is what is recorded of each profile that differs from it.
    """

    shown: ShownUser
    prompt: Prompt
    settings: Mapping[str, Any]
    adapter_settings: list[str]
    otherwise: Mapping[str, Mapping[str, Any]]
    rewards: Mapping[str, list[Reward]]


def show_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared folder.")],
    user: Annotated[str, typer.Argument(metavar="USER", help="The id of a user in it.")],
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profiles", metavar="[NAME=]PATH", help="Take the profile from this table; may be repeated."),
    ] = None,
    profiler: Annotated[
        str, typer.Option("--profiler", help="The model that writes. [default: SmolLM2-135M-Instruct]")
    ] = "",
    adapter: AdapterOption = None,
    settings: SetOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show one user: history, prompt, profile, nearest items and each reward.

    The profile comes from --profiles, or is written now; then some other users get one too, because the embedding
    reward compares with them. The prompt is the one of the settings at hand; a profile whose table records another
    writer, template or number of events is marked. The choice reward is left out with --set choice_reward.weight=0.
    Rewards are those of the default settings: repeat what a recipe changes, as --set embedding_reward.temperature=0.03.
    """
    config = load_writing_config(None, settings or (), model=profiler or None, adapter=adapter)
    table = split_examples(load_dataset(folder), config.data.protocol, seed=config.data.split_seed)
    one = find_user(table, user)
    sets = load_profile_sets(profiles, table) if profiles else []
    sets = [profile_set for profile_set in sets if profile_set.covers(one).all()]
    if profiles and not sets:
        console.say(f"user {user} has no profile in {', '.join(profiles)}; one is written now")
    view = _look(table, one, sets, config, offline)
    if as_json:
        console.print_json(_as_dict(view))
    else:
        _print(view)


def _look(table: ExampleTable, one: ExampleTable, sets: list[ProfileSet], config: Config, offline: bool) -> UserView:
    from bluerec.profiling.embedders import embed_items, load_embedder
    from bluerec.profiling.prompts import render_prompt
    from bluerec.rewards.functions import build_rewards, score_profile

    profiler = load_profiler(
        config.profiler.model, adapter=config.profiler.adapter, offline=offline, announce=console.say
    )
    (example,) = one.examples()
    prompt = render_prompt(example.history, config.profiler, profiler.count_tokens)
    reader = _make_reader(profiler, config, offline)
    if not sets:
        sets = [_write_now(table, one, profiler, config)]
    embedder = load_embedder(config.embedder, offline=offline, announce=console.say)
    with console.progress("embedding items") as tell:
        item_vectors = embed_items(table.dataset, embedder, progress=tell)
    (shown,) = show_users(one, sets, embedder, item_vectors, n_nearest=N_NEAREST)
    references = dict(sets[0].frame.select("example_id", "text").iter_rows())
    rewards = build_rewards(config, table, embedder, item_vectors, reader, references)
    settings = {"writer": profiler.label, **{name: getattr(config.profiler, name) for name in PROMPT_SETTINGS}}
    return UserView(
        shown,
        prompt,
        settings,
        find_adapter_settings(config.profiler),
        {one_set.name: _find_otherwise(one_set, example.example_id, prompt, profiler.label) for one_set in sets},
        {profile.name: score_profile(rewards, profile.text, example.example_id) for profile in shown.profiles},
    )


def _find_otherwise(profiles: ProfileSet, example_id: str, prompt: Prompt, writer: str) -> dict[str, Any]:
    """What the table records of this profile that is not so of the prompt at hand; a number may be unknown."""
    at_hand = {"writer": writer, "template": prompt.template, "n_events": prompt.n_events}
    recorded = profiles.frame.row(by_predicate=pl.col("example_id") == example_id, named=True)
    return {name: recorded[name] for name, value in at_hand.items() if recorded.get(name) not in (None, value)}


def _write_now(table: ExampleTable, one: ExampleTable, profiler: Profiler, config: Config) -> ProfileSet:
    """A profile of the user and of `N_REFERENCES` train users."""
    from bluerec.profiling.histories import write_histories
    from bluerec.profiling.writers import LocalWriter

    others = table.select("train", max_users=N_REFERENCES).examples(last=config.profiler.max_events)
    examples = {example.example_id: example for example in [*one.examples(last=config.profiler.max_events), *others]}
    console.say(f"writing {len(examples)} profiles with {profiler.label}")
    writer, histories = LocalWriter(profiler, config.profiler), [example.history for example in examples.values()]
    written = write_histories(writer, histories, config.profiler, profiler.count_tokens)
    texts = [one.text for one in written]
    return ProfileSet(WRITTEN_NOW, pl.DataFrame({"example_id": list(examples), "text": texts}))


def _make_reader(profiler: Profiler, config: Config, offline: bool) -> Reader | None:
    """The profiler's base model as reader of the multiple choice; None where the choice has no weight."""
    from bluerec.profiling.readers import LetterReader, LikelihoodReader

    if config.choice_reward.weight == 0:
        return None
    base = profiler if profiler.adapter is None else load_profiler(config.profiler.model, offline=offline)
    kind = LetterReader if config.choice_reward.scoring == "letter" else LikelihoodReader
    return kind(base.model, base.tokenizer, base.name)


def _as_dict(view: UserView) -> dict[str, Any]:
    example = view.shown.example
    return {
        "user_id": example.history.user_id,
        "example_id": example.example_id,
        "split": example.split,
        "n_earlier": view.shown.n_earlier,
        "history": [
            {"item_id": event.item.item_id, "title": event.item.title, "rating": event.interaction.rating}
            for event in example.history.events
        ],
        "target": {"item_id": example.target.item_id, "title": example.target.title},
        "settings": dict(view.settings),
        "prompt": asdict(view.prompt),
        "profiles": [
            {
                "name": profile.name,
                "text": profile.text,
                "written_otherwise": dict(view.otherwise[profile.name]),
                "target_rank": profile.target_rank,
                "n_candidates": profile.n_candidates,
                "nearest": [
                    {"item_id": near.item.item_id, "title": near.item.title, "cosine": near.cosine}
                    for near in profile.nearest
                ],
                "rewards": [asdict(reward) for reward in view.rewards[profile.name]],
            }
            for profile in view.shown.profiles
        ],
    }


def _print(view: UserView) -> None:
    example, shown = view.shown.example, view.shown
    console.print_result(f"User {example.history.user_id} ({example.split})\n")
    earlier = f", {shown.n_earlier} earlier not shown" if shown.n_earlier else ""
    console.print_table(
        [
            {"item": event.item.title or "untitled item", "rating": _number(event.interaction.rating, "g")}
            for event in example.history.events
        ],
        title=f"History, oldest first{earlier}",
    )
    console.print_result(f"\nWhat came next: {example.target.title or 'untitled item'}")
    withheld = f", {view.prompt.n_withheld} with a text withheld" if view.prompt.n_withheld else ""
    cut = f", {view.prompt.n_cut} cut by the token budget" if view.prompt.n_cut else ""
    made = ", ".join(f"{name} {value}" for name, value in view.settings.items())
    own = f" (as the adapter was trained: {', '.join(view.adapter_settings)})" if view.adapter_settings else ""
    console.print_result(
        f"\nPrompt ({view.prompt.template}, {view.prompt.n_events} events{withheld}{cut}), by the settings of this "
        f"call: {made}{own}:"
    )
    for message in view.prompt.messages:
        console.print_result(f"  [{message['role']}] " + message["content"].replace("\n", "\n  "))
    if view.prompt.prefill:
        console.print_result(f"  [answer begins] {view.prompt.prefill}")
    for profile in shown.profiles:
        _print_profile(profile, view)


def _print_profile(profile: ShownProfile, view: UserView) -> None:
    console.print_result(f"\nProfile, {profile.name}: {profile.text}")
    above = {**view.settings, "n_events": view.prompt.n_events}
    otherwise = [f"{name} {value} (above {above[name]})" for name, value in view.otherwise[profile.name].items()]
    if otherwise:
        console.print_result(f"Not as the prompt above says: {', '.join(otherwise)}")
    console.print_result(f"What came next is at rank {profile.target_rank:,} of {profile.n_candidates:,}.\n")
    console.print_table(
        [
            {"cosine": f"{near.cosine:.3f}", "nearest item": near.item.title, "": "came next" if near.is_target else ""}
            for near in profile.nearest
        ]
    )
    console.print_result("")
    console.print_table(
        [
            {"reward": reward.name, "score": _number(reward.score, ".3f"), "weight": f"{reward.weight:g}"}
            for reward in view.rewards[profile.name]
        ]
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
