"""Packed continuations against one whole sequence at a time, on the real model classes."""

import pytest
import tiny_models
import torch
from transformers import MistralConfig, MistralForCausalLM

from bluerec.profiling.continuations import Row, score_continuations

ROWS = [
    Row([1, 20, 30, 40, 50], [[60, 61, 62], [70], [80, 81, 82, 83, 84, 85, 86]]),
    Row([1], [[60, 61]]),
    Row([1, *range(10, 40)], [[5], [60, 61, 62, 63], [60, 61, 62], [90, 91]]),
]


def build_mistral():
    """Sliding windows without layer types, and shorter than the rows."""
    torch.manual_seed(0)
    sizes = tiny_models._sizes(len(tiny_models.build_tokenizer()))
    return MistralForCausalLM(MistralConfig(**sizes, sliding_window=8)).eval()


@pytest.fixture(scope="module", params=["llama", "gemma3", "qwen3", "mistral"])
def model(request: pytest.FixtureRequest):
    return build_mistral() if request.param == "mistral" else tiny_models.build_causal(request.param)[0]


def naive_total(model, prefix: list[int], tokens: list[int]) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prefix, *tokens]]), use_cache=False).logits[0].double()
    log_probabilities = torch.log_softmax(logits, dim=-1)
    return sum(log_probabilities[len(prefix) - 1 + place, token].item() for place, token in enumerate(tokens))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_packed_agrees_with_whole_sequences(model, batch_size: int, attention: str) -> None:
    model.set_attn_implementation(attention)
    try:
        totals = score_continuations(model, ROWS, pad_token=0, batch_size=batch_size)
    finally:
        model.set_attn_implementation("sdpa")
    for row, values in zip(ROWS, totals, strict=True):
        expected = [naive_total(model, row.prefix, tokens) for tokens in row.continuations]
        assert values == pytest.approx(expected, abs=1e-3)


def test_continuations_do_not_see_each_other(model) -> None:
    (together,) = score_continuations(model, ROWS[:1], pad_token=0, batch_size=1)
    turned = Row(ROWS[0].prefix, ROWS[0].continuations[::-1])
    (backwards,) = score_continuations(model, [turned], pad_token=0, batch_size=1)
    assert backwards[::-1] == pytest.approx(together, abs=1e-4)


def test_nothing_to_read(model) -> None:
    assert score_continuations(model, [], pad_token=0, batch_size=4) == []
