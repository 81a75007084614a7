"""A benchmark on a tiny synthetic world, with the hashing embedder and without any model."""

from pathlib import Path
from typing import Any

from bluerec.data.toy import build_world, save_world
from bluerec.evaluation.bench_config import bench_from_dict
from bluerec.evaluation.bench_run import Bench
from bluerec.evaluation.lineup import Vectors
from bluerec.profiling.embedders import HashingEmbedder, embed_items

IDENTITY = {"name": "tiny", "title": "", "command": "bluerec bench", "config_digest": "c0", "seed": 0, "caveats": {}}
TINY: dict[str, Any] = {
    "data": [{"name": "toy", "max_users": 25}],
    "systems": ["random", "popularity", "harmonic-centred", "transition-graph", "history-text-short"],
    "profile_systems": ["profile", "profile+history", "multi-interest"],
    "profiles": [{"name": "template"}],
    "pools": ["10", "full"],
}


def save_toy(folder: Path) -> Path:
    """A folder of data sets that holds `toy`."""
    save_world(build_world(n_users=160, n_items=60, seed=1), folder / "toy")
    return folder


def make_bench(data: Path, out: Path, /, **changes: Any) -> tuple[Bench, list[str]]:
    """A benchmark ready to run, and the list that what it says goes into. Profiles are never written."""
    said: list[str] = []
    embedders = {"": HashingEmbedder(128), "other": HashingEmbedder(64)}

    def refuse(*_: object) -> None:
        raise AssertionError("no profile was to be written")

    config = bench_from_dict(TINY | changes)
    return Bench(
        config,
        data,
        out,
        lambda its, model: Vectors(embedders[model], embed_items(its, embedders[model])),
        refuse,
        said.append,
        refuse,
    ), said


def run_bench(data: Path, out: Path, /, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    """The results, and the systems that were measured and not taken from finished cells."""
    bench, said = make_bench(data, out, **changes)
    results = bench.run(IDENTITY)
    return results, [line.split(":")[0].strip() if ": external" in line else line.rsplit(":", 1)[0].strip()
                     for line in said if line.startswith("  ") and " of " not in line]  # fmt: skip
