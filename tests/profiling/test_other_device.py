"""Whatever runs a language model brings everything to where that lies, and gives what it gives on the processor."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from other_device import ELSEWHERE, another_device
from transformers import LlamaForCausalLM

from bluerec.config import ProfilerConfig
from bluerec.errors import ModelError
from bluerec.evaluation.answerers import LikelihoodAnswerer
from bluerec.profiling import models, precision
from bluerec.profiling.decoding import Sampling, generate_groups
from bluerec.profiling.judges import GradeJudge
from bluerec.profiling.models import Profiler, load_profiler
from bluerec.profiling.readers import LetterReader, LikelihoodReader
from bluerec.profiling.writers import LocalWriter
from bluerec.types import Prompt

CONTEXTS = ["Likes racing games.", "", "Buys brass fittings, tubes and tools for the workshop."]
OPTIONS = [["Mario Kart", "Brass pipe"], ["Lip balm", "A"], ["B", "Brass tube for the whole family"]]
PROMPTS = [
    Prompt(({"role": "user", "content": text or "Nothing."},), "This shopper likes", "interests", 1, 0)
    for text in CONTEXTS
]
TOKENS = [[1, 5, 9, 33, 12, 40], [1, 8, 7], [1, 5, 9, 33, 9, 9, 9, 2, 50]]


def write(model: Any, tokenizer: Any, temperature: float = 0.0) -> Any:
    config = ProfilerConfig(max_new_tokens=9, temperature=temperature)
    return LocalWriter(Profiler(model, tokenizer, "tiny"), config, batch_size=2, seed=3).write(PROMPTS)


def sample(model: Any, tokenizer: Any) -> Any:
    generator = torch.Generator(device=model.device).manual_seed(1)
    with torch.inference_mode():
        return generate_groups(model, TOKENS, 3, Sampling(12, (4,), 1.0), pad_token=0, generator=generator)


def choose_in(dtype: torch.dtype, model: Any, tokenizer: Any) -> Any:
    """The precision is asked for where the model lies; the played device computes in float32 all the same."""
    is_here = model.device == torch.device("cpu")
    return LetterReader(model, tokenizer, "tiny", dtype=None if is_here else dtype).choose(CONTEXTS, OPTIONS)


WORK: dict[str, Callable[[Any, Any], Any]] = {
    "write": write,
    "write, sampled": lambda *tiny: write(*tiny, temperature=1.0),
    "sample": sample,
    "choose by likelihood": lambda *tiny: LikelihoodReader(*tiny, "tiny").choose(CONTEXTS, OPTIONS),
    "choose a letter": lambda *tiny: LetterReader(*tiny, "tiny").choose(CONTEXTS, OPTIONS),
    "choose a letter, in another precision": lambda *tiny: choose_in(torch.bfloat16, *tiny),
    "grade": lambda *tiny: GradeJudge(*tiny, "tiny").grade([["Racing Cup"]] * 3, CONTEXTS, 5),
    "rate": lambda *tiny: LikelihoodAnswerer(*tiny, LikelihoodReader(*tiny, "tiny")).weigh_ratings(
        CONTEXTS, ["Kart"] * 3
    ),
}


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
@pytest.mark.parametrize("name", list(WORK))
def test_elsewhere_it_is_the_same(name: str, family: str) -> None:
    expected = WORK[name](*tiny_models.build_causal(family))
    with another_device() as move:
        model, tokenizer = tiny_models.build_causal(family)
        found = WORK[name](move(model), tokenizer)
    assert model.device == ELSEWHERE
    if isinstance(expected, np.ndarray | list) and not isinstance(expected[0], str | list):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    else:
        assert found == expected


def test_what_lies_elsewhere_is_not_mixed() -> None:
    with another_device() as move:
        layer = move(torch.nn.Linear(2, 2))
        assert layer(torch.ones(1, 2, device=ELSEWHERE)).device == ELSEWHERE
        with pytest.raises(RuntimeError, match="tensors of two devices"):
            layer(torch.ones(1, 2))


def test_a_model_is_put_where_the_gpu_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    folder = tiny_models.save_causal("llama", tmp_path / "tiny")
    assert load_profiler(str(folder)).model.device == torch.device("cpu")
    monkeypatch.setattr(models, "choose_device", lambda: ELSEWHERE)
    assert load_profiler(str(folder)).model.device == ELSEWHERE

    def run_out(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(LlamaForCausalLM, "to", run_out)
    with pytest.raises(ModelError, match="does not fit into the GPU's memory"):
        load_profiler(str(folder))


def test_each_of_several_processes_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert precision.choose_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert precision.choose_device() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert precision.choose_device() == torch.device("cuda", 1)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert precision.choose_device() == torch.device("cpu"), "each process takes its part itself"


def test_who_counts_tokens_holds_no_model() -> None:
    profiler = Profiler(*tiny_models.build_causal("llama"), "tiny")
    count, model = profiler.count_tokens, weakref.ref(profiler.model)
    assert count("the game") > 0
    del profiler
    gc.collect()
    assert model() is None
