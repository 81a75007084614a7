"""The page's forms, without a browser."""

import pytest
from httpx import Response

from bluerec.data.sentences import split_sentences
from serving.conftest import Served

OWN = {"Sec-Fetch-Site": "same-origin"}


def sign_in(served: Served) -> None:
    served.client.get(f"/studio/sign-in?token={served.token}")


def post(served: Served, path: str, **form: str) -> Response:
    return served.client.post(f"/studio/{path}", data=form, headers=OWN, follow_redirects=False)


@pytest.mark.parametrize("user_id", ["a%FF", "a%41", "50%20off", "a%2Fb", "a/b", "100%", "%25", "."])
def test_a_name_in_a_form_stands_as_it_is(served: Served, user_id: str) -> None:
    sign_in(served)
    before = set(served.store.profiles)
    answer = post(served, "try/keep", text="Racing games.", user_id=f" {user_id} ")
    assert answer.status_code == 303
    assert set(served.store.profiles) - before == {user_id}
    assert served.client.get(answer.headers["location"]).status_code == 200
    path = answer.headers["location"].removeprefix("/studio").split("?")[0]
    assert served.client.get(f"{path}/profile", headers=served.admin).json()["user_id"] == user_id


@pytest.mark.parametrize("path", ["a%FF", "%%46F", "a%", "%zz"])
def test_a_path_that_nobody_has_escaped_well_names_nobody(served: Served, path: str) -> None:
    sign_in(served)
    for prefix in ("/users", "/studio/users"):
        answer = served.client.get(f"{prefix}/{path}/export", headers=served.admin)
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("text", "drop", "left"),
    [
        ("RPGs, but not turn-based ones. Chess.", 1, "RPGs,\nChess."),
        ("RPGs, but not turn-based ones. Chess.", 0, "but not turn-based ones. Chess."),
        ("Chess\nGolf.\nCards.", 0, "Golf. Cards."),
        ("Chess\nGolf.\nCards.", 2, "Chess\nGolf."),
        ("Chess.", 0, "Chess."),
        ("Chess. Golf.", 7, "Chess. Golf."),
    ],
)
def test_what_stays_is_cut_into_the_same_sentences(served: Served, text: str, drop: int, left: str) -> None:
    sign_in(served)
    answer = served.client.post(
        "/studio/users/u0001/steer", data={"text": text, "drop": drop}, headers=OWN | {"accept": "application/json"}
    ).json()
    assert answer["text"] == left
    before = split_sentences(text)
    kept = [sentence for place, sentence in enumerate(before) if place != drop]
    assert [sentence["text"] for sentence in answer["sentences"]] == (kept or before)
