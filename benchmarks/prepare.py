"""How fast, and in how much memory, `bluerec prepare` is against the plain pandas way, on the same files.

    python benchmarks/prepare.py                 # 2 million reviews: both in turn, the ratio
    python benchmarks/prepare.py --ours-only --rows 10000000      # peak memory of a large preparation

The files look like a category of Amazon Reviews 2023: reviews and metadata as JSON lines, a tenth of the texts
with HTML. Both sides read them, clean the texts, drop events without metadata, duplicates and all outside the
5-core, and write Parquet. Each runs in a process of its own; the counts must agree. JSON on stdout.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

K = 5
WORDS_IN_A_TEXT = (3, 90)
SEED = 0
_PICTURE = {f"{size}_image_url": f"https://images.example/I/61MXpwPrT0L._{size}_.jpg" for size in ("small", "large")}
PICTURES = json.dumps([_PICTURE])


def generate(folder: Path, n_rows: int) -> None:
    """Write Benchmark.jsonl and meta_Benchmark.jsonl.

    As in the large categories, most users have one review or two and few have many, and one in twenty has a picture.
    """
    rng = np.random.default_rng(SEED)
    words = [f"{stem}{ending}" for stem in ("work", "play", "colour", "fit", "sound") for ending in range(200)]
    texts = [" ".join(rng.choice(words, int(rng.integers(*WORDS_IN_A_TEXT)))) for _ in range(5000)]
    texts = [f"{text}<br />It&#39;s good &amp; cheap" if row % 10 == 0 else text for row, text in enumerate(texts)]
    n_users, n_items = n_rows // 2, max(n_rows // 50, 10)
    with (folder / "meta_Benchmark.jsonl").open("w") as file:
        for item in range(n_items):
            title = " ".join(rng.choice(words, 8))
            file.write(
                f'{{"main_category": "Benchmark", "title": "{title}", "average_rating": 4.1, "rating_number": 3, '
                f'"features": ["{title}"], "description": ["{texts[item % 5000]}"], "price": 9.99, "images": [], '
                f'"videos": [], "store": "Maker", "categories": ["A", "B &amp; C"], "details": {{}}, '
                f'"parent_asin": "B{item:09d}", "bought_together": null}}\n'
            )
    with (folder / "Benchmark.jsonl").open("w") as file:
        for start in range(0, n_rows, 100_000):
            n = min(100_000, n_rows - start)
            users, items = (n_users * rng.random(n) ** 3).astype(int), (n_items * rng.random(n) ** 2).astype(int)
            times, stars = rng.integers(1_200_000_000_000, 1_690_000_000_000, n), rng.integers(1, 6, n)
            text_rows = rng.integers(0, len(texts), n)
            file.writelines(
                f'{{"rating": {star}.0, "title": "{texts[text][:24]}", "text": "{texts[text]}", '
                f'"images": {PICTURES if text % 20 == 0 else []}, "asin": "B{item:09d}", "parent_asin": "B{item:09d}", '
                f'"user_id": "AE{user:026d}", "timestamp": {moment}, "helpful_vote": 0, "verified_purchase": true}}\n'
                for star, text, item, user, moment in zip(stars, text_rows, items, users, times, strict=True)
            )


def run_ours(folder: Path, out: Path) -> int:
    from bluerec.data.prepare import prepare
    from bluerec.data.prepared import Filters
    from bluerec.data.sources import open_source

    filters = Filters(min_user_events=K, min_item_events=K)
    return prepare(open_source("amazon-2023", folder), out, filters).n_events


def run_pandas(folder: Path, out: Path) -> int:
    import html

    import pandas as pd

    def clean(texts: pd.Series) -> pd.Series:
        plain = texts.fillna("").map(html.unescape).str.replace(r"<[^>]+>", " ", regex=True)
        return plain.str.replace(r"\s+", " ", regex=True).str.strip()

    reviews = pd.read_json(folder / "Benchmark.jsonl", lines=True, convert_dates=False)
    items = pd.read_json(folder / "meta_Benchmark.jsonl", lines=True).drop_duplicates("parent_asin")
    reviews = reviews[["user_id", "parent_asin", "timestamp", "rating", "title", "text"]]
    reviews = reviews[reviews["timestamp"].ge(0) & reviews["parent_asin"].isin(items["parent_asin"])]
    reviews["title"], reviews["text"] = clean(reviews["title"]), clean(reviews["text"])
    items["title"] = clean(items["title"])
    items["description"] = clean(items["features"].str.join(" ") + " " + items["description"].str.join(" "))
    reviews = reviews.sort_values("timestamp", kind="stable").drop_duplicates(["user_id", "parent_asin"])
    while True:
        n_before = len(reviews)
        reviews = reviews[reviews.groupby("user_id")["user_id"].transform("size") >= K]
        reviews = reviews[reviews.groupby("parent_asin")["parent_asin"].transform("size") >= K]
        if len(reviews) == n_before:
            break
    out.mkdir()
    reviews["timestamp"] //= 1000
    reviews.sort_values(["user_id", "timestamp"], kind="stable").to_parquet(out / "interactions.parquet")
    items = items[items["parent_asin"].isin(reviews["parent_asin"])]
    items[["parent_asin", "title", "description", "categories", "store", "price"]].to_parquet(out / "items.parquet")
    return len(reviews)


def measure(side: str, folder: Path) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def run_side(side: str, folder: Path) -> None:
    run = run_ours if side == "ours" else run_pandas
    start = time.perf_counter()
    n_events = run(folder, folder / f"out-{side}")
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # Not ru_maxrss: that one begins with the peak of the process that started this one.
    peak_kb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    facts = {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_gb": round(peak_kb / 1e6, 2),
        "n_events": n_events,
    }
    print(json.dumps(facts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--side", choices=["ours", "pandas"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, arguments.rows)
        n_bytes = sum(file.stat().st_size for file in folder.iterdir())
        results = {side: measure(side, folder) for side in (["ours"] if arguments.ours_only else ["ours", "pandas"])}
    report: dict[str, object] = {"n_rows": arguments.rows, "input_gb": round(n_bytes / 1e9, 2), **results}
    if "pandas" in results:
        if results["ours"]["n_events"] != results["pandas"]["n_events"]:
            raise SystemExit(f"the two sides disagree: {results}")
        for key, name in (("ratio", "seconds"), ("cpu_ratio", "cpu_seconds")):
            report[key] = round(results["pandas"][name] / results["ours"][name], 1)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
