"""Where a model runs, and in which precision it does where it only samples or reads."""

from __future__ import annotations

import os
import time
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Rows, inputs and outputs of the products that are tried: a decoding step of a batch, and a part of its prompts.
_TRIALS = ((64, 576, 1_536), (1_024, 576, 1_536))
_REPEATS = 3
# By how much bfloat16 has to be faster in each: what is faster by less may be so by chance.
_MIN_GAIN = 1.3


def choose_device() -> torch.device:
    """A GPU where there is one, of several processes each its own (`LOCAL_RANK`); else the processor.

    Also where processes share a model's weights out among themselves: they put their parts on their GPUs.
    """
    import torch

    if not torch.cuda.is_available() or _are_weights_shared_out():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def _are_weights_shared_out() -> bool:
    """Whether accelerate was asked for FSDP or ZeRO stage 3, which it tells its processes so."""
    is_fsdp = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    return is_fsdp or os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"


def choose_dtype(name: str) -> torch.dtype:
    """`float32`, `bfloat16`, or `auto`: the faster of the two on this machine.

    That is bfloat16 on a GPU and on processors with matrix tiles (AMX); on others what a short trial says. That one has
    instructions for bfloat16 (AVX-512 BF16) does not tell: measured with torch 2.13, Intel's Xeons without AMX multiply
    float32 matrices 1.8 times as fast, AMD's EPYC of the fourth generation bfloat16 ones 2.2 to 2.9 times.
    """
    import torch

    return torch.bfloat16 if name_dtype(name) == "bfloat16" else torch.float32


def name_dtype(name: str) -> str:
    """The same by its name: what `auto` is belongs to what a text depends on.

    Without torch it stays `auto`: a model elsewhere writes, in a precision of its own.
    """
    if name != "auto" or find_spec("torch") is None:
        return name
    return "bfloat16" if _is_bfloat16_faster() else "float32"


@cache
def _is_bfloat16_faster() -> bool:
    import torch

    if torch.cuda.is_available() or torch.cpu._is_amx_tile_supported():
        return True
    return all(_measure_gain(*shape) > _MIN_GAIN for shape in _TRIALS)


def _measure_gain(n_rows: int, n_inputs: int, n_outputs: int) -> float:
    """The time of a product in float32 over that in bfloat16, each at its best.

    Turn by turn, so that other work on the machine slows both. No random numbers: a training's would move on.
    """
    import torch

    seconds = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    with torch.inference_mode():
        factors = {
            dtype: (
                torch.full((n_rows, n_inputs), 0.5, dtype=dtype),
                torch.full((n_outputs, n_inputs), 0.5, dtype=dtype),
            )
            for dtype in seconds
        }
        for rows, weights in factors.values():
            torch.nn.functional.linear(rows, weights)  # sets up the kernel
        for _ in range(_REPEATS):
            for dtype, (rows, weights) in factors.items():
                begun = time.perf_counter()
                torch.nn.functional.linear(rows, weights)
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - begun)
    return seconds[torch.float32] / seconds[torch.bfloat16]
