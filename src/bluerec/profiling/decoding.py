"""Decoding where the rows of a group share one prompt: the prompt's keys and values are kept once per group.

`generate` of Transformers repeats the prompt for every sample and copies the whole cache at each step. Here a
prompt is run once; every step attends in two parts, to the prefix of the group (kept once) and to the row's own
suffix (in a buffer that is written in place), under one softmax. This is the idea of Hydragen (Juravsky et al.
2024, arXiv 2402.05099) with exact attention. Rows that have ended are dropped.

Works with every model whose layers call Transformers' attention interface and keep plain keys and values (Llama,
Qwen3, Gemma 3 with its sliding windows, ...). The model must hold no active adapter: merge it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluerec.profiling.prefill import run_prompts
from bluerec.profiling.two_part_attention import two_part_attention

if TYPE_CHECKING:
    import torch

# Dropping rows copies the suffix buffers, so it waits until at least this share of the rows has ended.
_DROP_SHARE = 0.25
# Places by which the buffers of suffixes grow. They are attended to as a whole, empty places masked: a product with a
# part of a buffer would first copy it, in bfloat16 at every step. They hold zeros until then: an infinite or undefined
# number would remain one though its weight is 0.
_ROOM = 32


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 is greedy; `top_p` 1 keeps the whole distribution."""

    max_new_tokens: int
    stop_tokens: tuple[int, ...]
    temperature: float = 0.0
    top_p: float = 1.0


