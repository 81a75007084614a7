"""Running prompts up to their last token, what all of them begin with only once.

Prompts of one template begin alike: with the marks of the chat format, the system message and the first words of the
question. The keys and values of these tokens are made once and stand before those of every prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluerec.profiling.heads import rows_side_by_side

if TYPE_CHECKING:
    import torch

# Tokens of prompts that a processor runs at once: beyond, activations leave its caches, and 64 prompts of 160 tokens
# take up to twice as long (measured with SmolLM2-135M on two cores; 600 to 2,000 are alike).
_CPU_TOKENS = 1_500
# A shorter beginning is not worth a run of its own.
_MIN_COMMON = 8
Layers = list[tuple["torch.Tensor", "torch.Tensor"]]


@dataclass(frozen=True, slots=True)
class Prefilled:
    """Prompts that were run: on the left what all begin with, on the right the rest of each, between them padding.

    `layers` are keys and values (n_prompts, heads, longest, size), `mask` (n_prompts, longest) is False where padded,
    `logits` (n_prompts, n_vocabulary) follow the last token.
    """

    layers: Layers
    mask: torch.Tensor
    logits: torch.Tensor


def run_prompts(model: Any, prompts: Sequence[Sequence[int]], pad_token: int) -> Prefilled:
    """Run prompts, at least one and none of them empty; inside `torch.inference_mode` or `no_grad`."""
    import torch

    longest = max(len(prompt) for prompt in prompts)
    device = model.get_input_embeddings().weight.device
    beginning = _Beginning(model, _find_common(prompts, model.config.get_text_config()), device)
    mask = torch.zeros((len(prompts), longest), dtype=torch.bool, device=device)
    layers: Layers = []
    logits = []
    for rows in _split(prompts, device):
        part = [prompt[len(beginning) :] for prompt in prompts[rows.start : rows.stop]]
        keys_and_values, last, visible = beginning.go_on(part, pad_token)
        if not layers:
            layers = [(_widen(keys, mask), _widen(values, mask)) for keys, values in keys_and_values]
        for whole, layer in zip(layers, keys_and_values, strict=True):
            for buffer, values in zip(whole, layer, strict=True):
                _put(buffer[rows.start : rows.stop].transpose(1, 2), values.transpose(1, 2), len(beginning))
        _put(mask[rows.start : rows.stop], visible, len(beginning))
        logits.append(last)
    return Prefilled(layers, mask, torch.cat(logits))


class _Beginning:
    """The keys and values of tokens that several prompts begin with; there may be none."""

    def __init__(self, model: Any, tokens: Sequence[int], device: torch.device) -> None:
        import torch
        from transformers import DynamicCache

        self._model = model
        self._n_tokens = len(tokens)
        self._device = device
        # Without a config the cache keeps all keys in every layer; sliding layers are cut by masks, which is exact.
        self._cache = DynamicCache()
        if tokens:
            model(
                input_ids=torch.tensor([tokens], device=device),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )

    def __len__(self) -> int:
        return self._n_tokens

    def go_on(self, rests: Sequence[Sequence[int]], pad_token: int) -> tuple[Layers, torch.Tensor, torch.Tensor]:
        """Keys and values of each layer, logits after the last token, and the mask, all with the beginning in front."""
        import torch

        longest = max(len(rest) for rest in rests)
        tokens = torch.full((len(rests), longest), pad_token)
        mask = torch.ones((len(rests), self._n_tokens + longest), dtype=torch.bool)
        for row, rest in enumerate(rests):
            tokens[row, longest - len(rest) :] = torch.tensor(rest)
            mask[row, self._n_tokens : self._n_tokens + longest - len(rest)] = False
        tokens, mask = tokens.to(self._device), mask.to(self._device)
        cache = copy.deepcopy(self._cache)
        if self._n_tokens:
            cache.batch_repeat_interleave(len(rests))
        with rows_side_by_side(self._model):
            output = self._model(
                input_ids=tokens,
                attention_mask=mask.long(),
                position_ids=(mask.long().cumsum(1) - 1).clamp(min=0)[:, self._n_tokens :],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return [(layer.keys, layer.values) for layer in cache.layers], output.logits[:, -1], mask


def _find_common(prompts: Sequence[Sequence[int]], config: Any) -> Sequence[int]:
    """What all prompts begin with, but never all of a prompt; nothing where it is not worth it or not exact."""
    # A sliding window counts places, and padding between the beginning and the rest would move it.
    if len(prompts) < 2 or _has_windows(config):
        return []
    # What the first and the last in the order of their tokens have in common, all between them have too.
    first, last = min(prompts, key=list), max(prompts, key=list)
    most = min(len(prompt) for prompt in prompts) - 1
    n_common = next((place for place in range(most) if first[place] != last[place]), most)
    return first[:n_common] if n_common >= _MIN_COMMON else []


def _has_windows(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None)
    return "sliding_attention" in kinds if kinds else bool(getattr(config, "sliding_window", None))


def _widen(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Zeros for so many rows of that length, otherwise like `values` (rows, heads, length, size)."""
    return values.new_zeros(len(mask), values.shape[1], mask.shape[1], values.shape[3])


def _put(places: torch.Tensor, values: torch.Tensor, n_left: int) -> None:
    """Copy (rows, length, ...) into wider places, so many columns to the left and the others to the right."""
    places[:, :n_left] = values[:, :n_left]
    n_right = values.shape[1] - n_left
    places[:, places.shape[1] - n_right :] = values[:, n_left:]


def _split(prompts: Sequence[Sequence[int]], device: torch.device) -> Iterator[range]:
    """Rows that are run at once: all, but on a processor few enough for its caches."""
    limit = _CPU_TOKENS if device.type == "cpu" else None
    start, longest = 0, 0
    for row, prompt in enumerate(prompts):
        longest = max(longest, len(prompt))
        if limit and row > start and (row + 1 - start) * longest > limit:
            yield range(start, row)
            start, longest = row, len(prompt)
    yield range(start, len(prompts))
