"""Log-probabilities of candidates whose prompts are run once for their group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import DynamicCache

from bluerec.training.token_scores import Scores, TokenScorer, choose_scorer

# Parts of similar length in which the completions of a micro-batch run; each repeats the prompts' keys once.
N_PARTS = 2


@dataclass(frozen=True, slots=True)
class GroupedBatch:
    """Distinct prompts (n_groups, prefix), left-padded, and completions (n_rows, suffix), right-padded."""

    prefix: torch.Tensor
    prefix_mask: torch.Tensor
    suffix: torch.Tensor
    suffix_mask: torch.Tensor
    group_of_row: torch.Tensor

    def take(self, rows: torch.Tensor) -> GroupedBatch:
        """These rows only, cut to the longest of them; the prompts stay as they are."""
        longest = max(int(self.suffix_mask[rows].sum(dim=1).max()), 1)
        return replace(
            self,
            suffix=self.suffix[rows, :longest],
            suffix_mask=self.suffix_mask[rows, :longest],
            group_of_row=self.group_of_row[rows],
        )


def group_by_prompt(input_ids: torch.Tensor, attention_mask: torch.Tensor, n_suffix: int) -> GroupedBatch:
    """Take rows (n_rows, prefix + n_suffix) apart; rows with the same prompt form a group, in whatever order.

    Columns in which every row is padding are cut off on both sides.
    """
    prefix, prefix_mask = input_ids[:, :-n_suffix], attention_mask[:, :-n_suffix]
    suffix, suffix_mask = input_ids[:, -n_suffix:], attention_mask[:, -n_suffix:]
    keys = torch.where(prefix_mask.bool(), prefix, -1)
    distinct, group_of_row = torch.unique(keys, dim=0, return_inverse=True)
    n_padded = int((distinct == -1).all(dim=0).sum())
    distinct = distinct[:, n_padded:]
    longest = max(int(suffix_mask.sum(dim=1).max()), 1)
    return GroupedBatch(
        prefix=distinct.clamp(min=0),
        prefix_mask=(distinct != -1).long(),
        suffix=suffix[:, :longest],
        suffix_mask=suffix_mask[:, :longest],
        group_of_row=group_of_row,
    )


def score_completions(model: Any, batch: GroupedBatch, temperature: float, scorer: TokenScorer | None = None) -> Scores:
    """Log-probabilities and entropies, both (n_rows, suffix), of the completion tokens at a sampling temperature.

    The prompts run once; their keys and values are repeated for the rows of their group, and gradients flow back
    through them. The first token of a completion is predicted by the last position of its prompt. The completions run
    in parts of similar length, so that short ones are not padded to the longest; padding scores 0.
    Without a `scorer` the one that suits the model is looked for, which costs a call of it.
    """
    scorer = scorer or choose_scorer(model)
    # Without a config the cache keeps all keys in every layer; sliding windows are cut by masks, which is exact.
    cache = DynamicCache()
    first = scorer.run(
        model,
        n_last=1,
        input_ids=batch.prefix,
        attention_mask=batch.prefix_mask,
        position_ids=(batch.prefix_mask.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    )
    shape = batch.suffix.shape
    logps: list[torch.Tensor] = []
    entropies: list[torch.Tensor] = []
    by_length = torch.argsort(batch.suffix_mask.sum(dim=1), stable=True)
    for rows in by_length.tensor_split(min(N_PARTS, shape[0])):
        part = batch.take(rows)
        states = _run_completions(scorer, model, part, first[part.group_of_row], cache)
        is_token = part.suffix_mask.bool()
        padding = (0, shape[1] - part.suffix.shape[1])
        for kept, values in zip(
            (logps, entropies), scorer.score(states[is_token], part.suffix[is_token], temperature), strict=True
        ):
            padded = torch.zeros(is_token.shape, dtype=values.dtype, device=values.device)
            kept.append(torch.nn.functional.pad(padded.masked_scatter(is_token, values), padding))
    back = torch.argsort(by_length)
    return torch.cat(logps)[back], torch.cat(entropies)[back]


def _run_completions(
    scorer: TokenScorer, model: Any, part: GroupedBatch, first: torch.Tensor, prompts: DynamicCache
) -> torch.Tensor:
    """States (n_rows, suffix, width) from which the tokens are predicted; `first` (n_rows, 1, width): the prompts'."""
    if part.suffix.shape[1] == 1:
        return first
    cache = DynamicCache()
    for layer_idx, layer in enumerate(prompts.layers):
        cache.update(layer.keys[part.group_of_row], layer.values[part.group_of_row], layer_idx)
    prompt_mask = part.prefix_mask[part.group_of_row]
    steps = torch.arange(part.suffix.shape[1] - 1, device=part.suffix.device)
    rest = scorer.run(
        model,
        input_ids=part.suffix[:, :-1],
        attention_mask=torch.cat([prompt_mask, part.suffix_mask[:, :-1]], dim=1),
        position_ids=prompt_mask.sum(dim=1, keepdim=True) + steps,
        past_key_values=cache,
        use_cache=True,
    )
    return torch.cat([first, rest], dim=1)
