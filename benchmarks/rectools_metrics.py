"""NDCG, Recall and MRR at 10 by RecTools' own metrics, from the ranks that a benchmark has saved, beside bluerec's.

    make bench-env
    .venv-bench/bin/python benchmarks/rectools_metrics.py RUN

Exits with 1 if any mean of the full catalogue differs by more than 1e-9.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

TOLERANCE = 1e-9


def compute(ranks: pd.DataFrame) -> dict[str, float]:
    """One item, the target, recommended at its rank; only the ten best places count."""
    from rectools.metrics import MRR, NDCG, Recall

    interactions = pd.DataFrame({"user_id": ranks["example_id"], "item_id": "target"})
    listed = interactions.assign(rank=ranks["rank"].to_numpy())
    # With one relevant item, the best that can be achieved is 1 at the first place.
    metrics = {"ndcg@10": NDCG(k=10, divide_by_achievable=True), "recall@10": Recall(k=10), "mrr@10": MRR(k=10)}
    return {name: float(metric.calc(reco=listed, interactions=interactions)) for name, metric in metrics.items()}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run = Path(sys.argv[1])
    rows = json.loads((run / "bench.json").read_text())["rows"]
    worst, n_compared = 0.0, 0
    for path in sorted(run.glob("cells/*/*.json")):
        identity = json.loads(path.read_text())["identity"]
        wanted = {key: identity[key] for key in ("system", "dataset", "protocol", "mask")} | {"pool": "full"}
        own = {row["metric"]: row for row in rows if all(row[key] == value for key, value in wanted.items())}
        ranks = pd.read_parquet(path.with_suffix(".ranks.parquet"))
        ranks = ranks[ranks["pool"] == "full"]
        if not own or own["ndcg@10"]["n_users"] != len(ranks) or identity["users"] not in json.dumps(_users(run)):
            continue
        for metric, value in compute(ranks).items():
            worst = max(worst, abs(value - own[metric]["mean"]))
            n_compared += 1
    print(f"{n_compared} means compared, the largest difference is {worst:.1e}")
    if worst > TOLERANCE or not n_compared:
        sys.exit(1)


def _users(run: Path) -> list[str]:
    """The samples of users of the last run: older cells may lie beside its own."""
    return [arena["users"] for arena in json.loads((run / "bench.json").read_text())["arenas"]]


if __name__ == "__main__":
    main()
