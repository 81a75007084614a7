"""The documentation is current: generated pages, links, every command and every line of Python that it shows."""

import doctest
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer

from bluerec.cli import app
from bluerec.cli.demo import WORLD_ITEMS, WORLD_USERS
from bluerec.config import EmbedderConfig, config_from_dict, load_config
from bluerec.data.toy import build_world
from bluerec.evaluation.bench_record import load_record
from bluerec.profiling.embedders import load_embedder
from bluerec.rewards.own import check_own_reward
from bluerec.store.building import build_store

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^ *(?:\$ )?bluerec ([a-z]+)(.*)$", re.MULTILINE)
MAKE = re.compile(r"^ *(?:\$ )?make ([a-z-]+)", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*)")
CODE_BLOCK = re.compile(r"```.*?\n(.*?)```|((?:^(?: {4}|\t).*\n?)+)", re.MULTILINE | re.DOTALL)


PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
# `section.key = default`, and what the recipe of the paper has in its place.
SETTING = re.compile(r"`(\w+)\.(\w+) = ([^`]+)`(?: \(recipe ([^)]+)\))?")
TOML_BLOCK = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def documents(project: Path) -> list[Path]:
    return [*sorted(project.glob("*.md")), *sorted((project / "docs").glob("*.md"))]


def shown_commands(path: Path) -> list[str]:
    """Lines of the code blocks of a page, continued lines joined."""
    blocks = ["".join(match.groups(default="")) for match in CODE_BLOCK.finditer(path.read_text(encoding="utf-8"))]
    return "\n".join(blocks).replace("\\\n", " ").splitlines()


def test_generated_pages_are_current(project: Path) -> None:
    command = [sys.executable, str(project / "tools" / "generate_docs.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


NUMBER = r"[+-]?\d*\.\d+"
INTERVAL = re.compile(rf"({NUMBER})\*{{0,2}} \(({NUMBER}) to ({NUMBER})")
UNKEPT = "records were not kept"


def test_intervals_in_the_results_are_those_of_a_record(project: Path) -> None:
    """Prose is written by hand: each mean and interval in it must be that of a system, pair or measure that is kept."""
    records = [load_record(path) for path in sorted((project / "docs" / "results").glob("*.json"))]
    assert records
    kept = np.array(
        [
            [row.get("mean", row.get("difference")), row["low"], row["high"]]
            for record in records
            for kind in ("rows", "groups", "differences", "measures")
            for row in record[kind]
        ]
    )
    kept = np.concatenate([kept, -kept[:, [0, 2, 1]]])  # a difference may be told the other way round
    text = (project / "docs" / "results.md").read_text(encoding="utf-8")
    parts = re.split(r"^(?=##+ )", text, flags=re.MULTILINE)
    checked = [part for part in parts if "<!-- table" in part]
    assert len(checked) >= 4
    unknown = []
    for part in checked:
        for paragraph in part.split("\n\n"):
            if UNKEPT in paragraph:
                continue
            for found in INTERVAL.finditer(paragraph):
                told = [float(number) for number in found.groups()]
                digits = min(len(number.split(".")[1]) for number in found.groups())
                if not (np.abs(kept - told) <= 0.51 * 10.0**-digits).all(axis=1).any():
                    unknown.append(found[0])
    assert not unknown


def test_links_resolve(project: Path) -> None:
    broken = [
        f"{path.name}: {target}"
        for path in documents(project)
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if not target.startswith(("http://", "https://", "#", "mailto:"))
        and not (path.parent / target.split("#")[0]).exists()
    ]
    assert not broken


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs"])
def test_commands_that_are_shown_exist(name: str, project: Path) -> None:
    group = typer.main.get_command(app)
    targets = set(re.findall(r"^([a-z-]+):", (project / "Makefile").read_text(), re.MULTILINE))
    faults = []
    for path in sorted((project / name).glob("*.md")) if name == "docs" else [project / name]:
        text = "\n".join(shown_commands(path))
        faults += [f"{path.name}: make {target}" for target in MAKE.findall(text) if target not in targets]
        for verb, rest in COMMAND.findall(text):
            command = group.commands.get(verb)
            if command is None:
                faults.append(f"{path.name}: bluerec {verb}")
                continue
            known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
            faults += [
                f"{path.name}: bluerec {verb} {option}"
                for option in OPTION.findall(rest)
                if option not in known | {"--help"}
            ]
    assert not faults


def test_every_verb_says_what_it_does() -> None:
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        assert command.help, name
        undocumented = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
        assert not undocumented, f"{name}: {undocumented}"


@pytest.fixture
def demo_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue of the demo's world as a store, where a demo leaves it."""
    monkeypatch.chdir(tmp_path)
    world = build_world(n_users=WORLD_USERS, n_items=WORLD_ITEMS, seed=0)
    config = EmbedderConfig()
    build_store(Path("runs/demo/store"), world.dataset, load_embedder(config), config, users=[])


def run_shown_lines(path: Path) -> None:
    """The lines of Python of a page, as one session, print what is shown below them."""
    shown = "\n".join(block for block in PYTHON_BLOCK.findall(path.read_text(encoding="utf-8")) if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(shown, {}, path.name, path.name, 0)
    assert len(test.examples) >= 3
    told: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=told.append)
    assert not result.failed, "".join(told)


@pytest.mark.models
@pytest.mark.parametrize("name", ["README.md", "docs/serving.md"])
def test_lines_of_python_print_what_is_shown(name: str, project: Path, demo_store: None) -> None:
    run_shown_lines(project / name)


def test_the_settings_of_the_method_are_those_of_the_program(project: Path) -> None:
    ours, recipe = load_config(None).as_dict(), load_config(project / "configs" / "blue.toml").as_dict()
    told = SETTING.findall((project / "docs" / "method.md").read_text(encoding="utf-8"))
    assert len(told) > 40
    for section, key, default, other in told:
        expected = [ours[section][key], recipe[section][key]]
        shown = [tomllib.loads(f"value = {text}")["value"] for text in (default, other or default)]
        assert [list(value) if isinstance(value, tuple) else value for value in expected] == shown, f"{section}.{key}"


def test_rewards_are_what_is_shown_and_the_file_of_the_page_is_one(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = project / "docs" / "rewards.md"
    text = page.read_text(encoding="utf-8")
    (file,) = (block for block in PYTHON_BLOCK.findall(text) if ">>>" not in block)
    monkeypatch.chdir(tmp_path)
    Path("my_rewards.py").write_text(file, encoding="utf-8")
    run_shown_lines(page)
    (recipe,) = TOML_BLOCK.findall(text)
    own = config_from_dict(tomllib.loads(recipe)).own_reward
    assert own.weight > 0
    assert check_own_reward(own.function)["file"] == str(tmp_path / "my_rewards.py")
