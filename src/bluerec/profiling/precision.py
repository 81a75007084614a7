"""In which precision a model runs where it only samples or reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def choose_dtype(name: str) -> torch.dtype:
    """`float32`, `bfloat16`, or `auto`: bfloat16 where the hardware multiplies it natively."""
    import torch

    if name == "auto":
        native = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32
