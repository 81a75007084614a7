"""Whoever reads the last logits gives the head hidden states that lie side by side (slow in torch otherwise)."""

from collections.abc import Callable
from typing import Any

import pytest
import tiny_models
import torch

from bluerec.profiling.continuations import Row, score_continuations
from bluerec.profiling.decoding import Sampling, generate_groups
from bluerec.profiling.frozen import FrozenModel
from bluerec.profiling.heads import rows_side_by_side

PROMPTS = [[5, 6, 7, 8], [9, 10, 11]]


def write(model: Any, tokenizer: Any) -> None:
    generate_groups(model, PROMPTS, 1, Sampling(2, (10_000,)))


def continue_texts(model: Any, tokenizer: Any) -> None:
    score_continuations(model, [Row(prompt, [[12, 13], [14]]) for prompt in PROMPTS], pad_token=0, batch_size=8)


def answer(model: Any, tokenizer: Any) -> None:
    FrozenModel(model, tokenizer, "reader").score_answers(PROMPTS, [20, 21])


@pytest.mark.parametrize("read", [write, continue_texts, answer])
def test_the_head_is_given_rows_side_by_side(read: Callable[[Any, Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_models.build_causal("llama")
    head, given = model.get_output_embeddings(), []
    forward = head.forward

    def seen(hidden: torch.Tensor) -> torch.Tensor:
        given.append(hidden)
        return forward(hidden)

    monkeypatch.setattr(head, "forward", seen)
    read(model, tokenizer)

    assert max(len(hidden) for hidden in given) == len(PROMPTS)
    assert all(hidden.is_contiguous() for hidden in given)
    assert not head._forward_pre_hooks


def test_the_logits_are_the_same_and_nothing_stays_behind_after_an_error() -> None:
    model, _ = tiny_models.build_causal("llama")
    tokens = torch.tensor(PROMPTS[:1] * 2)
    with torch.no_grad():
        plain = model(input_ids=tokens, logits_to_keep=2).logits
        with rows_side_by_side(model):
            assert torch.allclose(model(input_ids=tokens, logits_to_keep=2).logits, plain, atol=1e-6)
    with pytest.raises(ValueError, match="within"), rows_side_by_side(model):
        raise ValueError("within")
    assert not model.get_output_embeddings()._forward_pre_hooks
