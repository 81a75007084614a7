"""The copy of the policy that writes the candidate profiles, with the adapter merged into its weights.

Merging makes decoding as fast as the plain model, and the copy may be in bfloat16 where the processor computes that
faster. It is always built anew from the untouched base weights, so that no rounding error accumulates. What a
bfloat16 copy samples differs slightly from the policy's own distribution; the loss is computed on the policy itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bluerec.profiling.decoding import Sampling, generate_groups, lay_out_for_decoding

if TYPE_CHECKING:
    import torch

_PREFIX = "base_model.model."


class RolloutModel:
    """A merged copy of a policy with LoRA weights. Call `refresh` after each change of the policy."""

    def __init__(self, base: Any, dtype: torch.dtype) -> None:
        """`base` is the plain model, before any adapter is attached to it."""
        self._model = copy.deepcopy(base).to(dtype).requires_grad_(False).eval()
        lay_out_for_decoding(self._model)
        self._weights = dict(self._model.named_parameters())

    def to(self, device: torch.device) -> None:
        """Move the copy; the policy is put on its device only when its trainer is made."""
        self._model.to(device)

    def refresh(self, policy: Any) -> None:
        """Take over the policy's weights: base plus low-rank update of every adapted layer."""
        import torch
        from peft.tuners.lora import LoraLayer

        with torch.no_grad():
            for name, layer in policy.named_modules():
                if isinstance(layer, LoraLayer):
                    self._weights[f"{name.removeprefix(_PREFIX)}.weight"].copy_(_merge(layer, policy.active_adapter))

    def generate(
        self, prompts: Sequence[Sequence[int]], n_samples: int, sampling: Sampling, pad_token: int
    ) -> list[list[int]]:
        """See `bluerec.profiling.decoding.generate_groups`; draws from torch's global random state."""
        return generate_groups(self._model, prompts, n_samples, sampling, pad_token=pad_token)


def _merge(layer: Any, adapter: str) -> torch.Tensor:
    """Base weights plus low-rank update, in one pass over the memory where the layer is a plain linear one."""
    import torch
    from peft.tuners.lora import Linear

    weights = layer.get_base_layer().weight
    if isinstance(layer, Linear) and not layer.fan_in_fan_out:
        down, up = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        return torch.addmm(weights, up, down, alpha=layer.scaling[adapter])
    merged: torch.Tensor = weights + layer.get_delta_weight(adapter)
    return merged
