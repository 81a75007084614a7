"""Questions to a model behind an endpoint: how its answers are read, and that none is paid for twice."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_endpoint import FakeServer, complete, serve

from bluerec.errors import DataError, ModelError, UnavailableError
from bluerec.profiling.endpoint import ChatEndpoint, Patience
from bluerec.profiling.endpoint_reader import EndpointReader, KeptAnswers, read_digit, read_letter, render_rating

QUICK = Patience(connect_seconds=5.0, answer_seconds=5.0, n_tries=1, between_tries=0.01, open_seconds=0.1)
OPTIONS = ("Chess set", "A Kart", "Draughts")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serve() as fake:
        yield fake


def make_reader(server: FakeServer, path: Path | None = None) -> EndpointReader:
    return EndpointReader(ChatEndpoint(server.url, "asked", patience=QUICK), KeptAnswers(path))


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("B", 1), (" b", None), ("C.", 2), ("(A)", 0), ("**C**", 2), ("A) Chess set", 0), ("Draughts", 2),
        ("chess set.", 0), ("The answer is B.", 1), ("I would choose (C), since", 2), ("Answer: A", 0),
        ("B\nBecause", 1),
        ("A kart", 1), ("A user like this may take anything", None), ("The choice is a hard one", None), ("", None),
        ("answer is A, or the answer is B", None), ("D", None), ("Backgammon", None), ("None of these", None),
        ("A. Chess set\nB. A Kart\nC. Draughts", None), ("C. Draughts\n\nThe user took it.", 2),
    ],
)  # fmt: skip
def test_a_choice_is_read_where_it_is_one(answer: str, place: int | None) -> None:
    assert read_letter(answer, OPTIONS) == place


TEN = ("F.E.A.R.", "E.T. the Extra-Terrestrial", *(f"Game {n}" for n in range(6)), "I, Robot", "Long " * 60)


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("I", 8), ("I.", 8), ("I) I, Robot", 8), ("Answer: I", 8), ("The answer is I.", 8), ("I, Robot", 8),
        ("j", None), ("J", 9),        ("I'd choose B", 1), ("I\u2019d choose B.", 1), ("I'm not sure which one", None),
        ("I, as an AI model, cannot tell", None),
        ("The answer I would give is C", 2), ("F.E.A.R.", 0), ("E.T. the Extra-Terrestrial", 1), ("B) or C)", None),
        ("My choice: A Plague Tale", None), ("B because it fits", 1), ("It is D", 3), ("(Long " * 60, None),
        (("Long " * 60)[:128], 9), ("A list of games", None), ("F. Game 3\nI think so.", 5),
    ],
)  # fmt: skip
def test_letters_that_are_words_and_titles_that_begin_with_letters(answer: str, place: int | None) -> None:
    assert read_letter(answer, TEN) == place


@pytest.mark.parametrize(
    ("answer", "rating"),
    [
        ("4", 4), ("4.", 4), ("**5**", 5), ("3/5", 3), ("4 out of 5", 4), ("5 out of 5", 5), ("Rating: 2 stars", 2),
        ("4.5", None), ("10", None), ("0", None), ("6", None), ("4 or 5", None), ("", None), ("good", None),
        ("-3", None), ("On a scale of 1 to 5 I say 4", 4), ("4/10", None),
        ("4-5", None), ("2nd best", None), ("I would give it 4.", 4),
    ],
)  # fmt: skip
def test_a_rating_is_read_where_it_is_one(answer: str, rating: int | None) -> None:
    assert read_digit(answer) == rating


def test_what_is_asked_and_what_comes_back(server: FakeServer) -> None:
    server.answers = [complete("<think>A? B?</think>B"), complete("no idea")]
    scores = make_reader(server).choose(["Likes karts."], [OPTIONS])
    assert scores.shape == (1, 3)
    assert scores[0].argmax() == 1
    assert np.exp(scores).sum() == pytest.approx(1.0)
    body = server.seen[0][2]
    assert body["messages"] == [
        {
            "role": "user",
            "content": "A user: Likes karts.\n\nWhich of these items does the user take next? Answer with one letter."
            "\nA. Chess set\nB. A Kart\nC. Draughts",
        }
    ]
    assert (body["temperature"], body["model"]) == (0.0, "asked")
    assert make_reader(server).choose([""], [OPTIONS]).tolist() == [[pytest.approx(-np.log(3))] * 3]
    assert server.seen[1][2]["messages"][0]["content"].startswith("A user.\n")


def test_long_texts_are_cut() -> None:
    question = render_rating("x" * 9_000, "y" * 9_000, [0.2] * 5)
    assert "x" * 2_048 in question
    assert "x" * 2_049 not in question
    assert "y" * 128 in question
    assert "y" * 129 not in question


def test_the_shares_of_all_ratings_are_told(server: FakeServer) -> None:
    server.answers = [complete("5"), complete("?")]
    found = make_reader(server).rate(["Likes karts.", "Likes karts."], ["Red kart", "Kart"], [0.1, 0.1, 0.1, 0.2, 0.5])
    assert sorted(found.tolist(), key=str) == [5.0, pytest.approx(np.nan, nan_ok=True)]
    assert "1: 10%, 2: 10%, 3: 10%, 4: 20%, 5: 50%" in server.seen[0][2]["messages"][0]["content"]


def test_no_answer_is_asked_for_twice_whatever_happens_between(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "run" / "answers.jsonl"
    contexts = [f"Likes game {n}." for n in range(6)]
    server.answers = [complete("A"), complete("B"), complete("C"), (503, {}, b"")]
    for context in contexts[:3]:
        make_reader(server, path).choose([context], [OPTIONS])
    with pytest.raises(UnavailableError):
        make_reader(server, path).choose([contexts[3]], [OPTIONS])
    assert len(server.seen) == 4
    with path.open("ab") as file:
        file.write(b'{"key": "cut off by a ki')
    server.answers = [complete("A")]
    scores = make_reader(server, path).choose(contexts, [OPTIONS] * 6)
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 0, 0, 0]
    assert len(server.seen) == 4 + 3
    again = make_reader(server, path).choose(contexts, [OPTIONS] * 6)
    assert again.tolist() == scores.tolist()
    assert len(server.seen) == 4 + 3
    assert len(path.read_text().splitlines()) == 6


def test_a_question_that_comes_twice_is_asked_once(server: FakeServer) -> None:
    server.answers = [complete("A")]
    scores = make_reader(server).choose(["Likes chess."] * 8, [OPTIONS] * 8)
    assert scores.argmax(axis=1).tolist() == [0] * 8
    assert len(server.seen) == 1


def test_what_is_refused_among_others_has_no_answer_and_is_asked_again(server: FakeServer, tmp_path: Path) -> None:
    reader = make_reader(server, tmp_path / "answers.jsonl")
    server.answers = [(400, {}, b"filtered")]
    with pytest.raises(ModelError, match="status 400"):  # the first of all: nothing says that others would be answered
        reader.choose(["Likes chess."], [OPTIONS])
    server.answers = [complete("A"), (400, {}, b"filtered"), complete(""), complete("B")]
    assert reader.choose(["Likes chess."], [OPTIONS]).argmax() == 0
    for context in ("Likes a filtered word.", "Likes silence."):
        assert np.ptp(reader.choose([context], [OPTIONS])) == 0
    assert reader.choose(["Likes silence."], [OPTIONS]).argmax() == 1
    server.answers = [(401, {}, b"")]
    with pytest.raises(ModelError, match="status 401"):
        reader.choose(["Another."], [OPTIONS])


def test_another_model_or_question_is_asked_anew(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    server.answers = [complete("A")]
    make_reader(server, path).choose(["Likes chess."], [OPTIONS])
    make_reader(server, path).choose(["Likes chess."], [OPTIONS[::-1]])
    EndpointReader(ChatEndpoint(server.url, "other", patience=QUICK), KeptAnswers(path)).choose(
        ["Likes chess."], [OPTIONS]
    )
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    "line", [b"<html>\n", b"\n", b'{"key": "k", "answer": 5}\n', b"[]\n", b'{"key": "x"}\n', b"\xff\xfe\n"]
)
def test_a_damaged_file_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"key": "k", "answer": "A"}\n' + line)
    kept = KeptAnswers(path)  # not looked at where nothing is asked
    with pytest.raises(DataError, match=r"answers.jsonl:2: .*delete this line"):
        kept.get("anything")


def test_options_that_do_not_fit_are_refused(server: FakeServer) -> None:
    with pytest.raises(DataError, match="26 letters"):
        make_reader(server).choose([""], [[f"Game {n}" for n in range(27)]])
    with pytest.raises(DataError, match="same number of options"):
        make_reader(server).choose(["", ""], [OPTIONS, OPTIONS[:2]])
    assert server.seen == []
