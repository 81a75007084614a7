"""The shape of the package: layers, lazy imports, small files, plain names; rules are seen to catch planted faults."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch", "transformers", "trl", "peft", "sentence_transformers", "datasets", "accelerate", "faiss", "pandas",
    "sklearn",
)  # fmt: skip
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "helpers", "common", "base", "core", "misc"}
PRIVATE_WORDS = re.compile(r"/home/\w|/root/|/Users/|(?i:\bsee issue\b|\bissue [A-Z#\d])")


@pytest.fixture(scope="module")
def sources(project: Path) -> list[Path]:
    return sorted((project / "src" / "bluerec").rglob("*.py"))


def run_python(code: str, project: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=project,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def lint_imports(project: Path, config: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", str(config), "--no-cache"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=project, check=False)


def test_imports_point_down(project: Path) -> None:
    result = lint_imports(project, project / "pyproject.toml")
    assert result.returncode == 0, result.stdout


def test_an_import_that_points_up_is_caught(project: Path, tmp_path: Path) -> None:
    """A contract that the package does break is reported as broken: the linter really looks."""
    config = tmp_path / "reversed.toml"
    config.write_text(
        '[tool.importlinter]\nroot_package = "bluerec"\n'
        '[[tool.importlinter.contracts]]\nname = "Reversed"\ntype = "layers"\n'
        'layers = ["bluerec.errors", "bluerec.data", "bluerec.profiling"]\n'
    )
    result = lint_imports(project, config)
    assert result.returncode == 1
    assert "BROKEN" in result.stdout


def test_every_module_loads_without_the_heavy_libraries(project: Path, sources: list[Path]) -> None:
    names = [
        ".".join(path.relative_to(project / "src").with_suffix("").parts).removesuffix(".__init__") for path in sources
    ]
    # Except the entry point, which runs, and the trainer's files, whose classes derive from TRL's.
    names = [name for name in names if not name.startswith("bluerec.training.") and name != "bluerec.__main__"]
    code = (
        f"import importlib, sys\nfor name in {names!r}:\n    importlib.import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert run_python(code, project).strip() == "[]"


def test_help_is_quick(project: Path) -> None:
    code = (
        "import sys, time\nbegin = time.perf_counter()\nimport bluerec.cli\n"
        f"assert not [name for name in {HEAVY!r} if name in sys.modules], sorted(sys.modules)\n"
        "print(time.perf_counter() - begin)"
    )
    assert float(run_python(code, project)) < 10  # a second when the machine is idle


def test_files_and_functions_are_small(sources: list[Path]) -> None:
    long_files = {path.name: n for path in sources if (n := len(path.read_text().splitlines())) > MAX_FILE_LINES}
    assert not long_files
    long_functions = {
        f"{path.name}:{node.name}": node.end_lineno - node.lineno + 1
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert not long_functions


def test_names_say_what_is_inside(sources: list[Path], project: Path) -> None:
    assert not [path for path in sources if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES]
    missing = [
        str(path.relative_to(project)) for path in sources if ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert not missing


def find_forbidden(tree: ast.AST) -> list[str]:
    """Statements that the rules of the package exclude: assert, pickle, and broad or bare excepts."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append(f"{node.lineno}: assert")
        if isinstance(node, ast.ExceptHandler) and (
            node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        ):
            found.append(f"{node.lineno}: blind except")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if "pickle" in names or (isinstance(node, ast.ImportFrom) and node.module == "pickle"):
            found.append(f"{node.lineno}: pickle")
    return found


def test_no_assert_no_pickle_no_blind_except(sources: list[Path]) -> None:
    found = {path.name: faults for path in sources if (faults := find_forbidden(ast.parse(path.read_text())))}
    assert not found
    planted = "import pickle\ntry:\n    assert x\nexcept Exception:\n    pass\n"
    assert sorted(fault.split(": ")[1] for fault in find_forbidden(ast.parse(planted))) == [
        "assert",
        "blind except",
        "pickle",
    ]


def test_only_training_imports_trl(sources: list[Path], project: Path) -> None:
    pattern = re.compile(r"^\s*(import|from) trl\b", re.MULTILINE)
    assert {
        path.relative_to(project / "src" / "bluerec").parts[0] for path in sources if pattern.search(path.read_text())
    } <= {"training"}


def test_nothing_private_is_published(project: Path) -> None:
    """No path of one machine and no talk of where the work was organised in what is published."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.txt", "*.cff", "*.yml", "*.html", "Makefile"],
        capture_output=True, text=True, cwd=project, check=False, timeout=60,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout: the list of published files is not known")
    found = [
        f"{name}: {match.group()}"
        for name in listed.stdout.splitlines()
        if (project / name).is_file() and name != "tests/test_architecture.py"
        if (match := PRIVATE_WORDS.search((project / name).read_text(encoding="utf-8")))
    ]
    assert not found
