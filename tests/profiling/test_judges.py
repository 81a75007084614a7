"""The judge: grades that depend on one history and profile, read from the digits' probabilities alone."""

import numpy as np
import pytest
import tiny_models
import torch

from bluerec.errors import DataError, ModelError
from bluerec.profiling.judges import QUESTION, GradeJudge

HISTORIES = [["Racing Cup", "Kart Kit"], ["Garden Kit"], [], ["A very long title " * 20]]
TEXTS = ["Likes racing.", "Likes garden things of all kinds.", "Likes <eos> nothing.", "word " * 400]


@pytest.fixture(scope="module", params=["llama", "gemma3", "qwen3"])
def judge(request: pytest.FixtureRequest) -> GradeJudge:
    return GradeJudge(*tiny_models.build_causal(request.param), "tiny", batch_size=3)


def test_grades_are_probabilities_that_depend_on_history_and_text(judge: GradeJudge) -> None:
    grades = judge.grade(HISTORIES, TEXTS, 5)
    assert grades.shape == (4, 5)
    np.testing.assert_allclose(np.exp(grades).sum(axis=1), 1.0, atol=1e-5)
    other_text = judge.grade(HISTORIES[:1], TEXTS[1:2], 5)
    other_history = judge.grade(HISTORIES[1:2], TEXTS[:1], 5)
    assert np.abs(other_text - grades[:1]).max() > 1e-4
    assert np.abs(other_history - grades[:1]).max() > 1e-4


def test_alone_in_a_batch_and_permuted_agree(judge: GradeJudge) -> None:
    together = judge.grade(HISTORIES, TEXTS, 5)
    alone = [judge.grade([history], [text], 5)[0] for history, text in zip(HISTORIES, TEXTS, strict=True)]
    np.testing.assert_allclose(alone, together, atol=1e-4)
    np.testing.assert_allclose(judge.grade(HISTORIES[::-1], TEXTS[::-1], 5)[::-1], together, atol=1e-4)


def test_the_digits_are_read_after_the_question() -> None:
    """By hand: the whole prompt through the model, the last logits of five tokens."""
    model, tokenizer = tiny_models.build_causal("llama")
    grades = GradeJudge(model, tokenizer, "tiny").grade(HISTORIES[:1], TEXTS[:1], 5)
    asked = (
        "Items that one person took, oldest first:\n- Racing Cup\n- Kart Kit\n\n"
        f"A profile of this person: Likes racing.\n\n{QUESTION.format(best=5)}"
    )
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=False
    )
    tokens = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, -1]
    digits = [tokenizer(digit, add_special_tokens=False)["input_ids"][0] for digit in "12345"]
    np.testing.assert_allclose(grades[0], torch.log_softmax(logits[digits].double(), dim=0), atol=1e-4)


def test_faults() -> None:
    model, tokenizer = tiny_models.build_causal("llama")
    with pytest.raises(DataError, match="2 histories for 1 texts"):
        GradeJudge(model, tokenizer, "tiny").grade(HISTORIES[:2], TEXTS[:1], 5)

    class NoDigits:
        def __getattr__(self, name):
            return getattr(tokenizer, name)

        def __call__(self, text, **_):
            return {"input_ids": [1, 2]}

    with pytest.raises(ModelError, match="no single token per digit"):
        GradeJudge(model, NoDigits(), "tiny").grade(HISTORIES[:1], TEXTS[:1], 5)
