"""Writes to a store without end and says on stdout what was acknowledged; meant to be killed.

Each line is one acknowledged write as JSON. Run as: python crash_writer.py STORE SEED
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(folder: str, seed: int) -> None:
    from bluerec.profiling.embedders import HashingEmbedder
    from bluerec.store.store import Store

    draw = random.Random(seed)
    with Store.open(folder, embedder=HashingEmbedder()) as store:
        for number in range(1_000_000):
            user = f"c{draw.randrange(12)}"
            kind = draw.choice(["edit", "edit", "written", "events", "job", "delete"])
            mark = f"{seed}-{number}"
            row = {"kind": kind, "user": user, "mark": mark}
            if kind == "edit":
                row["version"] = store.save_edit(user, f"Likes {mark}. And chess {number}.").version
            elif kind == "written":
                if store.profile(user) is None:
                    continue
                made = store.save_written(user, f"Written {mark}.", "model")
                row |= {"version": made.version, "offered": made.offered, "text": made.text}
            elif kind == "events":
                item = f"i{draw.randrange(120):04d}"
                store.add_interactions(user, [{"item_id": item, "timestamp": seed * 10**6 + number}])
                row |= {"item": item, "timestamp": seed * 10**6 + number}
            elif kind == "job":
                row["job"] = store.enqueue(user).job_id
            elif draw.random() < 0.1:
                store.delete_user(user)
            else:
                continue
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
