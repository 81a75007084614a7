"""A process of a training under a launcher: python one_of_several.py SETTINGS.json OUT."""

import json
import random
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tiny_runs

from bluerec.config import config_from_dict
from bluerec.training.profiler import train_profiler
from bluerec.training.rollouts import RolloutModel


def write_by_prompt(model, prompts, n_samples, sampling, pad_token):
    """Candidates that depend on the prompt alone: each process draws its own, and the two sides must be the same."""
    texts = []
    for prompt in prompts:
        chance = random.Random(repr(list(prompt)))
        for _ in range(n_samples):
            text = [chance.randrange(38, 98) for _ in range(chance.randrange(3, sampling.max_new_tokens))]
            texts.append([*text, sampling.stop_tokens[0]])
    return texts


def main() -> None:
    warnings.simplefilter("ignore")
    settings, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    RolloutModel.generate = write_by_prompt
    train_profiler(tiny_runs.build_dataset(), config_from_dict(settings), out, resume=(out / "config.json").is_file())


if __name__ == "__main__":
    main()
