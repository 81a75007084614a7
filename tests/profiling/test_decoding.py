"""Decoding with shared prefixes against whole forward passes, one row at a time, on the real model classes."""

import copy

import pytest
import tiny_models
import torch

from bluerec.profiling import decoding, prefill, two_part_attention
from bluerec.profiling.decoding import Sampling, generate_groups

FAMILIES = ("llama", "gemma3", "qwen3")
NO_STOP = (10_000,)


@pytest.fixture(scope="module", params=FAMILIES)
def tiny(request: pytest.FixtureRequest):
    return tiny_models.build_causal(request.param)


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    lengths = (40, 7, 23, 31)  # beyond and below Gemma's window of 16
    return [torch.randint(5, 250, (length,), generator=generator).tolist() for length in lengths]


def choose_by_logits(logits: torch.Tensor) -> torch.Tensor:
    """A choice that differs from row to row and needs no random numbers: the best, second or third token."""
    best = logits.topk(3, dim=1).indices
    return best.gather(1, (best[:, :1] + best[:, 1:2]) % 3).flatten()


def naive(model, prompt: list[int], sampling: Sampling, first: int | None = None) -> list[int]:
    """One whole forward pass per token, no cache, no padding."""
    tokens = [] if first is None else [first]
    while len(tokens) < sampling.max_new_tokens and not (tokens and tokens[-1] in sampling.stop_tokens):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + tokens]), use_cache=False).logits[:, -1]
        tokens.append(int(choose_by_logits(logits)))
    return tokens


@pytest.fixture
def chosen_by_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_choose", lambda logits, sampling, generator: choose_by_logits(logits))


@pytest.mark.usefixtures("chosen_by_logits")
def test_each_row_is_as_if_written_alone(tiny, prompts) -> None:
    sampling = Sampling(24, NO_STOP)
    written = generate_groups(tiny[0], prompts, 1, sampling)
    assert written == [naive(tiny[0], prompt, sampling) for prompt in prompts]
    assert all(len(tokens) == 24 for tokens in written)


