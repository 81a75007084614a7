"""The page's forms, without a browser."""

import re

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


NOTHING = "Nothing in the history stands behind this."
MOVED_DOWN = "Items like this are moved down."


def shown_sentences(page: str) -> list[str]:
    """The parts of a page that show a sentence each, without what is hidden."""
    listed = page.split('id="sentences">')[1].split("</ol>")[0]
    return [
        re.sub(r"<(\w+)[^>]* hidden>.*?</\1>", "", part, flags=re.DOTALL) for part in listed.split("<li class=")[1:]
    ]


def test_what_is_not_wanted_is_shown_as_kept_away(served: Served) -> None:
    """What is in the history stands behind the wish for it, and not behind the wish for nothing like it."""
    text = "RPGs, but not turn-based ones. No longer interested in horror."
    taken = served.store.history("u0001")[0].item
    text += f" {taken.title}. Nothing like {taken.title}. Xyzzy."
    sign_in(served)
    path, data = "/studio/users/u0001/preview", {"text": text}
    found = served.client.post(path, data=data, headers=OWN | {"accept": "application/json"}).json()["sentences"]
    page = served.client.post(path, data=data, headers=OWN).text
    wanted = [True, False, False, True, False, True]
    assert [sentence["wanted"] for sentence in found] == wanted
    assert [sentence["evidence"] for sentence in found if not sentence["wanted"]] == [[], [], []]
    assert taken.title in found[3]["evidence"]
    for sentence, part in zip(found, shown_sentences(page), strict=True):
        assert sentence["text"] in part
        assert (">kept away<" in part, MOVED_DOWN in part) == (not sentence["wanted"],) * 2
        assert (NOTHING in part) == (sentence["wanted"] and not sentence["evidence"])
        assert ("from the history" in part) == bool(sentence["evidence"])
    free = served.client.post("/studio/try", data=data, headers=OWN | {"accept": "application/json"}).json()
    assert [sentence["wanted"] for sentence in free["sentences"]] == wanted


@pytest.mark.parametrize("path", ["users/u0001", "try"])
def test_the_editor_says_that_a_text_may_say_what_is_not_wanted(served: Served, path: str) -> None:
    sign_in(served)
    page = served.client.get(f"/studio/{path}").text
    assert "Say what you want, and what not: “No longer interested in horror.”" in page
    assert 'aria-describedby="wish-help' in page
