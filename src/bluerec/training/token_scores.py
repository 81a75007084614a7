"""Log-probabilities of given tokens, without the logits of all of them in memory at a time.

A vocabulary of 49,152 makes the logits of a group of candidates larger than everything else that its loss keeps, and
they are read and written several times. What the loss needs of them is one number a token, and the direction in which
the hidden state changes that number: (W[token] - softmax @ W) / temperature, known as soon as the softmax is. So both
are computed piece by piece in the forward pass, as fused cross-entropies do, and no logits are kept for the backward
pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

# Tokens whose logits are in memory at a time: enough for a matrix product to be fast, few enough for the caches.
TOKENS_PER_PIECE = 256
# What a head does beside its matrix product, as configurations name it.
_SCALINGS = ("final_logit_softcapping", "logits_scaling", "logit_scale", "logits_soft_cap", "output_multiplier_scale")
Scores = tuple[torch.Tensor, torch.Tensor]


class TokenScorer(Protocol):
    """How a model is run and its tokens are scored. A state is whatever `score` takes, one for each position."""

    def run(self, model: Any, n_last: int | None = None, **inputs: Any) -> torch.Tensor:
        """States (n_rows, n_positions, width) of the last `n_last` positions, of all without it."""
        ...

    def score(self, states: torch.Tensor, tokens: torch.Tensor, temperature: float) -> Scores:
        """Log-probabilities and entropies, both (n_tokens,) in float32, of `tokens` after states (n_tokens, width)."""
        ...


class LogitScorer:
    """States are logits: for any model."""

    def run(self, model: Any, n_last: int | None = None, **inputs: Any) -> torch.Tensor:
        """Logits (n_rows, n_positions, n_vocabulary)."""
        logits: torch.Tensor = model(**inputs, logits_to_keep=n_last or 0).logits
        return logits[:, -(n_last or 0) :]  # some models keep them all

    def score(self, states: torch.Tensor, tokens: torch.Tensor, temperature: float) -> Scores:
        """As `TokenScorer.score`; gradients flow back through all logits."""
        logits = states.float() / temperature
        normaliser = logits.logsumexp(dim=1)
        with torch.no_grad():
            entropies = normaliser - (torch.softmax(logits, dim=1) * logits).sum(dim=1)
        return logits.gather(1, tokens.unsqueeze(1)).squeeze(1) - normaliser, entropies


class HeadScorer:
    """States are what the head of the model reads: for heads that are one matrix, and not trained."""

    def __init__(self, decoder: torch.nn.Module, head: torch.nn.Linear) -> None:
        self._decoder = decoder
        self._head = head

    def run(self, model: Any, n_last: int | None = None, **inputs: Any) -> torch.Tensor:
        """Hidden states (n_rows, n_positions, d) after the last norm.

        The model is called as a whole: wrappers around it do their work.
        """
        return self.run_with_logits(model, **inputs)[0][:, -(n_last or 0) :]

    def run_with_logits(self, model: Any, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (n_rows, n_positions, d) of all positions, and the model's logits (n_rows, 1, n_vocabulary)."""
        seen: list[torch.Tensor] = []
        hook = self._decoder.register_forward_hook(lambda module, given, output: seen.append(output[0]))
        try:
            output = model(**inputs, logits_to_keep=1)
        finally:
            hook.remove()
        return seen[-1], output.logits

    def score(self, states: torch.Tensor, tokens: torch.Tensor, temperature: float) -> Scores:
        """As `TokenScorer.score`; only the log-probabilities have a gradient."""
        found: Scores = _Scores.apply(states, self._head.weight, tokens, temperature)  # type: ignore[no-untyped-call]
        return found


class _Scores(torch.autograd.Function):
    """Forward: scores, entropies, and the derivative of each score by its state. Backward: a product of the two."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor, temperature: float
    ) -> Scores:
        scores = torch.empty(len(states), dtype=torch.float32, device=states.device)
        entropies = torch.empty_like(scores)
        slopes = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        for start in range(0, len(states), TOKENS_PER_PIECE):
            piece = slice(start, start + TOKENS_PER_PIECE)
            logits = torch.nn.functional.linear(states[piece].to(weight.dtype), weight).float().div_(temperature)
            logits -= logits.amax(dim=1, keepdim=True)
            shares = logits.exp()
            total = shares.sum(dim=1)
            token = tokens[piece, None]
            scores[piece] = logits.gather(1, token).squeeze(1) - total.log()
            entropies[piece] = total.log() - torch.linalg.vecdot(shares, logits) / total
            if slopes is not None:
                # Subtracted first, in float32: the rounding of two products drowns what is left of a likely token's.
                weights = shares.div_(-total[:, None])
                weights.scatter_add_(1, token, torch.ones_like(token, dtype=weights.dtype))
                slopes[piece] = (weights.to(weight.dtype) @ weight) / temperature
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(entropies)
        return scores, entropies

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * gradients[0][:, None].to(slopes.dtype), None, None, None


def choose_scorer(model: Any) -> TokenScorer:
    """`HeadScorer` where it is exact for this model, which is tried out on two tokens; `LogitScorer` elsewhere."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    head, config = plain.get_output_embeddings(), plain.config.get_text_config()
    is_plain = type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad
    if not is_plain or any(getattr(config, name, None) not in (None, 1.0) for name in _SCALINGS):
        return LogitScorer()
    scorer = HeadScorer(plain.get_decoder(), head)
    with _evaluating(model), torch.no_grad():
        tokens = torch.arange(2, device=head.weight.device)[None]
        states, logits = scorer.run_with_logits(model, input_ids=tokens, use_cache=False)
        own = torch.nn.functional.linear(states[:, -1:], head.weight)
    is_same = own.shape == logits.shape and torch.allclose(own.float(), logits.float(), rtol=1e-3, atol=1e-4)
    return scorer if is_same else LogitScorer()


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, and then every module in the mode that it had: wrapper and model may differ."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