@pytest.mark.usefixtures("chosen_by_logits")
def test_places_for_new_tokens_grow_where_they_are_needed(tiny, prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling, places = Sampling(24, NO_STOP), []
    see_suffix = decoding._SharedPrefix.see_suffix

    def counted(state, n_places: int, window: int | None) -> torch.Tensor:
        places.append(n_places)
        return see_suffix(state, n_places, window)

    monkeypatch.setattr(decoding, "_ROOM", 10)
    monkeypatch.setattr(decoding._SharedPrefix, "see_suffix", counted)

    assert generate_groups(tiny[0], prompts, 1, sampling) == [naive(tiny[0], prompt, sampling) for prompt in prompts]
    assert sorted(set(places)) == [10, 20, 30]


@pytest.mark.usefixtures("chosen_by_logits")
@pytest.mark.parametrize(("limit", "parts"), [(1, 4), (50, 3), (80, 2), (10_000, 1)])
def test_prompts_are_run_in_parts_that_change_nothing(
    tiny, prompts, limit: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts are padded each to its own longest prompt and stand at the end of the prefix."""
    monkeypatch.setattr(prefill, "_CPU_TOKENS", limit)
    assert len(list(prefill._split(prompts, torch.device("cpu")))) == parts
    sampling = Sampling(24, NO_STOP)
    assert generate_groups(tiny[0], prompts, 1, sampling) == [naive(tiny[0], prompt, sampling) for prompt in prompts]


@pytest.mark.usefixtures("chosen_by_logits")
@pytest.mark.parametrize("limit", [50, 10_000])
def test_what_all_prompts_begin_with_is_run_once(tiny, prompts, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And changes nothing; with sliding windows it is run with each, since padding behind it would move them."""
    model, sizes = tiny[0], []
    monkeypatch.setattr(prefill, "_CPU_TOKENS", limit)
    alike = [[*range(20, 32), *prompt] for prompt in prompts]
    handle = model.register_forward_pre_hook(
        lambda model, args, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    written = generate_groups(model, alike, 2, Sampling(24, NO_STOP))
    handle.remove()
    expected = [naive(model, prompt, Sampling(24, NO_STOP)) for prompt in alike]
    assert written == repeat(expected, 2)
    assert (sizes[0] == 12) == (getattr(model.config, "sliding_window", None) is None)


@pytest.mark.usefixtures("chosen_by_logits")
@pytest.mark.parametrize("room", [32, 4])  # with 4 places buffers grow after rows were dropped
def test_rows_end_at_different_times_and_are_dropped(tiny, prompts, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_ROOM", room)
    model = tiny[0]
    free = generate_groups(model, prompts, 1, Sampling(24, NO_STOP))
    stops = (free[0][2], free[1][9], free[2][5])
    sampling = Sampling(24, stops)
    assert generate_groups(model, prompts, 1, sampling) == [naive(model, prompt, sampling) for prompt in prompts]


def test_samples_of_a_group_diverge_and_follow_their_own_suffix(tiny, prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first token differs by row; from then on each row must go the way of its own first token."""
    model, calls = tiny[0], []
    firsts = torch.arange(20, 20 + 3 * len(prompts))

    def choose(logits: torch.Tensor, *_) -> torch.Tensor:
        calls.append(len(logits))
        return firsts if len(calls) == 1 else choose_by_logits(logits)

    monkeypatch.setattr(decoding, "_choose", choose)
    free = [naive(model, prompt, Sampling(16, NO_STOP), 20 + row) for row, prompt in enumerate(repeat(prompts, 3))]
    stops = tuple({tokens[3 + row % 5] for row, tokens in enumerate(free) if row % 4})
    sampling = Sampling(16, stops)
    expected = [naive(model, prompt, sampling, 20 + row) for row, prompt in enumerate(repeat(prompts, 3))]
    assert generate_groups(model, prompts, 3, sampling) == expected
    assert calls[-1] < calls[0]  # rows were dropped on the way


def repeat(prompts: list[list[int]], n: int) -> list[list[int]]:
    return [prompt for prompt in prompts for _ in range(n)]


def test_greedy_agrees_with_generate_of_transformers(tiny, prompts) -> None:
    model = tiny[0]
    written = generate_groups(model, prompts, 2, Sampling(12, NO_STOP))
    for row, prompt in enumerate(prompts):
        expected = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
            max_new_tokens=12, eos_token_id=None,
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert written[2 * row] == written[2 * row + 1] == expected


def test_sampling_follows_the_distribution(tiny) -> None:
    prompt, n = [5, 6, 7], 4000
    for temperature, top_p in ((1.0, 1.0), (0.5, 1.0), (1.0, 0.5)):
        generator = torch.Generator().manual_seed(0)
        tokens = generate_groups(tiny[0], [prompt], n, Sampling(1, NO_STOP, temperature, top_p), generator=generator)
        found = torch.bincount(torch.tensor(tokens).flatten(), minlength=len(tiny[1])) / n
        with torch.no_grad():
            expected = torch.softmax(tiny[0](torch.tensor([prompt])).logits[0, -1] / temperature, dim=0)
        if top_p < 1:
            order = expected.argsort(descending=True)
            kept = order[: int((expected[order].cumsum(0) < top_p).sum()) + 1]
            expected = torch.zeros_like(expected).scatter(0, kept, expected[kept])
            expected /= expected.sum()
        assert (found - expected).abs().sum() < 0.25
        assert not found[expected == 0].any()


def test_tokens_are_drawn_by_weight_and_never_one_of_weight_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.tensor([0.0, 0.5, 0.0, 1.5, 2.0, 0.0])
    generator = torch.Generator().manual_seed(0)
    drawn = decoding._draw(weights.expand(20_000, -1), generator)
    shares = torch.bincount(drawn, minlength=6) / 20_000
    assert (shares - weights / 4).abs().max() < 0.015
    assert not shares[weights == 0].any()
    for number, place in ((0.0, 1), (1.0, 4)):  # the ends; a generator gives less than 1, a product may be rounded up
        monkeypatch.setattr(torch, "rand", lambda shape, number=number, **_: torch.full(shape, number))
        assert decoding._draw(weights[None], None).tolist() == [place]


def test_laying_out_turns_weights_in_memory_and_changes_nothing_else(tiny, tmp_path) -> None:
    model = copy.deepcopy(tiny[0])
    tokens = torch.tensor([[5, 6, 7, 8]])
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with torch.no_grad():
        logits = model(tokens).logits
        decoding.lay_out_for_decoding(model)
        assert torch.allclose(model(tokens).logits, logits, atol=1e-5)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    turned = [layer.weight.stride(0) == 1 for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert sum(turned) >= 7 * len(model.model.layers)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(weight, before[name]) for name, weight in again.named_parameters())


def test_the_model_is_left_as_it_was(tiny) -> None:
    model = tiny[0]
    before = model.config._attn_implementation
    model.train()
    try:
        assert generate_groups(model, [], 4, Sampling(4, NO_STOP)) == []
        generate_groups(model, [[5, 6]], 2, Sampling(4, NO_STOP))
        assert model.training
        assert model.config._attn_implementation == before != two_part_attention.ATTENTION_NAME
    finally:
        model.eval()


def test_the_two_part_attention_is_what_runs(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = two_part_attention.attend_in_two_parts

    def counted(module, *args, **kwargs):
        calls.append(module.layer_idx)
        return original(module, *args, **kwargs)

    monkeypatch.setattr(two_part_attention, "attend_in_two_parts", counted)
    generate_groups(tiny[0], [[5, 6, 7]], 2, Sampling(4, NO_STOP))
    assert calls == [0, 1] * 3  # every layer at every step after the first token
