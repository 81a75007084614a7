"""Profiles per second: our decoder against `model.generate` of Transformers in plain batches.

    python benchmarks/writing.py [--json] [--data DIR] [--users 64] [--model SmolLM2-135M-Instruct]

One greedy profile per user, the same prompts and weights on both sides, in turn and in one process. The plain side
takes the prompts as they come, left-padded, at its fastest batch size (of 8, 16 and 32); ours is the writer of `bluerec
write` as it is. Ratios are ours over plain, best of `--repeats`, so larger is better:

- ratio: both in float32; same_texts is the share of profiles that are equal.
- ratio_auto: ours with `profiler.dtype = "auto"`, bfloat16 where the processor multiplies it natively.

Without `--data` (a prepared folder) the users are those of the synthetic world.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from bluerec.config import ProfilerConfig
from bluerec.data.histories import split_examples
from bluerec.data.tables import load_dataset
from bluerec.data.toy import build_world
from bluerec.profiling.models import Profiler, load_profiler
from bluerec.profiling.prompts import close_profile, encode_prompt, join_profile, render_prompt
from bluerec.profiling.writers import LocalWriter, find_stop_tokens
from bluerec.types import Prompt

PLAIN_BATCHES = (8, 16, 32)


def read_prompts(data: Path | None, n_users: int, config: ProfilerConfig, profiler: Profiler) -> list[Prompt]:
    """Prompts of test users, in their order."""
    dataset = load_dataset(data) if data else build_world(n_users=12 * n_users, n_items=400, seed=0).dataset
    table = split_examples(dataset).select("test", max_users=n_users)
    return [
        render_prompt(example.history, config, profiler.count_tokens)
        for example in table.examples(last=config.max_events)
    ]


def write_plainly(profiler: Profiler, prompts: list[Prompt], max_new_tokens: int, batch_size: int) -> list[str]:
    """What a user of Transformers would write."""
    tokenizer = profiler.tokenizer
    texts = []
    for start in range(0, len(prompts), batch_size):
        part = prompts[start : start + batch_size]
        encoded = [encode_prompt(prompt, tokenizer) for prompt in part]
        batch = tokenizer.pad({"input_ids": encoded}, padding_side="left", return_tensors="pt").to(
            profiler.model.device
        )
        with torch.inference_mode():
            output = profiler.model.generate(
                **batch,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=list(find_stop_tokens(profiler)),
                pad_token_id=tokenizer.pad_token_id,
            )
        written = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        # As the writer does, so that texts can be compared: it closes those that the length limit cut off.
        texts += [close_profile(join_profile(prompt.prefill, text)) for prompt, text in zip(part, written, strict=True)]
    return texts


def time_of(work: Callable[[], object], clock: Callable[[], float]) -> float:
    begun = clock()
    work()
    return clock() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a prepared folder")
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct", help="embedded name, folder, or hub name")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true", help="count processor time, on a busy machine")
    parser.add_argument("--json", action="store_true", help="one line for machines")
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    clock = time.process_time if wanted.processor_time else time.perf_counter

    config = ProfilerConfig(model=wanted.model)
    profiler = load_profiler(wanted.model, announce=lambda text: print(text, file=sys.stderr))
    prompts = read_prompts(wanted.data, wanted.users, config, profiler)
    writers = {name: LocalWriter(profiler, replace(config, dtype=name)) for name in ("float32", "auto")}
    trial = prompts[: max(PLAIN_BATCHES)]
    batch = min(
        (size for size in PLAIN_BATCHES if size <= len(trial)),
        key=lambda size: time_of(lambda: write_plainly(profiler, trial, config.max_new_tokens, size), clock),
    )
    texts: dict[str, list[str]] = {}
    work: dict[str, Callable[[], list[str]]] = {
        "plain": lambda: write_plainly(profiler, prompts, config.max_new_tokens, batch),
        "ours": lambda: writers["float32"].write(prompts),
        "ours_auto": lambda: writers["auto"].write(prompts),
    }
    seconds = dict.fromkeys(work, float("inf"))
    # Turn by turn, so that whatever else runs on the machine slows all alike.
    for _ in range(wanted.repeats):
        for name, write in work.items():
            begun = clock()
            texts[name] = write()
            seconds[name] = min(seconds[name], clock() - begun)
    same = sum(one == other for one, other in zip(texts["plain"], texts["ours"], strict=True))
    lengths = [len(encode_prompt(prompt, profiler.tokenizer)) for prompt in prompts]
    measured = {
        "ratio": round(seconds["plain"] / seconds["ours"], 2),
        "ratio_auto": round(seconds["plain"] / seconds["ours_auto"], 2),
        "profiles_per_second": {name: round(len(prompts) / value, 3) for name, value in seconds.items()},
        "same_texts": round(same / len(prompts), 3),
        "plain_batch": batch,
        "setting": {
            "model": wanted.model, "users": len(prompts), "mean_prompt_tokens": round(sum(lengths) / len(lengths)),
            "threads": torch.get_num_threads(), "clock": "processor" if wanted.processor_time else "wall",
            "load": [round(load, 2) for load in os.getloadavg()],
        },
    }  # fmt: skip
    print(json.dumps(measured, indent=None if wanted.json else 2))


if __name__ == "__main__":
    main()
