"""How likely a causal language model finds several continuations of one prefix.

The continuations of a prefix stand behind it in one row, each at the positions it would have alone, and an attention
mask hides them from each other: the prefix is read once, nothing is cached or repeated, and little is padded. Works
with every model of Transformers that takes a four-dimensional attention mask, or one per layer type (Llama, Qwen3,
Gemma 3 with its sliding windows, ...), in the `sdpa` and `eager` implementations of attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluerec.profiling.heads import rows_side_by_side

if TYPE_CHECKING:
    import torch

Tokens = Sequence[int]
_PREFIX, _PADDING = 0, -1


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of a prefix and of what may follow it; none of them is empty."""

    prefix: Tokens
    continuations: Sequence[Tokens]

    def __len__(self) -> int:
        return len(self.prefix) + sum(len(tokens) - 1 for tokens in self.continuations)


@dataclass(frozen=True, slots=True)
class _Packed:
    """Rows side by side, (n_rows, length) each, and where the answers are read.

    `segments` is 0 in the prefix, k in the k-th continuation, -1 in the padding. The prefixes end in the same column:
    logits are needed from there on, in the last `n_read` columns. `reads` (n_reads, 3) names row, column among
    these, and token of which the log-probability is wanted; they come row by row, continuation by continuation.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    reads: torch.Tensor
    n_read: int


def score_continuations(model: Any, rows: Sequence[Row], *, pad_token: int, batch_size: int) -> list[list[float]]:
    """Summed log-probabilities of the tokens of each continuation, for each row. No gradient.

    Rows of like length are read together, `batch_size` at a time.
    """
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    totals: list[list[float]] = [[] for _ in rows]
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        for place, values in zip(
            places, _score_batch(model, [rows[place] for place in places], pad_token), strict=True
        ):
            totals[place] = values
    return totals


def _score_batch(model: Any, rows: Sequence[Row], pad_token: int) -> list[list[float]]:
    import torch

    packed = _pack(rows, pad_token)
    device = model.get_input_embeddings().weight.device
    with torch.no_grad(), rows_side_by_side(model):
        logits = model(
            input_ids=packed.tokens.to(device),
            attention_mask=_attention_masks(packed, model),
            position_ids=packed.positions.to(device),
            use_cache=False,
            logits_to_keep=packed.n_read,
        ).logits.float()
        row, column, token = packed.reads.to(device).unbind(1)
        values = (logits[row, column, token] - logits.logsumexp(-1)[row, column]).double().cpu()
    lengths = [len(tokens) for its in rows for tokens in its.continuations]
    sums = iter([part.sum().item() for part in values.split(lengths)])
    return [[next(sums) for _ in its.continuations] for its in rows]


def _pack(rows: Sequence[Row], pad_token: int) -> _Packed:
    import torch

    longest = max(len(row.prefix) for row in rows)
    width = longest + max(len(row) - len(row.prefix) for row in rows)
    lines, reads = [], []
    for number, row in enumerate(rows):
        line = [(pad_token, 0, _PADDING)] * (longest - len(row.prefix))
        line += [(token, position, _PREFIX) for position, token in enumerate(row.prefix)]
        for segment, tokens in enumerate(row.continuations, start=1):
            # Each token is told by the one before it, the first by the end of the prefix; the last tells nothing.
            columns = [longest - 1, *range(len(line), len(line) + len(tokens) - 1)]
            reads += [(number, column - longest + 1, token) for column, token in zip(columns, tokens, strict=True)]
            line += [(token, len(row.prefix) + place, segment) for place, token in enumerate(tokens[:-1])]
        lines.append(line + [(pad_token, 0, _PADDING)] * (width - len(line)))
    ids, positions, segments = torch.tensor(lines).unbind(2)
    return _Packed(ids, positions, segments, torch.tensor(reads), width - longest + 1)


def _attention_masks(packed: _Packed, model: Any) -> torch.Tensor | dict[str, torch.Tensor]:
    """What is added to attention scores, (n_rows, 1, length, length): 0 where a token may look, else the least number.

    One per layer type where the model has several. A token looks back at its prefix and its own continuation. Padding
    looks at padding: a row of the mask without any 0 would make NaN.
    """
    import torch

    config = model.config.get_text_config()
    weights = model.get_input_embeddings().weight
    looking, looked_at = packed.segments[:, :, None], packed.segments[:, None, :]
    back = torch.ones(packed.segments.shape[1], packed.segments.shape[1], dtype=torch.bool).tril()
    full = back & ((looking == looked_at) | (looked_at == _PREFIX))
    window = getattr(config, "sliding_window", None)
    distance = packed.positions[:, :, None] - packed.positions[:, None, :]
    sliding = full & (distance < window) if window else full

    def additive(allowed: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(allowed.shape, dtype=weights.dtype).masked_fill(~allowed, torch.finfo(weights.dtype).min)
        return mask[:, None].to(weights.device)

    layer_types = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" not in layer_types:
        return additive(full if layer_types else sliding)
    return {"full_attention": additive(full), "sliding_attention": additive(sliding)}
