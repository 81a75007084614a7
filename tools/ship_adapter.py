"""Put a trained adapter into the package: python tools/ship_adapter.py RUN --trained-on "video games (...)" [--rank 12]

Its model card, `README.md` beside the weights, is written by hand: data, steps, seeds, commands, results, limits.
"""

import argparse
from pathlib import Path

from bluerec.profiling.prompt_settings import save_trained_on
from bluerec.training.adapters import compress_adapter

SHIPPED = Path(__file__).resolve().parent.parent / "src" / "bluerec" / "adapters" / "default"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run folder or an adapter's folder")
    parser.add_argument("--rank", type=int, default=12)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--trained-on", required=True, help="in words, told to whoever writes with it")
    options = parser.parse_args()
    error = compress_adapter(options.run, options.out, rank=options.rank)
    save_trained_on(options.trained_on, options.out)
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: rank {options.rank}, {size / 1e6:.1f} MB, relative error of the updates {error:.4f}")
