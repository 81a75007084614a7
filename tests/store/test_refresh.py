"""A refresh writes for whoever has a new history and for nobody else; a person's sentences outlive every one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluerec.errors import DataError, StoreError
from bluerec.store.refreshing import refresh_store
from bluerec.store.sentences import join_sentences, merge_offer, split_sentences
from bluerec.store.store import Store
from bluerec.types import Event
from store.stores import EMBEDDER, make_store

Asked = Sequence[tuple[str, Sequence[Event]]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(make_store(tmp_path / "store", n_users=8), embedder=EMBEDDER) as opened:
        yield opened


class Writer:
    """Says how many events it saw, and remembers whom it wrote for."""

    def __init__(self) -> None:
        self.users: list[str] = []

    def __call__(self, asked: Asked) -> list[tuple[str, str]]:
        self.users += [user for user, _ in asked]
        return [(f"Took {len(events)} things. Likes {events[-1].item.title}.", "counter") for _, events in asked]


def new_events(*users: str, timestamp: int = 2**33) -> pl.DataFrame:
    return pl.DataFrame({"user_id": users, "item_id": ["i0005"] * len(users), "timestamp": [timestamp] * len(users)})


def read_all(store: Store) -> list[object]:
    return [store.export_user(user) for user in store.user_ids("", 1000)]


def test_only_users_with_a_new_history_are_written(store: Store) -> None:
    writer = Writer()
    done = refresh_store(store, writer, new_events("u0001", "u0004", "newcomer"))
    assert writer.users == ["newcomer", "u0001", "u0004"]
    assert (done.n_events_added, done.n_rewritten, done.n_offered) == (3, 3, 0)
    assert [store.profile(user).writer for user in ("u0001", "u0000")] == ["counter", "oracle"]


def test_a_second_refresh_changes_nothing(store: Store) -> None:
    events = new_events("u0001", "u0004")
    refresh_store(store, Writer(), events)
    before, writer = read_all(store), Writer()
    done = refresh_store(store, writer, events)
    assert (done.n_events_added, done.n_events_known, done.n_rewritten, writer.users) == (0, 2, 0, [])
    assert refresh_store(store, writer).n_rewritten == 0
    assert read_all(store) == before


def test_a_killed_refresh_goes_on(store: Store) -> None:
    class Killed(Writer):
        def __call__(self, asked: Asked) -> list[tuple[str, str]]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh_store(store, Killed(), new_events("u0001"))
    writer = Writer()
    refresh_store(store, writer, new_events("u0001"))
    assert writer.users == ["u0001"]


def test_unknown_items_are_counted_and_missing_columns_refused(store: Store) -> None:
    unknown = pl.DataFrame({"user_id": ["u0001"], "item_id": ["nowhere"], "timestamp": [1]})
    done = refresh_store(store, Writer(), unknown)
    assert (done.n_unknown_items, done.n_rewritten) == (1, 0)
    with pytest.raises(DataError, match="timestamp"):
        refresh_store(store, Writer(), unknown.drop("timestamp"))


def test_an_edit_is_not_rewritten_until_the_history_changes_and_then_kept(store: Store) -> None:
    first = store.profile("u0001").sentences
    store.save_edit("u0001", f"{first[0]} Only chess from now on!")
    writer = Writer()
    assert refresh_store(store, writer).n_rewritten == 0
    done = refresh_store(store, writer, new_events("u0001"))
    after = store.profile("u0001")
    assert done.n_offered == 1
    assert after.locked == ("Only chess from now on!",)
    assert after.sentences[-1] == "Only chess from now on!"
    assert first[0] not in after.sentences
    assert after.offered.startswith("Took ")


def test_a_profile_that_a_person_wrote_alone_is_left_alone(store: Store) -> None:
    mine = store.save_edit("u0001", "Only chess. Nothing like racing.")
    refresh_store(store, Writer(), new_events("u0001"))
    after = store.profile("u0001")
    assert (after.version, after.text, after.locked) == (mine.version, mine.text, mine.locked)
    assert after.offered.startswith("Took ")
    assert refresh_store(store, Writer()).n_rewritten == 0


def test_a_text_for_a_user_deleted_meanwhile_is_refused(store: Store) -> None:
    job = store.enqueue("u0001")
    store.next_job()
    store.delete_user("u0001")
    with pytest.raises(StoreError, match="no longer"):
        store.save_written("u0001", "Likes chess.", "model", job.job_id)
    store.save_edit("u0001", "I am new here.")  # the same id again: still not the old user's text
    with pytest.raises(StoreError, match="no longer"):
        store.save_written("u0001", "Likes chess.", "model", job.job_id)
    assert store.profile("u0001").text == "I am new here."


def test_a_job_that_saw_an_older_history_leaves_the_user_to_a_refresh(store: Store) -> None:
    store.add_interactions("u0001", [{"item_id": "i0005", "timestamp": 2**33}])
    job = store.enqueue("u0001")
    store.next_job()
    store.add_interactions("u0001", [{"item_id": "i0006", "timestamp": 2**33}])
    store.save_written("u0001", "Likes chess.", "model", job.job_id)
    assert list(store.stale_users()) == ["u0001"]


WORDS = ["chess", "golf", "racing", "Dr.", "vs.", "farming", "no.1", "?"]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5)
sentences_of = st.lists(words.map(lambda some: " ".join(some) + "."), min_size=0, max_size=6)


@given(current=sentences_of, offered=sentences_of, data=st.data())
@settings(max_examples=2000, deadline=None)
def test_no_offer_removes_changes_or_reorders_a_locked_sentence(current, offered, data) -> None:
    current = split_sentences(" ".join(current))
    locked = [sentence for sentence in current if data.draw(st.booleans())]
    merged = merge_offer(current, locked, split_sentences(" ".join(offered)))
    kept = current if merged is None else merged
    mine = set(locked)
    assert [sentence for sentence in kept if sentence in mine] == [sentence for sentence in current if sentence in mine]
    assert split_sentences(join_sentences(kept)) == kept
