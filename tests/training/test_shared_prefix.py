"""Log-probabilities and gradients with a shared prompt equal those with the prompt repeated."""

import pytest
import tiny_models
import torch
from peft import LoraConfig, get_peft_model

from bluerec.profiling.models import load_profiler
from bluerec.training.grpo import measure_flat_groups
from bluerec.training.prefix_scores import group_by_prompt, score_completions

FAMILIES = ("llama", "gemma3", "qwen3")
TEMPERATURE = 0.7


def adapt(model, scale: float):
    """The model with LoRA weights that change what it says."""
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return adapted


@pytest.fixture(params=FAMILIES)
def policy(request: pytest.FixtureRequest):
    return adapt(tiny_models.build_causal(request.param)[0], 0.1)


def make_batch(n_groups: int = 3, group_size: int = 4, prefix: int = 37, suffix: int = 9):
    """Rows as TRL lays them out: prompts padded left, completions right; groups scattered."""
    generator = torch.Generator().manual_seed(0)
    rows, masks = [], []
    for group in range(n_groups):
        length = prefix - 11 * group
        prompt = torch.randint(5, 250, (length,), generator=generator)
        for sample in range(group_size):
            n_tokens = suffix - (group + sample) % 4
            completion = torch.randint(5, 250, (n_tokens,), generator=generator)
            padding = torch.zeros(prefix - length, dtype=torch.long), torch.zeros(suffix - n_tokens, dtype=torch.long)
            rows.append(torch.cat([padding[0], prompt, completion, padding[1]]))
            masks.append((rows[-1] != 0).long())
    order = torch.randperm(len(rows), generator=generator)
    return torch.stack(rows)[order], torch.stack(masks)[order], suffix


def score_repeated(model, input_ids, attention_mask, n_suffix: int):
    """Naive: every row whole."""
    logits = model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=(attention_mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
    ).logits[:, -n_suffix - 1 : -1]
    logps = torch.log_softmax(logits / TEMPERATURE, dim=2)
    entropies = -(logps.exp() * logps).sum(dim=2)
    return logps.gather(2, input_ids[:, -n_suffix:].unsqueeze(2)).squeeze(2), entropies


def loss_and_gradients(model, logps, mask):
    model.zero_grad()
    weights = torch.linspace(-1, 1, len(logps))[:, None]
    ((logps * weights * mask).sum() / mask.sum()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal_to_the_repeated_prompt(policy, input_ids, attention_mask, n_suffix: int, n_groups: int) -> None:
    mask = attention_mask[:, -n_suffix:]
    expected, expected_entropy = score_repeated(policy, input_ids, attention_mask, n_suffix)
    expected_gradients = loss_and_gradients(policy, expected, mask)
    batch = group_by_prompt(input_ids, attention_mask, n_suffix)
    assert batch.prefix.shape[0] == n_groups
    logps, entropies = score_completions(policy, batch, TEMPERATURE)
    gradients = loss_and_gradients(policy, logps, mask)

    kept = mask.bool()
    assert (logps - expected)[kept].abs().max() < 1e-4
    assert (logps - expected)[:, 0].abs().max() < 1e-4  # the first token comes from the prompt's last position
    # Sums over the whole vocabulary: the noise of a float32 grows with them.
    assert (entropies - expected_entropy)[kept].abs().max() < 1e-4 * (1 + expected_entropy.max())
    assert gradients.keys() == expected_gradients.keys() != set()
    whole = torch.stack([gradient.norm() for gradient in expected_gradients.values()]).norm()
    for name, gradient in gradients.items():
        scale = expected_gradients[name].norm()
        assert (gradient - expected_gradients[name]).norm() <= 1e-4 * scale + 1e-7 * (1 + whole), name


def test_values_and_gradients_equal_the_repeated_prompt(policy) -> None:
    assert_equal_to_the_repeated_prompt(policy, *make_batch(), n_groups=3)


@pytest.mark.models
@pytest.mark.slow
def test_the_same_holds_for_the_embedded_profiler() -> None:
    model = load_profiler("SmolLM2-135M-Instruct", offline=True).model
    batch = make_batch(n_groups=2, group_size=3, prefix=64, suffix=10)
    assert_equal_to_the_repeated_prompt(adapt(model, 0.01), *batch, n_groups=2)


def test_with_the_adapter_off_they_are_those_of_the_base(policy) -> None:
    """The reference of a KL term."""
    input_ids, attention_mask, n_suffix = make_batch()
    with torch.no_grad(), policy.disable_adapter():
        base, _ = score_completions(policy, group_by_prompt(input_ids, attention_mask, n_suffix), TEMPERATURE)
        expected, _ = score_repeated(policy.get_base_model(), input_ids, attention_mask, n_suffix)
    kept = attention_mask[:, -n_suffix:].bool()
    assert (base - expected)[kept].abs().max() < 1e-4
    adapted, _ = score_completions(policy, group_by_prompt(input_ids, attention_mask, n_suffix), TEMPERATURE)
    assert (base - adapted)[kept].abs().max() > 1e-2


def test_columns_of_padding_are_cut(policy) -> None:
    input_ids, attention_mask, n_suffix = make_batch(n_groups=1)
    wide = torch.nn.functional.pad(input_ids, (5, 6)), torch.nn.functional.pad(attention_mask, (5, 6))
    batch = group_by_prompt(*wide, n_suffix + 6)
    assert batch.prefix.shape == (1, 37)
    assert batch.suffix.shape == (4, n_suffix)
    narrow = score_completions(policy, group_by_prompt(input_ids, attention_mask, n_suffix), TEMPERATURE)[0]
    torch.testing.assert_close(score_completions(policy, batch, TEMPERATURE)[0], narrow)


def test_one_token_completions(policy) -> None:
    input_ids, attention_mask, _ = make_batch(suffix=4)
    input_ids, attention_mask = input_ids[:, :-3], attention_mask[:, :-3]
    logps, _ = score_completions(policy, group_by_prompt(input_ids, attention_mask, 1), TEMPERATURE)
    expected, _ = score_repeated(policy, input_ids, attention_mask, 1)
    torch.testing.assert_close(logps, expected, atol=1e-4, rtol=0)


def test_padding_tokens_inside_a_prompt_are_not_padding() -> None:
    ids = torch.tensor([[0, 0, 7, 8, 9], [0, 0, 7, 8, 9]])
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])  # the same ids, but only one is padded
    batch = group_by_prompt(ids, mask, 2)
    assert batch.prefix.shape == (2, 3)
    assert batch.group_of_row.tolist() != [0, 0]


def test_flat_groups_are_counted() -> None:
    rewards = torch.tensor([[1.0, 5.0], [1.0, 6.0], [2.0, float("nan")], [3.0, float("nan")]])
    assert measure_flat_groups(rewards, [1.0, 0.0], 2) == 0.5
    assert measure_flat_groups(rewards, [1.0, 1.0], 2) == 0.0
    assert measure_flat_groups(rewards, [0.0, 0.0], 2) == 1.0
