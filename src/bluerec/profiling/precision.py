"""In which precision a model runs where it only samples or reads."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Rows and sides of the products that are tried: a decoding step of a batch, and a part of its prompts.
_TRIALS = ((64, 576, 1_536), (1_024, 576, 1_536))
_REPEATS = 3
# By how much bfloat16 has to be faster: noise must not decide in which precision texts are written.
_MIN_GAIN = 1.3


def choose_dtype(name: str) -> torch.dtype:
    """`float32`, `bfloat16`, or `auto`: the faster of the two on this machine.

    That is bfloat16 on a GPU and on processors with matrix tiles (AMX); on others what a trial of some milliseconds
    says. Instructions for bfloat16 (AVX-512 BF16) alone do not tell: measured with torch 2.13, Intel's Xeons without
    AMX multiply float32 matrices 1.8 times as fast, AMD's EPYC of the fourth generation bfloat16 ones 2.1 to 4 times.
    """
    import torch

    if name == "auto":
        return torch.bfloat16 if _is_bfloat16_faster() else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


@cache
def _is_bfloat16_faster() -> bool:
    import torch

    if torch.cuda.is_available() or torch.cpu._is_amx_tile_supported():
        return True
    return _time_products(torch.float32) > _MIN_GAIN * _time_products(torch.bfloat16)


def _time_products(dtype: torch.dtype) -> float:
    """Seconds of the products of `_TRIALS`, each at its best. No random numbers: a training's would move on."""
    import torch

    total = 0.0
    with torch.inference_mode():
        for n_rows, n_inputs, n_outputs in _TRIALS:
            rows = torch.full((n_rows, n_inputs), 0.5, dtype=dtype)
            weights = torch.full((n_outputs, n_inputs), 0.5, dtype=dtype)
            seconds = []
            for _ in range(1 + _REPEATS):  # the first sets up the kernel
                begun = time.perf_counter()
                torch.nn.functional.linear(rows, weights)
                seconds.append(time.perf_counter() - begun)
            total += min(seconds[1:])
    return total
