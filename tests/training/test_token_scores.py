"""Scores that are computed piece by piece equal those from all logits, gradients included."""

import pytest
import tiny_models
import torch
from peft import LoraConfig, get_peft_model

from bluerec.training import token_scores
from bluerec.training.token_scores import HeadScorer, LogitScorer, choose_scorer

TEMPERATURE = 0.7


def make_states(dtype: torch.dtype = torch.float32) -> tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(16, 101, bias=False).to(dtype).requires_grad_(False)
    with torch.no_grad():
        head.weight.copy_(torch.randn(101, 16, generator=generator))
    states = torch.randn(23, 16, generator=generator).to(dtype)
    return head, states, torch.randint(101, (23,), generator=generator)


def score(scorer, states: torch.Tensor, tokens: torch.Tensor, head: torch.nn.Linear):
    """Scores, entropies, and the gradient of a weighted sum of the scores by the hidden states."""
    states = states.clone().requires_grad_()
    given = head(states) if isinstance(scorer, LogitScorer) else states
    scores, entropies = scorer.score(given, tokens, TEMPERATURE)
    (scores * torch.linspace(-1, 2, len(scores))).sum().backward()
    return scores.detach(), entropies.detach(), states.grad.float()


@pytest.mark.parametrize("n_per_piece", [1, 7, 23, 256])
def test_pieces_equal_the_whole(n_per_piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_scores, "TOKENS_PER_PIECE", n_per_piece)
    head, states, tokens = make_states()
    whole = score(LogitScorer(), states, tokens, head)
    pieces = score(HeadScorer(torch.nn.Identity(), head), states, tokens, head)
    for one, other in zip(pieces, whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    head, states, tokens = make_states()
    scorer = HeadScorer(torch.nn.Identity(), head)
    slope = score(scorer, states, tokens, head)[2][5]
    direction = torch.randn(16, generator=torch.Generator().manual_seed(1))
    moved = states.clone()
    moved[5] += 1e-2 * direction
    weights = torch.linspace(-1, 2, len(states))
    before, after = (scorer.score(one, tokens, TEMPERATURE)[0] for one in (states, moved))
    change = ((after - before) * weights).sum()
    assert float(change) == pytest.approx(float(1e-2 * slope @ direction), rel=0.05)


def test_half_precision_is_as_near_as_its_numbers_are() -> None:
    head, states, tokens = make_states(torch.bfloat16)
    exact = score(LogitScorer(), states.float(), tokens, head.float())
    head = head.to(torch.bfloat16)
    near = score(HeadScorer(torch.nn.Identity(), head), states, tokens, head)
    assert near[0].dtype is torch.float32
    for one, other in zip(near, exact, strict=True):
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.05)


def test_half_precision_keeps_the_gradient_of_likely_tokens() -> None:
    """What is left of it is a small difference of large numbers."""
    head, states, tokens = make_states()
    likely = (0.7 * head.weight[tokens] + 0.1 * states).to(torch.bfloat16)
    half = torch.nn.Linear(16, 101, bias=False, dtype=torch.bfloat16)
    half.weight.data = head.weight.to(torch.bfloat16)
    exact_head = torch.nn.Linear(16, 101, bias=False)
    exact_head.weight.data = half.weight.float()
    scores, _, exact = score(LogitScorer(), likely.float(), tokens, exact_head)
    assert float(scores.exp().median()) > 0.99
    near = score(HeadScorer(torch.nn.Identity(), half), likely, tokens, half)[2]
    errors = (near - exact).norm(dim=1) / exact.norm(dim=1)
    assert float(errors.median()) < 0.05


def test_logits_of_any_size_do_not_overflow() -> None:
    head, states, tokens = make_states()
    scores, entropies, slopes = score(HeadScorer(torch.nn.Identity(), head), 1e4 * states, tokens, head)
    assert all(bool(torch.isfinite(values).all()) for values in (scores, entropies, slopes))


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
def test_plain_heads_are_scored_in_pieces(family: str) -> None:
    model = tiny_models.build_causal(family)[0]
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert isinstance(choose_scorer(adapted), HeadScorer)


def test_other_heads_are_scored_from_their_logits() -> None:
    def build(**changes):
        model = tiny_models.build_causal("llama")[0].requires_grad_(False)
        for name, value in changes.items():
            setattr(model.config, name, value)
        return model

    assert isinstance(choose_scorer(build()), HeadScorer)
    assert isinstance(choose_scorer(build(final_logit_softcapping=30.0)), LogitScorer)
    trained = build()
    trained.get_output_embeddings().weight.requires_grad_(True)
    assert isinstance(choose_scorer(trained), LogitScorer)
    # What no name tells: the trial on two tokens does.
    scaled = build()
    original = scaled.forward
    scaled.forward = lambda **inputs: _halve(original(**inputs))
    assert isinstance(choose_scorer(scaled), LogitScorer)


def _halve(output):
    output.logits = output.logits / 2
    return output


def test_the_trial_leaves_every_module_in_its_mode() -> None:
    model = tiny_models.build_causal("llama")[0].eval()
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    adapted.training = True  # the wrapper alone
    modes = [module.training for module in adapted.modules()]
    assert set(modes) == {True, False}
    choose_scorer(adapted)
    assert [module.training for module in adapted.modules()] == modes
