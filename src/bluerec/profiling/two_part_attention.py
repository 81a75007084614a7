"""Attention of one query per row to a prefix that its group shares and to the row's own suffix, under one softmax."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

ATTENTION_NAME = "bluerec_two_part"


class SharedPrefix(Protocol):
    """The keys and values of the prefixes, kept once per group, and which places of a suffix are visible."""

    def prefix(self, layer_idx: int, window: int | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys and values (n_groups, n_kv_heads, prefix, size), and which the newest token sees (n_groups, prefix)."""

    def see_suffix(self, n_places: int, window: int | None) -> torch.Tensor:
        """Which places of the suffix the newest token sees, itself included, (n_places,)."""


@contextmanager
def two_part_attention(model: Any) -> Iterator[None]:
    """Let the model attend in two parts; its own implementation comes back at the end."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, attend_in_two_parts)
    config = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = ATTENTION_NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def attend_in_two_parts(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    shared_prefix: SharedPrefix,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one query per row, in the signature of Transformers' attention interface.

    Shapes: query (n_rows, n_heads, 1, size), key and value (n_rows, n_kv_heads, places, size), of which some may be
    empty; returns (n_rows, 1, n_heads, size).
    """
    import torch

    prefix_keys, prefix_values, visible_prefix = shared_prefix.prefix(module.layer_idx, sliding_window)
    visible_suffix = shared_prefix.see_suffix(key.shape[2], sliding_window)
    n_rows, n_heads, _n_queries, size = query.shape
    n_groups, n_kv_heads, n_prefix = prefix_keys.shape[:3]
    group_size, n_repeats = n_rows // n_groups, n_heads // n_kv_heads
    own = query.view(n_rows, n_kv_heads, n_repeats, size) * (size**-0.5 if scaling is None else scaling)
    together = own.view(n_groups, group_size, n_kv_heads, n_repeats, size).transpose(1, 2)
    together = together.reshape(n_groups, n_kv_heads, group_size * n_repeats, size)

    prefix_scores = _cap(together @ prefix_keys.transpose(2, 3), softcap)
    prefix_scores = prefix_scores.masked_fill(~visible_prefix[:, None, None], float("-inf"))
    prefix_scores = prefix_scores.view(n_groups, n_kv_heads, group_size, n_repeats, n_prefix).transpose(1, 2)
    suffix_scores = _cap(own @ key.transpose(2, 3), softcap).masked_fill(~visible_suffix, float("-inf"))
    scores = torch.cat([prefix_scores.reshape(n_rows, n_kv_heads, n_repeats, n_prefix), suffix_scores], dim=3)
    weights = torch.softmax(scores.float(), dim=3).to(value.dtype)

    on_prefix = weights[..., :n_prefix].view(n_groups, group_size, n_kv_heads, n_repeats, n_prefix).transpose(1, 2)
    from_prefix = on_prefix.reshape(n_groups, n_kv_heads, group_size * n_repeats, n_prefix) @ prefix_values
    from_prefix = from_prefix.view(n_groups, n_kv_heads, group_size, n_repeats, size).transpose(1, 2)
    output = from_prefix.reshape(n_rows, n_kv_heads, n_repeats, size) + weights[..., n_prefix:] @ value
    return output.reshape(n_rows, 1, n_heads, size), None


def _cap(scores: torch.Tensor, softcap: float | None) -> torch.Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap
