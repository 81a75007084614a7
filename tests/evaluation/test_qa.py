"""Questions on a tiny world, answered by a reader that only knows what its context says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_endpoint import complete, serve
from small_worlds import make_examples
from tiny_models import build_causal

from bluerec.evaluation.answerers import EndpointAnswerer, LikelihoodAnswerer, predict_ratings
from bluerec.evaluation.qa import build_questions, grade_choices, measure_answers, render_raw_history
from bluerec.profiling.endpoint import ChatEndpoint, Patience
from bluerec.profiling.endpoint_reader import EndpointReader
from bluerec.profiling.readers import LikelihoodReader

RNG = np.random.default_rng(0)
TABLE = make_examples(n_users=60, n_items=40)
RATED = replace(
    TABLE, dataset=replace(TABLE.dataset, ratings=RNG.integers(1, 6, TABLE.dataset.n_events).astype(np.float32))
)
FOUR, TEN, ERROR = (
    "next item among 4: accuracy",
    "next item among 10: accuracy",
    "rating of the next item: absolute error",
)


class LiteralReader:
    """Prefers the options that stand in its context."""

    name = "literal"

    def choose(self, contexts, options):
        found = [[float(option in context) for option in its] for context, its in zip(contexts, options, strict=True)]
        values = np.array(found, dtype=np.float32)
        return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


class LiteralAnswerer:
    """Rates by the digit at the end of its context; without one it cannot tell."""

    name = "literal"
    reader = LiteralReader()
    guesses_alone = False

    def rate(self, contexts, titles, prior):
        return np.array([float(context[-1]) if context[-1:].isdigit() else np.nan for context in contexts])

    def count_tokens(self, text):
        return len(text.split())


def ask(contexts: list[str]) -> dict[str, np.ndarray]:
    questions = build_questions(RATED, LiteralReader(), seed=3)
    return measure_answers(questions, contexts, LiteralAnswerer())


def test_who_knows_the_answer_gets_everything_right() -> None:
    titles = [RATED.dataset.titles[item] for item in RATED.target_rows]
    ratings = RATED.dataset.ratings[RATED.target_event]
    found = ask([f"{title} {rating:.0f}" for title, rating in zip(titles, ratings, strict=True)])
    assert found[FOUR].tolist() == [1.0] * len(RATED)
    assert found[TEN].tolist() == [1.0] * len(RATED)
    assert found[ERROR].tolist() == [0.0] * len(RATED)


def test_who_reads_nothing_guesses() -> None:
    found = ask([""] * len(RATED))
    assert found[FOUR] == pytest.approx(1 / 4)
    assert found[TEN] == pytest.approx(1 / 10)
    assert found["tokens of context"].tolist() == [0.0] * len(RATED)
    assert found["rating of the next item: no readable answer (share)"].tolist() == [1.0] * len(RATED)
    # The best constant, by its definition: the median of all ratings that may be counted.
    known = RATED.dataset.ratings[RATED.countable]
    constant = np.median(known)
    expected = np.abs(RATED.dataset.ratings[RATED.target_event] - constant)
    assert found[ERROR].tolist() == expected.tolist()


def test_a_reader_that_scores_what_a_context_adds_is_not_asked_without_one() -> None:
    class Noisy(LiteralAnswerer):
        """Sure of the first option, whatever it reads: without a context this must not count."""

        guesses_alone = True

        class reader:
            @staticmethod
            def choose(contexts, options):
                assert all(contexts)
                return np.array([[0.0] + [-9.0] * (len(its) - 1) for its in options], dtype=np.float32)

    questions = build_questions(RATED, LiteralReader(), seed=3)
    half = [""] * 30 + ["something"] * (len(RATED) - 30)
    found = measure_answers(questions, half, Noisy())[FOUR]
    assert found[:30].tolist() == [1 / 4] * 30
    assert set(found[30:].tolist()) == {0.0, 1.0}


def test_who_is_misled_is_worse_than_guessing() -> None:
    ratings = RATED.dataset.ratings[RATED.target_event]
    wrong = [f"nothing {1 if rating > 3 else 5}" for rating in ratings]
    assert np.nanmean(ask(wrong)[ERROR]) > np.nanmean(ask([""] * len(RATED))[ERROR]) + 1


def test_without_ratings_nothing_is_asked_about_them() -> None:
    questions = build_questions(TABLE, LiteralReader())
    assert questions.rated == []
    assert ERROR not in measure_answers(questions, [""] * len(TABLE), LiteralAnswerer())


def test_the_questions_are_the_same_for_every_context_and_seeded() -> None:
    one, same, other = (build_questions(RATED, LiteralReader(), seed=seed).choices[4] for seed in (3, 3, 4))
    assert one == same
    assert one != other
    assert one
    for asked in one:
        assert asked.options[asked.true] == RATED.dataset.titles[RATED.target_rows[asked.row]]


def test_ties_share_the_point() -> None:
    answers = np.log(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]], dtype=np.float32))
    assert grade_choices(answers, [0, 2, 1]).tolist() == pytest.approx([1 / 2, 1.0, 1 / 3])
    assert grade_choices(answers, [2, 0, 1]).tolist() == pytest.approx([0.0, 0.0, 1 / 3])


def test_a_liking_for_a_digit_cancels() -> None:
    prior = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    liking = np.log(np.array([[0.9, 0.04, 0.03, 0.02, 0.01]]))
    assert predict_ratings(liking, liking, prior).tolist() == [3.0]
    told = liking + np.array([[0.0, 0.0, 0.0, 0.0, 5.0]])
    assert predict_ratings(told, liking, prior).tolist() == [5.0]


def test_raw_histories_end_before_the_target() -> None:
    texts = render_raw_history(RATED)
    for row, text in enumerate(texts):
        lines = text.splitlines()
        its = [RATED.dataset.titles[item] for item in RATED.history_rows(row)][-10:]
        assert [line.split(", rated")[0] for line in lines] == its


def test_the_ratings_of_a_real_model_are_those_of_one_row_after_the_other() -> None:
    torch.manual_seed(0)
    model, tokenizer = build_causal("gemma3")
    answerer = LikelihoodAnswerer(model, tokenizer, LikelihoodReader(model, tokenizer, "tiny"), batch_size=3)
    contexts, titles = ["Likes chess.", "", "Likes <end_of_turn> racing a lot."], ["Chess set", "Kart", "Red kart"]
    found = answerer.weigh_ratings(contexts, titles)
    for row, (context, title) in enumerate(zip(contexts, titles, strict=True)):
        cleaned = context.replace("<end_of_turn>", " ")
        question = f"\nItem: {title}\nThe rating of this user, from 1 (worst) to 5 (best):"
        parts = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in (cleaned, question) if part]
        values = []
        for rating in range(1, 6):
            digit = tokenizer(f" {rating}", add_special_tokens=False)["input_ids"]
            tokens = torch.tensor([[tokenizer.bos_token_id, *(token for part in parts for token in part), *digit]])
            with torch.no_grad():
                logits = model(tokens).logits[0].double().log_softmax(-1)
            values.append(sum(float(logits[len(tokens[0]) - len(digit) - 1 + k, d]) for k, d in enumerate(digit)))
        naive = np.array(values) - np.logaddexp.reduce(values)
        assert found[row] == pytest.approx(naive, abs=1e-4)
    assert answerer.count_tokens("") == 0
    assert answerer.count_tokens("abc") == 3


def test_a_model_behind_an_endpoint_is_asked_and_graded() -> None:
    """It finds the option that its context names, knows how the rating was given there, and is silent otherwise."""

    def answer(body):
        question = body["messages"][0]["content"]
        told = question.splitlines()[0].removeprefix("A user: ")
        if "one digit" in question:
            return complete(f"{told[-1]}/5" if told[-1:].isdigit() else "I cannot know that.")
        marked = [line[0] for line in question.splitlines() if line[1:2] == "." and line[3:] == told[:-2]]
        return complete(f"The answer is **{marked[0]}**." if marked else "None of these.")

    titles = [RATED.dataset.titles[item] for item in RATED.target_rows]
    ratings = RATED.dataset.ratings[RATED.target_event]
    knowing = [f"{title} {rating:.0f}" for title, rating in zip(titles, ratings, strict=True)]
    with serve() as server:
        server.answers = [answer]
        endpoint = ChatEndpoint(server.url, "asked", patience=Patience(between_tries=0.01))
        answerer = EndpointAnswerer(EndpointReader(endpoint))
        questions = build_questions(RATED, answerer.reader, seed=3)
        found = measure_answers(questions, [*knowing[:30], *[""] * (len(RATED) - 30)], answerer)
        endpoint.close()
    assert answerer.name == "endpoint:asked"
    assert found[FOUR].tolist() == [1.0] * 30 + [1 / 4] * (len(RATED) - 30)
    assert found["next item among 4: no readable answer (share)"].tolist() == [0.0] * 30 + [1.0] * (len(RATED) - 30)
    assert found[ERROR][:30].tolist() == [0.0] * 30
    assert found["tokens of context"][0] == -(-len(knowing[0]) // 4)