def generate_groups(
    model: Any,
    prompts: Sequence[Sequence[int]],
    n_samples: int,
    sampling: Sampling,
    *,
    pad_token: int = 0,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Continue each prompt `n_samples` times.

    Returns `len(prompts) * n_samples` lists of token ids, the samples of a prompt side by side; a list ends with
    its stop token, or without one at the length limit. Sampling draws from `generator`, or torch's global state.
    """
    import torch

    if not prompts:
        return []
    with torch.inference_mode(), _evaluating(model):
        run = run_prompts(model, prompts, pad_token)
        state = _SharedPrefix(run.layers, run.mask, n_samples)
        rows = _Rows(len(prompts), n_samples, sampling.stop_tokens, run.logits.device)
        logits = run.logits.repeat_interleave(n_samples, dim=0)
        with two_part_attention(model):
            for step in range(sampling.max_new_tokens):
                tokens = _choose(logits, sampling, generator)
                rows.append(tokens)
                if rows.all_ended or step + 1 == sampling.max_new_tokens:
                    break
                kept = rows.drop_ended()
                if kept is not None:
                    state.keep(kept, rows.groups)
                    tokens = tokens[kept.flatten()]
                logits = state.step(model, tokens)
        return rows.texts


def lay_out_for_decoding(model: Any) -> None:
    """Turn the weights of linear layers in memory, in place, where the model runs on a processor.

    Their values and shapes stay. The product of a few rows with weights that lie column by column is a fifth to a
    quarter faster, and that product is most of a decoding step.
    """
    import torch

    tied = {id(model.get_input_embeddings().weight)}  # read row by row there
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer.weight.device.type == "cpu" and id(layer.weight) not in tied:
            layer.weight.data = layer.weight.data.t().contiguous().t()


class _Rows:
    """The tokens of every row, and which rows are still running. Running rows form a grid (n_groups, group_size)."""

    def __init__(self, n_groups: int, group_size: int, stop_tokens: Sequence[int], device: torch.device) -> None:
        import torch

        self.texts: list[list[int]] = [[] for _ in range(n_groups * group_size)]
        self._grid = torch.arange(n_groups * group_size).view(n_groups, group_size)
        self._ended = torch.zeros(n_groups * group_size, dtype=torch.bool)
        self._stop = torch.tensor(stop_tokens, device=device)
        self._groups = torch.arange(n_groups)

    @property
    def groups(self) -> torch.Tensor:
        """Positions, among the groups before the last `drop_ended`, of those that go on."""
        return self._groups

    @property
    def all_ended(self) -> bool:
        return bool(self._ended[self._grid].all())

    def append(self, tokens: torch.Tensor) -> None:
        """Add one token to every running row that has not ended; `tokens` follow the grid, row by row."""
        import torch

        stops = torch.isin(tokens, self._stop).tolist()
        for row, token, stop in zip(self._grid.flatten().tolist(), tokens.tolist(), stops, strict=True):
            if not self._ended[row]:
                self.texts[row].append(token)
                self._ended[row] = stop

    def drop_ended(self) -> torch.Tensor | None:
        """Shrink the grid to the rows that go on; returns their places in the old grid, or None to leave it.

        The grid stays rectangular: a group with fewer running rows than the widest keeps some ended ones.
        """
        import torch

        running = ~self._ended[self._grid]
        groups = running.any(dim=1).nonzero().flatten()
        width = int(running.sum(dim=1).max())
        if len(groups) * width > (1 - _DROP_SHARE) * running.numel():
            return None
        order = torch.argsort(running[groups].int(), dim=1, descending=True, stable=True)[:, :width]
        places = groups[:, None] * self._grid.shape[1] + order
        self._grid = self._grid.flatten()[places]
        self._groups = groups
        return places


class _SharedPrefix:
    """Keys and values of prefixes (n_groups, heads, prefix, size) and suffixes (n_rows, heads, places, size).

    It stands where Transformers expects a cache: each layer calls `update` with the keys and values of the newest
    token and gets all places of the suffix back, zeros in those to come; the attention function asks `prefix` and
    `see_suffix` for the rest.
    """

    is_compileable = False

    def __init__(self, layers: list[tuple[Any, Any]], mask: torch.Tensor, group_size: int) -> None:
        self._layers = layers
        self._mask = mask  # (n_groups, prefix), False where padded
        self._lengths = mask.sum(dim=1)
        self._group_size = group_size
        self._n_suffix = 0
        n_rows = len(mask) * group_size
        self._buffers = [
            tuple(values.new_zeros(n_rows, values.shape[1], _ROOM, values.shape[3]) for values in layer)
            for layer in layers
        ]

    def step(self, model: Any, tokens: torch.Tensor) -> torch.Tensor:
        """Run one token per row; returns logits (n_rows, n_vocabulary)."""
        positions = (self._lengths + self._n_suffix).repeat_interleave(self._group_size)
        output = model(
            input_ids=tokens[:, None],
            position_ids=positions[:, None],
            past_key_values=self,
            use_cache=True,
            shared_prefix=self,
        )
        self._n_suffix += 1
        return output.logits[:, -1]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        if self._n_suffix == self._buffers[layer_idx][0].shape[2]:
            self._buffers[layer_idx] = tuple(
                torch.cat([buffer, torch.zeros_like(buffer[:, :, :_ROOM])], dim=2)
                for buffer in self._buffers[layer_idx]
            )
        all_keys, all_values = self._buffers[layer_idx]
        all_keys[:, :, self._n_suffix] = keys[:, :, 0]
        all_values[:, :, self._n_suffix] = values[:, :, 0]
        return all_keys, all_values

    def prefix(self, layer_idx: int, window: int | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys, values, and which of them the newest token may see (n_groups, prefix)."""
        import torch

        keys, values = self._layers[layer_idx]
        if window is None:
            return keys, values, self._mask
        distance = keys.shape[2] + self._n_suffix - torch.arange(keys.shape[2], device=keys.device)
        return keys, values, self._mask & (distance < window)

    def see_suffix(self, n_places: int, window: int | None) -> torch.Tensor:
        """Which places of the suffix the newest token sees, itself included, (n_places,)."""
        import torch

        distance = self._n_suffix - torch.arange(n_places, device=self._mask.device)
        return (distance >= 0) if window is None else (distance >= 0) & (distance < window)

    def keep(self, places: torch.Tensor, groups: torch.Tensor) -> None:
        """Go on with the rows at `places` (n_groups, group_size) and with these groups only."""
        rows = places.flatten()
        self._buffers = [tuple(buffer[rows] for buffer in layer) for layer in self._buffers]
        if len(groups) < len(self._mask):
            self._layers = [(keys[groups], values[groups]) for keys, values in self._layers]
            self._mask, self._lengths = self._mask[groups], self._lengths[groups]
        self._group_size = places.shape[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._mask.shape[1] + self._n_suffix


def _choose(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator | None) -> torch.Tensor:
    """Next tokens (n_rows,) from logits (n_rows, n_vocabulary)."""
    import torch

    if sampling.temperature == 0:
        return logits.argmax(dim=1)
    probabilities = torch.softmax(logits.float() / sampling.temperature, dim=1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(dim=1, descending=True)
        ordered[ordered.cumsum(dim=1) - ordered >= sampling.top_p] = 0.0
        probabilities = torch.zeros_like(probabilities).scatter(1, order, ordered)
    return _draw(probabilities, generator)


def _draw(probabilities: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """One place (n_rows,) of each row of weights (n_rows, n_vocabulary), never one of weight 0.

    By the inverse of the cumulated weights: one random number a row. `torch.multinomial` draws one for every entry,
    which on a processor takes a fifth of a decoding step.
    """
    import torch

    cumulated = probabilities.cumsum(dim=1)
    total = cumulated[:, -1:]
    drawn = torch.rand(total.shape, generator=generator, dtype=total.dtype, device=total.device) * total
    # A product that was rounded up to the total would be beyond the last place.
    drawn = torch.minimum(drawn, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulated, drawn, right=True).flatten()


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
