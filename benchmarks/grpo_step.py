"""A step of GRPO: stock TRL, which repeats the prompt for every candidate, against ours, which runs it once per user.

    python benchmarks/grpo_step.py [--json] [--prompt-tokens 384] [--completion-tokens 64] [--group-size 8] [--users 2]

Both sides take the same model, LoRA weights and prompts, in turn and in one process. Stock TRL is measured at its
fastest micro-batch (of 2, 4, 8, 16 rows and all), ours at its fastest (one user, two, and all). Times are seconds, best
of `--repeats`; ratios are stock over ours, so larger is better:

- loss_ratio: log-probabilities of the candidates, loss and backward pass.
- generate_ratio: all candidates at their full length, as `bluerec train` samples them (`rollout_dtype`), the merging of
  the adapter included; generate_ratio_float32: the same with a float32 copy.
- step_ratio: generation, rewards (constant, so free), loss, backward pass and the update.
- token_ratio: G (P + R) / (P + G R), what sharing can gain in tokens; share_of_bound: loss_ratio over it.
- max_logp_diff, grad_rel_diff: both sides on the same candidates, at the same weights.
- peak_memory_ratio: a step of each in a process of its own (resident memory; on a GPU, its allocated memory).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from bluerec.config import Config, TrainConfig
from bluerec.profiling.decoding import Sampling
from bluerec.profiling.models import load_profiler
from bluerec.profiling.precision import choose_dtype
from bluerec.training.adapters import prepare_lora
from bluerec.training.grpo import SharedPrefixGRPOTrainer
from bluerec.training.rollouts import RolloutModel

Batch = dict[str, torch.Tensor]
STOCK_ROWS = (2, 4, 8, 16)
OUR_USERS = (1, 2)


class TokenDataset:
    """Prompts of known length, as token ids: text would not come back from the tokenizer at the same length."""

    def __init__(self, wanted: argparse.Namespace, tokenizer: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        n_ordinary = min(len(tokenizer), 40_000)
        # A little shorter from user to user, so that there is padding as there is in life.
        lengths = [max(wanted.prompt_tokens - 8 * user, 1) for user in range(wanted.users)]
        self.prompts = [
            torch.randint(300 if n_ordinary > 1000 else 10, n_ordinary - 1, (length,), generator=generator).tolist()
            for length in lengths
        ]
        self.rows = [
            {"prompt": str(user), "example_id": str(user)}
            for user in range(wanted.users)
            for _ in range(wanted.group_size)
        ]

    def tokenize(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self.prompts[int(prompt)] for prompt in prompts], None, {}


@dataclass
class Side:
    """A trainer and the number of rows in its micro-batches."""

    trainer: GRPOTrainer
    rows: int = 0

    def loss(self, batch: Batch) -> None:
        """Gradients of a whole batch, summed over micro-batches."""
        n_rows = len(batch["completion_ids"])
        for start in range(0, n_rows, self.rows):
            part = {
                name: value[start : start + self.rows] if value.ndim and len(value) == n_rows else value
                for name, value in batch.items()
            }
            self.trainer.compute_loss(self.trainer.model, part).backward()

    def step(self, rows: list[dict[str, str]], optimizer: torch.optim.Optimizer) -> None:
        batch = self.trainer._generate_and_score_completions(rows)
        self.loss(batch)
        optimizer.step()
        optimizer.zero_grad()


class Bench:
    """Both sides on one model."""

    def __init__(self, wanted: argparse.Namespace) -> None:
        self.wanted = wanted
        self.n_rows = wanted.users * wanted.group_size
        self.clock = time.process_time if wanted.processor_time else time.perf_counter
        profiler = load_profiler(wanted.model, announce=lambda text: print(text, file=sys.stderr))
        profiler.tokenizer.padding_side = "left"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        profiler.model.to(self.device)
        self.data = TokenDataset(wanted, profiler.tokenizer)
        self.dtype = choose_dtype(TrainConfig().rollout_dtype)
        dtypes = {None: {self.dtype, torch.float32}, "stock": set(), "ours": {self.dtype}}[wanted.memory_of]
        self.rollouts = {dtype: RolloutModel(profiler.model, dtype) for dtype in dtypes}
        self.model = prepare_lora(profiler, None, Config(train=TrainConfig(lora_rank=16, lora_alpha=32)))
        self._randomise()
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-6)
        self.tokenizer = profiler.tokenizer
        self.stock = Side(self._trainer(GRPOTrainer))
        self.ours = Side(
            self._trainer(
                SharedPrefixGRPOTrainer,
                rollouts=self.rollouts.get(self.dtype),
                # No token ends a candidate: both sides write all of them at full length.
                sampling=Sampling(wanted.completion_tokens, (-1,), 1.0),
                observe=lambda batch: None,
            )
        )

    def _randomise(self) -> None:
        """B matrices of a LoRA begin at zero, where half of the gradients are zero too."""
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, weights in self.model.named_parameters():
                if "lora_B" in name:
                    weights.copy_(torch.randn(weights.shape, generator=generator) * 0.01)

    def _trainer(self, kind: type[GRPOTrainer], **extra: Any) -> GRPOTrainer:
        args = GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=self.n_rows,
            gradient_accumulation_steps=1,
            num_generations=self.wanted.group_size,
            max_completion_length=self.wanted.completion_tokens,
            generation_kwargs={"min_new_tokens": self.wanted.completion_tokens},
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=self.device.type == "cpu",
            report_to="none",
        )
        trainer = kind(
            model=self.model,
            reward_funcs=[_constant],
            args=args,
            train_dataset=Dataset.from_list(self.data.rows),
            processing_class=self.tokenizer,
            **extra,
        )
        trainer._tokenize_prompts = self.data.tokenize
        trainer.current_gradient_accumulation_steps = 1
        trainer.model.train()
        return trainer

    def candidates(self) -> Batch:
        """One batch for both sides, with advantages that are not zero."""
        self.ours.trainer._rollouts = self.rollouts[self.dtype]
        batch: Batch = self.ours.trainer._generate_and_score_completions(self.data.rows)
        generator = torch.Generator().manual_seed(2)
        batch["advantages"] = torch.randn(self.n_rows, generator=generator).to(self.device)
        return batch

    def choose_micro_batches(self, batch: Batch) -> None:
        """Set each side to the micro-batch at which its loss is fastest."""
        size = self.wanted.group_size
        choices = {
            id(self.stock): sorted({min(rows, self.n_rows) for rows in (*STOCK_ROWS, self.n_rows)}),
            id(self.ours): sorted({min(users * size, self.n_rows) for users in (*OUR_USERS, self.wanted.users)}),
        }
        for side, given in ((self.stock, self.wanted.stock_rows), (self.ours, self.wanted.our_rows)):
            if given:
                side.rows = given
                continue
            seconds = {}
            for rows in choices[id(side)]:
                side.rows = rows
                seconds[rows] = self.time(lambda side=side: side.loss(batch))
                print(f"micro-batch of {rows} rows: {seconds[rows]:.1f} s", file=sys.stderr)
                if seconds[rows] > 2 * min(seconds.values()):
                    break  # larger ones only need more memory still
            side.rows = min(seconds, key=seconds.__getitem__)

    def time(self, work: Callable[[], object]) -> float:
        self._wait()
        begun = self.clock()
        work()
        self._wait()
        seconds = self.clock() - begun
        self.model.zero_grad()
        return seconds

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def generate(self, side: Side, rollouts: RolloutModel | None = None) -> None:
        prompts = [self.data.prompts[int(row["prompt"])] for row in self.data.rows]
        if rollouts is not None:
            side.trainer._rollouts = rollouts
        side.trainer._generate_single_turn(prompts, None, {}, self.wanted.group_size)

    def compare(self, batch: Batch) -> dict[str, float]:
        """How far the two sides are apart on the same candidates."""
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        logps, gradients = [], []
        for side in (self.stock, self.ours):
            with torch.no_grad():
                values = side.trainer._get_per_token_logps_and_entropies(
                    self.model, ids, mask, batch["completion_ids"].shape[1], batch_size=side.rows
                )[0]
            logps.append(values * batch["completion_mask"])
            self.model.zero_grad()
            side.loss(batch)
            gradients.append(torch.cat([p.grad.flatten() for p in self.model.parameters() if p.grad is not None]))
        self.model.zero_grad()
        return {
            "max_logp_diff": float((logps[0] - logps[1]).abs().max()),
            "grad_rel_diff": float((gradients[0] - gradients[1]).norm() / gradients[0].norm()),
        }

    def measure(self) -> dict[str, Any]:
        batch = self.candidates()
        self.choose_micro_batches(batch)
        work: dict[str, Callable[[], object]] = {
            "stock_loss": lambda: self.stock.loss(batch),
            "loss": lambda: self.ours.loss(batch),
            "stock_generate": lambda: self.generate(self.stock),
            "generate": lambda: self.generate(self.ours, self.rollouts[self.dtype]),
            "generate_float32": lambda: self.generate(self.ours, self.rollouts[torch.float32]),
            "stock_step": lambda: self.stock.step(self.data.rows, self.optimizer),
            "step": lambda: self._our_step(),
        }
        if self.dtype is torch.float32:
            del work["generate_float32"]  # the same as "generate"
        if self.wanted.without_steps:
            del work["stock_step"], work["step"]
        seconds = {name: float("inf") for name in work}
        # Turn by turn, so that whatever else runs on the machine slows both sides alike.
        for _ in range(self.wanted.repeats):
            for name, one in work.items():
                seconds[name] = min(seconds[name], self.time(one))
                print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)
        shared, repeated = self._count_tokens()
        names = ("loss", "generate", "step")
        ratio = {f"{name}_ratio": seconds[f"stock_{name}"] / seconds[name] for name in names if name in seconds}
        return {
            **ratio,
            "generate_ratio_float32": seconds["stock_generate"] / seconds.get("generate_float32", seconds["generate"]),
            "token_ratio": repeated / shared,
            "share_of_bound": ratio["loss_ratio"] * shared / repeated,
            **({} if self.wanted.without_steps else self.compare(batch)),
            "stock_rows": self.stock.rows,
            "our_rows": self.ours.rows,
            "rollout_dtype": str(self.dtype).removeprefix("torch."),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }

    def _our_step(self) -> None:
        self.ours.trainer._rollouts = self.rollouts[self.dtype]
        self.ours.step(self.data.rows, self.optimizer)

    def _count_tokens(self) -> tuple[int, int]:
        size, n_new = self.wanted.group_size, self.wanted.completion_tokens
        lengths = [len(prompt) for prompt in self.data.prompts]
        return sum(n + size * n_new for n in lengths), sum(size * (n + n_new) for n in lengths)

    def peak_memory(self, side: Side, rows: int) -> int:
        """Bytes at the peak of a step; of this process, so one side only."""
        side.rows = rows
        side.step(self.data.rows, self.optimizer)
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        # Not the maximum of `resource`, which a process inherits from the one that started it.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


def _constant(completions: list[str], **_: Any) -> list[float]:
    """A reward that costs nothing and differs inside a group."""
    return [float(place % 2) for place in range(len(completions))]


def measure_memory(side: str, rows: int) -> int:
    """Peak memory of one side, in a process with the same arguments."""
    command = [sys.executable, *sys.argv, "--memory-of", side, "--memory-rows", str(rows)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return int(result.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="SmolLM2-135M-Instruct", help="embedded name, folder, or hub name")
    parser.add_argument("--prompt-tokens", type=int, default=384)
    parser.add_argument("--completion-tokens", type=int, default=64)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--users", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stock-rows", type=int, help="take this micro-batch for stock TRL, do not look for the best")
    parser.add_argument("--our-rows", type=int, help="the same for ours")
    parser.add_argument("--without-steps", action="store_true", help="loss and generation only, no memory either")
    parser.add_argument("--processor-time", action="store_true", help="count processor time, on a busy machine")
    parser.add_argument("--json", action="store_true", help="one line for machines")
    parser.add_argument("--memory-of", choices=("stock", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--memory-rows", type=int, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    bench = Bench(wanted)
    if wanted.memory_of:
        print(bench.peak_memory(getattr(bench, wanted.memory_of), wanted.memory_rows))
        return
    measured = bench.measure()
    if not wanted.without_steps:
        peaks = {side: measure_memory(side, getattr(bench, side).rows) for side in ("stock", "ours")}
        measured["peak_memory_ratio"] = peaks["stock"] / peaks["ours"]
        measured["peak_memory"] = peaks
    measured["setting"] = {
        "model": wanted.model, "P": wanted.prompt_tokens, "R": wanted.completion_tokens, "G": wanted.group_size,
        "users": wanted.users, "threads": torch.get_num_threads(), "device": str(bench.device),
        "clock": "processor" if wanted.processor_time else "wall",
        "load": [round(load, 2) for load in os.getloadavg()],
    }  # fmt: skip
    rounded = {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in measured.items()}
    print(json.dumps(rounded, indent=None if wanted.json else 2))


if __name__ == "__main__":
    main()
