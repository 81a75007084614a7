"""What only the store can refuse is the asker's mistake and not a failure of the service."""

from pathlib import Path

from bluerec.selftest.served import serve
from bluerec.selftest.small_store import make_store


def test_a_text_of_hidden_characters_is_invalid_and_not_a_failure(tmp_path: Path) -> None:
    with serve(make_store(tmp_path / "store")) as served:
        for text in ("\u200b", "\u202e\u2060", "\x1b[31m"):
            answer = served.client.put("/users/u0000/profile", json={"text": text}, headers=served.admin)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid"), text
        assert served.client.get("/users/u0000/profile", headers=served.admin).json()["version"] == 1
